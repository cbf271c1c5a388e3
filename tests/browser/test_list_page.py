"""The study list in a browser: timeline, filters, grouping and keys. Spec: smart-launch.md §8 (study list, access)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.list_actors import ListedStudy, ListServer, a_browser, many_studies, opened_list

pytestmark = pytest.mark.browser

FEW = (
    ListedStudy(number=1, day=date(2026, 2, 10), tone="critical"),
    ListedStudy(
        number=2, day=date(2025, 11, 3), modality="MR", family="mr", region="head", title="MRI brain", has_report=False
    ),
    ListedStudy(number=3, day=date(2021, 6, 1), title="CT chest, abdomen and pelvis", region="chest abdomen pelvis"),
    ListedStudy(number=4, day=None, modality="US", family="us", region="other", title="Échographie"),
)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


@pytest.fixture
def few(browser: Browser) -> Iterator[Page]:
    with opened_list(browser, ListServer(studies=FEW)) as page:
        yield page


def expect_titles(page: Page, titles: list[str]) -> None:
    """The titles of the rows that are shown; by their text, because a row far off screen is laid out by nobody."""
    expect(page.locator("li.study:visible .title")).to_have_text(titles)


def focused_study(page: Page) -> str | None:
    uid: str | None = page.evaluate("document.activeElement.closest('li.study')?.dataset.uid ?? null")
    return uid


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


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("brain", ["MRI brain"]),
        ("2026 chest", ["CT chest"]),
        ("CHEST  ct", ["CT chest", "CT chest, abdomen and pelvis"]),
        ("echographie", ["Échographie"]),
        ("numero pelvis", ["CT chest, abdomen and pelvis"]),
    ],
)
def test_words_filter_in_any_order_without_case_and_accents(few: Page, text: str, titles: list[str]) -> None:
    few.get_by_role("searchbox").fill(text)

    expect(few.locator("#count")).to_have_text(f"{len(titles)} of 4 studies shown")
    expect_titles(few, titles)


def test_chips_filter_by_modality_region_findings_and_reports(few: Page) -> None:
    few.locator("label.chip", has_text="CT").click()
    expect_titles(few, ["CT chest", "CT chest, abdomen and pelvis"])
    few.locator("label.chip", has_text="Abdomen").click()
    expect_titles(few, ["CT chest, abdomen and pelvis"])
    few.get_by_role("button", name="Clear filters").click()
    few.locator("label.chip", has_text="with findings").click()
    expect_titles(few, ["CT chest"])
    few.keyboard.press("Escape")
    few.locator("label.chip", has_text="with report").click()

    expect_titles(few, ["CT chest", "CT chest, abdomen and pelvis", "Échographie"])
    # The brain has no report: its mark is off.
    expect(few.locator("#timeline button:disabled")).to_have_count(1)


def test_clearing_the_filters_leaves_the_grouping_and_the_keyboard_on_the_page(few: Page) -> None:
    few.locator("label.chip", has_text="region").click()
    few.locator("label.chip", has_text="CT").click()
    few.get_by_role("button", name="Clear filters").click()

    expect(few.locator("#count")).to_have_text("4 studies here")
    expect(few.get_by_role("searchbox")).to_be_focused()
    expect(few.get_by_role("radio", name="region")).to_be_checked()
    assert few.locator("section.year > h2").first.inner_text() == "Head"


def test_nothing_found_says_so_and_leads_back(few: Page) -> None:
    few.get_by_role("searchbox").fill("ankle")
    expect(few.get_by_text("No study matches.")).to_be_visible()
    few.get_by_role("button", name="Show all studies").click()

    expect(few.locator("#count")).to_have_text("4 studies here")
    assert few.evaluate("document.activeElement.id") == "find"


def test_the_list_can_be_grouped_by_region_and_back(few: Page) -> None:
    by_year = few.locator("section.year > h2").all_inner_texts()
    few.locator("label.chip", has_text="region").click()
    by_region = few.locator("section.year > h2").all_inner_texts()
    few.locator("label.chip", has_text="year").click()

    assert by_year == few.locator("section.year > h2").all_inner_texts() == ["2026", "2025", "2021", "Undated"]
    assert by_region == ["Head", "Chest", "Chest · Abdomen · Pelvis", "Other or not stated"]


def test_single_keys_walk_the_rows_fold_reports_and_find(few: Page) -> None:
    few.keyboard.press("j")
    first = focused_study(few)
    few.keyboard.press("r")
    unfolded = few.locator("li.study").first.locator("details").get_attribute("open")
    few.keyboard.press("ArrowDown")
    few.keyboard.press("j")
    third = focused_study(few)
    few.keyboard.press("k")
    second = focused_study(few)
    few.keyboard.press("/")
    few.keyboard.type("jkr")

    assert (first, second, third) == (FEW[0].uid, FEW[1].uid, FEW[2].uid)
    assert unfolded is not None
    assert few.get_by_role("searchbox").input_value() == "jkr", "keys typed into the field are text"


def test_enter_opens_the_study_that_the_keys_reached(few: Page) -> None:
    few.keyboard.press("j")
    few.keyboard.press("j")
    few.keyboard.press("Enter")

    few.wait_for_url(f"**/viewer/{FEW[1].uid}")


def test_single_keys_can_be_switched_off(few: Page) -> None:
    few.get_by_role("button", name="Keyboard").click()
    few.get_by_label("Single keys work on this page").uncheck()
    few.get_by_role("button", name="Close").click()
    few.keyboard.press("j")
    few.keyboard.press("/")

    assert focused_study(few) is None
    assert few.evaluate("document.activeElement.id") == "show-keys"


def test_back_from_the_viewer_finds_the_list_as_it_was_with_the_study_and_its_priors_marked(few: Page) -> None:
    few.locator("label.chip", has_text="CT").click()
    few.locator("label.chip", has_text="region").click()
    address = few.url
    few.get_by_role("link", name="Open images: CT chest, 10 Feb 2026").click()
    few.wait_for_url("**/viewer/*")
    few.go_back()

    expect(few.locator("#count")).to_have_text("2 of 4 studies shown")
    expect(few.locator(f"#study-{FEW[0].uid.replace('.', chr(92) + '.')} .tag")).to_have_text("Opened last")
    assert few.locator(".tag.prior").count() == 1
    assert few.get_by_role("radio", name="region").is_checked()
    assert few.url == address, "nothing of it stands in the address"
    assert few.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_marks_of_what_was_opened_change_only_where_they_differ(few: Page) -> None:
    few.locator("#groups").evaluate("list => list.addEventListener('click', (event) => event.preventDefault())")
    few.get_by_role("link", name="Open images: CT chest, 10 Feb 2026").click()
    expect(few.locator(".tag")).to_have_text(["Opened last", "Prior"])
    texts = few.evaluate("() => [...document.querySelectorAll('.what')].map((what) => what.childNodes.length)")
    few.evaluate(
        """() => {
            window.changes = 0;
            new MutationObserver((records) => { window.changes += records.length; })
                .observe(document.getElementById("groups"), { subtree: true, childList: true, attributes: true });
        }"""
    )
    few.get_by_role("link", name="Open images: CT chest, 10 Feb 2026").click()
    changes = few.evaluate("() => new Promise((say) => requestAnimationFrame(() => say(window.changes)))")
    few.get_by_role("link", name="Open images: MRI brain").click()
    expect(few.locator(".tag")).to_have_text(["Opened last"])
    few.get_by_role("link", name="Open images: CT chest, 10 Feb 2026").click()
    expect(few.locator(".tag")).to_have_text(["Opened last", "Prior"])

    assert changes == 0
    assert few.evaluate("() => [...document.querySelectorAll('.what')].map((what) => what.childNodes.length)") == texts


def test_back_from_the_viewer_finds_the_same_rows_on_screen(browser: Browser) -> None:
    with opened_list(browser, ListServer(studies=many_studies(200))) as page:
        row = page.locator("li.study").nth(120)
        link = row.get_by_role("link", name="Open images")
        # Pointing at it scrolls as clicking does, and the rows above are measured then.
        link.hover()
        page.wait_for_timeout(400)
        before = row.bounding_box()
        link.click()
        page.wait_for_url("**/viewer/*")
        page.go_back()
        expect(row).to_be_in_viewport()
        page.wait_for_timeout(400)
        after = row.bounding_box()

    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 40


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


@pytest.mark.parametrize("width", [1400, 1225, 800, 390, 320])
@pytest.mark.parametrize("count", [4, 300])
def test_no_width_scrolls_sideways(browser: Browser, width: int, count: int) -> None:
    studies = FEW if count == 4 else many_studies(count)
    with opened_list(browser, ListServer(studies=studies), width=width) as page:
        page.evaluate("document.getElementById('timeline').open = true")
        expect(page.locator("#timeline .lane").first).to_be_visible()

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.evaluate(
            """[...document.querySelectorAll('main button, main .chip, main summary, main .button')].filter((one) => {
                const box = one.getBoundingClientRect();
                return box.width > 0 && (box.width < 24 || box.height < 24);
            }).map((one) => one.outerHTML.slice(0, 80))"""
        )
        assert small == []


def test_a_focused_row_is_not_hidden_by_what_sticks_above_it(browser: Browser) -> None:
    with opened_list(browser, ListServer(studies=many_studies(60))) as page:
        for _ in range(20):
            page.keyboard.press("j")
        for _ in range(12):
            page.keyboard.press("k")
        top = page.evaluate("document.activeElement.getBoundingClientRect().top")
        covered = page.evaluate(
            "Math.max(...[...document.querySelectorAll('.banner, section.year > h2')].map((one) => one.getBoundingClientRect())"
            ".filter((box) => box.top < 60).map((box) => box.bottom))"
        )

    assert top >= covered


def test_without_scripts_the_list_is_whole(browser: Browser) -> None:
    with opened_list(browser, ListServer(studies=FEW), java_script_enabled=False) as page:
        expect_titles(page, [study.title for study in FEW])
        expect(page.locator("#filters")).to_be_hidden()
        expect(page.locator("#timeline")).to_be_hidden()


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
