"""Open follow-ups as appointments see them: when they are due, and which examinations answer them.

Orders answer nothing here: an appointment is how an order comes to be done. What is ordered separately is marked as such.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from imaging_findings.advice import Guidance
from imaging_findings.appointments import ProposedAppointment
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Kind
from imaging_findings.guidance import judge
from imaging_findings.intervals import DueWindow
from imaging_findings.rules import Packs, Urgency
from imaging_findings.sides import on_side_of
from imaging_findings.study_kinds import Side, StudyKind, study_kind_of

_CHEST_CT = StudyKind(families=frozenset({"CT"}), regions=frozenset({"chest"}))
LUNG = frozenset({Kind.LUNG_RADS, Kind.NODULE})


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpToBook:
    """One open follow-up and the kinds of examination that answer it."""

    guidance: Guidance
    due: DueWindow
    kinds: tuple[StudyKind, ...]
    is_ordered: bool
    """Whether an order on record, other than that of the appointments, answers it already."""

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
    def is_routine(self) -> bool:
        """Whether the rule behind it only informs, as of an annual screening."""
        return self.guidance.urgency is Urgency.INFO

    @property
    def is_firm(self) -> bool:
        """Whether the guideline (or the reader) asks for it, instead of only offering it."""
        return self.guidance.next_step is not None and self.guidance.next_step.firm

    def is_answered_by(self, kind: StudyKind) -> bool:
        """Whether an examination of this kind answers it, whenever it takes place."""
        return any(one.overlaps(kind) for one in self.kinds)

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


def open_to_book(facts: Facts, packs: Packs, now: datetime, own_orders: Collection[str]) -> tuple[FollowUpToBook, ...]:
    """Every follow-up with a due date that no later study has answered, whether or not it is ordered."""
    others = tuple(one for one in facts.orders if one.reference not in own_orders)
    unordered = {one.finding.reference for one in judge(replace(facts, orders=others), packs, now).guidance}
    found: list[FollowUpToBook] = []
    for guidance in judge(replace(facts, orders=()), packs, now).guidance:
        kinds = _kinds(guidance, packs)
        if guidance.next_step is None or guidance.finding.author is not Author.PERSON or not kinds:
            continue
        is_ordered = guidance.finding.reference not in unordered
        found.append(FollowUpToBook(guidance=guidance, due=guidance.next_step.due, kinds=kinds, is_ordered=is_ordered))
    return tuple(found)


def _kinds(guidance: Guidance, packs: Packs) -> tuple[StudyKind, ...]:
    """What answers the follow-up, asked of the finding's side."""
    return tuple(on_side_of(guidance.finding, kind) for kind in _kinds_of_either_side(guidance, packs))


def _kinds_of_either_side(guidance: Guidance, packs: Packs) -> tuple[StudyKind, ...]:
    """What answers the follow-up: the order's code, a chest CT for the lung, the table's own answers, or the same again."""
    if guidance.order is not None:
        return (study_kind_of(stated=(guidance.order.code,)),)
    if guidance.finding.kind in LUNG:
        return (_CHEST_CT,)
    spoken = {statement.pack.pack_id for statement in guidance.statements if statement.pack}
    pack = next((one for one in packs.tables if one.info.pack_id in spoken), None)
    if pack is not None:
        return tuple(StudyKind(families=frozenset({family}), regions=frozenset({region})) for family, region in pack.answers)
    study = guidance.study
    same = StudyKind(families=study.families, regions=study.regions) if study else StudyKind()
    return (same,) if same.families and same.regions else ()
