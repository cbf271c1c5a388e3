"""What already answers a follow-up: a later study of the same kind and region, or an open order for one (rule Gf)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from imaging_findings.facts import Facts
from imaging_findings.findings import Finding
from imaging_findings.history import OrderFacts, StudyFacts
from imaging_findings.intervals import DueWindow
from imaging_findings.sides import are_opposite, side_of
from imaging_findings.study_kinds import Side

ORDERED = frozenset({"active", "on-hold"})
# A proposal is somebody's idea, not an order (FHIR request-intent).
ORDERING_INTENTS = frozenset({"plan", "order", "original-order", "reflex-order", "filler-order", "instance-order"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What would answer the follow-up: modality family and body region."""

    family: str
    region: str


CHEST_CT = Kind("CT", "chest")


def later_study(facts: Facts, finding: Finding, day: date, kind: Kind) -> StudyFacts | None:
    """The first study done after ``day`` that answers; cancelled, withdrawn and unknown ones do not count (O4)."""
    side = side_of(finding)
    done = [
        study
        for study in facts.studies
        if study.status == "available" and study.day and study.day > day and _answers(study, kind, side)
    ]
    return min(done, key=lambda study: study.day or day, default=None)


def open_order(facts: Facts, finding: Finding, day: date, kind: Kind) -> OrderFacts | None:
    """The open or draft order that answers the finding, an open one before a draft.

    It names the finding as its reason, or was written on or after the study's day and is not the order of that study itself.
    """
    study = facts.study_of(finding)
    own = study.based_on if study else frozenset()
    side = side_of(finding)
    answering = [
        order
        for order in facts.orders
        if order.reference not in own
        and _answers(order, kind, side)
        and order.intent in ORDERING_INTENTS
        and order.status in ORDERED | {"draft"}
        and (finding.reference in order.reasons or (order.authored is not None and order.authored >= day))
    ]
    return min(answering, key=lambda order: order.status == "draft", default=None)


def is_too_late(order: OrderFacts, due: DueWindow | None) -> bool:
    """Whether the order is planned for after the last day that the follow-up is due."""
    return due is not None and order.planned_from is not None and order.planned_from > due.latest


def _answers(thing: StudyFacts | OrderFacts, kind: Kind, side: Side) -> bool:
    # Images that guide a needle show less than the examination that was asked for.
    if thing.is_intervention or are_opposite(thing.side, side):
        return False
    return kind.family in thing.families and kind.region in thing.regions
