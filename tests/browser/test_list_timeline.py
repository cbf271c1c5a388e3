"""The timeline above the study list: what its marks and bars say, how they are reached, and the sums behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.list_actors import ListServer, a_browser, focused_study, opened_list
from tests.browser.listed_studies import FEW, many_studies

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


@pytest.fixture
def few(browser: Browser) -> Iterator[Page]:
    with opened_list(browser, ListServer(studies=FEW)) as page:
        yield page


def test_the_timeline_has_a_lane_for_each_region_and_a_mark_for_each_dated_study(few: Page) -> None:
    lanes = {lane.get_attribute("aria-label"): lane.locator("button").count() for lane in few.locator("#timeline .lane").all()}

    assert lanes == {"Head": 1, "Chest": 2, "Abdomen": 1, "Pelvis": 1}
    assert few.locator("#timeline .years").all_inner_texts() == ["2021", "…", "2025", "2026"]
    expect(few.locator("#timeline [data-legend=undated]")).to_be_visible()


def test_a_mark_says_what_it_stands_for_without_colour_alone(few: Page) -> None:
    mark = few.get_by_role("button", name="CT chest, 10 Feb 2026, CT, finding: Lung nodule 1")

    expect(mark).to_have_text("CT!")
    mark.hover()
    expect(few.get_by_role("tooltip")).to_contain_text("CT chest, 10 Feb 2026")
    few.keyboard.press("Escape")
    expect(few.locator("#timeline-tip")).to_be_hidden()


def test_escape_takes_the_tooltip_away_before_it_clears_the_filters(few: Page) -> None:
    few.get_by_role("searchbox").fill("chest")
    expect(few.locator("#count")).to_have_text("2 of 4 studies shown")
    few.get_by_role("button", name="CT chest, 10 Feb 2026, CT, finding: Lung nodule 1").hover()
    expect(few.get_by_role("tooltip")).to_be_visible()
    few.keyboard.press("Escape")
    expect(few.locator("#timeline-tip")).to_be_hidden()
    after_one = few.get_by_role("searchbox").input_value()
    few.keyboard.press("Escape")

    expect(few.locator("#count")).to_have_text("4 studies here")
    assert after_one == "chest"


def test_a_mark_leads_to_its_row_with_the_keyboard_alone(few: Page) -> None:
    few.locator("#timeline > summary").focus()
    reached = []
    for key in ("Tab", "ArrowUp", "Home", "End", "ArrowDown", "ArrowLeft", "ArrowDown"):
        few.keyboard.press(key)
        reached.append(few.evaluate("document.activeElement.closest('.lane').getAttribute('aria-label')"))
    few.keyboard.press("Enter")

    assert reached == ["Chest", "Head", "Head", "Head", "Chest", "Chest", "Abdomen"]
    assert focused_study(few) == FEW[2].uid
    assert few.locator("#timeline button[tabindex='0']").count() == 1


def test_many_studies_become_bars_with_their_number(browser: Browser) -> None:
    with opened_list(browser, ListServer(studies=many_studies(400))) as page:
        bars = page.locator("#timeline .bar")
        expect(bars.first).to_be_attached()
        narrowest = min(
            page.eval_on_selector_all("#timeline .bar", "bars => bars.map(bar => bar.getBoundingClientRect().width)")
        )
        label = page.locator("#timeline .lane", has_text="Chest").locator("button").last.get_attribute("aria-label")
        bars.last.click()

        assert narrowest >= 24
        assert label == "Chest, Jan – Jun 2026: 3 studies, with findings"
        assert focused_study(page) is not None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("partOfYear('2026')", 0),
        ("partOfYear('2026-07')", 0.5),
        ("partOfYear('2026-12-31T23:59:00+14:00') < 1", True),
        ("partOfYear('')", 0),
        ("new YearScale([{year: '2020'}], 100).segments.map((one) => one.width)", [100]),
        ("new YearScale([{year: '2020'}, {year: '2022'}], 90).segments.map((one) => one.width)", [30, 30, 30]),
        ("new YearScale([{year: '2010'}, {year: '2020'}], 245).segments.map((one) => one.isGap)", [False, True, False]),
        ("Math.round(new YearScale([{year: '2010'}, {year: '2020'}], 245).at(2015, 0.5))", 122),
        ("packed([{x: 0}, {x: 10}, {x: 30}], 24, 200)", 2),
        ("packed([{x: 190}], 24, 200)", 1),
        ("packed([], 24, 200)", 0),
        ("[1000, 300, 90, 50, 10].map((width) => monthsPerBar(width, 24))", [1, 1, 6, 6, 12]),
    ],
)
def test_the_timelines_sums(few: Page, expression: str, expected: object) -> None:
    script = f"""async () => {{
        const {{ YearScale, monthsPerBar, packed, partOfYear }} = await import("/static/studies/timeline_scale.js");
        return {expression};
    }}"""

    assert few.evaluate(script) == expected
