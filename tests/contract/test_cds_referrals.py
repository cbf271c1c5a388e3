"""Gf, X5: a finding that only a referral answers warns for a time that the site sets, then informs, and is never dropped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from imaging_cds.site_rules import site_policy
from imaging_findings.advice import Judgement
from imaging_findings.referrals import WARNING_DAYS, with_old_referrals_quiet
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.rules import Urgency
from tests.cds_actors import NOW, a_bundle, a_cds_service, a_hook, a_store, whole_prefetch
from tests.followed_actors import ABDOMEN, BREAST, assessed, followed, imaged

TODAY = NOW.date()
NOT_VISIBLE = "Referral not visible in the chart"


def a_ct(days_ago: int) -> dict[str, object]:
    return imaged("study", str(TODAY - timedelta(days=days_ago)), "CT", ABDOMEN)


def aged(category: str, days_ago: int, *, name: str = "bosniak", warning_days: int = WARNING_DAYS) -> Judgement:
    judgement = followed(assessed(name, category, "2019"), studies=[a_ct(days_ago)])
    return with_old_referrals_quiet(judgement, TODAY, warning_days)


@pytest.mark.parametrize(
    ("days_ago", "warning_days", "urgency"),
    [
        (180, 180, Urgency.WARNING),
        (181, 180, Urgency.INFO),
        (3000, 180, Urgency.INFO),
        (181, 181, Urgency.WARNING),
        (0, 0, Urgency.WARNING),
        (1, 0, Urgency.INFO),
    ],
)
def test_gf_a_referral_warns_for_the_site_s_time_and_then_informs(days_ago: int, warning_days: int, urgency: Urgency) -> None:
    (guidance,) = aged("IV", days_ago, warning_days=warning_days).guidance

    assert guidance.urgency is urgency
    assert any(NOT_VISIBLE in note for note in guidance.notes) is (urgency is Urgency.INFO)
    assert guidance.statements[0].words == "Refer to urology."


def test_gf_what_images_or_tissue_or_a_day_settle_warns_on() -> None:
    """Bosniak IIF has its dates, and BI-RADS 4 a biopsy that a chart would show."""
    (dated,) = aged("IIF", 400).guidance
    breast = followed(assessed("bi-rads", "4", "5"), studies=[imaged("study", "2020-05-01", "MG", BREAST)])
    (tissue,) = with_old_referrals_quiet(breast, TODAY).guidance

    assert (dated.urgency, tissue.urgency) == (Urgency.WARNING, Urgency.WARNING)


def test_gf_what_still_warns_stands_before_an_old_referral() -> None:
    old = assessed("bosniak", "IV", "2019")
    new = assessed("bi-rads", "4", "5", id="new", derivedFrom=[{"reference": "ImagingStudy/later"}])
    judgement = followed(old, new, studies=[a_ct(900), imaged("later", "2026-11-01", "MG", BREAST)])

    told = with_old_referrals_quiet(judgement, TODAY).guidance

    assert [one.urgency for one in told] == [Urgency.WARNING, Urgency.INFO]
    assert len(told) == len(judgement.guidance), "nothing is dropped"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("setting", "indicator"), [(RuleSettings(), "info"), (RuleSettings(referral_warning_days=500), "warning")]
)
def test_gf_the_card_informs_and_says_that_nothing_shows_the_referral(
    store: Store, tmp_path: Path, setting: RuleSettings, indicator: str
) -> None:
    cds = a_cds_service(store, tmp_path, policy=site_policy(setting))

    (card,) = cds.cards(a_hook(whole_prefetch(assessed("bosniak", "IV", "2019"), studies=a_bundle(a_ct(400)))))

    assert card["indicator"] == indicator
    assert (NOT_VISIBLE in card["detail"]) is (indicator == "info")
    assert "efer to urology" in card["summary"]


@pytest.mark.parametrize("days", [-1, 4000])
def test_a_time_that_cannot_be_meant_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match="referral_warning_days"):
        RuleSettings(referral_warning_days=days)
