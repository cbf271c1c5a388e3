"""Is a follow-up booked too early, too late, or as the wrong examination?

An open follow-up is what ``guidance.judge`` asks for; the order behind the appointment does not answer it before the
examination is done, so orders count only for what they are for. Days are compared with the window that counts from the
study's date (Ge), with the site's tolerances before it (``follow_up_early_days``) and after it (``late_tolerance_days``).

- **Too early**: before the window and its tolerance: ``info``.
- **Too late**: after the window and its tolerance; ``warning`` where the step is firm, the rule behind it warns, and the day
  is more than ``late_warning_days`` after the window; otherwise ``info``. A follow-up that is overdue already is in time when
  it is booked within ``overdue_soon_days`` from today.
- **Wrong examination**: the same region, but another modality family than the one that the guideline names, near the
  window: ``info``; ``warning`` where the appointment (or its order) names the finding itself. PET/CT may answer a lung
  nodule, and an intervention is no examination that was mistaken: neither is called wrong. The right examination with
  contrast where the follow-up asks for none: ``info``.
- **Other side**: an examination of the left side answers nothing that was seen on the right. Told as a wrong examination is.
- **Screening**: a screening examination answers no suspicious finding, in time or not: ``warning`` where the finding asks for
  a work-up without a day (BI-RADS 4), ``info`` where the follow-up has a day.
- A routine follow-up (``info``: the annual screening) is compared only with a screening examination, or where it is named.
- What was read from words alone is never more than ``info`` (Gc). In time, or unrelated: nothing.

Of several appointments that are proposed together, one in time settles its follow-up; otherwise each follow-up is told once.
No source states the tolerances: they need a clinician's word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from imaging_findings.appointments import AppointmentSource, ProposedAppointment, read_appointments
from imaging_findings.facts import QUERIES, FactQuery, Facts, read_facts
from imaging_findings.findings import LUNG_KINDS
from imaging_findings.follow_ups_to_book import FollowUpToBook, WorkUpToBook, open_to_book
from imaging_findings.rules import Urgency
from imaging_findings.site_policy import SitePolicy
from imaging_findings.study_kinds import Basis, Contrast, StudyKind
from imaging_findings.visit_policy import BookingPolicy

# Nobody's communication answers a follow-up.
BOOKING_QUERIES: tuple[FactQuery, ...] = tuple(
    replace(query, required=query.key == "patient") for query in QUERIES if query.key != "communications"
)
_SOON = timedelta(days=30)


class Verdict(StrEnum):
    """What is wrong with a booking."""

    LATE = "late"
    EARLY = "early"
    WRONG_EXAMINATION = "wrong-examination"
    OTHER_SIDE = "other-side"
    SCREENING = "screening"
    OTHER_CONTRAST = "other-contrast"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingAdvice:
    """One thing to tell whoever books. Words may hold text from outside: whoever shows them escapes them."""

    verdict: Verdict
    appointment: ProposedAppointment
    follow_up: FollowUpToBook | WorkUpToBook
    urgency: Urgency
    is_named: bool
    """Whether the appointment or its order names the finding."""


@dataclass(frozen=True, slots=True)
class QuietBooking:
    """An appointment about which nothing is said, and why."""

    key: str
    reason: str
    by: str | None = None
    is_in_time: bool = False
    """Whether it answers the finding ``by`` in time, which settles that follow-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingJudgement:
    """All advice, the most urgent first. ``missing`` names, in words, data without which the check is incomplete."""

    facts: Facts
    advice: tuple[BookingAdvice, ...] = ()
    quiet: tuple[QuietBooking, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingMoment:
    """Whose appointments, as sent, as of ``now`` (its local date is today)."""

    patient_id: str
    appointments: object
    now: datetime
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    early_days: int
    booking: BookingPolicy
    today: date


def judge_bookings(
    resources: Mapping[str, Sequence[Mapping[str, Any]] | None],
    moment: BookingMoment,
    policy: SitePolicy,
    *,
    partial: frozenset[str] = frozenset(),
) -> BookingJudgement:
    """What to say about the proposed appointments over the answers to ``BOOKING_QUERIES``; never raises over content."""
    facts = read_facts(resources, moment.patient_id, partial=partial, bases=moment.bases, site=policy.studies)
    source = AppointmentSource(
        patient_id=moment.patient_id,
        bases=moment.bases,
        orders=resources.get("orders") or (),
        site=policy.studies,
        zone=moment.now.tzinfo,
    )
    appointments, left = read_appointments(moment.appointments, source)
    quiet = [QuietBooking(one.key, one.reason) for one in left]
    if not appointments:
        return BookingJudgement(facts=facts, quiet=tuple(quiet))
    own = frozenset(order for one in appointments for order in one.orders)
    follow_ups, work_ups = open_to_book(facts, policy.packs, moment.now, own)
    early_days = policy.orders.follow_up_early_days
    rules = _Rules(early_days=early_days, booking=policy.bookings, today=moment.now.date())
    judged = [_screened(one, work_ups) or _judge(one, follow_ups, rules) for one in appointments]
    settled = frozenset(one.by for one in judged if isinstance(one, QuietBooking) and one.by and one.is_in_time)
    advice, more = _each_follow_up_once([one for one in judged if isinstance(one, BookingAdvice)], settled)
    quiet += [one for one in judged if isinstance(one, QuietBooking)] + more
    return BookingJudgement(facts=facts, advice=advice, quiet=tuple(quiet), missing=_missing(resources, partial))


def _judge(
    appointment: ProposedAppointment, follow_ups: Sequence[FollowUpToBook], rules: _Rules
) -> BookingAdvice | QuietBooking:
    named = [one for one in follow_ups if one.is_named_by(appointment)]
    fitting = [one for one in follow_ups if one.is_answered_by(appointment.kind)]
    # The strongest link is an order (or an appointment) that names the finding.
    chosen = [one for one in fitting if one in named] or [one for one in fitting if _may_be_meant(one, appointment)]
    if chosen:
        return _timed(appointment, min(chosen, key=lambda one: one.due.latest), rules, is_named=chosen[0] in named)
    if fitting:
        first = fitting[0]
        why = "the follow-up is ordered separately" if first.is_ordered else "the follow-up is routine and not what it is for"
        return QuietBooking(appointment.key, why, first.guidance.finding.reference)
    near = [one for one in follow_ups if one in named or _is_near(one, appointment, rules)]
    kind = appointment.kind
    wrong = [one for one in near if one.is_of_other_side(kind) or _is_wrong(one, kind, is_named=one in named)]
    if not wrong:
        return QuietBooking(appointment.key, "it has to do with no open follow-up")
    nearest = min(wrong, key=lambda one: (one not in named, one.due.latest))
    is_named = nearest in named
    return BookingAdvice(
        verdict=Verdict.OTHER_SIDE if nearest.is_of_other_side(appointment.kind) else Verdict.WRONG_EXAMINATION,
        appointment=appointment,
        follow_up=nearest,
        urgency=_no_louder_than_words(Urgency.WARNING if is_named else Urgency.INFO, appointment),
        is_named=is_named,
    )


def _screened(appointment: ProposedAppointment, work_ups: Sequence[WorkUpToBook]) -> BookingAdvice | None:
    """That a screening is booked while a suspicious or incomplete finding of the same part is open."""
    suspicious = [one for one in work_ups if one.is_no_screening and one.is_answered_by(appointment.kind)]
    if not suspicious or not appointment.kind.is_screening:
        return None
    first = min(suspicious, key=lambda one: not one.is_named_by(appointment))
    return BookingAdvice(
        verdict=Verdict.SCREENING,
        appointment=appointment,
        follow_up=first,
        urgency=_no_louder_than_words(Urgency.WARNING, appointment),
        is_named=first.is_named_by(appointment),
    )


def _may_be_meant(follow_up: FollowUpToBook, appointment: ProposedAppointment) -> bool:
    """Whether the follow-up may be what is booked: not where another order answers it, nor any scan for a routine one."""
    if follow_up.is_ordered and appointment.orders:
        return False
    return not follow_up.is_routine or appointment.kind.is_screening


def _timed(
    appointment: ProposedAppointment, follow_up: FollowUpToBook, rules: _Rules, *, is_named: bool
) -> BookingAdvice | QuietBooking:
    finding = follow_up.guidance.finding.reference
    if not appointment.has_date:
        return QuietBooking(appointment.key, "it names no date")
    late_after = follow_up.due.latest + timedelta(days=rules.booking.late_tolerance_days)
    if follow_up.due.is_overdue(rules.today):
        late_after = max(late_after, rules.today + timedelta(days=rules.booking.overdue_soon_days))
    if appointment.first is not None and appointment.first > late_after:
        verdict, urgency = Verdict.LATE, _late(appointment.first, follow_up, rules)
    elif appointment.last is not None and appointment.last < _first_day(follow_up, rules):
        verdict, urgency = Verdict.EARLY, Urgency.INFO
    elif appointment.kind.is_screening and follow_up.is_no_screening:
        verdict, urgency = Verdict.SCREENING, Urgency.INFO
    elif _is_other_contrast(follow_up, appointment.kind):
        verdict, urgency = Verdict.OTHER_CONTRAST, Urgency.INFO
    else:
        return QuietBooking(appointment.key, "it is in time", finding, True)
    return BookingAdvice(
        verdict=verdict,
        appointment=appointment,
        follow_up=follow_up,
        urgency=_no_louder_than_words(urgency, appointment),
        is_named=is_named,
    )


def _first_day(follow_up: FollowUpToBook, rules: _Rules) -> date:
    return follow_up.due.earliest - timedelta(days=rules.early_days)


def _late(day: date, follow_up: FollowUpToBook, rules: _Rules) -> Urgency:
    matters = follow_up.is_firm and follow_up.guidance.urgency is not Urgency.INFO
    is_long = day > follow_up.due.latest + timedelta(days=rules.booking.late_warning_days)
    return Urgency.WARNING if matters and is_long else Urgency.INFO


def _is_near(follow_up: FollowUpToBook, appointment: ProposedAppointment, rules: _Rules) -> bool:
    """Whether somebody may take the appointment for a follow-up that nobody has ordered: by day, or soon where it has none."""
    day = appointment.last or appointment.first or rules.today + _SOON
    return not (follow_up.is_ordered or follow_up.is_routine) and day >= _first_day(follow_up, rules)


def _is_wrong(follow_up: FollowUpToBook, kind: StudyKind, *, is_named: bool) -> bool:
    # Nobody takes a gallbladder for an aorta: another organ is a mistake only where the finding itself is named.
    if is_named and follow_up.is_of_other_organ(kind):
        return True
    if not follow_up.is_firm or len(follow_up.families) != 1 or kind.is_intervention or not kind.families:
        return False
    if follow_up.guidance.finding.kind in LUNG_KINDS and "NM" in kind.families:
        return False
    return not kind.families & follow_up.families and bool(kind.regions & follow_up.regions)


def _is_other_contrast(follow_up: FollowUpToBook, kind: StudyKind) -> bool:
    return kind.contrast.is_given and all(one.contrast is Contrast.WITHOUT for one in follow_up.kinds)


def _no_louder_than_words(urgency: Urgency, appointment: ProposedAppointment) -> Urgency:
    return Urgency.INFO if appointment.kind.basis is Basis.WORDS else urgency


def _each_follow_up_once(
    advice: Sequence[BookingAdvice], settled: Collection[str]
) -> tuple[tuple[BookingAdvice, ...], list[QuietBooking]]:
    """One piece of advice for each follow-up that no other proposed appointment answers in time; warnings first."""
    ordered = sorted(advice, key=lambda one: (one.urgency is not Urgency.WARNING, not one.is_named))
    kept: dict[str, BookingAdvice] = {}
    quiet: list[QuietBooking] = []
    for one in ordered:
        finding = one.follow_up.guidance.finding.reference
        if finding in settled:
            quiet.append(QuietBooking(one.appointment.key, "another of the appointments answers the follow-up", finding))
        elif finding in kept:
            quiet.append(QuietBooking(one.appointment.key, "the follow-up is told with another of the appointments", finding))
        else:
            kept[finding] = one
    return tuple(kept.values()), quiet


def _missing(resources: Mapping[str, Sequence[Mapping[str, Any]] | None], partial: frozenset[str]) -> tuple[str, ...]:
    """Without the findings there are no follow-ups to compare with; everything else the cards tell themselves."""
    told = [query for query in BOOKING_QUERIES if query.key == "findings"]
    return tuple(
        f"{query.meaning}{' (only a part came)' if query.key in partial else ''}"
        for query in told
        if resources.get(query.key) is None or query.key in partial
    )
