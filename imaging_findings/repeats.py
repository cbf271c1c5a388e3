"""What already answers a follow-up: a later study that shows what was asked for, or an open order for one (rule Gf).

A reminder that is silenced wrongly does more harm than one too many, so whatever may or may not answer does not: another side,
a screening examination where diagnosis was asked for, words instead of codes, an order on hold. The card names it instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum

from imaging_findings.answers import PET, Answer
from imaging_findings.answers import Kind as Examination
from imaging_findings.facts import Facts
from imaging_findings.findings import LUNG_KINDS, Author, Finding, Kind
from imaging_findings.history import OrderFacts, StudyFacts
from imaging_findings.intervals import DueWindow
from imaging_findings.organs import Shown
from imaging_findings.sides import are_opposite, side_of
from imaging_findings.study_kinds import Contrast

# A proposal is somebody's idea, not an order (FHIR request-intent).
ORDERING_INTENTS = frozenset({"plan", "order", "original-order", "reflex-order", "filler-order", "instance-order"})
_OPEN = frozenset({"active", "on-hold", "draft"})
_PHASES = {Contrast.WITH, Contrast.WITHOUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a follow-up is compared with: the chart, the finding, the study's day and what would answer."""

    facts: Facts
    finding: Finding
    day: date
    answer: Answer
    early: timedelta
    """How long before its time a step counts as done, and an order as meant for it."""
    due: DueWindow | None = None
    since: StudyFacts | None = None
    """The examination that did the step before, where a later one is asked for."""


class Standing(IntEnum):
    """What an open order means for a follow-up, the most telling first."""

    ANSWERS = 0
    DRAFT = 1
    LATE = 2
    EARLY = 3
    ON_HOLD = 4
    OTHER_PHASE = 5
    SAME_DAY = 6
    OTHER = 7


def later_studies(past: Past) -> list[StudyFacts]:
    """The studies done after the finding's own that answer, by day; cancelled, withdrawn and unknown ones do not count (O4)."""
    done = [study for study in _later(past) if _study_answers(past, study)]
    return sorted(done, key=lambda study: (study.day or past.day, study.reference))


def said_of_done(past: Past, study: StudyFacts) -> str:
    """That a study answered it, with the study's own name, and that only its region is known where that is so."""
    done = "biopsy" if study.is_intervention else past.answer.words
    named = study.names.best or _named(study)
    return f"a later {done} was done on {study.day} ({named}{_told_of_organ(past, study)})"


def said_of_ordered(past: Past, order: OrderFacts) -> str:
    """That an open order answers it, and that only its region is known where that is so."""
    return f"{order.code_text} is already ordered{_told_of_organ(past, order)}"


def note_of_later(past: Past) -> str | None:
    """The latest study after it that looks like an answer and is none."""
    near = [study for study in _later(past) if _is_near(past, study) and not _study_answers(past, study)]
    if not near:
        return None
    study = max(near, key=lambda one: one.day or past.day)
    named = f"A later {_named(study)} of {study.day}"
    if study.is_only_said:
        return f"{named} may answer it, but only words say what it shows."
    return f"{named} does not answer it{_why_not(past, study)}."


def open_order(past: Past) -> tuple[OrderFacts, Standing] | None:
    """The open or draft order that means most for the follow-up.

    It names the finding as its reason, or was written after the study was begun and is not the order of that study itself.
    """
    study = past.facts.study_of(past.finding)
    own = (study.based_on if study else frozenset()).union(*(one.based_on for one in _later(past)))
    found = [
        (order, standing)
        for order in past.facts.orders
        if order.reference not in own
        and order.intent in ORDERING_INTENTS
        and order.status in _OPEN
        and (standing := _standing(past, order, study)) is not None
    ]
    return min(found, key=lambda one: one[1], default=None)


def note_of_order(past: Past, order: OrderFacts, standing: Standing) -> str:
    """What the card says of an order that ends nothing."""
    named = f"An order ({order.code_text})"
    told = {
        Standing.DRAFT: f"A draft order ({order.code_text}) is waiting to be signed.",
        Standing.LATE: f"{named} is planned for {order.planned_from}, later than due.",
        Standing.EARLY: f"{named} is planned for {order.planned_from}, earlier than due; it does not answer it.",
        Standing.ON_HOLD: f"{named} is on hold.",
        Standing.OTHER_PHASE: f"{named} asks for another contrast phase; it does not answer it.",
        Standing.SAME_DAY: f"{named} was written on the day of the study and may be the study's own.",
    }
    return told.get(standing) or f"{named} does not answer it{_why_not(past, order)}."


def _later(past: Past) -> list[StudyFacts]:
    own = past.facts.study_of(past.finding)
    return [
        study
        for study in past.facts.studies
        if study.status == "available" and study.day and study.day > past.day and not _is_own(study, own)
    ]


def _is_own(study: StudyFacts, own: StudyFacts | None) -> bool:
    """Whether it is the finding's study in a second resource, or by the clock no later (zones of two sources may differ)."""
    if own is None:
        return False
    is_later = own.started is None or study.started is None or study.started > own.started
    return study.study_instance_uid == own.study_instance_uid or not is_later


def _study_answers(past: Past, study: StudyFacts) -> bool:
    if study.is_intervention:
        return bool(study.families) and _is_own_side(past, study) and past.answer.is_tissue(study.procedure)
    return _shows(past, study) and not study.is_only_said


def _standing(past: Past, order: OrderFacts, study: StudyFacts | None) -> Standing | None:
    """None for an order of something else, or from before the study."""
    is_reason = past.finding.reference in order.reasons
    written = _is_written_after(order, past.day, study)
    if not is_reason and written is False:
        return None
    if past.since is not None and not _is_meant_for_later(past, order, past.since):
        return None
    if order.is_intervention:
        answers = _is_own_side(past, order) and past.answer.is_tissue(order.code_text)
    else:
        answers = _shows(past, order)
    if not answers:
        return Standing.OTHER if _is_near(past, order) and order.status != "draft" else None
    if order.status == "on-hold":
        return Standing.ON_HOLD
    if past.due is not None and order.planned_from is not None and order.planned_from > past.due.latest:
        return Standing.LATE
    # Who names the finding as the reason has decided on the time and the contrast agent.
    unfit = None if is_reason else _unfit(past, order, is_same_day=written is None)
    return unfit or (Standing.DRAFT if order.status == "draft" else Standing.ANSWERS)


def _unfit(past: Past, order: OrderFacts, *, is_same_day: bool) -> Standing | None:
    if past.due is not None and order.planned_from is not None and order.planned_from < past.due.earliest - past.early:
        return Standing.EARLY
    if {past.answer.contrast, order.contrast} == _PHASES and not order.is_intervention:
        return Standing.OTHER_PHASE
    return Standing.SAME_DAY if is_same_day else None


def _is_meant_for_later(past: Past, order: OrderFacts, since: StudyFacts) -> bool:
    """Whether the order is of the time after the step before: written then, or planned for the later step's time."""
    if order.planned_from is not None and past.due is not None:
        return order.planned_from >= past.due.earliest - past.early or (
            since.day is not None and order.planned_from > since.day
        )
    return _is_written_after(order, since.day or past.day, since) is not False


def _is_written_after(order: OrderFacts, day: date, study: StudyFacts | None) -> bool | None:
    """None where both are of one day and no clock tells which came first."""
    if order.authored is None:
        return False
    if order.authored_at is not None and study is not None and study.started is not None:
        return order.authored_at > study.started
    return None if order.authored == day else order.authored > day


def _shows(past: Past, thing: StudyFacts | OrderFacts) -> bool:
    """Whether it is an examination that answers, of the finding's side."""
    # Images that guide a needle show less than the examination that was asked for.
    if thing.is_intervention or not past.answer.by_images or not _is_own_side(past, thing):
        return False
    return any(_is_of(thing, kind) for kind in past.answer.kinds) and not _why_not(past, thing)


def _why_not(past: Past, thing: StudyFacts | OrderFacts) -> str:
    """Why something of the right modality and region does not answer; empty where it does, or where the rule says why."""
    if past.answer.by_images and past.answer.shown_by(thing) is Shown.NO:
        return f" ({thing.names.best or 'it'} does not show the {past.answer.organ_words})"
    if thing.is_screening and past.answer.by_images and not past.answer.by_screening and not _has_own_word(past, thing):
        return " (a screening examination)"
    return ""


def _told_of_organ(past: Past, thing: StudyFacts | OrderFacts) -> str:
    is_known = thing.is_intervention or past.answer.shown_by(thing) is not Shown.REGION_ONLY
    return "" if is_known else f"; only its region is stated, not whether it shows the {past.answer.organ_words}"


def _has_own_word(past: Past, thing: StudyFacts | OrderFacts) -> bool:
    """Whether a screening was read and signed, with a category of the same system: that one then counts."""
    name = past.finding.assessment.name if past.finding.assessment else None
    kinds = LUNG_KINDS if past.finding.kind is Kind.NODULE else {past.finding.kind}
    return any(
        one.study_reference == thing.reference
        and one.author is Author.PERSON
        and (one.category is not None or one.kind is Kind.NODULE)
        and one.kind in kinds
        and (one.assessment.name if one.assessment else None) == name
        for one in (*past.facts.findings, *past.facts.assessments)
    )


def _is_near(past: Past, thing: StudyFacts | OrderFacts) -> bool:
    """Whether it looks like an answer: an examination of the right modality, region and side."""
    return not thing.is_intervention and _is_own_side(past, thing) and any(_is_of(thing, kind) for kind in past.answer.kinds)


def _is_own_side(past: Past, thing: StudyFacts | OrderFacts) -> bool:
    return not are_opposite(thing.side, side_of(past.finding))


def _is_of(thing: StudyFacts | OrderFacts, kind: Examination) -> bool:
    if kind.family == PET:
        return thing.is_pet and bool({kind.region, "whole-body"} & thing.regions)
    return kind.family in thing.families and kind.region in thing.regions


def _named(study: StudyFacts) -> str:
    return " ".join([*sorted(study.families), "/".join(sorted(study.regions))])
