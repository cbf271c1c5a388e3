"""What should follow an imaging finding, when, why and on whose authority.

The reader's own recommendation comes before a guideline's; a guideline speaks only when category (or nodule), system and
version are coded; missing input gives no interval and says what is missing; due dates count from the study's date; a later
matching study or an open order ends the matter; an unsigned AI result is labelled, computes nothing, orders nothing and is
never critical. Lung-RADS and Fleischner never meet: one study is either a screening or it is not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime

from imaging_findings.advice import Authority, Guidance, Judgement, NextStep, OrderProposal, Statement, Suppressed
from imaging_findings.answers import CHEST_CT_ANSWER, of_lung_rows
from imaging_findings.assessing import assessment_guidance
from imaging_findings.critical import actionable_guidance
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding, Kind
from imaging_findings.follow_up import Ground, after_history, next_step
from imaging_findings.incidental import band_of
from imaging_findings.lung_case import Case, order_of
from imaging_findings.modifier_s import NOTE as MODIFIER_S_NOTE
from imaging_findings.modifier_s import linked
from imaging_findings.no_guideline import unless_nothing_is_said, without_guideline
from imaging_findings.nodule_guidance import of_nodules, unless_long_settled
from imaging_findings.quotes import quotes_of
from imaging_findings.reader_codes import echoed_guidance
from imaging_findings.reader_words import with_readers_word
from imaging_findings.rules import CategoryRow, Packs, ScreeningPack, Trigger, Urgency
from imaging_findings.said_in_text import text_guidance
from imaging_findings.screening import category_of, examination_of, row_of
from imaging_findings.unsigned import beside_reports

# The exam's category is that of its most suspicious nodule; 0 (incomplete) outranks the two negative ones.
_SUSPICION = ("1", "2", "0", "3", "4A", "4B", "4X")


def judge(facts: Facts, packs: Packs, now: datetime) -> Judgement:
    """All guidance for the patient as of ``now`` (its local date is today), the most urgent and the longest due first."""
    guidance: list[Guidance] = []
    suppressed: list[Suppressed] = []
    today = now.date()
    lungs = [_spoken(case) for case in _cases(facts, packs, today)]
    tables, words = assessment_guidance(facts, packs, today), text_guidance(facts, packs, today)
    for said in [
        *actionable_guidance(facts, packs.actionable, now),
        *lungs,
        *tables,
        *words,
        *echoed_guidance(facts, packs, today),
    ]:
        spoken = beside_reports(said, facts, packs.actionable, today) if isinstance(said, Guidance) else said
        if isinstance(spoken, Guidance):
            guidance.append(spoken)
        else:
            suppressed.append(spoken)
    guidance = linked(guidance, suppressed, facts, packs.actionable)
    return Judgement(guidance=tuple(sorted(guidance, key=order_of)), suppressed=tuple(suppressed), problems=facts.problems)


def _cases(facts: Facts, packs: Packs, today: date) -> list[Case]:
    by_study: dict[str, list[Finding]] = defaultdict(list)
    for finding in facts.findings:
        by_study[finding.study_reference or f"{finding.study_date or finding.reference}"].append(finding)
    cases: list[Case] = []
    for findings in by_study.values():
        people = tuple(one for one in findings if one.author is Author.PERSON)
        study = facts.study_of(findings[0])
        stated = [one.study_date for one in [*people, *findings] if one.study_date]
        day = (study.day if study else None) or next(iter(stated), None)
        case = Case(
            facts=facts,
            packs=packs,
            today=today,
            study=study,
            day=day,
            screening=(study is not None and study.is_screening) or any(one.kind is Kind.LUNG_RADS for one in people),
            # All findings of a study were seen on its day, whichever of them states it.
            people=tuple(one if one.study_date else replace(one, study_date=day) for one in people),
            machines=tuple(one for one in findings if one.author is Author.AI),
        )
        cases.append(case)
    return cases


def _spoken(case: Case) -> Guidance | Suppressed:
    """One study's word, and what later studies and orders have made of it."""
    spoken = _guidance_for(case)
    if isinstance(spoken, Suppressed):
        return spoken
    ground = Ground(facts=case.facts, day=case.day, today=case.today, answer=CHEST_CT_ANSWER, early=case.packs.early)
    return unless_long_settled(after_history(spoken, ground), case)


def _guidance_for(case: Case) -> Guidance | Suppressed:
    screened = [one for one in case.people if one.kind is Kind.LUNG_RADS]
    if screened:
        lead = max(screened, key=_suspicion)
        spoken = _of_category(lead, case.packs.screening, case)
    elif case.people:
        spoken = of_nodules(case)
    else:
        spoken = _of_ai(case)
    lead = spoken.finding
    spoken = replace(
        spoken,
        reports=case.facts.reports_of(lead),
        quotes=tuple(quote for report in case.facts.reports_of(lead) for quote in quotes_of(report)),
    )
    if lead.author is not Author.PERSON:
        return spoken
    whole = _with_ai(with_readers_word(spoken, case.day), case)
    in_force = case.packs.screening if screened else case.packs.nodules
    return whole if in_force else unless_nothing_is_said(whole)


def _suspicion(finding: Finding) -> int:
    return _rank(finding.category)


def _rank(category: str | None) -> int:
    """The category's place; one of a site's own pack that is in no order stands below all others."""
    return _SUSPICION.index(category) if category in _SUSPICION else -1


def _of_category(finding: Finding, pack: ScreeningPack | None, case: Case) -> Guidance:
    others = tuple(one for one in case.people if one is not finding)
    if pack is None:
        base = without_guideline(finding, case.study, "Lung-RADS")
        return replace(base, notes=(*base.notes, *_modifier_notes(finding)), others=others)
    row = row_of(pack, finding)
    met = _measured(finding, pack, case)
    notes = (*_modifier_notes(finding), *_category_notes(met))
    base = Guidance(
        rule_id=f"{pack.info.pack_id}/{finding.category or 'uncoded'}",
        finding=finding,
        study=case.study,
        urgency=Urgency.INFO,
        notes=notes,
        others=others,
    )
    if isinstance(row, str):
        known = pack.categories.get(finding.category or "")
        answer = of_lung_rows([known.answer], known.order) if known else None
        return replace(base, urgency=known.urgency if known else Urgency.INFO, missing=(row,), answer=answer)
    said = Statement(
        authority=Authority.GUIDELINE, words=row.statement, pack=pack.info, row=row.code, needs_check=row.evidence == "C"
    )
    missing = ("the date of the study",) if row.steps and case.day is None else ()
    step = next_step(row.steps, case.day)
    spoken = replace(
        base,
        urgency=row.urgency,
        answer=of_lung_rows([row.answer], row.order),
        statements=(said,),
        next_step=step,
        order=_category_order(row, step),
        missing=missing,
    )
    return _contradicted(spoken, met)


def _contradicted(guidance: Guidance, met: Trigger | None) -> Guidance:
    """Where category and measurements, both coded, part: no order; and a warning where the measurements are the worse."""
    if met is None or met.previous_category is not None:
        return guidance
    coded = guidance.finding.category or ""
    if _rank(met.category) < _rank(coded):
        return replace(guidance, order=None)
    headline = f"coded {coded}, coded measurements fit {met.category}"
    return replace(guidance, order=None, headline=headline, urgency=Urgency.WARNING)


def _category_order(row: CategoryRow, step: NextStep | None) -> OrderProposal | None:
    return OrderProposal(code=row.order.code, note=row.order.note, due=step.due) if row.order and step else None


def _modifier_notes(finding: Finding) -> tuple[str, ...]:
    notes: list[str] = []
    if finding.modifier_s:
        notes.append(MODIFIER_S_NOTE)
    return tuple(notes)


def _measured(finding: Finding, pack: ScreeningPack, case: Case) -> Trigger | None:
    """The table's line for the measurements, where it is not the coded category; an added suspicion (4X) is the reader's."""
    if finding.category is None or finding.category == "4X":
        return None
    met = category_of(pack, examination_of(finding, case.day, pack))
    return None if met is None or met.category == finding.category else met


def _category_notes(met: Trigger | None) -> tuple[str, ...]:
    """The table's category beside the coded one, where they differ."""
    if met is None:
        return ()
    if met.previous_category is not None:
        before = f"Category {met.previous_category} at the examination before and no growth since"
        return (f"{before} would fit category {met.category} of the table (stepped management).",)
    check = " This line of the table still needs a clinician's check." if met.evidence == "C" else ""
    return (f"The coded measurements alone would fit category {met.category} of the table.{check}",)


def _of_ai(case: Case) -> Guidance:
    """An AI result nobody has signed: shown as such, without interval and order; at most a warning."""
    lead = max(case.machines, key=lambda one: (_suspicion(one), one.nodule.diameter_mm or 0))
    known = case.packs.screening.categories.get(lead.category or "") if case.packs.screening else None
    return Guidance(
        rule_id=f"ai-unsigned/{lead.kind}",
        finding=lead,
        study=case.study,
        urgency=Urgency.WARNING if known and known.urgency is not Urgency.INFO else Urgency.INFO,
        notes=("No interval is computed from an unsigned AI result.",),
        others=tuple(one for one in case.machines if one is not lead),
    )


def _with_ai(guidance: Guidance, case: Case) -> Guidance:
    """The AI's result of the same study beside the reader's, whether they agree or not (specification, section 6)."""
    kind = guidance.finding.kind
    same = [one for one in case.machines if one.kind is kind]
    if not case.machines:
        return guidance
    machine = max(same or case.machines, key=lambda one: (_suspicion(one), one.nodule.diameter_mm or 0))
    return replace(guidance, ai=machine, ai_agrees=_agree(guidance.finding, machine, case.packs) if same else None)


def _agree(person: Finding, machine: Finding, packs: Packs) -> bool | None:
    if person.kind is Kind.LUNG_RADS:
        return person.category == machine.category if person.category and machine.category else None
    kinds = (person.nodule.attenuation, machine.nodule.attenuation)
    if packs.nodules is None:
        # Without the table nobody has said which sizes are the same; types that differ do differ.
        return False if all(kinds) and kinds[0] is not kinds[1] else None
    sizes = (band_of(packs.nodules, person.nodule.diameter_mm), band_of(packs.nodules, machine.nodule.diameter_mm))
    known = [one == other for one, other in (kinds, sizes) if one and other]
    return all(known) if known else None
