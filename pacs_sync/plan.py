"""What is to happen with one study, decided from what the archive says, whose it is, and what stands in FHIR.

The archive is the truth about a study, FHIR about its patient. A study whose patient is not certain is never written, and what
stands of it in a chart that may be the wrong one is taken back.

Spec: clinical rules X14, X16, X17, X24, §7.2 (deletion), §9; FHIR R4 ImagingStudy.status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.fhir_versions import Status
from pacs_sync.patients import Unknown
from pacs_sync.ports import Held, HoldReason, Subject, WrittenStudy
from pacs_sync.several_studies import beside_others, of_another_patient
from pacs_sync.standing import Mark, has_other_maker, is_withdrawn, subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that the decision is made from.

    ``archived`` is None where the archive has the study no more; ``whose`` is None only then. ``standing`` are all
    ImagingStudies with its UID, ``mark`` tells ours; ``given_id`` is the id that we give it, None where the server gives ids.
    """

    archived: ArchivedStudy | None
    is_complete: bool
    whose: Subject | Unknown | None
    standing: tuple[WrittenStudy, ...]
    mark: Mark
    given_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """It is to stand so. ``replaces`` is what it takes the place of, ``copies`` are to be withdrawn."""

    status: Status
    subject: Subject
    replaces: WrittenStudy | None
    copies: tuple[WrittenStudy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """The archive has it no more: these are taken back."""

    standing: tuple[WrittenStudy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person has to say; ``withdraw`` stands in a chart that may be the wrong one."""

    held: Held
    withdraw: tuple[WrittenStudy, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is gone, and nothing of ours stands."""


Verdict: TypeAlias = Write | Withdraw | Hold | Nothing


def decide(gathered: Gathered) -> Verdict:
    """The one thing to do. Whether it changes anything at all, whoever writes finds out by comparing."""
    ours = [one for one in gathered.standing if gathered.mark.is_on(one.content)]
    active = tuple(one for one in ours if not is_withdrawn(one.content))
    if gathered.archived is None or gathered.whose is None:
        return Withdraw(standing=active) if active else Nothing()
    if isinstance(gathered.whose, Unknown):
        return _held(gathered.whose, active)
    subject = gathered.whose
    others = [one for one in gathered.standing if not gathered.mark.is_on(one.content)]
    if contradicting := [one for one in others if _contradicts(one, subject)]:
        return _several(gathered.archived, of_another_patient(contradicting), active, subject)
    if not ours:
        return _beside_others(gathered, others, subject)
    first, *copies = sorted(ours, key=_rank)
    unwanted = tuple(one for one in copies if not is_withdrawn(one.content))
    return Write(status=_status(gathered, first), subject=subject, replaces=first, copies=unwanted)


def withdrawn_status(standing: WrittenStudy) -> Status:
    """A study that was only announced is cancelled; one that could be seen was in error."""
    was_announced = standing.content.get("status") == Status.REGISTERED
    return Status.CANCELLED if was_announced else Status.ENTERED_IN_ERROR


def ours_first(standing: Iterable[WrittenStudy], mark: Mark) -> tuple[WrittenStudy, ...]:
    """Those of ours that are to be seen; of several, every writer keeps the same one: the first."""
    return tuple(sorted((one for one in standing if mark.is_on(one.content) and not is_withdrawn(one.content)), key=_rank))


def _held(whose: Unknown, active: tuple[WrittenStudy, ...]) -> Hold:
    """What stands in the chart of one of those whose it may be stays: nothing says that it is wrong there."""
    return Hold(held=whose.held, withdraw=tuple(one for one in active if subject_id(one.content) not in whose.candidates))


def _several(study: ArchivedStudy, detail: str, active: tuple[WrittenStudy, ...], subject: Subject) -> Hold:
    stated = study.patients[0] if study.patients else None
    held = Held(reason=HoldReason.SEVERAL_STUDIES, patient=stated, detail=detail)
    return Hold(held=held, withdraw=tuple(one for one in active if subject_id(one.content) != subject.patient_id))


def _beside_others(gathered: Gathered, others: list[WrittenStudy], subject: Subject) -> Verdict:
    """Nothing of ours stands. What has no maker is taken over; what somebody else made is left to them."""
    in_the_way = [one for one in others if not is_withdrawn(one.content) or one.id == gathered.given_id]
    if not in_the_way:
        return Write(status=_status(gathered, None), subject=subject, replaces=None)
    if len(in_the_way) > 1 or has_other_maker(in_the_way[0].content, gathered.mark):
        assert gathered.archived is not None  # nosec B101 # noqa: S101 - decided before
        return _several(gathered.archived, beside_others(in_the_way), (), subject)
    return Write(status=_status(gathered, in_the_way[0]), subject=subject, replaces=in_the_way[0])


def _contradicts(other: WrittenStudy, subject: Subject) -> bool:
    return not is_withdrawn(other.content) and subject_id(other.content) != subject.patient_id


def _status(gathered: Gathered, replaces: WrittenStudy | None) -> Status:
    """What could be seen once stays so while late images come; what was taken back begins anew."""
    was_available = replaces is not None and replaces.content.get("status") == Status.AVAILABLE
    return Status.AVAILABLE if gathered.is_complete or was_available else Status.REGISTERED


def _rank(standing: WrittenStudy) -> tuple[bool, int, str]:
    """What is to be seen before what was taken back; then the oldest, where ids are counted up, and the same for everybody."""
    return is_withdrawn(standing.content), len(standing.id), standing.id
