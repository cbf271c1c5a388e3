"""The page around the viewer with a stand-in for the viewer: what it hears, what it sends, and when it loads a page instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, jsonify, request
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

PAGE = """<!doctype html><html lang="en"><title>{study}</title><body class="viewing">
<header class="banner" id="patient" tabindex="-1">Alma</header><main>
<div class="study-line">{study}<span id="ending" role="status"><span data-within="120" hidden>two minutes</span>
<span data-within="60" hidden>one minute</span></span><button id="panel-button">Report</button></div>
<div id="stage" data-state="/state" data-viewer-messages="imaging-cds-viewer" data-studies="{study}" data-source="{source}">
<iframe id="viewer" src="/frame" title="{study}"></iframe>
<div id="mask" tabindex="-1" hidden><p data-why="session">gone</p><p data-why="refused" hidden>refused</p></div></div>
<aside id="panel" tabindex="-1" data-panel="/panel/{study}" data-study="{study}"><button id="panel-close">Close</button>
<div id="panel-content"><p id="panel-waiting">wait</p><p id="panel-failed" hidden>failed
<button id="panel-again">Again</button></p>
</div></aside></main><script type="module" src="/static/viewer-page.js"></script></body></html>"""
PANEL = """<p id="words">Report of {study}</p>
<a href="/viewer/1.1?instance=9.9" data-jump data-study="1.1" data-instance="9.9">Slice</a>
<a href="/viewer/1.2" data-open>Prior</a> <a href="/viewer/1.3" data-open>Elsewhere</a>
<a href="/refused" data-open>Not yours</a>"""
FRAME = """<!doctype html><script src="/frame.js"></script>"""
# Says "ready" when it comes, which may be before the page listens, and again when it is asked.
FRAME_JS = """window.got = [];
const ready = () => parent.postMessage({ source: "imaging-cds-viewer", event: "ready" }, location.origin);
addEventListener("message", ({ data }) => data.type === "contents" ? ready() : got.push(data));
ready();"""


@pytest.fixture
def page(ohif_browser: Browser) -> Iterator[Page]:
    """The page of study 1.1; 1.2 is on the same server, 1.3 on another."""
    app = Flask("viewer_page", static_folder=str(CHECKOUT / "static"))
    app.get("/viewer/<study>", endpoint="viewer")(
        lambda study: PAGE.format(study=study, source="images-2" if study == "1.3" else "")
    )
    app.get("/panel/<study>", endpoint="panel")(lambda study: PANEL.format(study=study))
    app.get("/frame", endpoint="frame")(lambda: FRAME)
    app.get("/frame.js", endpoint="frame_script")(lambda: (FRAME_JS, 200, {"Content-Type": "text/javascript"}))
    app.get("/state", endpoint="state")(
        lambda: jsonify(alive=request.cookies.get("gone") != "1", seconds_left=int(request.cookies.get("left", "3000")))
    )
    app.get("/refused", endpoint="refused")(lambda: ("This study is not among this patient's", 403))
    with serving(app, free_port_number()) as base:
        opened = ohif_browser.new_page(viewport={"width": 1300, "height": 700})
        opened.goto(f"{base}/viewer/1.1")
        opened.locator("#words").wait_for()
        opened.evaluate("window.isTheFirstDocument = true")
        yield opened
        opened.close()


def is_same_document(page: Page) -> bool:
    return bool(page.evaluate("window.isTheFirstDocument === true"))


def sent(page: Page, count: int = 1) -> list[dict[str, Any]]:
    page.wait_for_function(f"document.querySelector('#viewer').contentWindow.got.length >= {count}")
    got: list[dict[str, Any]] = page.evaluate("document.querySelector('#viewer').contentWindow.got")
    return got


def tell(page: Page, **event: Any) -> None:
    """An event of the viewer's own frame."""
    script = "(event) => parent.postMessage({ source: 'imaging-cds-viewer', ...event }, location.origin)"
    page.frames[1].evaluate(script, event)


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
    said = []
    for left in (2000, 121, 100, 40):
        with page.expect_response("**/state"):
            page.evaluate(f"document.cookie = 'left={left}; path=/'; document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(200)
        said.append(page.locator("#ending").inner_text().strip())
    page.get_by_role("link", name="Prior").click()
    page.locator("#words", has_text="Report of 1.2").wait_for()
    after = page.locator("#ending").inner_text().strip()

    assert said == ["", "", "two minutes", "one minute"]
    assert after == "one minute"
    assert page.locator("#mask").is_hidden()


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
