"""Who opens the sandbox EHR too early sees in Chromium how far it is, and gets what was asked for without doing anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from ehr_sandbox.arrivals import Arrivals, Arriving
from tests.browser.chart_fixtures import a_watched_page
from tests.chart_actors import ChartActor, a_chart

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = pytest.mark.browser

COMING = "Studies coming in from the archive"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        yield actor


@pytest.fixture
def arrivals(chart: ChartActor) -> Iterator[Arrivals]:
    told = Arrivals(chart.services.settings.state_dir)
    yield told
    told.over()


@pytest.fixture(params=[(1400, "light"), (390, "dark")], ids=lambda one: f"{one[0]}-{one[1]}")
def page(request: pytest.FixtureRequest, chart_browser: Browser) -> Iterator[Page]:
    width, scheme = request.param
    # Chromium writes the page's own status, 503, to the console.
    with a_watched_page(chart_browser, width=width, expected="503", color_scheme=scheme) as opened:
        yield opened


def test_it_counts_and_then_opens_what_was_asked_for(page: Page, chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(Arriving(step=COMING, done=3, total=10))
    page.goto(f"{chart.ehr}/patients/demo-a")
    bar = page.get_by_role("progressbar", name=COMING)
    expect(bar).to_have_js_property("value", 3)
    expect(page.get_by_text("3 of 10")).to_be_visible()

    arrivals.tell(Arriving(step=COMING, done=9, total=10))
    expect(page.get_by_text("9 of 10")).to_be_visible()
    expect(bar).to_have_js_property("value", 9)
    arrivals.tell(Arriving(step="Writing the reports"))
    expect(page.get_by_role("status")).to_have_text("Writing the reports")
    expect(page.get_by_role("progressbar")).to_have_js_property("position", -1)

    arrivals.over()
    expect(page.get_by_role("heading", name="Imaging", exact=False).first).to_be_visible()
    assert page.url == f"{chart.ehr}/patients/demo-a"
    page.go_back()
    assert page.url == "about:blank", "the waiting page is not in the way back"


def test_a_screen_reader_is_told_steps_and_not_each_study(page: Page, chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(Arriving(step=COMING, done=1, total=10))
    page.goto(chart.ehr)
    page.evaluate(
        "window.told = 0; new MutationObserver(() => window.told++).observe(document.querySelector('[role=status]'),"
        " {childList: true, characterData: true, subtree: true})"
    )
    for done in (2, 3):
        arrivals.tell(Arriving(step=COMING, done=done, total=10))
        expect(page.get_by_text(f"{done} of 10")).to_be_visible()

    assert page.evaluate("window.told") == 0


def test_it_is_accessible_and_fits_a_telephone(page: Page, chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(Arriving(step=COMING, done=3, total=10))
    page.goto(chart.ehr)

    found = Axe().run(page, options=RULES).response["violations"]
    assert [one["id"] for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_without_script_there_is_a_link_to_look_again(chart_browser: Browser, chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(Arriving(step=COMING, done=3, total=10))
    with a_watched_page(chart_browser, expected="503", java_script_enabled=False) as page:
        page.goto(f"{chart.ehr}/patients/demo-a")
        expect(page.get_by_text("3 of 10")).to_be_visible()
        arrivals.over()
        page.get_by_role("link", name="Look again now").click()

        expect(page.get_by_role("heading", name="Imaging", exact=False).first).to_be_visible()
