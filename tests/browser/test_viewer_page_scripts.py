"""The page around the viewer with a stand-in for the viewer: what it hears, what it sends, and when it loads a page instead."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.viewer_page_actors import is_same_document, sent, tell

pytest_plugins = ["tests.browser.ohif_fixtures", "tests.browser.viewer_page_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_a_slice_of_the_shown_study_is_a_message_and_no_page(page: Page) -> None:
    page.get_by_role("link", name="Slice").click()
    [command] = sent(page)

    named = {name: value for name, value in command.items() if value is not None}
    assert named == {"source": "imaging-cds-page", "type": "jump", "study": "1.1", "instance": "9.9"}
    assert is_same_document(page)


def test_a_slice_that_the_viewer_does_not_find_is_asked_for_as_a_page(page: Page) -> None:
    page.get_by_role("link", name="Slice").click()
    sent(page)
    tell(page, event="failed", type="jump", reason="not-found")
    page.wait_for_url("**/viewer/1.1?instance=9.9")

    assert not is_same_document(page)


def test_another_study_changes_identity_line_and_report_with_the_images(page: Page) -> None:
    page.get_by_role("link", name="Prior").click()
    [command] = sent(page)
    page.locator("#words", has_text="Report of 1.2").wait_for()
    shown = (page.title(), page.locator("#viewer").get_attribute("title"), page.url.rpartition("/")[2])
    page.go_back()
    back = sent(page, 2)[1]
    page.locator("#words", has_text="Report of 1.1").wait_for()

    assert (command["type"], command["studies"]) == ("open", ["1.2"])
    assert shown == ("1.2", "1.2", "1.2")
    assert (back["type"], back["studies"]) == ("open", ["1.1"])
    assert is_same_document(page)


@pytest.mark.parametrize(("link", "where"), [("Elsewhere", "**/viewer/1.3"), ("Not yours", "**/refused")])
def test_another_server_and_a_refusal_are_pages_of_their_own(page: Page, link: str, where: str) -> None:
    """The viewer knows the servers that it began with; a refusal is never swallowed."""
    page.get_by_role("link", name=link).click()
    page.wait_for_url(where)

    assert page.evaluate("window.isTheFirstDocument !== true")


def test_the_end_says_why_and_takes_report_and_pictures_away(page: Page) -> None:
    tell(page, event="session-ended", reason="refused")
    page.locator("#mask").wait_for(state="visible")

    assert page.locator("#mask").inner_text() == "refused"
    assert page.locator("#panel").is_hidden()
    assert page.locator("#viewer").get_attribute("src") == "about:blank"


def test_the_study_line_says_when_the_session_is_about_to_end(page: Page) -> None:
    """Only near the end, never in the midst of a session, and still there when another study is shown."""
    line = page.locator("#ending")
    # Each silence follows words, so that it is seen to come.
    for left, words in ((100, "two minutes"), (121, ""), (40, "one minute"), (2000, ""), (40, "one minute")):
        with page.expect_response("**/state"):
            page.evaluate(f"document.cookie = 'left={left}; path=/'; document.dispatchEvent(new Event('visibilitychange'))")
        expect(line).to_have_text(words, use_inner_text=True)
    page.get_by_role("link", name="Prior").click()
    expect(page.locator("#words")).to_have_text("Report of 1.2")

    expect(line).to_have_text("one minute", use_inner_text=True)
    expect(page.locator("#mask")).to_be_hidden()


def test_nobody_but_the_viewers_frame_is_heard(page: Page) -> None:
    """Group 31: neither the page itself nor a message of another name ends a session."""
    page.evaluate("postMessage({ source: 'imaging-cds-viewer', event: 'session-ended' }, location.origin)")
    page.frames[1].evaluate("parent.postMessage({ source: 'someone', event: 'session-ended' }, location.origin)")
    page.wait_for_timeout(300)

    assert page.locator("#mask").is_hidden()


def test_the_reader_leaves_the_report_closed_and_it_stays_closed(page: Page) -> None:
    """Remembered in memory: for the next study too, and nowhere after the page is gone."""
    page.locator("#panel-close").click()
    page.evaluate("document.querySelector('#panel').hidden = false; document.querySelector('a[data-open]').click()")
    page.wait_for_url("**/viewer/1.2")
    page.locator("#words", has_text="Report of 1.2").wait_for(state="attached")
    closed = page.locator("#panel").is_hidden()
    page.reload()
    page.locator("#words").wait_for()

    assert closed
    assert page.locator("#panel").is_visible()


def test_a_panel_that_does_not_come_can_be_asked_for_again(page: Page) -> None:
    page.route("**/panel/**", lambda route: route.abort())
    page.reload()
    page.locator("#panel-failed").wait_for(state="visible")
    page.unroute("**/panel/**")
    page.locator("#panel-again").click()
    page.locator("#words").wait_for()

    assert page.locator("#panel-failed").count() == 0
