"""Imaging of a stay that nobody has reported, or only in a preliminary way, when the patient leaves.

- **Unread**: an available study that no report names. **Registered**: the same for one that has been made and is not available
  yet. **Preliminary**: only ``registered``, ``partial`` or ``preliminary``
  reports name it. Cancelled and erroneous studies and reports never count, nor do studies that hold no images of their own
  (SR, PR, KO …).
- Reports that could not be looked up (or only in part), and a report of unknown status, are never read as "unread": the
  study is then told as *could not be checked* (T11).
- Examinations that a site's radiology never reports are its policy: angiography, imaging during an operation, images that
  guide a biopsy, ultrasound at the bedside.
- ``warning`` where a study of this stay is unread; ``info`` where each of them has a preliminary report or is not available
  yet, and where it is not known whether a study belongs to the stay.

No source states these rules: they need a clinician's word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from fhir_imaging.study import DERIVED_MODALITIES, UnreadableStudy, read_study
from fhir_imaging.tolerant import dicts, text
from imaging_findings.findings import Problem
from imaging_findings.observations import reference_of
from imaging_findings.order_facts import PriorStudy, read_prior
from imaging_findings.report_states import (
    AnyReport,
    ReportState,
    StudyNames,
    accessions_of,
    is_about,
    references_in,
)
from imaging_findings.rules import Urgency
from imaging_findings.stays import Belonging, Placed, Stay, When, belonging, encounter_of, when
from imaging_findings.study_table import SiteStudies
from imaging_findings.visit_policy import UnreadPolicy


class Reading(StrEnum):
    """How far the reading of a study has come."""

    UNREAD = "unread"
    REGISTERED = "registered"
    PRELIMINARY = "preliminary"
    NOT_CHECKED = "not-checked"


_RANK = {Reading.UNREAD: 0, Reading.REGISTERED: 1, Reading.PRELIMINARY: 2, Reading.NOT_CHECKED: 3}
# FHIR: "the existence of the imaging study is registered, but there is nothing yet available".
_REGISTERED = "registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOfPatient:
    """One study with everything that places it and that reports may call it by."""

    prior: PriorStudy
    modalities: tuple[str, ...]
    placed: Placed
    names: StudyNames


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReading:
    """A study that is not (known to be) read. ``why`` says what could not be checked."""

    study: StudyOfPatient
    reading: Reading
    belonging: Belonging
    report: AnyReport | None = None
    why: str | None = None

    @property
    def since(self) -> When | None:
        """Since when it waits: its preliminary report, otherwise the examination itself."""
        day = self.report.day if self.report else None
        return When(day) if day else self.study.placed.begun


@dataclass(frozen=True, slots=True)
class QuietStudy:
    """A study about which nothing is said, and why."""

    reference: str
    reason: str
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All studies of a patient, sorted: what waits, what nobody can place, and what is in order. Latest first."""

    waiting: tuple[OpenReading, ...] = ()
    """Of this stay: unread before registered before preliminary."""
    unplaced: tuple[OpenReading, ...] = ()
    """Unread or preliminary, and not known to be of this stay."""
    not_checked: tuple[OpenReading, ...] = ()
    quiet: tuple[QuietStudy, ...] = ()

    @property
    def urgency(self) -> Urgency:
        """A warning where a study of the stay is unread."""
        unread = any(one.reading is Reading.UNREAD for one in self.waiting)
        return Urgency.WARNING if unread else Urgency.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportsOnRecord:
    """The patient's reports; ``looked_up`` False or ``whole`` False = a missing one proves nothing."""

    reports: tuple[AnyReport, ...] = ()
    looked_up: bool = True
    whole: bool = True


def read_patient_study(
    resource: Mapping[str, Any], findings: Mapping[str, frozenset[str]], site: SiteStudies | None = None
) -> StudyOfPatient | Problem:
    """One ImagingStudy of any version; ``findings`` are Observations by the study that they were seen on."""
    prior, study = read_prior(resource, site), read_study(resource)
    if isinstance(prior, Problem) or isinstance(study, UnreadableStudy):
        return prior if isinstance(prior, Problem) else Problem(reference_of(resource, "ImagingStudy"), "it cannot be read")
    orders = references_in(dicts(resource.get("basedOn")), "ServiceRequest")
    return StudyOfPatient(
        prior=prior,
        modalities=study.modalities,
        placed=Placed(encounter=encounter_of(resource), orders=orders, begun=when(text(resource.get("started")))),
        names=StudyNames(
            references=frozenset({prior.reference}),
            uid=str(prior.study_instance_uid),
            orders=orders,
            accessions=accessions_of(resource),
            findings=findings.get(prior.reference, frozenset()),
        ),
    )


def merged(studies: Sequence[StudyOfPatient]) -> tuple[StudyOfPatient, ...]:
    """Resources of the same Study Instance UID as one study: a report of any of them is its report."""
    found: dict[str, StudyOfPatient] = {}
    for study in studies:
        other = found.get(study.names.uid)
        found[study.names.uid] = _together(other, study) if other else study
    return tuple(found.values())


def _together(one: StudyOfPatient, other: StudyOfPatient) -> StudyOfPatient:
    # Whatever is available is there, whatever another system says of it.
    first, second = (one, other) if one.prior.status == "available" else (other, one)
    placed, names = first.placed, first.names
    return replace(
        first,
        placed=Placed(
            encounter=placed.encounter or second.placed.encounter,
            orders=placed.orders | second.placed.orders,
            begun=placed.begun or second.placed.begun,
        ),
        names=replace(
            names,
            references=names.references | second.names.references,
            orders=names.orders | second.names.orders,
            accessions=names.accessions | second.names.accessions,
            findings=names.findings | second.names.findings,
        ),
    )


def judge_readings(
    studies: Sequence[StudyOfPatient], stay: Stay, on_record: ReportsOnRecord, policy: UnreadPolicy, now: datetime
) -> Readings:
    """Which studies wait for their report as of ``now`` (its local date is today)."""
    waiting: list[OpenReading] = []
    unplaced: list[OpenReading] = []
    not_checked: list[OpenReading] = []
    quiet: list[QuietStudy] = []
    for study in sorted(studies, key=_day, reverse=True):
        found = _reading_of(study, stay, on_record, policy, now.date())
        if isinstance(found, QuietStudy):
            quiet.append(found)
        elif found.reading is Reading.NOT_CHECKED:
            not_checked.append(found)
        else:
            (waiting if found.belonging.is_of_stay else unplaced).append(found)
    waiting.sort(key=lambda one: _RANK[one.reading])
    return Readings(waiting=tuple(waiting), unplaced=tuple(unplaced), not_checked=tuple(not_checked), quiet=tuple(quiet))


def studies_of_stay(studies: Sequence[StudyOfPatient], stay: Stay, policy: UnreadPolicy, today: date) -> frozenset[str]:
    """``ImagingStudy/{id}`` of everything that is known to belong to the stay, read or not."""
    days = policy.unplaced_look_back_days
    own = (one for one in studies if belonging(one.placed, stay, today, days).is_of_stay)
    return frozenset(reference for one in own for reference in one.names.references)


def _reading_of(
    study: StudyOfPatient, stay: Stay, on_record: ReportsOnRecord, policy: UnreadPolicy, today: date
) -> OpenReading | QuietStudy:
    reference = study.prior.reference
    place = belonging(study.placed, stay, today, policy.unplaced_look_back_days)
    silent = _why_never_reported(study, policy, today)
    if silent is None and not (place.is_of_stay or place.is_open):
        silent = place.value
    if silent is not None:
        return QuietStudy(reference, silent)
    naming = [one for one in on_record.reports if is_about(one, study.names)]
    signed = next((one for one in naming if one.state is ReportState.SIGNED), None)
    if signed is not None:
        return QuietStudy(reference, f"it has a signed report ({signed.status})", signed.reference)
    why = _why_unclear(naming, on_record)
    if why is not None:
        return OpenReading(study=study, reading=Reading.NOT_CHECKED, belonging=place, why=why)
    begun = max(naming, key=lambda one: one.day or date.min, default=None)
    unread = Reading.REGISTERED if study.prior.status == _REGISTERED else Reading.UNREAD
    reading = Reading.PRELIMINARY if begun else unread
    return OpenReading(study=study, reading=reading, belonging=place, report=begun)


def _why_never_reported(study: StudyOfPatient, policy: UnreadPolicy, today: date) -> str | None:
    """Why nobody will report (or has) this study; None where a report is to be expected."""
    prior, modalities = study.prior, frozenset(study.modalities)
    if prior.status not in ("available", _REGISTERED):
        return f"its status is {prior.status}"
    if prior.status == _REGISTERED and _day(study) > today:
        return "it is registered for a day to come"
    if modalities and modalities <= DERIVED_MODALITIES:
        return "it holds no images of its own"
    if modalities - DERIVED_MODALITIES and modalities - DERIVED_MODALITIES <= policy.unreported_modalities:
        return "examinations of this modality are not reported here"
    if not prior.kind.families:
        return "it is no examination that radiology is known to report here"
    if prior.kind.is_intervention and not policy.reports_interventions:
        return "its images guided an intervention"
    name = prior.name.lower()
    return next((f"its description says {words}" for words in policy.unreported_words if words in name), None)


def _why_unclear(naming: Collection[AnyReport], on_record: ReportsOnRecord) -> str | None:
    if not on_record.looked_up:
        return "reports could not be looked up"
    unknown = next((one for one in naming if one.state is ReportState.UNKNOWN), None)
    if unknown is not None:
        return f"the status of {unknown.reference} is {unknown.status}"
    return None if on_record.whole else "only a part of the reports came"


def _day(study: StudyOfPatient) -> date:
    return study.placed.begun.day if study.placed.begun else date.min
