"""Is this examination already done, already ordered, or drafted twice?

Same patient, modality family and region within the family's look-back; another contrast phase is related and no duplicate;
it only ever informs. Spec: clinical rules O1-O6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from imaging_findings.history import ReportFacts
from imaging_findings.order_advice import OrderAdvice, Reason, SuppressedAdvice
from imaging_findings.order_facts import ImagingOrder, PriorStudy
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.prior_reports import PriorReport, begun_report_of, signed_report_of
from imaging_findings.quotes import quotes_of
from imaging_findings.repeats import ORDERING_INTENTS
from imaging_findings.report_states import AnyReport
from imaging_findings.rules import Urgency
from imaging_findings.study_kinds import Basis, StudyKind
from imaging_findings.study_names import families_named

MAX_SHOWN = 5
_TWICE = "the same examination is in these drafts twice"
_ON_RECORD = frozenset({"draft", "active", "on-hold"})
# Its images are on their way: nobody sees them yet, and somebody may order them again for that very reason.
_REGISTERED = "registered"
_DONE = frozenset({"available", _REGISTERED})
# How far from the stated day an examination still is the one that a report recommends, where the site allows less.
_AROUND_DAYS = 14
# A number of days, weeks, months or years that is longer than this is no interval of a follow-up.
_LONGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the chart holds around an order."""

    studies: tuple[PriorStudy, ...] = ()
    orders: tuple[ImagingOrder, ...] = ()
    """Open orders on record."""
    drafts: tuple[ImagingOrder, ...] = ()
    """The other drafts of the same request that stand before this one, or are not judged themselves."""
    reports: tuple[ReportFacts, ...] = ()
    any_reports: tuple[PriorReport, ...] = ()
    """Reports of any status and link; the signed ones that name their study are in ``reports`` too."""
    cancer: str | None = None
    """An active malignancy in words: restaging is serial by nature."""
    is_emergency: bool = False
    asked_for_by: frozenset[str] = frozenset()
    """Studies whose own finding asks for this very order at this time."""

    def report_of(self, study: PriorStudy) -> ReportFacts | None:
        """The signed report of a study."""
        named = next((one for one in self.reports if study.reference in one.studies), None)
        return named or signed_report_of(study, self.any_reports)

    def reading_of(self, study: PriorStudy) -> str:
        """How far the reading of a study has come, in words."""
        report = self.report_of(study)
        if report is not None:
            return f"reported by {report.signed_by}" if report.signed_by else "reported"
        if study.status == _REGISTERED:
            return "registered, not yet available"
        return _begun(begun_report_of(study, self.any_reports))


Verdict = tuple[tuple[OrderAdvice, ...], tuple[SuppressedAdvice, ...]]


def find_repeats(order: ImagingOrder, chart: Chart, policy: OrderPolicy, today: date) -> Verdict:
    """At most one piece of advice about repeats of the order, and what was suppressed."""
    day = max(order.planned, today) if order.planned else today
    suppressed: list[SuppressedAdvice] = []
    priors: list[PriorStudy] = []
    for study in sorted(chart.studies, key=lambda one: one.day or date.min, reverse=True):
        if (
            not _is_same(order.kind, study.kind)
            or study.day is None
            or not _is_recent(order, study.kind, study.day, day, policy)
        ):
            continue
        why = _why_quiet(order, study, chart, day) or _recommended(order, study, chart, day, policy)
        if why is None:
            priors.append(study)
        else:
            suppressed.append(SuppressedAdvice(rule_id="orders/O4", order=order, reason=why, by=study.reference))
    told = {study.reference for study in priors}
    there = (study for study in chart.studies if study.status == "available" or study.reference in told)
    done = frozenset(reference for study in there for reference in study.based_on)
    orders = [one for one in chart.orders if one.key not in done and _is_open_repeat(order, one, day, policy)]
    # When a draft of the same request was begun says nothing of when it is meant: without a planned day it counts for today.
    meant = (replace(one, authored=today) for one in chart.drafts if one.key != order.key)
    asked = {one.key for one in meant if _is_open_repeat(order, one, day, policy)}
    drafts = [one for one in chart.drafts if one.key in asked]
    drafted = {one.key for one in drafts}
    waiting = [*drafts, *(one for one in orders if one.key not in drafted)]
    if waiting and (order.is_serial or chart.cancer):
        why = "the order is one of a series" if order.is_serial else f"oncology: {chart.cancer}"
        suppressed += [SuppressedAdvice(rule_id="orders/O4", order=order, reason=why, by=one.key) for one in waiting]
        waiting = []
    advice = _advice(order, priors, waiting, chart)
    return ((advice,) if advice else ()), tuple(suppressed)


def _is_same(one: StudyKind, other: StudyKind) -> bool:
    if not one.overlaps(other):
        return False
    # A mammogram that follows a screening is its work-up; only two screenings repeat each other.
    return "MG" not in one.families & other.families or (one.is_screening and other.is_screening)


def _is_recent(order: ImagingOrder, other: StudyKind, other_day: date, day: date, policy: OrderPolicy) -> bool:
    return any(policy.is_recent(family, other_day, day) for family in order.kind.families & other.families)


def _is_open_repeat(order: ImagingOrder, other: ImagingOrder, day: date, policy: OrderPolicy) -> bool:
    if other.key == order.key or other.intent not in ORDERING_INTENTS | {"unknown"} or other.status not in _ON_RECORD:
        return False
    if other.key in order.cites or order.key in other.cites or not _is_same(order.kind, other.kind):
        return False
    planned = other.planned or other.authored
    first, last = sorted((planned, day)) if planned else (day, day)
    return _is_recent(order, other.kind, first, last, policy)


def _why_quiet(order: ImagingOrder, study: PriorStudy, chart: Chart, day: date) -> str | None:
    """Why a prior that matches is not worth a word (O4); None when it is."""
    report = chart.report_of(study)
    if study.status not in _DONE:
        return f"the prior's status is {study.status}"
    if order.key in study.based_on:
        return "it is the study of this very order"
    if study.reference in order.cites or (report is not None and report.reference in order.cites):
        return "the order cites the prior"
    if study.reference in chart.asked_for_by:
        return "the prior's finding asks for this follow-up"
    if order.is_serial:
        return "the order is one of a series"
    if chart.is_emergency and "XR" in order.kind.families:
        return "serial films are usual in trauma care"
    if chart.cancer:
        return f"oncology: {chart.cancer}"
    return None


def _recommended(order: ImagingOrder, study: PriorStudy, chart: Chart, day: date, policy: OrderPolicy) -> str | None:
    """Why a prior is quiet whose report asks for this examination at about this time; a sentence may name another one."""
    report = chart.report_of(study)
    if report is None or study.day is None:
        return None
    around = timedelta(days=max(policy.follow_up_early_days, _AROUND_DAYS))
    for quote in quotes_of(report):
        named = families_named(quote.sentence)
        if named and not named & order.kind.families:
            continue
        for window in (interval.due(study.day) for interval in quote.intervals if interval.high <= _LONGEST):
            # "In one week" is not "tomorrow": at most half of the stated time may be missing.
            early = min(around, (window.earliest - study.day) / 2)
            if window.earliest - early <= day <= window.latest + around:
                return "the prior's report recommends a follow-up at this time"
    return None


def _begun(report: AnyReport | None) -> str:
    if report is None:
        return "no report found"
    return "preliminary report" if report.status in ("preliminary", "partial") else "report begun, not signed"


def _advice(
    order: ImagingOrder, priors: Sequence[PriorStudy], waiting: Sequence[ImagingOrder], chart: Chart
) -> OrderAdvice | None:
    repeats = [one for one in priors if not order.kind.is_other_phase_of(one.kind)]
    ordered = [one for one in waiting if not order.kind.is_other_phase_of(one.kind)]
    if not priors and not waiting:
        return None
    is_repeat = bool(repeats or ordered)
    shown = [*repeats, *(one for one in priors if one not in repeats)]
    lines = [_study_line(order, one, chart) for one in shown[:MAX_SHOWN]]
    lines += [_order_line(order, one, chart) for one in [*ordered, *(one for one in waiting if one not in ordered)][:MAX_SHOWN]]
    hidden = max(0, len(shown) - MAX_SHOWN) + max(0, len(waiting) - MAX_SHOWN)
    if hidden:
        lines.append(("Also", f"{hidden} more"))
    same = next((one for one in ordered if one in chart.drafts and one.codes & order.codes), None)
    return OrderAdvice(
        rule_id="orders/O1" if repeats else "orders/O5" if ordered else "orders/O2",
        reason=Reason.DUPLICATE if is_repeat else Reason.RELATED,
        order=order,
        urgency=_urgency(order, repeats, ordered),
        headline=_TWICE if same and not repeats else _headline(repeats, ordered, priors, waiting, chart),
        lines=tuple(lines),
        studies=tuple(shown[:MAX_SHOWN]),
        same_draft=same,
    )


def _urgency(order: ImagingOrder, repeats: Sequence[PriorStudy], ordered: Sequence[ImagingOrder]) -> Urgency:
    # Words may inform, but never decide (Gc): a region read from a description is worth no warning.
    kinds = [*(one.kind for one in repeats), *(one.kind for one in ordered)]
    sure = order.kind.basis is not Basis.WORDS and any(kind.basis is not Basis.WORDS for kind in kinds)
    return Urgency.WARNING if kinds and sure else Urgency.INFO


def _headline(
    repeats: Sequence[PriorStudy],
    ordered: Sequence[ImagingOrder],
    priors: Sequence[PriorStudy],
    waiting: Sequence[ImagingOrder],
    chart: Chart,
) -> str:
    if repeats:
        first = repeats[0]
        known = "report available" if chart.report_of(first) else chart.reading_of(first)
        return f"same region already imaged on {first.day} ({first.name}), {known}"
    if ordered:
        first_order = ordered[0]
        if first_order in chart.drafts:
            return f"the same region is in these drafts twice (also {first_order.name})"
        return f"already ordered{f' on {first_order.authored}' if first_order.authored else ''} ({first_order.name})"
    if priors:
        return f"related study on {priors[0].day} with another contrast phase ({priors[0].name})"
    return f"a related examination with another contrast phase is ordered ({waiting[0].name})"


def _study_line(order: ImagingOrder, study: PriorStudy, chart: Chart) -> tuple[str, str]:
    report = chart.report_of(study)
    label = "Related study" if order.kind.is_other_phase_of(study.kind) else "Prior study"
    told = [
        str(study.day),
        "/".join(sorted(study.kind.families)),
        study.name,
        *([f"performed by {study.performer}"] if study.performer else []),
        chart.reading_of(study),
    ]
    words = "; ".join(told)
    if report and report.conclusion:
        words += f". Conclusion: “{report.conclusion[:200]}”"
    return label, words + ("; region known only from its description" if study.kind.basis is Basis.WORDS else "")


def _order_line(order: ImagingOrder, other: ImagingOrder, chart: Chart) -> tuple[str, str]:
    label = "In the same drafts" if other in chart.drafts else "Open order"
    related = ", another contrast phase" if order.kind.is_other_phase_of(other.kind) else ""
    written = f", written {other.authored}" if other.authored else ""
    planned = f", planned for {other.planned}" if other.planned else ""
    return label, f"{other.name} ({other.status}){written}{planned}{related}"
