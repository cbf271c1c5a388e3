"""All that a site decides about the rules, in one value: packs in force, own codes, checks of orders, stays and bookings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

from imaging_findings.order_policy import OrderPolicy
from imaging_findings.packs import bundled_packs
from imaging_findings.referrals import WARNING_DAYS
from imaging_findings.release import ReleaseRule
from imaging_findings.rules import Packs
from imaging_findings.study_table import SiteStudies
from imaging_findings.visit_policy import BookingPolicy, UnreadPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePolicy:
    """What holds at one site; ``product_policy()`` where the site has said nothing."""

    packs: Packs
    orders: OrderPolicy = field(default_factory=OrderPolicy)
    studies: SiteStudies = field(default_factory=dict)
    """The site's own examination codes, which come before LOINC and CPT."""
    release: ReleaseRule = field(default_factory=ReleaseRule)
    """What users who are the patient or a related person may be told."""
    unread: UnreadPolicy = field(default_factory=UnreadPolicy)
    bookings: BookingPolicy = field(default_factory=BookingPolicy)
    referral_warning_days: int = WARNING_DAYS
    """How many days after its study a finding that only a referral answers is a warning."""
    rules_owner: str = ""
    """Who answers clinically for the rules that are in no pack: orders, discharge, bookings. Empty = nobody yet."""

    def __post_init__(self) -> None:
        # The chart and the order checks must mean the same by "early", or one reminds of what the other calls done.
        if self.packs.early_days != self.orders.follow_up_early_days:
            object.__setattr__(self, "packs", replace(self.packs, early_days=self.orders.follow_up_early_days))


@cache
def product_policy() -> SitePolicy:
    """The product's own packs and windows."""
    return SitePolicy(packs=bundled_packs())
