"""Lung-RADS modifier S beside what it stands for: the other significant findings that the chart codes for the same images.

The modifier itself asks for nothing: each finding has its own rule and its own card, and the note says which. Spec: clinical
rules, row LS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging_findings import codes
from imaging_findings.advice import Guidance, Suppressed
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding
from imaging_findings.rules import ActionablePolicy
from imaging_findings.wording import headline_title, title_of

NOTE = "Modifier S: another significant finding was reported; it needs what that finding needs."
_NONE_NAMED = "The chart names none in code: see the report."
_NOTHING_ASKED = "nothing is asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the rules say of the whole chart, and the names that a site's policy has for findings."""

    guidance: Sequence[Guidance]
    suppressed: Sequence[Suppressed]
    facts: Facts
    policy: ActionablePolicy | None


def linked(
    guidance: Sequence[Guidance], suppressed: Sequence[Suppressed], facts: Facts, policy: ActionablePolicy | None
) -> list[Guidance]:
    """The guidance with each note on the modifier naming the finding that it stands for, and where that is told."""
    told = _Told(guidance=guidance, suppressed=suppressed, facts=facts, policy=policy)
    return [_linked(one, told) if NOTE in one.notes else one for one in guidance]


def _linked(screened: Guidance, told: _Told) -> Guidance:
    facts = told.facts
    others = [one for one in (*facts.actionable, *facts.assessments) if _is_beside(one, screened.finding, facts)]
    named = dict.fromkeys(words for one in others if (words := _named(one, told)))
    said = f"The chart names {'; '.join(named)}." if named else _NONE_NAMED
    return replace(screened, notes=tuple(f"{note} {said}" if note == NOTE else note for note in screened.notes))


def _is_beside(one: Finding, screened: Finding, facts: Facts) -> bool:
    """Whether it is a signed finding of the same images or the same report, and not the lung nodule itself."""
    is_itself = one.reference == screened.reference and not (one.actionable and one.actionable.codes) and one.category is None
    if one.author is not Author.PERSON or _is_nodule(one) or is_itself:
        return False
    if one.study_reference is not None and one.study_reference == screened.study_reference:
        return True
    own = {report.reference for report in facts.reports_of(screened)} | {screened.reference}
    return one.reference in own or any(report.reference in own for report in facts.reports_of(one))


def _is_nodule(one: Finding) -> bool:
    stated = one.actionable.codes if one.actionable else ()
    nodules = {codes.SOLITARY_NODULE.code, codes.NODULE_FINDING.code}
    return bool(stated) and all(code.code in nodules or code.system == codes.LUNG_RADS for code in stated)


def _named(one: Finding, told: _Told) -> str | None:
    """The finding with where it is told; None for one whose rule asks for nothing, which is not significant."""
    for card in told.guidance:
        # A rule may have given the finding a name, so it is known again by its resource.
        own = next((known for known in (card.finding, *card.others) if _is_same(known, one)), None)
        if own is not None:
            return f"{headline_title(card) if own is card.finding else title_of(own)} (see its own card)"
    quiet = next((silent for silent in told.suppressed if _is_same(silent.finding, one)), None)
    if quiet is not None and quiet.reason.startswith(_NOTHING_ASKED):
        return None
    return f"{_title(one, told.policy)} (no card of its own{f': {quiet.reason}' if quiet else ''})"


def _title(one: Finding, policy: ActionablePolicy | None) -> str:
    stated = one.actionable.codes if one.actionable else ()
    rows = policy.rows if policy else ()
    return next((row.title for row in rows for code in stated if row.code.is_same(code)), title_of(one))


def _is_same(known: Finding, one: Finding) -> bool:
    return (known.reference, known.kind) == (one.reference, one.kind)
