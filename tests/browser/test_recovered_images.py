"""Image requests that a server refuses: one question where the images are, one repetition, then an end (C9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

GUARD = """async () => {
  const { guardRequests } = await import("/static/viewer/requests.js");
  const { Recovery } = await import("/static/viewer/recovery.js");
  let token = 0;
  window.ended = [];
  window.settled = [];
  const keeper = {
    current: async () => `t${token}`, afterRefusalOf: async () => `t${(token += 1)}`, end: (why) => window.ended.push(why),
  };
  const watch = () => (status) => window.settled.push(status);
  guardRequests(window, [`${location.origin}/images`], keeper, watch, null, null, new Recovery(window, "/s/one"));
}"""
BY_FETCH = "async (path) => (await fetch(path)).status"
BY_XHR = """(path) => new Promise((resolve) => {
  const request = new XMLHttpRequest();
  let loads = 0;
  request.open("GET", path);
  request.onload = () => { loads += 1; };
  request.onloadend = () => setTimeout(() => resolve(loads === 1 ? request.status : `${loads} loads`), 50);
  request.send();
})"""
FRAME = "/images/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1"
both = pytest.mark.parametrize("send", [BY_FETCH, BY_XHR], ids=["fetch", "XMLHttpRequest"])


@dataclass
class RefusingServer:
    """``images``: the statuses of the next image answers, then 200. ``again`` is the application's answer, None = a refusal."""

    base: str = ""
    images: list[int] = field(default_factory=list)
    again: str | None = "retry"
    asked: list[str] = field(default_factory=list)
    recoveries: list[dict[str, Any]] = field(default_factory=list)
    pages: int = 0
    is_strange_at_first: bool = False
    """Whether each image is refused once, in whatever order the requests come."""
    known: set[str] = field(default_factory=set)

    def app(self) -> Flask:
        app = Flask("refusing", static_folder=str(CHECKOUT / "static"))
        app.add_url_rule("/", "page", self._page)
        app.add_url_rule("/images/<path:name>", "image", self._image)
        app.add_url_rule("/s/one/studies/<uid>/recover", "recover", self._recover, methods=["POST"])
        return app

    def _page(self) -> str:
        self.pages += 1
        return "<!doctype html><title>Refused</title>"

    def _image(self, name: str) -> Response:
        self.asked.append(request.headers.get("Authorization", ""))
        if self.is_strange_at_first and name not in self.known:
            self.known.add(name)
            return Response("pixels", 403)
        return Response("pixels", self.images.pop(0) if self.images else 200)

    def _recover(self, uid: str) -> tuple[Response, int]:
        self.recoveries.append({"study": uid, "sent": request.get_json(), "token": request.headers.get("Authorization")})
        return (jsonify(again=self.again), 200) if self.again else (jsonify(error="study-not-available"), 409)


@pytest.fixture
def server() -> Iterator[RefusingServer]:
    refusing = RefusingServer()
    with serving(refusing.app(), free_port_number()) as base:
        refusing.base = base
        yield refusing


@pytest.fixture
def page(ohif_browser: Browser, server: RefusingServer) -> Iterator[Page]:
    opened = ohif_browser.new_page()
    opened.goto(server.base)
    opened.evaluate(GUARD)
    yield opened
    opened.close()


@both
def test_c9_a_refused_image_is_asked_for_once_more(page: Page, server: RefusingServer, send: str) -> None:
    server.images = [403]

    assert page.evaluate(send, FRAME) == 200
    assert server.recoveries == [{"study": "1.2.3", "sent": {"status": 403}, "token": None}]
    assert page.evaluate("[settled, ended]") == [[200], []]


@both
def test_c9_a_second_refusal_is_the_last(page: Page, server: RefusingServer, send: str) -> None:
    server.images = [403, 403, 403]

    assert page.evaluate(send, FRAME) == 403
    assert len(server.asked) == 2
    assert page.evaluate("settled") == [403]


@both
def test_c9_without_an_endpoint_the_viewer_learns_of_the_refusal(page: Page, server: RefusingServer, send: str) -> None:
    server.images, server.again = [403], None

    assert page.evaluate(send, FRAME) == 403
    assert len(server.asked) == 1
    assert page.evaluate("[settled, ended]") == [[403], []]


@both
def test_c9_a_token_that_is_refused_twice_is_looked_into_before_the_session_ends(
    page: Page, server: RefusingServer, send: str
) -> None:
    server.images = [401, 401]

    assert page.evaluate(send, FRAME) == 200
    assert [one["sent"] for one in server.recoveries] == [{"status": 401}]
    assert page.evaluate("ended") == []


@both
def test_a39_a_token_that_stays_refused_ends_the_session(page: Page, server: RefusingServer, send: str) -> None:
    server.images = [401] * 9

    assert page.evaluate(send, FRAME) == 401
    assert len(server.recoveries) == 1
    assert len(server.asked) == 4
    assert page.evaluate("[settled, ended]") == [[401], ["refused"]]


def test_c9_many_refused_images_of_a_study_ask_once(page: Page, server: RefusingServer) -> None:
    server.is_strange_at_first = True
    statuses = page.evaluate(f"Promise.all([1, 2, 3, 4, 5].map((n) => fetch('{FRAME}' + n).then((one) => one.status)))")

    assert statuses == [200] * 5
    assert len(server.recoveries) == 1


def test_c9_images_that_moved_load_the_page_again_once(page: Page, server: RefusingServer) -> None:
    server.images, server.again = [403], "reload"
    with page.expect_event("load"):
        page.evaluate(f"void fetch('{FRAME}')")
    assert page.evaluate("history.state.recovered") == "1.2.3"

    page.evaluate(GUARD)
    server.images = [403]
    assert page.evaluate(BY_FETCH, FRAME) == 403
    assert server.pages == 2
