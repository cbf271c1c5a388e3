"""What an AI says about one study that has just become complete, beside what people have signed of it.

Nothing is computed here: no interval, no order. An unsigned AI result is at most a warning (T8); where a person has signed,
both stand together (clinical rules, section 6). A signed finding of ACR category 1 speaks as it does when the chart is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from imaging_findings.advice import Guidance
from imaging_findings.facts import Facts
from imaging_findings.findings import LUNG_KINDS, Author, Finding, Kind
from imaging_findings.guidance import judge
from imaging_findings.history import StudyFacts
from imaging_findings.rules import Packs, Urgency
from imaging_findings.unsigned import with_reports

NOT_COMPUTED = "No interval is computed here; what follows from the signed finding is told when the chart is opened."
_VERDICT = {
    True: "already signed, the AI result agrees",
    False: "already signed, the AI result differs",
    None: "already signed, an unsigned AI result stands beside it",
}


def study_guidance(facts: Facts, study: StudyFacts, packs: Packs, now: datetime) -> tuple[Guidance, ...]:
    """The AI's results on ``study`` and its signed category 1 findings as of ``now``, the most urgent first."""
    own = _of_study(facts, study)
    together = judge(own, packs, now).guidance
    alone = judge(_by_machines(own), packs, now).guidance
    found = [*_actionable(own, together, alone, packs)]
    for unsigned in alone:
        if unsigned.finding.kind is Kind.ACTIONABLE or unsigned.finding.author is not Author.AI:
            continue
        people = _people_beside(unsigned.finding, own)
        agrees = _agreement(unsigned.finding, people, together)
        found.append(_beside(unsigned, people, agrees=agrees) if people else _alone(unsigned, own))
    return tuple(sorted(found, key=lambda one: -one.urgency.loudness))


def _of_study(facts: Facts, study: StudyFacts) -> Facts:
    """The facts of this study alone; open orders and other studies are the business of the chart's own check."""

    def seen_on(findings: Iterable[Finding]) -> tuple[Finding, ...]:
        return tuple(one for one in findings if one.study_reference == study.reference)

    findings, actionable, assessments = seen_on(facts.findings), seen_on(facts.actionable), seen_on(facts.assessments)
    named = {one.reference for one in (*findings, *actionable, *assessments)}
    reports = tuple(one for one in facts.reports if study.reference in one.studies or named & one.results)
    return replace(
        facts,
        findings=findings,
        actionable=actionable,
        assessments=assessments,
        studies=(study,),
        orders=(),
        reports=reports,
    )


def _by_machines(own: Facts) -> Facts:
    def unsigned(findings: Iterable[Finding]) -> tuple[Finding, ...]:
        return tuple(one for one in findings if one.author is Author.AI)

    return replace(
        own,
        findings=unsigned(own.findings),
        actionable=unsigned(own.actionable),
        assessments=unsigned(own.assessments),
        reports=(),
    )


def _actionable(own: Facts, together: Iterable[Guidance], alone: Iterable[Guidance], packs: Packs) -> list[Guidance]:
    """The signed finding with the AI's beside it, the signed one alone where it is of category 1, or the AI's alone."""
    person = next((one for one in together if one.finding.kind is Kind.ACTIONABLE), None)
    machine = next((one for one in alone if one.finding.kind is Kind.ACTIONABLE), None)
    signed = any(one.author is Author.PERSON for one in own.actionable)
    if machine and not signed:
        return [_alone(machine, own)]
    if person is None or packs.actionable is None or person.finding.author is not Author.PERSON:
        return []
    if machine:
        return [person]
    return [person] if person.rule_id == f"{packs.actionable.info.pack_id}/category-1" else []


def _people_beside(machine: Finding, own: Facts) -> tuple[Finding, ...]:
    """Signed findings that the AI's may be compared with, those of its very kind first."""
    if machine.assessment is not None:
        name = machine.assessment.name
        same = [one for one in own.assessments if one.assessment and one.assessment.name == name]
    else:
        same = sorted(own.findings, key=lambda one: one.kind is not machine.kind)
    return tuple(one for one in same if one.author is Author.PERSON)


def _agreement(machine: Finding, people: tuple[Finding, ...], together: Iterable[Guidance]) -> bool | None:
    if machine.kind in LUNG_KINDS:
        return next((one.ai_agrees for one in together if one.ai is not None and one.finding.kind in LUNG_KINDS), None)
    coded = {one.category for one in people if one.category}
    return machine.category in coded if coded and machine.category else None


def _beside(unsigned: Guidance, people: tuple[Finding, ...], *, agrees: bool | None) -> Guidance:
    machine, lead = unsigned.finding, people[0]
    return replace(
        unsigned,
        rule_id=unsigned.rule_id.replace("ai-unsigned/", "ai-beside-reader/"),
        finding=lead,
        # What a person has seen and signed alike is no warning any more.
        urgency=Urgency.INFO if agrees else unsigned.urgency,
        headline=_VERDICT[agrees],
        notes=(NOT_COMPUTED,),
        ai=machine,
        ai_agrees=agrees,
        others=(*people[1:], *unsigned.others),
    )


def _alone(unsigned: Guidance, own: Facts) -> Guidance:
    """The AI's result, with the words of a signed report where there is one: both are shown together."""
    return with_reports(replace(unsigned, order=None), own.reports)
