"""The crowded list by axe-core's rules for WCAG 2.2 AA in its states: marks, bars, filtered, grouped, help, busy, broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.list_actors import ListServer, Played, a_browser, opened_list
from tests.browser.listed_studies import ListedStudy, many_studies
from tests.browser.test_accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SOME = [*many_studies(20, every_days=60), ListedStudy(number=99, day=None, title="Undated", has_report=False)]
DONE = {"kind": "done", "found": 21}


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


def with_a_mark_focused(page: Page) -> None:
    page.locator("#timeline > summary").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("tooltip")).to_be_visible()


def with_filters(page: Page) -> None:
    page.locator("#more-filters").evaluate("one => { one.open = true; }")
    page.locator("label.chip", has_text="MRI").click()
    page.locator("label.chip", has_text="region").click()


def with_nothing_found(page: Page) -> None:
    page.get_by_role("searchbox").fill("nothing of the kind")
    expect(page.locator("#nothing-found")).to_be_visible()


def with_help(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def after_a_look_at_a_study(page: Page) -> None:
    page.get_by_role("link", name="Open images").first.click()
    page.wait_for_url("**/viewer/*")
    page.go_back()
    expect(page.locator(".tag.opened")).to_be_visible()


def lay_all_rows_out(page: Page) -> None:
    """Rows far off screen have only an estimated height, so what is in them seems to overlap; nobody can reach them so."""
    page.evaluate(
        """() => {
            const style = new CSSStyleSheet();
            style.replaceSync(".study { content-visibility: visible !important }");
            document.adoptedStyleSheets = [style];
        }"""
    )


STATES: tuple[Callable[[Page], None], ...] = (
    with_a_mark_focused,
    with_filters,
    with_nothing_found,
    with_help,
    after_a_look_at_a_study,
)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
@pytest.mark.parametrize("state", STATES)
def test_the_list_is_accessible(browser: Browser, state: Callable[[Page], None], width: int, scheme: str) -> None:
    with opened_list(browser, ListServer(studies=SOME), width=width, color_scheme=scheme, reduced_motion="reduce") as page:
        page.evaluate("document.getElementById('timeline').open = true")
        state(page)
        lay_all_rows_out(page)

        assert violations(page) == []


@pytest.mark.parametrize(
    ("line", "words", "scheme"),
    [
        ({"kind": "busy", "seconds": 30}, "The imaging server is busy.", "light"),
        ({"kind": "failed", "html": "<p class=message>No answer.</p>"}, "No answer.", "dark"),
    ],
)
def test_a_list_that_waits_or_breaks_off_is_accessible(
    browser: Browser, line: dict[str, object], words: str, scheme: str
) -> None:
    stream = Played(line, DONE)
    stream.go_on.set()
    server = ListServer(studies=many_studies(200), stream=[stream])
    with opened_list(browser, server, color_scheme=scheme, reduced_motion="reduce") as page:
        expect(page.locator("#timeline .bar").first).to_be_attached()
        expect(page.get_by_text(words)).to_be_visible()
        found = violations(page)
        # Only now, because what comes next ends that state.
        stream.go_on.set()

        assert found == []


def test_at_twice_the_text_size_nothing_is_cut_off_or_covered(browser: Browser) -> None:
    studies = [
        ListedStudy(number=1, day=date(2026, 2, 10), tone="critical", title="CT of the chest, abdomen and pelvis with contrast")
    ]
    with opened_list(browser, ListServer(studies=[*studies, *SOME]), width=1280) as page:
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        page.evaluate("() => new Promise((say) => requestAnimationFrame(() => requestAnimationFrame(say)))")
        cut = page.evaluate(
            """[...document.querySelectorAll('main *:not(input)')]
                .filter((one) => getComputedStyle(one).overflowX === 'hidden' && one.clientWidth > 0)
                .filter((one) => one.scrollWidth > one.clientWidth + 1)
                .map((one) => one.className)"""
        )

        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert cut == []
