"""The chart's "Open the imaging app in another way" in Chromium: as the patient, with something wrong (SBX-S11)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chart_fixtures import a_watched_page
from tests.chart_actors import ChartActor, a_chart

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = pytest.mark.browser

SHOTS = os.environ.get("CHART_SHOTS")
SUMMARY = "Open the imaging app in another way"


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        yield actor


@pytest.mark.parametrize("width", [1360, 420])
def test_s11_the_chosen_way_reaches_the_launch(chart_browser: Browser, chart: ChartActor, width: int) -> None:
    # The app of this test answers launches with 404, which the frame shows.
    with a_watched_page(chart_browser, width=width, expected="404") as page:
        page.goto(f"{chart.ehr}/patients/demo-a")
        page.get_by_text(SUMMARY).click()
        page.get_by_label("As", exact=True).select_option(label="the patient")
        page.get_by_label("With this wrong, on purpose").select_option(label="Access tokens live 5 seconds")
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/ways-{width}.png", full_page=True)
        assert _is_within(page, width)
        page.locator("#ways").get_by_role("button", name="Open in this way").click()
        frame = page.locator("#app-panel iframe")
        expect(frame).to_be_visible()
        address = frame.get_attribute("src") or ""

    handle = parse_qs(urlsplit(address).query)["launch"][0]
    context = chart.services.authorization.records.take_launch(handle, "imaging-cds", time.time())
    assert context is not None
    assert context.user == "Patient/demo-a"
    assert context.faults.access_token_lifetime_s == 5
    assert "demo-a" not in address


def _is_within(page: Page, width: int) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)
