"""The steps of a follow-up after the first: told one at a time, and only once an examination has done the step before.

Every step counts from the first study. An examination does the last step whose time had come on its day; one before the first
step's time does none, quietens the warning and is named. The newer reading of it comes before the older table, stability only
weakens what is left, and without a signed report nothing is asked for firmly. Spec: clinical rules F1-F7, Ga, Ge, Gf, X4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from imaging_findings.advice import Guidance, NextStep, Suppressed
from imaging_findings.history import StudyFacts
from imaging_findings.intervals import Interval, Unit, add_months
from imaging_findings.newer_report import NewerReading, newer_of_same_nodule, newer_reading
from imaging_findings.repeats import Past, said_of_done
from imaging_findings.rules import PlannedStep, Strength, Urgency

# A step that was only offered is history a year after its time.
SETTLED_AFTER_MONTHS = 12
_WHERE_OFFERED = {Strength.CONSIDER: "consider ", Strength.OPTIONAL: "optional ", Strength.IF_PERSISTENT: "if persistent, "}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Later:
    """The next step, the examination that did the one before, and what was signed about it."""

    step: NextStep
    done: StudyFacts
    reading: NewerReading
    today: date
    is_looked_up: bool
    """Whether the reports were asked for and came whole."""


def planned_steps(steps: Sequence[PlannedStep], day: date | None) -> tuple[NextStep, ...]:
    """All steps with their dates, the repeated ones one by one; empty without the study's date."""
    found: list[NextStep] = []
    if day is None:
        return ()
    for step in steps:
        for interval in _repeated(step):
            due = interval.due(day)
            if not found or due.earliest > found[-1].due.latest:
                is_firm = step.strength is Strength.RECOMMENDED
                one = NextStep(examination=step.examination, due=due, firm=is_firm, after=interval, strength=step.strength)
                found.append(one)
    return tuple(found)


def shared_steps(rows: Sequence[Sequence[PlannedStep]]) -> tuple[PlannedStep, ...]:
    """The steps that several rows have in common, from the first on; one that a row only offers is only offered."""
    shared: list[PlannedStep] = []
    for steps in zip(*rows, strict=False):
        if len({(one.examination, one.interval, one.until_years) for one in steps}) > 1:
            break
        offered = [one for one in steps if one.strength is not Strength.RECOMMENDED]
        shared.append(next(iter(offered), steps[0]))
    return tuple(shared)


def after_studies(guidance: Guidance, past: Past, studies: Sequence[StudyFacts], today: date) -> Guidance | Suppressed:
    """What is left of a follow-up after examinations of its kind, ``studies`` in the order of their days (at least one)."""
    step = guidance.next_step
    if step is None:
        return _ended(guidance, said_of_done(past, studies[0]), studies[0])
    readings = [newer_reading(past.facts, guidance.finding, study) for study in studies]
    by_day = zip(studies, readings, strict=True)
    ruling = next(((one, said.ends) for one, said in reversed([*by_day]) if said.ends), None)
    if ruling is not None:
        return _ended(guidance, f"{said_of_done(past, ruling[0])}; {ruling[1]}", ruling[0])
    place = max(_place(guidance, one, past.early) for one in studies)
    if place < 0:
        return _early(guidance, step, studies[-1])
    later = guidance.planned[max(place, 0) + 1 :]
    if not later:
        return _ended(guidance, said_of_done(past, studies[0]), studies[0])
    is_looked_up = "reports" not in past.facts.unavailable | past.facts.partial
    return _next(
        guidance,
        _Later(step=later[0], done=studies[-1], reading=readings[-1], today=today, is_looked_up=is_looked_up),
    )


def ended_by_same_nodule(guidance: Guidance, past: Past) -> Suppressed | None:
    """One card for one nodule: a later finding of the same tracking identifier speaks for it."""
    newer = newer_of_same_nodule(past.facts, guidance.finding)
    if newer is None:
        return None
    reason = f"the same nodule was read again on {newer.study_date}, and that finding says what follows"
    return Suppressed(finding=guidance.finding, reason=reason, by=newer.reference, rule_id=guidance.rule_id)


def _repeated(step: PlannedStep) -> list[Interval]:
    """A yearly step until a year is one step for each of them; every other one is itself."""
    interval = step.interval
    if step.until_years is None or interval.unit is not Unit.YEAR or interval.low != interval.high:
        return [interval]
    return [Interval(year, year, Unit.YEAR) for year in range(interval.low, step.until_years + 1, interval.low)] or [interval]


def _place(guidance: Guidance, study: StudyFacts, early: timedelta) -> int:
    """The last step whose time had come on the examination's day; -1 where it was before the first one's."""
    steps = (guidance.next_step, *guidance.planned[1:])
    # Tissue and a PET are what a step offers beside waiting: no day is too early for them.
    is_other = study.is_intervention or study.is_pet
    met = [place for place, step in enumerate(steps) if step and study.day and step.due.earliest - early <= study.day]
    return max(met, default=0 if is_other else -1)


def _ended(guidance: Guidance, reason: str, by: StudyFacts) -> Suppressed:
    return Suppressed(finding=guidance.finding, reason=reason, by=by.reference, rule_id=guidance.rule_id)


def _early(guidance: Guidance, step: NextStep, study: StudyFacts) -> Guidance:
    """Gf silences the warning; that the step's own time is still to come (or went by) is told as information."""
    named = "/".join(sorted(study.families)) or "examination"
    note = (
        f"A later {named} of {study.day} was before the time that the step is meant for ({step.due}): "
        "whether it answered it, its report decides. Nothing is asked for firmly and no order is drafted."
    )
    return replace(
        guidance,
        urgency=Urgency.INFO,
        order=None,
        overdue=False,
        next_step=replace(step, firm=False),
        headline=f"a {named} of {study.day} came before the {step.examination} meant for {step.due}",
        notes=(*guidance.notes, note),
    )


def _next(guidance: Guidance, later: _Later) -> Guidance | Suppressed:
    step, reading = later.step, later.reading
    is_firm = step.firm and bool(reading.reports)
    if not is_firm and add_months(guidance.planned[-1].due.latest, SETTLED_AFTER_MONTHS) < later.today:
        reason = f"the follow-up of {later.done.day} was done; what came after was only offered, and its time passed a year ago"
        return _ended(guidance, reason, later.done)
    is_loud = is_firm and reading.stable is None and step.due.earliest <= later.today
    return replace(
        guidance,
        urgency=guidance.urgency if is_loud else Urgency.INFO,
        order=None,
        next_step=replace(step, firm=is_firm),
        planned=(),
        headline=_headline(later, is_firm=is_firm),
        notes=(*guidance.notes, _note(later, is_firm=is_firm), *_weakened(reading)),
        quotes=(*([reading.stable] if reading.stable else []), *guidance.quotes),
        reports=tuple(dict.fromkeys((*guidance.reports, *reading.reports))),
        beside=(),
        ai=None,
        ai_agrees=None,
        followed=later.done,
    )


def _headline(later: _Later, *, is_firm: bool) -> str:
    step = later.step
    done = f"follow-up {_named(later.done)} done {later.done.day}"
    if not later.reading.reports:
        gone = "no report in chart" if later.is_looked_up else "its report not looked up"
        return f"{done}, {gone}; step at {step.after} foreseen"
    if is_firm and step.due.is_overdue(later.today):
        return f"{done}; {step.examination} overdue since {step.due.latest}"
    return f"{done}; {_WHERE_OFFERED.get(step.strength, '')}{step.examination} {'due ' if is_firm else ''}{step.due}"


def _note(later: _Later, *, is_firm: bool) -> str:
    step = later.step
    said = (
        f"The follow-up {_named(later.done)} of {later.done.day} did the step before. The table's next step: "
        f"{_WHERE_OFFERED.get(step.strength, '')}{step.examination} at {step.after} ({step.due}), counted from the first study."
    )
    if later.reading.reports:
        return said if is_firm else f"{said} It is offered, so it is never overdue."
    gone = "is not in the chart" if later.is_looked_up else "could not be looked up"
    return f"{said} The result of the follow-up {gone}, so nothing is asked for firmly."


def _weakened(reading: NewerReading) -> tuple[str, ...]:
    if reading.stable is None:
        return ()
    return ("The report of the follow-up says stable: that weakens the case for the next step, and never strengthens it.",)


def _named(study: StudyFacts) -> str:
    return "/".join(sorted(study.families)) or "examination"
