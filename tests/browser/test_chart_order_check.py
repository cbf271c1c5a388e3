"""The chart's button that checks draft orders before signing, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.chart_actors import ChartActor, a_card, a_chart

pytestmark = pytest.mark.browser


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[ChartActor]:
    with a_chart(tmp_path) as actor:
        yield actor


def test_checking_the_drafts_draws_the_cards_and_a_refresh_takes_them_back(chart: ChartActor, chromium_path: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, headless=True, args=["--no-sandbox"])
        page = browser.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.goto(f"{chart.ehr}/patients/demo-a")
        expect(page.get_by_text("No guidance for this patient.").first).to_be_visible()

        chart.cds.response = {"cards": [a_card(summary="Same region already imaged on 3 May")]}
        page.get_by_role("button", name="Check draft orders").click()
        expect(page.get_by_text("Same region already imaged on 3 May")).to_be_visible()

        chart.cds.response = {"cards": []}
        page.get_by_role("button", name="Refresh").first.click()
        expect(page.get_by_text("Same region already imaged on 3 May")).to_have_count(0)
        browser.close()

    assert troubles == []
    hooks = [asked.body["hook"] for asked in chart.cds.asked if asked.body]
    assert hooks == ["patient-view", "order-sign", "patient-view"]
