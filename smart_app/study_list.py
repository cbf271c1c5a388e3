"""The study list as a clinician reads it: newest first, by year, each study with its report and what became of its images.

A study of another patient is blocked, an unreadable one is a row that says so; neither hides the rest.

Spec: smart-launch.md §8 (study list, wrong-patient guard), SMART Imaging Access C4-C6, FHIR R4 ImagingStudy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from fhir_imaging.endpoints import resolve_endpoint
from fhir_imaging.study import (
    DERIVED_MODALITIES,
    WITHDRAWN,
    ImagingStudy,
    UnreadableStudy,
    parse_datetime,
    points_to_patient,
    read_study,
)
from fhir_imaging.texts import gettext
from fhir_imaging.tolerant import text
from imaging_findings.study_kinds import StudyKind
from smart_app.named_study import NamedStudy
from smart_app.study_images import PATIENT_WORDS, Availability, StudyImages, images_of, thumbnail_of
from smart_app.study_regions import OTHER, REGION_WORDS, StudyKinds, shown_families, shown_region
from smart_app.study_reports import ReportRow, ReportsByStudy
from smart_app.study_search import FoundStudies
from smart_app.study_words import MODALITY_WORDS, counted, date_words, derived_words, time_words

_UNDATED = "Undated"
_YEARS = range(1900, 2201)
"""Of which a study can be; any other year is a slip or a placeholder, and counts as no date."""
_NO_DATE = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One study of this patient, in words. ``address`` is the DICOMweb base where its images may be fetched from."""

    study_instance_uid: str
    resource_id: str | None
    year: str
    sort_key: float
    started: str
    """The moment in UTC, to sort by; empty where none is known."""
    date: str
    time: str | None
    modalities: tuple[str, ...]
    modality_words: str
    title: str
    details: tuple[str, ...]
    """Counts, what stands beside the images, body site and accession number, ready to be read in one line."""
    reasons: tuple[str, ...]
    body_site: str | None
    accession: str | None
    regions: tuple[str, ...]
    """The regions of the judgement; ``other`` alone where none is known."""
    region: str
    """The one part of the list that the study stands in when it is put in order by region."""
    families: tuple[str, ...]
    kind: StudyKind = field(repr=False)
    reports: tuple[ReportRow, ...]
    images: str
    availability: Availability
    can_open: bool
    address: str | None
    refused_address: str | None
    left_out: tuple[str, ...]
    """Further image addresses of a study that can be opened, whose servers are not allowed here."""
    thumbnail: str | None

    @property
    def search_text(self) -> str:
        """What the text filter looks through."""
        parts = (self.date, self.modality_words, *self.modalities, self.title, self.body_site, self.accession)
        regions = (region.replace("-", " ") for region in self.regions if region != OTHER)
        said = (words for report in self.reports for words in (report.conclusion, report.who))
        return " ".join(part for part in (*parts, *regions, *said) if part).lower()

    def with_reports(self, reports: tuple[ReportRow, ...]) -> StudyRow:
        """The same study with reports that came later."""
        return replace(self, reports=reports)

    def is_prior_of(self, opened: StudyRow) -> bool:
        """Whether this is an earlier study of the same region by the same kind of machine."""
        return self.sort_key < opened.sort_key and self.kind.overlaps(opened.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRow:
    """An entry that cannot be read as a study: what it still tells of itself, and why it cannot be opened."""

    resource_id: str | None
    date: str
    title: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyList:
    """All rows of one patient. ``blocked`` counts studies that are not shown because they are not provably this patient's."""

    rows: tuple[StudyRow, ...]
    unreadable: tuple[ProblemRow, ...] = ()
    blocked: int = 0
    missing: int = 0
    """Studies that the server speaks of and did not send."""
    refused_addresses: frozenset[str] = frozenset()
    """Of image servers that are not allowed here, for the audit trail; a patient's rows do not name them."""

    @property
    def years(self) -> list[tuple[str, list[StudyRow]]]:
        """Rows by year, newest year first."""
        return [(year, list(rows)) for year, rows in groupby(self.rows, key=lambda row: row.year)]

    @property
    def modalities(self) -> list[str]:
        """The modality codes that occur, for the filter."""
        return sorted({code for row in self.rows for code in _acquired(row.modalities)})

    @property
    def regions(self) -> list[tuple[str, list[StudyRow]]]:
        """Rows by region, from head to foot, each newest first."""
        groups: dict[str, list[StudyRow]] = {}
        for row in self.rows:
            groups.setdefault(row.region, []).append(row)
        return [(words, groups[region]) for region, words in REGION_WORDS.items() if region in groups]

    def priors_of(self, study_instance_uid: str | None) -> frozenset[str]:
        """The studies that a reader of this one would look at beside it, by UID; none where it is not listed."""
        opened = next((row for row in self.rows if row.study_instance_uid == study_instance_uid), None)
        return frozenset(row.study_instance_uid for row in self.rows if opened and row.is_prior_of(opened))

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
    relative_studies_are_own: bool = True
    """Whether ``Patient/{id}`` in a study means the EHR's patient; else it is somebody of the server that has the studies."""
    endpoint_rewrites: Mapping[str, str] = field(default_factory=dict)
    kinds: StudyKinds = field(default_factory=StudyKinds)
    """Judges what kind of examination a study is, with the site's own codes."""
    for_patient: bool = False
    """Whether the reader is the patient or a related person: plain words, and nothing that speaks to clinicians."""


def build_study_list(
    found: FoundStudies, reports: Iterable[Mapping[str, Any]] | ReportsByStudy, context: ListContext
) -> StudyList:
    """The list of the token's patient from what was found."""
    rows: list[StudyRow] = []
    unreadable: list[ProblemRow] = []
    blocked = 0
    refused: set[str] = set()
    by_study = reports if isinstance(reports, ReportsByStudy) else ReportsByStudy(reports)
    for resource in found.resources:
        study = read_study(resource)
        if not is_of_patient(resource, context):
            blocked += 1
        elif isinstance(study, UnreadableStudy):
            unreadable.append(_problem(study, resource))
        elif study.status not in WITHDRAWN:
            endpoint = resolve_endpoint(study, found.endpoints, context.token_receivers, context.endpoint_rewrites)
            images = images_of(study, resource, endpoint, without_endpoints=found.without_endpoints)
            refused |= set(endpoint.refused)
            row = _row(study, context.kinds.of(resource), images, by_study.of(study))
            rows.append(_for_patient(row, study) if context.for_patient else row)
    # By the year shown first: a study on New Year's night must not split the groups in another zone.
    rows.sort(key=lambda row: (row.year != _UNDATED, row.year, row.sort_key), reverse=True)
    return StudyList(
        rows=tuple(rows),
        unreadable=tuple(unreadable),
        blocked=blocked,
        missing=found.missing,
        refused_addresses=frozenset(refused),
    )


def is_of_patient(resource: Mapping[str, Any], context: ListContext) -> bool:
    """Whether a study's subject is the token's patient: the same id, and an absolute reference only into a base of this EHR."""
    subject = resource.get("subject")
    reference = text(subject.get("reference")) if isinstance(subject, dict) else None
    if not context.relative_studies_are_own and "://" not in (reference or ""):
        return False
    return points_to_patient(reference, context.patient_id, context.patient_bases)


def _problem(study: UnreadableStudy, resource: Mapping[str, Any]) -> ProblemRow:
    stated = text(resource.get("started"))
    return ProblemRow(
        resource_id=study.resource_id,
        date=date_words(stated, parse_datetime(stated)),
        title=text(resource.get("description")) or "No description",
        problem=study.problem,
    )


def _row(study: ImagingStudy, kind: StudyKind, images: StudyImages, reports: tuple[ReportRow, ...]) -> StudyRow:
    acquired = _acquired(study.modalities)
    words = " · ".join(dict.fromkeys(MODALITY_WORDS.get(code, code) for code in acquired))
    sort_key = _sort_key(study.started)
    return StudyRow(
        study_instance_uid=study.study_instance_uid,
        resource_id=study.resource_id,
        year=str(study.started.year) if study.started and sort_key != _NO_DATE else _UNDATED,
        sort_key=sort_key,
        started=_in_utc(sort_key),
        date=date_words(study.started_text, study.started),
        time=time_words(study.started_text, study.started),
        modalities=study.modalities,
        modality_words=words or "Modality not stated",
        title=study.description or study.procedure or "No description",
        details=_details(study),
        reasons=study.reasons,
        body_site=", ".join(study.body_sites) or None,
        accession=study.accession,
        regions=tuple(sorted(kind.regions)) or (OTHER,),
        region=shown_region(kind),
        families=shown_families(kind, acquired),
        kind=kind,
        reports=reports,
        images=images.words,
        availability=images.availability,
        can_open=images.address is not None,
        address=images.address,
        refused_address=images.refused_address,
        left_out=images.left_out,
        thumbnail=thumbnail_of(study, images.address) if images.address else None,
    )


def _for_patient(row: StudyRow, study: ImagingStudy) -> StudyRow:
    """The row in plain words: no reasons for the examination, no by-products, no names of servers."""
    return replace(
        row,
        details=(*_counts(study), *study.body_sites),
        reasons=(),
        images=PATIENT_WORDS[row.availability],
        refused_address=None,
        left_out=(),
    )


def _acquired(modalities: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities that made images; reports and markings count only where there is nothing else."""
    return tuple(code for code in modalities if code not in DERIVED_MODALITIES) or modalities


def _counts(study: ImagingStudy) -> tuple[str, ...]:
    series = study.number_of_series if study.number_of_series is not None else len(study.series) or None
    counts = (counted(series, "series", "series"), counted(study.number_of_instances, "image", "images"))
    return tuple(words for words in counts if words)


def _details(study: ImagingStudy) -> tuple[str, ...]:
    beside = set(study.modalities) - set(_acquired(study.modalities))
    derived = derived_words([one.modality for one in study.series if one.modality in beside], beside)
    accession = gettext("Accession {number}").format(number=study.accession) if study.accession else None
    return tuple(words for words in (*_counts(study), *derived, *study.body_sites, accession) if words)


def _sort_key(started: datetime | None) -> float:
    """A bare date sorts as its midnight UTC; a study without a date, or of a year that none is of, comes last."""
    if started is None or started.year not in _YEARS:
        return _NO_DATE
    return (started if started.tzinfo else started.replace(tzinfo=UTC)).timestamp()


def _in_utc(sort_key: float) -> str:
    return "" if sort_key == _NO_DATE else f"{datetime.fromtimestamp(sort_key, UTC):%Y-%m-%dT%H:%M:%SZ}"
