"""The rules in force at this site, as values for the page that people read: packs, choices, order checks and windows.

Spec: CDS Hooks 3.0 R40. Read from the site's policy itself, so that page and cards cannot differ.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from cds_service.documentation import DocumentedPack, documented_packs
from imaging_findings.modalities import families
from imaging_findings.order_advice import Reason
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.order_sources import BOOKINGS, DISCHARGE, SOURCES, RuleSource
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Packs, TablePack
from imaging_findings.site_policy import SitePolicy

_ABOUT = {
    Reason.DUPLICATE: "examinations already done, ordered or drafted",
    Reason.RELATED: "related examinations in another contrast phase",
    Reason.KIDNEY: "iodinated contrast and kidney function",
    Reason.METFORMIN: "iodinated contrast and metformin",
    Reason.REACTION: "earlier reactions to contrast",
    Reason.PREGNANCY: "pregnancy",
    Reason.CODE: "a better-fitting code of the same family",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedChoice:
    """Guidelines that contradict each other, of which the site has chosen none."""

    about: str
    packs: tuple[DocumentedPack, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedLocalRules:
    """One set of rules that is in no pack: what they are about, and on whose authority they speak."""

    about: tuple[str, ...]
    source: RuleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedRules:
    """All rules of a site. ``windows`` are pairs of what is limited and its value, in words."""

    in_force: tuple[DocumentedPack, ...]
    choices: tuple[DocumentedChoice, ...]
    off: tuple[DocumentedPack, ...]
    local_rules: tuple[DocumentedLocalRules, ...]
    windows: tuple[tuple[str, str], ...]
    site_codes: int
    """How many examination codes of its own the site has."""


def documented_rules(policy: SitePolicy) -> DocumentedRules:
    """The rules of a site, each list in the order of the page."""
    packs = policy.packs
    in_force = documented_packs(_without_undecided(packs))
    known = {pack.info.pack_id for pack in (*in_force, *documented_packs(packs))}
    return DocumentedRules(
        in_force=in_force,
        choices=_choices(packs.undecided),
        off=tuple(pack for pack in documented_packs(bundled_packs()) if pack.info.pack_id not in known),
        local_rules=_local_rules(policy.rules_owner),
        windows=(*_lookback(policy.orders), *_limits(policy.orders), *_visits(policy)),
        site_codes=len(policy.studies),
    )


def _without_undecided(packs: Packs) -> Packs:
    return Packs(screening=packs.screening, nodules=packs.nodules, actionable=packs.actionable, tables=packs.tables)


def _choices(undecided: tuple[TablePack, ...]) -> tuple[DocumentedChoice, ...]:
    by_choice: dict[str, list[TablePack]] = defaultdict(list)
    for pack in undecided:
        by_choice[pack.choice or pack.reads].append(pack)
    return tuple(
        DocumentedChoice(
            about=about.replace("-", " "), packs=documented_packs(Packs(screening=None, nodules=None, tables=tuple(tables)))
        )
        for about, tables in sorted(by_choice.items())
    )


def _local_rules(owner: str) -> tuple[DocumentedLocalRules, ...]:
    """Sets in the order in which their first reason is declared; rules of one source stand together."""
    by_source: dict[RuleSource, list[str]] = defaultdict(list)
    for reason, source in SOURCES.items():
        by_source[source].append(_ABOUT[reason])
    by_source[DISCHARGE].append("imaging still unread or preliminary at discharge")
    by_source[BOOKINGS].append("appointments for a follow-up, too early or too late")
    return tuple(DocumentedLocalRules(about=tuple(about), source=one.owned_by(owner)) for one, about in by_source.items())


def _lookback(policy: OrderPolicy) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"Look-back, {family}", str(policy.lookback[family]) if family in policy.lookback else "never called a repeat")
        for family in families()
    )


def _limits(policy: OrderPolicy) -> tuple[tuple[str, str], ...]:
    ages = f"{policy.pregnancy_youngest_years} to {policy.pregnancy_oldest_years} years"
    return (
        ("eGFR of an inpatient", f"not older than {policy.egfr_window_inpatient_days} days"),
        ("eGFR of everybody else", f"not older than {policy.egfr_window_outpatient_days} days"),
        ("Diabetes as a kidney risk", "yes" if policy.diabetes_is_a_kidney_risk else "no"),
        ("Pregnancy is asked about", ages),
        ("“Not pregnant” or a negative test", f"holds {policy.pregnancy_status_window_days} days"),
        ("A recorded pregnancy", f"holds {policy.pregnancy_longest_days} days"),
        ("A follow-up is on time", f"from {policy.follow_up_early_days} days before it is due"),
    )


def _visits(policy: SitePolicy) -> tuple[tuple[str, str], ...]:
    unread, bookings, release = policy.unread, policy.bookings, policy.release
    unreported = (*sorted(unread.unreported_modalities), *(f"“{words}”" for words in unread.unreported_words))
    told = f"of dated follow-ups, {release.release_after_hours} hours after signing" if release.serves_patients else "nothing"
    return (
        ("Nobody reports", ", ".join(unreported) or "no examinations of a kind"),
        ("Interventions get a report", "yes" if unread.reports_interventions else "no"),
        ("A study without an encounter", f"told at discharge up to {unread.unplaced_look_back_days} days back"),
        ("A follow-up booked a little late", f"not mentioned up to {bookings.late_tolerance_days} days after its window"),
        ("A follow-up booked late", f"warned of from {bookings.late_warning_days} days after its window"),
        ("An overdue follow-up", f"booked in time within {bookings.overdue_soon_days} days"),
        ("A finding that only a referral answers", f"warned of up to {policy.referral_warning_days} days after its study"),
        ("A patient is told", told),
    )
