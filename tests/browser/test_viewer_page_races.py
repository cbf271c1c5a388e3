"""The page around the viewer when answers come late, out of order or not at all."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.viewer_page_actors import is_same_document, sent, tell

pytest_plugins = ["tests.browser.ohif_fixtures", "tests.browser.viewer_page_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

KEY_IMAGES = {"kind": "KO", "series": "5.5", "title": "Key images of 1.1", "items": []}


def held(page: Page, pattern: str) -> list[Route]:
    """Requests that are held back until the test lets them go on."""
    waiting: list[Route] = []
    page.route(pattern, lambda route: waiting.append(route))
    return waiting


def wait_for_held(page: Page, waiting: list[Route], count: int = 1) -> None:
    while len(waiting) < count:
        page.wait_for_timeout(20)


@pytest.mark.parametrize("comes", [True, False], ids=["late", "never"])
def test_a_late_report_writes_nothing_beside_another_study(page: Page, comes: bool) -> None:
    """Key images of one study never stand beside another's images."""
    waiting = held(page, "**/panel/1.1")
    page.evaluate("document.querySelector('#panel-content').innerHTML += '<button id=panel-again>Again</button>'")
    page.locator("#panel-again").last.click()
    wait_for_held(page, waiting)
    tell(page, event="contents", study="1.1", objects=[KEY_IMAGES])
    page.get_by_role("link", name="Prior").click()
    expect(page.locator("#words")).to_have_text("Report of 1.2")
    with page.expect_event("requestfinished" if comes else "requestfailed"):
        waiting[0].continue_() if comes else waiting[0].abort()
    page.wait_for_timeout(200)

    expect(page.locator("#words")).to_have_text("Report of 1.2")
    expect(page.locator("#key-objects")).to_be_hidden()
    expect(page.locator("#panel-content")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("status", [None, 500, 503, 404], ids=["no network", "restarting", "busy", "not found"])
def test_a_window_without_a_ticket_ends_nothing_and_is_told_in_words(page: Page, status: int | None) -> None:
    page.route("**/ticket", lambda route: route.fulfill(status=status, body="") if status else route.abort())
    page.get_by_role("button", name="New window").click()
    expect(page.locator(".window-failed")).to_be_visible()

    expect(page.locator("#mask")).to_be_hidden()
    assert page.locator("#viewer").get_attribute("src") == "/frame"

    page.unroute("**/ticket")
    with page.expect_popup() as opening:
        page.get_by_role("button", name="New window").click()
    expect(opening.value.locator("p")).to_have_text("window with one-use")
    expect(page.locator(".window-failed")).to_have_count(0)


@pytest.mark.parametrize("status", [401, 403])
def test_a_window_for_a_session_that_is_over_ends_the_page(page: Page, status: int) -> None:
    page.route("**/ticket", lambda route: route.fulfill(status=status, body=""))
    page.get_by_role("button", name="New window").click()

    expect(page.locator("#mask")).to_be_visible()
    expect(page.locator(".window-failed")).to_have_count(0)


def test_the_last_click_wins(page: Page) -> None:
    """The study that is asked for first may be answered last; a failure of it leads nowhere."""
    slow = held(page, "**/viewer/1.2")
    page.get_by_role("link", name="Prior").click()
    wait_for_held(page, slow)
    page.get_by_role("link", name="Third").click()
    expect(page.locator("#words")).to_have_text("Report of 1.4")
    with page.expect_event("requestfinished"):
        slow[0].continue_()
    page.wait_for_timeout(200)

    assert [command["studies"] for command in sent(page)] == [["1.4"]]
    assert page.title() == "1.4"
    assert page.url.endswith("/viewer/1.4")
    assert is_same_document(page)


def test_a_slice_that_is_clicked_meanwhile_wins_too(page: Page) -> None:
    slow = held(page, "**/viewer/1.2")
    page.get_by_role("link", name="Prior").click()
    wait_for_held(page, slow)
    page.get_by_role("link", name="Slice").click()
    with page.expect_event("requestfailed"):
        slow[0].abort()
    page.wait_for_timeout(200)

    assert [command["type"] for command in sent(page)] == ["jump"]
    assert page.title() == "1.1"
    assert is_same_document(page)


def test_what_has_been_shown_is_not_asked_for_as_a_page_later(page: Page) -> None:
    """A failure that comes after the slice or the study is there belongs to something else."""
    page.get_by_role("link", name="Slice").click()
    sent(page)
    tell(page, event="jumped", study="1.1", instance="9.9")
    tell(page, event="failed", type="jump", reason="not-found")
    page.get_by_role("link", name="Prior").click()
    sent(page, 2)
    tell(page, event="first-image", study="1.2", instance="8.8")
    tell(page, event="failed", type="jump", reason="not-found")
    page.wait_for_timeout(200)

    assert page.url.endswith("/viewer/1.2")
    assert is_same_document(page)


def test_news_of_another_picture_leaves_the_question_open(page: Page) -> None:
    """An earlier slice that arrives in between is not the one that was asked for."""
    page.get_by_role("link", name="Slice").click()
    sent(page)
    tell(page, event="jumped", study="1.1", instance="1.0")
    tell(page, event="failed", type="jump", reason="not-found")
    page.wait_for_url("**/viewer/1.1?instance=9.9")

    assert not is_same_document(page)


def test_a_click_on_a_slice_ends_the_search_for_the_links_series(page: Page) -> None:
    """Contents that come after the reader's own click move no picture."""
    page.evaluate("document.querySelector('#stage').dataset.series = '5.5'")
    page.get_by_role("link", name="Slice").click()
    sent(page)
    placed = {"label": "", "study": "1.1", "series": "2.2", "instance": "7.7"}
    tell(page, event="contents", study="1.1", objects=[{**KEY_IMAGES, "items": []}])
    tell(page, event="contents", study="1.1", objects=[{**KEY_IMAGES, "kind": "KO", "items": [placed]}])
    page.wait_for_timeout(200)

    assert [command["instance"] for command in sent(page)] == ["9.9"]


def test_a_page_kept_ready_asks_for_the_report_of_the_study_that_is_opened(page: Page, viewer_base: str) -> None:
    """The EHR is not gathered from for a study that nobody opened."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(viewer_base)))
    page.goto(f"{viewer_base}/prepared")
    inner = page.frame_locator("#kept")
    expect(inner.locator("#panel-button")).to_be_visible()
    page.wait_for_timeout(300)
    assert [path for path in asked if path.startswith("/panel/")] == []

    open_study = "(frame, uid) => { frame.dataset.study = uid; frame.dataset.prepared = 'shown'; }"
    page.locator("#kept").evaluate(open_study, "1.2")
    page.wait_for_timeout(200)
    assert [path for path in asked if path.startswith("/panel/")] == []

    page.locator("#kept").evaluate(open_study, "1.1")
    expect(inner.locator("#words")).to_have_text("Report of 1.1")
    inner.get_by_role("link", name="Prior").click()
    expect(inner.locator("#words")).to_have_text("Report of 1.2")
    assert [path for path in asked if path.startswith("/panel/")] == ["/panel/1.1", "/panel/1.2"]
