"""The rest of a long list as it arrives: rows in their places, findings last, busy servers, and faults with a way on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.list_actors import ListServer, Played, a_browser, opened_list, wait_until
from tests.browser.listed_studies import ListedStudy, many_studies, rows_line

pytestmark = pytest.mark.browser

STUDIES = many_studies(40)
DONE = {"kind": "done", "found": 40}
Lines = Iterable[dict[str, Any] | str]
NOTE_WORDS = """(place) => {
  window.said = [];
  new MutationObserver(() => window.said.push(place.textContent.replaceAll(/\\s+/g, " ").trim()))
    .observe(place, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


def test_rows_arrive_in_their_places_with_words_for_what_is_still_to_come(browser: Browser) -> None:
    older = [STUDIES[25], STUDIES[12], *STUDIES[13:25], *STUDIES[26:]]
    stream = Played(rows_line(older[:14], 26, 40), rows_line(older[14:], 40, 40), DONE)
    server = ListServer(studies=STUDIES[:12], stream=[stream])
    with opened_list(browser, server) as page:
        expect(page.locator("#progress")).to_contain_text("12 studies so far")
        stream.go_on.set()
        expect(page.locator("#progress")).to_contain_text("26 of 40 studies")
        assert page.locator("#progress progress").evaluate("bar => bar.value / bar.max") == pytest.approx(0.65)
        stream.go_on.set()
        expect(page.locator("li.study")).to_have_count(40)
        stream.go_on.set()
        expect(page.locator("#count")).to_have_text("40 studies, newest first")

        expect(page.locator("#progress")).to_be_hidden()
        uids = page.eval_on_selector_all("li.study", "rows => rows.map((row) => row.dataset.uid)")
        years = page.locator("section.year > h2").all_inner_texts()
    assert uids == [study.uid for study in STUDIES]
    assert years == ["2026", "2025"]


def test_undated_and_older_years_find_their_group(browser: Browser) -> None:
    late = [
        ListedStudy(number=100, day=None),
        ListedStudy(number=101, day=date(2019, 1, 1)),
        ListedStudy(number=102, day=date(2030, 1, 1)),
    ]
    with opened_list(browser, ListServer(studies=STUDIES[:12], stream=[[rows_line(late, 15, None), DONE]])) as page:
        expect(page.locator("li.study")).to_have_count(15)

        assert page.locator("section.year > h2").all_inner_texts() == ["2030", "2026", "2025", "2019", "Undated"]


def test_a_row_that_comes_again_takes_its_own_place(browser: Browser) -> None:
    again = ListedStudy(number=3, day=STUDIES[3].day, title="X-ray with a better name")
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[[rows_line([again], 6, 6), DONE]])) as page:
        expect(page.locator("li.study").nth(3).locator(".title")).to_have_text("X-ray with a better name")

        expect(page.locator("li.study")).to_have_count(6)


def test_findings_and_reports_arrive_last_and_until_then_nobody_says_there_are_none(browser: Browser) -> None:
    findings = {"kind": "findings", "rows": {STUDIES[1].uid: '<p class="finding warning"><strong>Cyst</strong> due</p>'}}
    reports = {"kind": "reports", "rows": {STUDIES[0].uid: '<article class="report"><p class="conclusion">Late.</p></article>'}}
    stream = Played(reports, findings, DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[stream])) as page:
        expect(page.get_by_text("Findings are still being looked at.")).to_be_visible()
        stream.go_on.set()
        expect(page.get_by_text("Late.")).to_be_visible()
        expect(page.get_by_text("Findings are still being looked at.")).to_be_visible()
        stream.go_on.set()
        expect(page.locator("li.study").nth(1).get_by_text("Cyst")).to_be_visible()
        expect(page.get_by_text("Findings are still being looked at.")).to_have_count(0)
        stream.go_on.set()
        page.locator("label.chip", has_text="with findings").click()

        assert page.locator("li.study:visible").count() == 2, "one had its finding from the start"


def test_a_busy_server_is_counted_down(browser: Browser) -> None:
    stream = Played({"kind": "busy", "seconds": 3}, rows_line(STUDIES[6:8], 8, 8), DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[stream])) as page:
        # Each second's words stand for that second only: a glance now and then may miss them.
        page.locator("#busy").evaluate(NOTE_WORDS)
        stream.go_on.set()
        wait_until(lambda: len(page.evaluate("window.said")) >= 2, page)
        stream.go_on.set()

        expect(page.locator("#busy")).to_be_hidden()
        assert page.evaluate("window.said.slice(0, 2)") == [
            "The imaging server is busy. Asking again in 3 s.",
            "The imaging server is busy. Asking again in 2 s.",
        ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([rows_line(STUDIES[6:8], 8, 40)], "stopped before its end"),
        (["{no json\n"], "stopped before its end"),
        ([{"kind": "failed", "html": '<p class="message warning">The imaging server does not answer.</p>'}], "does not answer"),
    ],
)
def test_a_list_that_breaks_off_says_so_and_can_be_gone_on_with(browser: Browser, lines: Lines, words: str) -> None:
    server = ListServer(studies=STUDIES[:6], stream=[lines, [rows_line(STUDIES[:40], 40, 40), DONE]])
    with opened_list(browser, server) as page:
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_role("alert")).to_contain_text("Studies, reports and findings may be missing here.")
        shown = page.locator("li.study").count()
        expect(page.locator("#count")).to_have_text(f"{shown} studies so far")
        page.get_by_role("button", name="Go on loading the list").click()
        expect(page.locator("#count")).to_have_text("40 studies, newest first")

        expect(page.get_by_role("alert")).to_be_empty()
        assert page.locator("li.study").count() == 40
    assert shown >= 6, "what was there stays"


def test_notes_of_the_imaging_server_are_shown(browser: Browser) -> None:
    note = {"kind": "notes", "html": '<p class="message">One archive did not answer.</p>'}
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[[note, DONE]])) as page:
        expect(page.get_by_text("One archive did not answer.")).to_be_visible()


def test_filters_hold_for_what_arrives_later(browser: Browser) -> None:
    stream = Played(rows_line(STUDIES[12:], 40, 40), DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:12], stream=[stream])) as page:
        page.get_by_role("searchbox").fill("mri")
        expect(page.locator("#count")).to_have_text("3 of 12 studies shown")
        stream.go_on.set()

        expect(page.locator("#count")).to_have_text("10 of 40 studies shown")


def test_a_count_after_the_filters_are_cleared_is_of_what_has_arrived(browser: Browser) -> None:
    stream = Played(rows_line(STUDIES[12:26], 26, 40), rows_line(STUDIES[26:], 40, 40), DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:12], stream=[stream])) as page:
        page.get_by_role("searchbox").fill("mri")
        expect(page.locator("#count")).to_have_text("3 of 12 studies shown")
        page.get_by_role("searchbox").fill("")
        expect(page.locator("#count")).to_have_text("12 studies so far")
        stream.go_on.set()
        expect(page.locator("#count")).to_have_text("26 studies so far")
        stream.go_on.set()
        expect(page.locator("#count")).to_have_text("40 studies so far")
        stream.go_on.set()

        expect(page.locator("#count")).to_have_text("40 studies, newest first")


def test_a_count_after_the_filters_of_a_broken_list_are_cleared_is_of_what_is_there(browser: Browser) -> None:
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[[rows_line(STUDIES[6:8], 8, 40)]])) as page:
        expect(page.get_by_role("button", name="Go on loading the list")).to_be_visible()
        page.get_by_role("searchbox").fill("mri")
        expect(page.locator("#count")).to_have_text("2 of 8 studies shown")
        page.keyboard.press("Escape")

        expect(page.locator("#count")).to_have_text("8 studies so far")


def test_leaving_the_page_ends_the_stream(browser: Browser) -> None:
    stream = Played(DONE)
    with opened_list(browser, ListServer(studies=STUDIES[:6], stream=[stream])) as page:
        with page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")):
            page.get_by_role("link", name="Open images").first.click()
            page.wait_for_url("**/viewer/*")
        stream.go_on.set()


def test_a_thousand_studies_stay_quick(browser: Browser, record_property: Callable[[str, object], None]) -> None:
    """The times are reported, not judged: they depend on the machine (goal: filtering under 50 ms)."""
    thousand = many_studies(1000, every_days=4)
    stream = [rows_line(thousand[at : at + 200], at + 200, 1000) for at in range(200, 1000, 200)]
    with opened_list(browser, ListServer(studies=thousand[:200], stream=[[*stream, DONE]])) as page:
        started = time.monotonic()
        expect(page.locator("#count")).to_have_text("1,000 studies, newest first")
        record_property("arrival_s", round(time.monotonic() - started, 2))
        times = page.evaluate(
            """async () => {
                const box = document.querySelector("input[name=family][value=mr]");
                const times = { script: [], painted: [] };
                for (let round = 0; round < 6; round += 1) {
                    const start = performance.now();
                    box.click();
                    times.script.push(Math.round(performance.now() - start));
                    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
                    times.painted.push(Math.round(performance.now() - start));
                }
                return times;
            }"""
        )
        record_property("filter_ms", times)
        print(f"filter of 1,000 studies, ms: {times}")

        assert page.locator("li.study:visible").count() == 1000
        assert page.locator("#timeline .lane button").count() < 400
