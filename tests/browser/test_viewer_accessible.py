"""The viewer page with everything open by axe-core's rules for WCAG 2.2 AA: report, keys, the unverified person, the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.app_pages import APP_PAGES, a_visit, served_app
from tests.browser.test_accessibility import violations

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

OBJECTS = [
    {
        "kind": "SR",
        "title": "AI lung nodule result",
        "author": "Demo Nodule AI",
        "isUnsigned": True,
        "items": [{"label": "Nodule", "values": ["Diameter 9 mm"], "study": "1.2", "instance": "1.3", "number": 32}],
    },
    {"kind": "KO", "title": "Of Interest", "author": "", "isUnsigned": False, "items": [{"label": "", "values": []}]},
]


def open_everything(page: Page) -> None:
    """The report, its folded parts, and what the viewer tells of measurements, told here in the viewer's name."""
    page.locator("#panel-content[aria-busy=false]").wait_for(state="attached")
    if page.locator("#panel").is_hidden():
        page.locator("#panel-button").click()
    study = page.locator("#panel").get_attribute("data-study")
    page.frames[1].evaluate(
        "(event) => parent.postMessage({ source: 'imaging-cds-viewer', event: 'contents', ...event }, location.origin)",
        {"study": study, "objects": OBJECTS},
    )
    page.locator("#key-objects").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light")])
def test_the_viewer_page_with_everything_open_is_accessible(
    width: int, scheme: str, tmp_path: Path, chart_browser: Browser
) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, viewport={"width": width, "height": 900}) as visit:
        page = visit.page
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        APP_PAGES["viewer"](served, visit)
        open_everything(page)
        found = violations(page)
        words = page.locator("#key-objects").inner_text()
        sideways = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        page.frames[1].evaluate("parent.postMessage({ source: 'imaging-cds-viewer', event: 'session-ended' }, location.origin)")
        page.locator("#mask").wait_for(state="visible")
        at_the_end = violations(page)

    assert found == []
    assert at_the_end == []
    assert "Image 32" in words
    assert "AI, unsigned" in words
    assert not sideways


def test_the_report_shows_that_it_has_the_focus(tmp_path: Path, chart_browser: Browser) -> None:
    """WCAG 2.2 2.4.7: F6 leads to the report, and the eye follows."""
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page = visit.page
        APP_PAGES["viewer"](served, visit)
        page.locator("header.banner").focus()
        page.keyboard.press("Shift+F6")

        expect(page.locator("#panel")).to_be_focused()
        assert page.evaluate(outline) != "none"


def test_the_end_covers_the_images_and_leaves_the_patient_and_the_way_back_in_reach(
    tmp_path: Path, chart_browser: Browser
) -> None:
    """The notice lies over the images alone, so it does not claim to be all that there is (ARIA 1.2 aria-modal)."""
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page = visit.page
        APP_PAGES["viewer"](served, visit)
        page.frames[1].evaluate("parent.postMessage({ source: 'imaging-cds-viewer', event: 'session-ended' }, location.origin)")
        notice = page.get_by_role("alertdialog", name="The session has ended")
        expect(notice).to_be_focused()
        page.keyboard.press("F6")

        assert notice.get_attribute("aria-modal") is None
        expect(page.locator("header.banner")).to_be_focused()
        expect(page.get_by_role("link", name="All studies")).to_be_visible()
