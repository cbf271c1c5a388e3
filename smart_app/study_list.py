"""The study list as a clinician reads it: newest first, by year, each study with its report and what became of its images.

A study of another patient is blocked, an unreadable one is a row that says so; neither hides the rest.

Spec: smart-launch.md §8 (study list, wrong-patient guard), SMART Imaging Access C4-C6, FHIR R4 ImagingStudy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from fhir_imaging.endpoints import EndpointState, ResolvedEndpoint, resolve_endpoint
from fhir_imaging.study import (
    DERIVED_MODALITIES,
    ImagingStudy,
    UnreadableStudy,
    points_to_patient,
    read_study,
)
from fhir_imaging.tolerant import text
from smart_app.named_study import NamedStudy
from smart_app.ohif_config import WadoRoot
from smart_app.study_reports import ReportRow, ReportsByStudy
from smart_app.study_search import FoundStudies
from smart_app.study_words import MODALITY_WORDS, counted, date_words, time_words

_UNDATED = "Undated"

ENDPOINT_WORDS = {
    EndpointState.USABLE: "Images available",
    EndpointState.MISSING: "No image server named",
    EndpointState.INACTIVE: "Image server switched off",
    EndpointState.UNRESOLVED: "Image server not described",
    EndpointState.ORIGIN_REFUSED: "Image server not allowed here",
}
TOKEN_NOT_WANTED = "Image server does not take this sign-in"  # noqa: S105 - words for people
ADDRESS_NOT_USABLE = "Image server's address not usable by the viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One study of this patient, in words. ``address`` is the DICOMweb base where its images may be fetched from."""

    study_instance_uid: str
    resource_id: str | None
    year: str
    sort_key: float
    date: str
    time: str | None
    modalities: tuple[str, ...]
    modality_words: str
    title: str
    details: tuple[str, ...]
    """Counts, body site and accession number, ready to be read in one line."""
    reasons: tuple[str, ...]
    body_site: str | None
    accession: str | None
    reports: tuple[ReportRow, ...]
    images: str
    can_open: bool
    address: str | None
    refused_address: str | None

    @property
    def search_text(self) -> str:
        """What the text filter looks through."""
        parts = (self.date, self.modality_words, *self.modalities, self.title, self.body_site, self.accession)
        conclusions = (report.conclusion for report in self.reports)
        return " ".join(part for part in (*parts, *conclusions) if part).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyList:
    """All rows of one patient. ``blocked`` counts studies that are not shown because they are not provably this patient's."""

    rows: tuple[StudyRow, ...]
    unreadable: tuple[UnreadableStudy, ...] = ()
    blocked: int = 0

    @property
    def years(self) -> list[tuple[str, list[StudyRow]]]:
        """Rows by year, newest year first."""
        return [(year, list(rows)) for year, rows in groupby(self.rows, key=lambda row: row.year)]

    @property
    def modalities(self) -> list[str]:
        """The modality codes that occur, for the filter."""
        return sorted({code for row in self.rows for code in _acquired(row.modalities)})

    def named(self, named: NamedStudy) -> StudyRow | None:
        """The row of a study named by UID or logical id."""
        for row in self.rows:
            if named.study_instance_uid == row.study_instance_uid:
                return row
            if named.resource_id is not None and named.resource_id == row.resource_id:
                return row
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListContext:
    """Against what the studies are judged: the token's patient, the bases its id belongs to, the origins for the token.

    ``endpoint_rewrites`` are the site's addresses in place of those in FHIR.
    """

    patient_id: str
    patient_bases: tuple[str, ...]
    token_receivers: Collection[str]
    endpoint_rewrites: Mapping[str, str] = field(default_factory=dict)


def build_study_list(found: FoundStudies, reports: Iterable[Mapping[str, Any]], context: ListContext) -> StudyList:
    """The list of the token's patient from what was found."""
    rows: list[StudyRow] = []
    unreadable: list[UnreadableStudy] = []
    blocked = 0
    own_reports = ReportsByStudy(one for one in reports if one.get("status") not in ("entered-in-error", "cancelled"))
    for resource in found.resources:
        study = read_study(resource)
        if not _is_of_patient(resource, context):
            blocked += 1
        elif isinstance(study, UnreadableStudy):
            unreadable.append(study)
        elif study.status not in ("entered-in-error", "cancelled"):
            endpoint = resolve_endpoint(study, found.endpoints, context.token_receivers, context.endpoint_rewrites)
            rows.append(_row(study, endpoint, own_reports.of(study)))
    # By the year shown first: a study on New Year's night must not split the groups in another zone.
    rows.sort(key=lambda row: (row.year != _UNDATED, row.year, row.sort_key), reverse=True)
    return StudyList(rows=tuple(rows), unreadable=tuple(unreadable), blocked=blocked)


def _is_of_patient(resource: Mapping[str, Any], context: ListContext) -> bool:
    """Whether the subject is the token's patient: the same id, and an absolute reference only into a base of this EHR."""
    subject = resource.get("subject")
    reference = text(subject.get("reference")) if isinstance(subject, dict) else None
    return points_to_patient(reference, context.patient_id, context.patient_bases)


def _row(study: ImagingStudy, endpoint: ResolvedEndpoint, reports: tuple[ReportRow, ...]) -> StudyRow:
    images, address = _images(endpoint)
    words = " · ".join(dict.fromkeys(MODALITY_WORDS.get(code, code) for code in _acquired(study.modalities)))
    return StudyRow(
        study_instance_uid=study.study_instance_uid,
        resource_id=study.resource_id,
        year=str(study.started.year) if study.started else _UNDATED,
        sort_key=_sort_key(study.started),
        date=date_words(study.started_text, study.started),
        time=time_words(study.started_text, study.started),
        modalities=study.modalities,
        modality_words=words or "Modality not stated",
        title=study.description or study.procedure or "No description",
        details=_details(study),
        reasons=study.reasons,
        body_site=", ".join(study.body_sites) or None,
        accession=study.accession,
        reports=reports,
        images=images,
        can_open=address is not None,
        address=address,
        refused_address=endpoint.address if endpoint.state is EndpointState.ORIGIN_REFUSED else None,
    )


def _images(resolved: ResolvedEndpoint) -> tuple[str, str | None]:
    """What is said of the images, and the DICOMweb base to fetch them from where that is possible."""
    if resolved.endpoint is None:
        return ENDPOINT_WORDS[resolved.state], None
    if not resolved.endpoint.send_token:
        return TOKEN_NOT_WANTED, None
    try:
        WadoRoot(name="images", title="images", root=resolved.endpoint.address)
    except ValueError:
        # A capability in a query, say: the viewer appends paths to the base and would lose it.
        return ADDRESS_NOT_USABLE, None
    return ENDPOINT_WORDS[resolved.state], resolved.endpoint.address


def _acquired(modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities that made images; reports and markings count only where there is nothing else."""
    return tuple(code for code in modalities if code not in DERIVED_MODALITIES) or modalities


def _details(study: ImagingStudy) -> tuple[str, ...]:
    series = study.number_of_series if study.number_of_series is not None else len(study.series) or None
    counts = (counted(series, "series", "series"), counted(study.number_of_instances, "image", "images"))
    derived = [code for code in study.modalities if code not in _acquired(study.modalities)]
    beside = f"with {', '.join(derived)}" if derived else None
    accession = f"Accession {study.accession}" if study.accession else None
    return tuple(words for words in (*counts, beside, *study.body_sites, accession) if words)


def _sort_key(started: datetime | None) -> float:
    """A bare date sorts as its midnight UTC; an undated study comes last."""
    if started is None:
        return float("-inf")
    return (started if started.tzinfo else started.replace(tzinfo=UTC)).timestamp()
