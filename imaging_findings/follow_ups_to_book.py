"""Open follow-ups as appointments see them: when they are due, and which examinations answer them.

Beside them stand open work-ups: what a suspicious or incomplete finding (BI-RADS 0, 4 and 5; Lung-RADS 4B) asks for without a
day. No appointment is early or late for one, but a screening is none.

Orders answer nothing here: an appointment is how an order comes to be done. What is ordered separately is marked as such.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from imaging_findings.advice import Guidance
from imaging_findings.appointments import ProposedAppointment
from imaging_findings.asked_organs import asked_organs, table_of
from imaging_findings.facts import Facts
from imaging_findings.findings import LUNG_KINDS, Author, Kind
from imaging_findings.guidance import judge
from imaging_findings.intervals import DueWindow
from imaging_findings.organs import Shown, shown
from imaging_findings.rules import Packs, Urgency
from imaging_findings.screening_answers import is_answered_by_screening
from imaging_findings.sides import on_side_of
from imaging_findings.study_kinds import Side, StudyKind, study_kind_of

_CHEST_CT = StudyKind(families=frozenset({"CT"}), regions=frozenset({"chest"}))
_CODED = LUNG_KINDS | {Kind.ASSESSMENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkUpToBook:
    """What one open finding asks for, and the kinds of examination that are about it."""

    guidance: Guidance
    kinds: tuple[StudyKind, ...]
    organs: frozenset[str] = frozenset()
    """What an examination that answers must show; empty where no rule names it."""

    @property
    def families(self) -> frozenset[str]:
        """Modality families that answer it; one where the guideline names one examination."""
        return frozenset(family for kind in self.kinds for family in kind.families)

    @property
    def regions(self) -> frozenset[str]:
        """Regions that it is about."""
        return frozenset(region for kind in self.kinds for region in kind.regions)

    @property
    def examination(self) -> str:
        """The examination in the rule's words."""
        return self.guidance.next_step.examination if self.guidance.next_step else "follow-up imaging"

    @property
    def is_no_screening(self) -> bool:
        """Whether no screening examination answers it, as the chart and the orders have it too."""
        return not is_answered_by_screening(self.guidance)

    @property
    def is_routine(self) -> bool:
        """Whether the rule behind it only informs, as of an annual screening."""
        return self.guidance.urgency is Urgency.INFO

    @property
    def is_firm(self) -> bool:
        """Whether the guideline (or the reader) asks for it, instead of only offering it."""
        return self.guidance.next_step is not None and self.guidance.next_step.firm

    def is_answered_by(self, kind: StudyKind) -> bool:
        """Whether an examination of this kind answers it, whenever it takes place."""
        return any(one.overlaps(kind) for one in self.kinds) and self._organ_in(kind) is not Shown.NO

    def is_of_other_organ(self, kind: StudyKind) -> bool:
        """Whether an examination of this kind would answer it, did it not show another organ alone."""
        return any(one.overlaps(kind) for one in self.kinds) and self._organ_in(kind) is Shown.NO

    def _organ_in(self, kind: StudyKind) -> Shown:
        return shown(kind.names, kind.families, self.organs, self.regions)

    def is_of_other_side(self, kind: StudyKind) -> bool:
        """Whether an examination of this kind would answer it, were it not of the opposite side."""
        return not self.is_answered_by(kind) and self.is_answered_by(replace(kind, side=Side.UNSTATED))

    @property
    def side(self) -> Side:
        """The side that is asked for."""
        return next((kind.side for kind in self.kinds if kind.side is not Side.UNSTATED), Side.UNSTATED)

    def is_named_by(self, appointment: ProposedAppointment) -> bool:
        """Whether the appointment or its order names the finding, its study or its report."""
        guidance = self.guidance
        own = {guidance.finding.reference, *(one.reference for one in guidance.reports)}
        own |= {guidance.finding.study_reference} if guidance.finding.study_reference else set()
        return bool(own & appointment.cites)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpToBook(WorkUpToBook):
    """One open follow-up with its due window."""

    due: DueWindow
    is_ordered: bool
    """Whether an order on record, other than that of the appointments, answers it already."""


def open_to_book(
    facts: Facts, packs: Packs, now: datetime, own_orders: Collection[str]
) -> tuple[tuple[FollowUpToBook, ...], tuple[WorkUpToBook, ...]]:
    """Every follow-up and every work-up that no later study has answered, whether or not it is ordered."""
    asked = tuple(_open(replace(facts, orders=()), packs, now))
    others = tuple(one for one in facts.orders if one.reference not in own_orders)
    unordered = {one.finding.reference for one in (_open(replace(facts, orders=others), packs, now) if others else asked)}
    return _follow_ups(asked, packs, unordered), _work_ups(asked, packs)


def _follow_ups(asked: Iterable[Guidance], packs: Packs, unordered: Collection[str]) -> tuple[FollowUpToBook, ...]:
    """What has a due date; ``unordered``: the findings that no order of other appointments answers."""
    found: list[FollowUpToBook] = []
    for guidance in asked:
        kinds = _kinds(guidance, packs)
        if guidance.next_step is None or not kinds:
            continue
        is_ordered = guidance.finding.reference not in unordered
        due, organs = guidance.next_step.due, asked_organs(guidance, packs)
        found.append(FollowUpToBook(guidance=guidance, due=due, kinds=kinds, organs=organs, is_ordered=is_ordered))
    return tuple(found)


def _work_ups(asked: Iterable[Guidance], packs: Packs) -> tuple[WorkUpToBook, ...]:
    """What its rule urges to work up without naming a day."""
    urged = ((one, _kinds(one, packs)) for one in asked if one.next_step is None and _is_urged(one))
    return tuple(WorkUpToBook(guidance=one, kinds=kinds, organs=asked_organs(one, packs)) for one, kinds in urged if kinds)


def _open(facts: Facts, packs: Packs, now: datetime) -> Iterator[Guidance]:
    """What is still asked for, of further findings of a study too; an unsigned AI result asks for nothing."""
    for lead in judge(facts, packs, now).guidance:
        yield from (one for one in (lead, *lead.beside) if one.finding.author is Author.PERSON)


def _is_urged(guidance: Guidance) -> bool:
    is_told = bool(guidance.statements) and not guidance.missing and guidance.finding.kind in _CODED
    return is_told and guidance.urgency is not Urgency.INFO


def _kinds(guidance: Guidance, packs: Packs) -> tuple[StudyKind, ...]:
    """What answers the follow-up, asked of the finding's side."""
    return tuple(on_side_of(guidance.finding, kind) for kind in _kinds_of_either_side(guidance, packs))


def _kinds_of_either_side(guidance: Guidance, packs: Packs) -> tuple[StudyKind, ...]:
    """What answers the follow-up: the order's code, a chest CT for the lung, the table's own answers, or the same again."""
    if guidance.order is not None:
        return (study_kind_of(stated=(guidance.order.code,)),)
    if guidance.finding.kind in LUNG_KINDS:
        return (_CHEST_CT,)
    pack = table_of(guidance, packs)
    if pack is not None:
        return tuple(StudyKind(families=frozenset({family}), regions=frozenset({region})) for family, region in pack.answers)
    study = guidance.study
    same = StudyKind(families=study.families, regions=study.regions) if study else StudyKind()
    return (same,) if same.families and same.regions else ()
