"""The study list in a browser: filters, grouping, keys and the way back. Spec: smart-launch.md §8 (study list, access)."""

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


def expect_titles(page: Page, titles: list[str]) -> None:
    """The titles of the rows that are shown; by their text, because a row far off screen is laid out by nobody."""
    expect(page.locator("li.study:visible .title")).to_have_text(titles)


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
