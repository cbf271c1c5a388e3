"""A list that goes on arriving leaves alone what the reader has: place, focus, an unfolded report, the timeline's part."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.list_actors import ListServer, Played, a_browser, opened_list, wait_until
from tests.browser.listed_studies import ListedStudy, many_studies, rows_line

pytestmark = pytest.mark.browser

STUDIES = many_studies(40)
DONE = {"kind": "done", "found": 40}


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


def test_a_row_that_comes_again_keeps_its_unfolded_report_and_the_keyboard(browser: Browser) -> None:
    again = ListedStudy(number=3, day=STUDIES[3].day, title="X-ray with a better name")
    stream = Played(rows_line([again], 6, 6), DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[stream])) as page:
        row = page.locator("li.study").nth(3)
        row.locator("summary").click()
        row.locator(".title a").focus()
        stream.go_on.set()
        expect(row.locator(".title")).to_have_text("X-ray with a better name")

        expect(row.locator(".title a")).to_be_focused()
        expect(row.get_by_text("Findings: none new.")).to_be_visible()
        expect(page.locator("details.report-text[open]")).to_have_count(1)


def test_a_report_that_is_being_read_stays_unfolded_when_another_comes_above_it(browser: Browser) -> None:
    report = (
        '<article class="report"><p class="conclusion">{0}</p><details class="report-text">'
        '<summary>Whole report {0}</summary><div class="text">All of {0}.</div></details></article>'
    )
    first = {"kind": "reports", "rows": {STUDIES[0].uid: report.format("one")}}
    second = {"kind": "reports", "rows": {STUDIES[0].uid: report.format("two") + report.format("one")}}
    stream = Played(first, second, DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[stream])) as page:
        stream.go_on.set()
        page.get_by_text("Whole report one").click()
        stream.go_on.set()
        expect(page.get_by_text("Whole report two")).to_be_visible()

        expect(page.get_by_text("All of one.")).to_be_visible()
        expect(page.get_by_text("All of two.")).to_be_hidden()
        assert page.evaluate("document.activeElement.textContent") == "Whole report one"


def test_the_timeline_stays_where_the_reader_has_moved_it_while_rows_arrive(browser: Browser) -> None:
    decades = [ListedStudy(number=number, day=date(2026 - number % 40, 1 + number % 12, 3)) for number in range(300)]
    older = ListedStudy(number=999, day=date(1980, 1, 1))
    stream = Played(rows_line(decades[200:], 300, 301), rows_line([older], 301, 301), DONE)
    with opened_list(browser, ListServer(studies=decades[:200], stream=[stream]), width=700) as page:
        lanes = page.locator("#timeline .lanes")
        page.evaluate("document.getElementById('timeline').open = true")
        wait_until(lambda: lanes.evaluate("lanes => lanes.scrollLeft > 100"), page)
        page.locator("#timeline button[tabindex='0']").focus()
        page.keyboard.press("Home")
        wait_until(lambda: lanes.evaluate("lanes => lanes.scrollLeft < 50"), page)
        before = lanes.evaluate("lanes => lanes.scrollLeft")
        seen = [before]
        for count in (300, 301):
            stream.go_on.set()
            expect(page.locator("li.study")).to_have_count(count)
            page.evaluate("() => new Promise((say) => requestAnimationFrame(() => requestAnimationFrame(say)))")
            seen.append(lanes.evaluate("lanes => lanes.scrollLeft"))
        # With another year all bars have moved; the one that has the keyboard is seen beside the names of the lanes.
        left, edge = page.evaluate(
            "[document.activeElement, document.activeElement.closest('.lane').querySelector('.plot')]"
            ".map((one) => one.getBoundingClientRect().left)"
        )
        name_ends = page.locator("#timeline .lane-name").last.evaluate("name => name.getBoundingClientRect().right")

        assert seen[1] == before
        assert page.evaluate("document.activeElement.matches('#timeline .bar')")
        assert left >= max(edge, name_ends) - 1
        assert left < 700


def test_what_the_reader_looks_at_does_not_move_when_rows_come_in_above(browser: Browser) -> None:
    newer = [ListedStudy(number=500 + number, day=date(2026, 3, 2)) for number in range(15)]
    stream = Played(rows_line(newer, 55, 55), DONE)
    with opened_list(browser, ListServer(studies=STUDIES, stream=[stream])) as page:
        row = page.locator("li.study").nth(30)
        row.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        before = row.evaluate("row => row.getBoundingClientRect().top")
        uid = row.get_attribute("data-uid")
        stream.go_on.set()
        expect(page.locator("li.study")).to_have_count(55)
        page.wait_for_timeout(200)
        after = page.locator(f"li[data-uid='{uid}']").evaluate("row => row.getBoundingClientRect().top")

    assert after == pytest.approx(before, abs=3)


def test_a_chip_keeps_the_focus_while_rows_arrive(browser: Browser) -> None:
    stream = Played(rows_line([STUDIES[12], ListedStudy(number=90, day=None, family="nm", region="pelvis")], 14, 40), DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:12], stream=[stream])) as page:
        page.locator("#more-filters input[value=mr]").focus()
        stream.go_on.set()
        expect(page.locator("li.study")).to_have_count(14)
        stream.go_on.set()
        expect(page.locator("#count")).to_have_text("14 studies, newest first")

        assert page.evaluate("document.activeElement.value") == "mr"
        families = page.locator("[data-chips=family] input").evaluate_all("boxes => boxes.map((box) => box.value)")
    assert families == ["ct", "mr", "xr", "us", "mg", "nm"], "each in the place that the page's table gives it"
