"""The pages in use without a mouse, without motion and in forced colours (smart-launch.md §8, WCAG 2.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.app_pages import APP_PAGES, a_visit, launched, served_app

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FOCUSED = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height, 24) / 2];
  return {
    words: (one.getAttribute("aria-label") || one.innerText || one.getAttribute("title") || one.name || "").trim().slice(0, 60),
    tag: one.tagName,
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.bottom > 0 && box.top < innerHeight && box.width > 0,
    covered: !one.contains(document.elementFromPoint(x, Math.max(y, 0))),
  };
}"""


def tab_to(page: Page, words: str, *, most: int = 40) -> list[dict[str, object]]:
    """Presses Tab until the focus is on what says so; what was passed on the way."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(FOCUSED))
        if words in str(passed[-1]["words"]):
            return passed
    raise AssertionError(f"{words!r} is not reached: {[one['words'] for one in passed]}")


def test_from_the_sign_in_to_the_images_and_back_by_keyboard(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page = visit.page
        page.goto(served.url)
        tab_to(page, "Sign in to Test EHR")
        page.keyboard.press("Enter")
        page.wait_for_url("**/s/*/studies*")
        page.wait_for_selector("li.study")
        on_list = tab_to(page, "CT chest")
        page.keyboard.press("Enter")
        page.wait_for_url("**/viewer/*")
        page.wait_for_selector("#viewer")
        on_viewer = tab_to(page, "All studies")
        page.keyboard.press("Enter")
        page.wait_for_url("**/studies*")

    assert on_list[0]["words"] == "Skip to the content"
    for one in (*on_list, *on_viewer):
        assert one["ring"] or one["tag"] == "IFRAME", f"no visible focus on {one}"
        assert one["seen"], f"the focus is out of sight on {one}"


def test_no_focus_hides_under_the_patients_banner(tmp_path: Path, chart_browser: Browser) -> None:
    """WCAG 2.2 §2.4.11."""
    with served_app(tmp_path) as served, a_visit(chart_browser, viewport={"width": 800, "height": 600}) as visit:
        APP_PAGES["list-crowded"](served, visit)
        page = visit.page
        page.locator("li.study a").nth(20).focus()
        hidden = []
        for step in ("Tab", "Tab", "Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab"):
            page.keyboard.press(step)
            page.wait_for_timeout(50)
            if page.evaluate(FOCUSED)["covered"]:
                hidden.append(page.evaluate(FOCUSED))

    assert hidden == []


@pytest.mark.parametrize("name", ["index", "declined", "new-window", "list", "viewer"])
def test_a_page_has_one_heading_a_language_and_landmarks(name: str, tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        APP_PAGES[name](served, visit)
        page = visit.page

        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1
        assert page.locator("html[lang]").count() == 1
        assert page.title()


def test_nothing_moves_for_those_who_asked_for_stillness(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, reduced_motion="reduce") as visit:
        for name in ("index", "list-crowded", "viewer"):
            APP_PAGES[name](served, visit)
            moving = visit.page.evaluate(
                "document.getAnimations().map((one) => one.animationName || one.transitionProperty || 'motion')"
            )

            assert moving == []


def test_the_list_can_be_used_in_forced_colours(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, forced_colors="active") as visit:
        launched(served, visit)
        focused = tab_to(visit.page, "CT chest")[-1]
        edges = visit.page.locator(".images .button").first.evaluate("(one) => getComputedStyle(one).borderTopStyle")

    assert focused["ring"]
    assert edges == "solid", "a button has an edge where its ground is not drawn"


def test_support_details_open_and_copy_by_keyboard(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, permissions=["clipboard-read", "clipboard-write"]) as visit:
        APP_PAGES["unknown-ehr"](served, visit)
        tab_to(visit.page, "For support")
        visit.page.keyboard.press("Enter")
        tab_to(visit.page, "Copy the details")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_function("document.querySelector('.for-support [role=status]').textContent === 'Copied'")
        copied = visit.page.evaluate("navigator.clipboard.readText()")

    assert "https://who.example/fhir" in copied
    assert "unknown-ehr" in copied


def test_what_to_register_at_an_ehr_is_copied_by_keyboard(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, permissions=["clipboard-read", "clipboard-write"]) as visit:
        visit.page.goto(served.url)
        copied = {}
        for label in ("Copy Launch URL", "Copy Redirect URI", "Copy JWKS URL", "Copy the scopes for Test EHR"):
            tab_to(visit.page, label)
            visit.page.keyboard.press("Enter")
            visit.page.wait_for_selector("[role=status]:text('Copied')")
            copied[label] = visit.page.evaluate("navigator.clipboard.readText()")

    assert copied["Copy Launch URL"] == f"{served.url}/launch"
    assert copied["Copy Redirect URI"] == f"{served.url}/callback"
    assert copied["Copy JWKS URL"] == f"{served.url}/.well-known/jwks.json"
    assert copied["Copy the scopes for Test EHR"].startswith("launch launch/patient openid")
