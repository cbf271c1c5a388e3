"""Busy servers in the browser: the page's countdown, and image requests that wait and go out again (C7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, Response, request
from jinja2 import Environment, FileSystemLoader
from playwright.sync_api import Browser, Page, expect

from fhir_imaging import texts
from tests.browser.list_actors import wait_until
from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PAGE = """<!doctype html><html lang="en"><title>Busy</title><body>
<p id="countdown" role="timer" data-seconds="2" hidden>again in <strong data-left>2</strong> s.</p>
<p id="countdown-over" hidden>over</p>
<script type="module" src="/static/countdown.js"></script>"""


def viewer_words() -> str:
    """The words of the viewer's own page."""
    environment = Environment(loader=FileSystemLoader(CHECKOUT / "templates"), autoescape=True)
    texts.install(environment)
    shell = environment.get_template("viewer/ohif_shell.html").render()
    return shell[shell.index("<template") : shell.index("</template>")]


@dataclass
class BusyServer:
    """A page and an image server; ``answers`` are (status, Retry-After) of the next images, then all is well."""

    base: str = ""
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    pages: int = 0

    def app(self) -> Flask:
        app = Flask("busy", static_folder=str(CHECKOUT / "static"))
        app.add_url_rule("/", "page", lambda: f"<!doctype html><title>Busy</title>{viewer_words()}")
        app.add_url_rule("/waiting", "waiting", self._waiting)
        app.add_url_rule("/images/<path:name>", "image", self._image, methods=["GET", "POST"])
        return app

    def _waiting(self) -> str:
        self.pages += 1
        return PAGE

    def _image(self, name: str) -> Response:
        self.asked.append((request.full_path, request.headers.get("Authorization", "")))
        status, retry_after = self.answers.pop(0) if self.answers else (200, None)
        return Response("pixels", status, {"Retry-After": retry_after} if retry_after else {})


@pytest.fixture
def server() -> Iterator[BusyServer]:
    busy = BusyServer()
    with serving(busy.app(), free_port_number()) as base:
        busy.base = base
        yield busy


@pytest.fixture
def page(ohif_browser: Browser, server: BusyServer) -> Iterator[Page]:
    opened = ohif_browser.new_page()
    opened.goto(server.base)
    yield opened
    opened.close()


def stop_the_clock(page: Page) -> None:
    """From now on the page's time goes on by ``page.clock.run_for`` alone, so no second passes unseen on a busy machine."""
    page.clock.install(time=0)
    page.clock.pause_at(1)


GUARD = """async () => {
  const { guardRequests } = await import("/static/viewer/requests.js");
  const { BusyServers } = await import("/static/viewer/busy.js");
  let token = 0;
  const keeper = { current: async () => `t${(token += 1)}`, afterRefusalOf: async () => `t${(token += 1)}`, end: () => {} };
  window.settled = [];
  const watch = () => (status) => window.settled.push(status);
  guardRequests(window, [`${location.origin}/images`], keeper, watch, null, new BusyServers(document));
}"""
# Put together as static/viewer/main.js does it.
TROUBLED_GUARD = """async () => {
  const { guardRequests } = await import("/static/viewer/requests.js");
  const { BusyServers } = await import("/static/viewer/busy.js");
  const { ImageTroubles } = await import("/static/viewer/troubles.js");
  const { showTrouble } = await import("/static/viewer/notice.js");
  const keeper = { current: async () => "t", afterRefusalOf: async () => "t", end: () => {} };
  const troubles = new ImageTroubles((trouble) => showTrouble(document, trouble));
  const busy = new BusyServers(document, (isCounting) => troubles.hold(isCounting));
  guardRequests(window, [`${location.origin}/images`], keeper, (address) => troubles.watch(address), null, busy);
}"""
BY_FETCH = "async (path) => { const answer = await fetch(path); return [answer.status, await answer.text()]; }"
BY_XHR = """(path) => new Promise((resolve) => {
  const request = new XMLHttpRequest();
  const events = [];
  request.open("GET", path);
  request.onreadystatechange = () => events.push(`${request.readyState}:${request.status}`);
  request.onload = () => resolve([request.status, request.responseText, events.join(" ")]);
  request.onerror = () => resolve([0, "", events.join(" ")]);
  request.send();
})"""


@pytest.mark.parametrize("send", [BY_FETCH, BY_XHR], ids=["fetch", "XMLHttpRequest"])
def test_c7_a_busy_image_server_is_asked_again_with_the_same_request(page: Page, server: BusyServer, send: str) -> None:
    server.answers = [(503, "0.3"), (429, "0"), (503, "0")]
    page.evaluate(GUARD)
    status, text, *_ = page.evaluate(send, "/images/frames/1?quality=90")

    assert (status, text) == (200, "pixels")
    assert [path for path, _ in server.asked] == ["/images/frames/1?quality=90"] * 4
    assert all(token.startswith("Bearer t") for _, token in server.asked)
    assert page.evaluate("settled") == [200]


def test_c7_the_viewer_sees_nothing_of_the_attempts_in_between(page: Page, server: BusyServer) -> None:
    server.answers = [(503, "0.3")]
    page.evaluate(GUARD)
    *_, events = page.evaluate(BY_XHR, "/images/frames/1")

    assert "503" not in events
    assert events.endswith("4:200")


@pytest.mark.parametrize("send", [BY_FETCH, BY_XHR], ids=["fetch", "XMLHttpRequest"])
def test_c7_a_renewed_token_is_sent_where_the_repetition_is_refused(page: Page, server: BusyServer, send: str) -> None:
    server.answers = [(503, "0"), (401, None)]
    page.evaluate(GUARD)
    status, *_ = page.evaluate(send, "/images/frames/1")

    assert status == 200
    assert len({token for _, token in server.asked}) == 3


def test_c7_a_longer_wait_is_counted_down_beside_the_images(page: Page, server: BusyServer) -> None:
    server.answers = [(503, "4"), (503, "4")]
    stop_the_clock(page)
    page.evaluate(GUARD)
    page.evaluate("() => { window.both = Promise.all([fetch('/images/1'), fetch('/images/2')]); }")
    notice = page.locator("#imaging-cds-busy")

    expect(notice).to_have_count(1)
    expect(notice).to_contain_text("The image server is busy.")
    expect(notice).to_contain_text("asked for again in 4 s.")
    wait_until(lambda: len(server.asked) == 2, page)
    page.clock.run_for(2_000)
    expect(notice).to_contain_text("asked for again in 2 s.")
    page.clock.run_for(2_000)
    assert page.evaluate("both.then((answers) => answers.map((one) => one.status))") == [200, 200]
    expect(notice).to_have_count(0)


def test_c7_a_countdown_is_not_contradicted_by_the_word_that_images_are_slow(page: Page, server: BusyServer) -> None:
    """The notice of late images would cover the countdown; it may come again when the request has gone out again."""
    server.answers = [(503, "40")]
    stop_the_clock(page)
    page.evaluate(TROUBLED_GUARD)
    page.evaluate("() => { window.one = fetch('/images/1').then((answer) => answer.status); }")
    notice = page.locator("#imaging-cds-busy")
    expect(notice).to_be_visible()
    page.clock.run_for(20_000)

    expect(notice).to_contain_text("asked for again in 20 s.")
    expect(page.locator("#imaging-cds-trouble")).to_have_count(0)

    page.clock.run_for(21_000)
    assert page.evaluate("one") == 200
    expect(notice).to_have_count(0)
    expect(page.locator("#imaging-cds-trouble")).to_have_count(0)


@pytest.mark.parametrize(
    ("method", "status", "retry_after", "repeats", "wait"),
    [
        ("GET", 503, "2", 0, 2000),
        ("get", 429, "1.5", 0, 1500),
        ("GET", 503, "0", 0, 250),
        ("GET", 503, "0", 3, 2000),
        ("GET", 503, "0", 4, None),
        ("GET", 429, "2", 59, 4000),
        ("GET", 429, "2", 60, None),
        ("GET", 503, "121", 0, None),
        ("GET", 503, None, 0, None),
        ("GET", 503, "soon", 0, None),
        ("GET", 503, "-1", 0, None),
        ("GET", 500, "1", 0, None),
        ("GET", 200, "1", 0, None),
        ("POST", 503, "1", 0, None),
        ("GET", 503, "Thu, 01 Jan 1970 00:00:10 GMT", 0, 9000),
        ("GET", 503, "Thu, 01 Jan 1970 00:00:00 GMT", 0, 250),
    ],
)
def test_c7_which_answers_are_waited_for(
    page: Page, method: str, status: int, retry_after: Any, repeats: int, wait: Any
) -> None:
    script = "async (given) => (await import('/static/viewer/busy.js')).waitBeforeRepeating(...given, 1000)"

    assert page.evaluate(script, [method, status, retry_after, repeats]) == wait


def test_c7_the_page_counts_down_and_loads_itself_again(page: Page, server: BusyServer) -> None:
    stop_the_clock(page)
    page.goto(f"{server.base}/waiting")
    timer = page.locator("#countdown")
    expect(timer).to_contain_text("again in 2 s.")
    page.clock.run_for(1_000)
    expect(timer).to_contain_text("again in 1 s.")
    with page.expect_event("load"):
        page.clock.run_for(1_000)

    assert server.pages == 2
    assert page.evaluate("history.state.busyAttempts") == 1


def test_c7_the_page_gives_up_after_ten_attempts_and_says_so(page: Page, server: BusyServer) -> None:
    page.goto(f"{server.base}/waiting")
    page.evaluate("history.replaceState({ busyAttempts: 10 }, '')")
    page.reload()

    expect(page.locator("#countdown-over")).to_be_visible()
    expect(page.locator("#countdown")).to_be_hidden()
