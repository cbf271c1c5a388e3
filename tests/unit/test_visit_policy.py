"""``[rules]``: what is never reported, and how late a booking may be, are a site's to set."""

from __future__ import annotations

from dataclasses import fields

import pytest

from fhir_imaging.errors import ConfigurationError
from imaging_cds.settings import from_table
from imaging_cds.site_rules import site_policy
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.visit_policy import BookingPolicy, UnreadPolicy

LEAST = {"public_base_url": "https://imaging.example", "state": {"state_dir": "state"}, "ehr": []}


def test_a_site_that_says_nothing_has_the_products_values() -> None:
    assert (RuleSettings().unread, RuleSettings().bookings) == (UnreadPolicy(), BookingPolicy())


def test_every_value_is_a_setting_and_reaches_the_policy() -> None:
    given = {
        "unreported_modalities": ["xa"],
        "unreported_words": ["Theatre"],
        "reports_interventions": True,
        "unplaced_look_back_days": 7,
        "late_booking_tolerance_days": 3,
        "late_booking_warning_days": 0,
        "overdue_booking_days": 60,
    }
    policy = site_policy(from_table({**LEAST, "rules": given}).rules)

    assert len(given) == len(fields(UnreadPolicy)) + len(fields(BookingPolicy))
    assert policy.unread == UnreadPolicy(
        unreported_modalities=frozenset({"XA"}),
        unreported_words=("theatre",),
        reports_interventions=True,
        unplaced_look_back_days=7,
    )
    assert policy.bookings == BookingPolicy(late_tolerance_days=3, late_warning_days=0, overdue_soon_days=60)


@pytest.mark.parametrize(
    "name", ["unplaced_look_back_days", "late_booking_tolerance_days", "late_booking_warning_days", "overdue_booking_days"]
)
@pytest.mark.parametrize("days", [-1, 3661])
def test_days_that_cannot_be_meant_stop_the_start(name: str, days: int) -> None:
    with pytest.raises(ConfigurationError) as refused:
        from_table({**LEAST, "rules": {name: days}})

    assert f"{name} is {days}" in " ".join(refused.value.problems)
