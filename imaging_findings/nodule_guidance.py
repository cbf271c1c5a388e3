"""Incidental nodules of one study through Fleischner's table: each nodule once, and only what was newly found.

Spec: clinical rules F1-F7, Gd; the table's intervals start when a nodule is found, so they neither hold for one that grows nor
start again for one that is stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imaging_findings.advice import Authority, Guidance, OrderProposal, Statement, Suppressed
from imaging_findings.answers import of_lung_rows
from imaging_findings.findings import Change, Finding, Kind
from imaging_findings.incidental import exclusions_for, is_fleischner, rows_for
from imaging_findings.intervals import add_months
from imaging_findings.later_steps import planned_steps, shared_steps
from imaging_findings.lung_case import Case, order_of
from imaging_findings.no_guideline import without_guideline
from imaging_findings.rules import NodulePack, NoduleRow, Urgency
from imaging_findings.same_nodule import distinct_nodules

# A nodule of which nothing was asked when it was found is history a year later.
SETTLED_AFTER_MONTHS = 12
# A nodule of which nothing but its name is coded is history two years later, as are the words of a report.
CONCLUDED_FOR_MONTHS = 24
_NO_INTERVAL = "no interval is computed and the report decides"
_SEEN_BEFORE = {
    Change.GROWING: f"Growing, and the table is for newly found nodules: {_NO_INTERVAL}.",
    Change.STABLE: f"Stable since it was seen before, so the table's first step does not start again: {_NO_INTERVAL}.",
}
_CHANGE = "how the nodule has changed (an earlier size is coded)"
_DOUBT = "whether the Observations describe one nodule or several"


def of_nodules(case: Case) -> Guidance:
    """Each nodule with the number of the whole study; the most urgent stands for all (F7, "by the most suspicious")."""
    distinct = distinct_nodules(case.people)
    spoken = [_of_nodule(one, _counts(one, distinct.totals), case) for one in distinct.findings]
    lead, *beside = sorted(spoken, key=lambda one: (*order_of(one)[:2], -(one.finding.nodule.diameter_mm or 0)))
    notes = lead.notes
    if distinct.repeated:
        notes = (
            *notes,
            "Several Observations describe one nodule (same tracking identifier, or size, type and site): counted once.",
        )
    return replace(lead, notes=notes, others=tuple(one.finding for one in beside), beside=tuple(beside))


def unless_long_settled(spoken: Guidance | Suppressed, case: Case) -> Guidance | Suppressed:
    """Silence about an older nodule of which the table never asked for anything and the reader did not either."""
    if isinstance(spoken, Suppressed) or spoken.finding.kind is not Kind.NODULE or case.packs.nodules is None:
        return spoken
    if spoken.finding.reference.startswith("DiagnosticReport") and _is_older(case, CONCLUDED_FOR_MONTHS):
        reason = f"only a report's coded conclusion names it, and it is older than {CONCLUDED_FOR_MONTHS} months"
        return Suppressed(finding=spoken.finding, reason=reason, by=spoken.finding.reference, rule_id=spoken.rule_id)
    asked = {row.row_id for row in case.packs.nodules.rows if row.steps or row.urgency is not Urgency.INFO}
    is_unasked = spoken.statements and not spoken.finding.recommended and not spoken.quotes and not spoken.beside
    if (
        not (_is_older(case, SETTLED_AFTER_MONTHS) and is_unasked)
        or spoken.urgency is not Urgency.INFO
        or spoken.ai is not None
    ):
        return spoken
    if any(one.row is None or one.row in asked for one in spoken.statements):
        return spoken
    reason = f"no routine follow-up was asked for, and it is older than {SETTLED_AFTER_MONTHS} months"
    return Suppressed(finding=spoken.finding, reason=reason, by=spoken.rule_id, rule_id=spoken.rule_id)


def _is_older(case: Case, months: int) -> bool:
    return case.day is not None and add_months(case.day, months) < case.today


def _counts(finding: Finding, totals: Sequence[int]) -> tuple[int | None, ...]:
    """The numbers of nodules that are possible: what is stated, and how many the study has."""
    stated = finding.nodule.count
    counts = (max(stated or 0, total) if stated is not None or total > 1 else None for total in totals)
    return tuple(dict.fromkeys(counts))


def _of_nodule(finding: Finding, counts: Sequence[int | None], case: Case) -> Guidance:
    pack = case.packs.nodules
    counted = [replace(finding, nodule=replace(finding.nodule, count=count)) for count in counts]
    shown = counted[0] if len(counted) == 1 else replace(finding, nodule=replace(finding.nodule, count=None))
    if pack is None:
        return without_guideline(shown, case.study, "incidental lung nodules")
    before = _SEEN_BEFORE.get(finding.nodule.change) if finding.nodule.change else None
    base = Guidance(
        rule_id=f"{pack.info.pack_id}/no-row",
        finding=shown,
        study=case.study,
        urgency=Urgency.WARNING if finding.nodule.change is Change.GROWING else Urgency.INFO,
        notes=(before,) if before else (),
    )
    unnamed = is_fleischner(pack, finding)
    applies = exclusions_for(pack, case.facts, case.day, screening=case.screening)
    if applies.excluded:
        reasons = ", ".join(applies.excluded)
        note = f"{pack.info.title} does not apply ({reasons}); no interval is computed."
        return replace(base, rule_id=f"{pack.info.pack_id}/excluded", notes=(*base.notes, note))
    if before:
        return replace(base, rule_id=f"{pack.info.pack_id}/{finding.nodule.change}")
    found = [rows_for(pack, one.nodule) for one in counted]
    rows = tuple(dict.fromkeys(row for one in found for row in one.rows))
    unchanged = [_CHANGE] if finding.nodule.previous_mm is not None and finding.nodule.change is None else []
    doubt = [_DOUBT] if len({row.multiple for row in rows}) > 1 else []
    lacking = [
        *([unnamed] if unnamed else []),
        *applies.missing,
        *unchanged,
        *doubt,
        *(words for one in found for words in one.missing),
    ]
    missing = tuple(dict.fromkeys(lacking))
    if unnamed or applies.missing or unchanged or not rows:
        return replace(base, missing=missing)
    return _of_rows(replace(base, missing=missing), rows, pack, case)


def _of_rows(base: Guidance, rows: Sequence[NoduleRow], pack: NodulePack, case: Case) -> Guidance:
    """One row, or all that are possible: a first step that they share is a step, and none is where the number is open."""
    first_steps = {row.steps[0] if row.steps else None for row in rows}
    in_doubt = len({row.multiple for row in rows}) > 1
    steps = shared_steps([row.steps for row in rows]) if len(first_steps) == 1 and not in_doubt else ()
    planned = planned_steps(steps, case.day)
    step = next(iter(planned), None)
    return replace(
        base,
        rule_id=f"{pack.info.pack_id}/" + "+".join(row.row_id for row in rows),
        urgency=max((row.urgency for row in rows), key=lambda urgency: urgency.loudness),
        headline="follow-up depends on whether this is one nodule or several" if in_doubt else None,
        statements=tuple(
            Statement(
                authority=Authority.GUIDELINE,
                words=_words(row, rows),
                pack=pack.info,
                row=row.row_id,
                needs_check=row.evidence == "C",
            )
            for row in rows
        ),
        next_step=step,
        planned=planned,
        answer=of_lung_rows([row.answer for row in rows], pack.order if step and step.firm else None),
        order=OrderProposal(code=pack.order.code, note=pack.order.note, due=step.due) if step and step.firm else None,
    )


def _words(row: NoduleRow, rows: Sequence[NoduleRow]) -> str:
    """The row's statement, with what tells it from the other rows that are possible."""
    told = []
    if len({one.multiple for one in rows}) > 1:
        told.append("several nodules" if row.multiple else "one nodule")
    if row.risk and len({one.risk for one in rows}) > 1:
        told.append(f"{row.risk.value} risk")
    return f"{', '.join(told).capitalize()}: {row.statement}" if told else row.statement
