"""Each page at each width, light and dark: nothing runs over the edge, no words are cut, the patient stays in sight.

The pictures of docs/pictures are written by ``make pictures`` (tests/browser/pictures.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.app_pages import APP_PAGES, a_visit, launched, served_app
from tests.browser.pictures import DEMO_PAGES, LARGEST_PICTURE, LARGEST_SUM, PICTURES, PLAIN_PAGES, SCHEMES, path_of
from tests.browser.pictures import SIZES as WIDTHS

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SIZES = ((1400, 900), (1225, 692), (800, 600), (390, 844), (320, 256))
"""The last is a page of 1280 × 1024 at 400 %: WCAG 2.2 §1.4.10 asks for no scrolling in two directions there."""
FAULTS = """() => {
  const faults = [];
  const named = (one) => one.outerHTML.slice(0, 120);
  const edge = document.documentElement.clientWidth + 1;
  const all = [...document.querySelectorAll("body *")];
  if (document.documentElement.scrollWidth > edge) {
    const wide = all.filter((one) => one.getBoundingClientRect().right > edge);
    faults.push("wider than the window", ...wide.slice(0, 3).map(named));
  }
  for (const one of all) {
    const style = getComputedStyle(one);
    const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!says || !one.checkVisibility({ visibilityProperty: true }) || one.closest(".out-of-sight, .skip")) continue;
    const isClipped = (overflow) => overflow === "hidden" || overflow === "clip";
    if (isClipped(style.overflowX) && one.scrollWidth > one.clientWidth + 1) faults.push(`cut: ${named(one)}`);
    if (isClipped(style.overflowY) && one.scrollHeight > one.clientHeight + 2) faults.push(`cut: ${named(one)}`);
  }
  return faults;
}"""


def faults(page: Page) -> list[str]:
    """What cannot be read without scrolling sideways, or not at all."""
    found: list[str] = page.evaluate(FAULTS)
    return found


@pytest.mark.parametrize("name", APP_PAGES)
def test_a_page_fits_every_window(name: str, tmp_path: Path, chart_browser: Browser) -> None:
    found: dict[str, Any] = {}
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        APP_PAGES[name](served, visit)
        for width, height in SIZES:
            visit.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
                found[f"{width} {scheme}"] = faults(visit.page)

    assert {look: lines for look, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", ["list-crowded", "viewer", "list-of-the-patient"])
def test_the_patient_stays_in_sight(name: str, tmp_path: Path, chart_browser: Browser) -> None:
    """A40: wherever the page is scrolled to, the name is above it and whole."""
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        APP_PAGES[name](served, visit)
        for width, height in ((1400, 900), (390, 844)):
            visit.page.set_viewport_size({"width": width, "height": height})
            visit.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            box = visit.page.locator("#patient .name").bounding_box()

            assert box is not None
            assert 0 <= box["y"] < height
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


def test_twice_the_text_is_still_readable(tmp_path: Path, chart_browser: Browser) -> None:
    """WCAG 2.2 §1.4.4: somebody who has the browser write twice as large."""
    found = {}
    with served_app(tmp_path) as served:
        for name in ("index", "declined", "list-crowded", "viewer"):
            with a_visit(chart_browser, viewport={"width": 1280, "height": 800}) as visit:
                APP_PAGES[name](served, visit)
                visit.page.evaluate("document.documentElement.style.fontSize = '200%'")
                found[name] = faults(visit.page)
            served.ehr.redirect_changes = {}

    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_kept_pictures_are_there_and_small() -> None:
    kept = [path_of(name, width, scheme) for name in (*PLAIN_PAGES, *DEMO_PAGES) for width, _ in WIDTHS for scheme in SCHEMES]

    assert sorted(PICTURES.glob("*.png")) == sorted(kept)
    assert max(path.stat().st_size for path in kept) <= LARGEST_PICTURE
    assert sum(path.stat().st_size for path in kept) <= LARGEST_SUM


def test_a31_an_ehrs_style_is_worn_and_can_be_done_without(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        url = f"{served.ehr.base_url}/fhir/Basic/style"
        served.ehr.token_changes = {"smart_style_url": url}
        launched(served, visit)
        plain = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        served.ehr.fhir["Basic"] = [{"id": "style-2", "color_background": "#fdf6e3", "dim_font_size": "18px"}]
        served.ehr.token_changes = {"smart_style_url": f"{url}-2"}
        launched(served, visit)
        worn = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        size = visit.page.evaluate("getComputedStyle(document.documentElement).fontSize")
        visit.page.emulate_media(color_scheme="dark")
        dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert plain == "rgb(244, 246, 248)"
    assert worn == "rgb(253, 246, 227)"
    assert size == "18px"
    assert dark == "rgb(16, 22, 28)"
    assert visit.troubles == []
