"""A study list as its server writes it, made by hand: any number of rows, small pictures, and a rest that arrives as a stream.

What the real server writes is tested in test_list_whole_way.py; here each fault can be played.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from flask import Flask, Response, jsonify, render_template_string, request
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from fhir_imaging import texts
from tests.browser.listed_studies import SESSION, ListedStudy
from tests.conftest import CHECKOUT, free_port_number, serving

_PAGE = """{% extends "base.html" %}
{% block main_attributes %} data-token="/s/one/token"{% if stream %} data-stream="{{ stream }}"{% endif %}{% endblock %}
{% block title %}Synthetic Sam – imaging studies{% endblock %}
{% block head %}<link rel="stylesheet" href="{{ url_for('static', filename='studies.css') }}">{% endblock %}
{% block banner %}
<header class="banner" aria-label="Patient">
  <div class="who"><strong class="name">SYNTHETIC, Sam</strong></div>
  <dl class="facts"><div><dt>Born</dt><dd>1 Jan 1960</dd></div><div><dt>MRN</dt><dd>TEST-1</dd></div></dl>
</header>
{% endblock %}
{% block main %}
<div class="heading"><h1>Imaging studies</h1>
<p class="quiet" role="status" id="count" data-total="{{ rows|length }}">{{ rows|length }} studies here</p></div>
{% if stream %}<p class="message" data-pending="findings">Findings are still being looked at.</p>{% endif %}
{% include "smart/list_tools.html" %}
<div id="groups">
{% for year, members in years %}
<section class="year" aria-labelledby="group-{{ loop.index }}">
  <h2 id="group-{{ loop.index }}">{{ year }}</h2>
  <ul class="studies">{{ members|join|safe }}</ul>
</section>
{% endfor %}
</div>
{% endblock %}
{% block scripts %}<script src="{{ url_for('static', filename='studies.js') }}" type="module"></script>{% endblock %}
"""


class Played:
    """A stream that goes on when it is told to."""

    def __init__(self, *lines: dict[str, Any] | str) -> None:
        self.go_on = Event()
        self._lines = lines

    def __iter__(self) -> Iterator[dict[str, Any] | str]:
        for line in self._lines:
            self.go_on.wait(10)
            self.go_on.clear()
            yield line


@dataclass(slots=True, kw_only=True)
class ListServer:
    """What the page is given, and what it asked for. ``stream`` yields the lines, as slowly as it likes."""

    studies: Sequence[ListedStudy]
    port: int = field(default_factory=free_port_number)
    stream: Sequence[Iterable[dict[str, Any] | str]] = ()
    refused_tokens: set[str] = field(default_factory=set)
    picture_answers: list[Response] = field(default_factory=list)
    hold_pictures: Event | None = None
    hold_tokens: Event | None = None
    tokens: list[bool] = field(default_factory=list)
    pictures: list[tuple[str, str | None]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _streams: int = 0
    _lock: Lock = field(default_factory=Lock)

    def app(self) -> Flask:
        """The application that serves it."""
        app = Flask(__name__, static_folder=str(CHECKOUT / "static"), template_folder=str(CHECKOUT / "templates"))
        texts.install(app.jinja_env)
        app.add_url_rule(f"{SESSION}/studies", view_func=self._page, endpoint="page")
        app.add_url_rule(f"{SESSION}/studies/stream", view_func=self._stream, endpoint="stream")
        app.add_url_rule(f"{SESSION}/token", view_func=self._token, endpoint="token", methods=["POST"])
        app.add_url_rule(f"{SESSION}/viewer/<uid>", view_func=lambda uid: f"<title>viewer {uid}</title>", endpoint="viewer")
        app.add_url_rule("/dicom-web/<path:path>", view_func=self._picture, endpoint="picture", methods=["GET", "OPTIONS"])
        return app

    def _page(self) -> Response:
        years: dict[str, list[str]] = {}
        for study in self.studies:
            years.setdefault(study.year, []).append(study.html)
        stream = f"{SESSION}/studies/stream" if self.stream else None
        html = render_template_string(_PAGE, years=years.items(), rows=self.studies, stream=stream)
        response = Response(html, mimetype="text/html")
        # As our own pages have it; the origin of pictures elsewhere is named by the test that has one.
        elsewhere = " ".join({study.picture_base.rpartition("/")[0] for study in self.studies if study.picture_base})
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            f"connect-src 'self' {elsewhere}; form-action 'self'"
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _stream(self) -> Response:
        lines = self.stream[min(self._streams, len(self.stream) - 1)]
        self._streams += 1
        return Response(_as_ndjson(lines), mimetype="application/x-ndjson")

    def _token(self) -> Response:
        self.tokens.append(bool((request.get_json(silent=True) or {}).get("refused")))
        if self.hold_tokens is not None:
            self.hold_tokens.wait(5)
        return jsonify(access_token=f"token-{len(self.tokens)}", expires_in=300)

    def _picture(self, path: str) -> Response:
        if request.method == "OPTIONS":
            return _shared(Response(status=204))
        with self._lock:
            self.pictures.append((path, request.headers.get("Authorization")))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            scripted = self.picture_answers.pop(0) if self.picture_answers else None
        try:
            if self.hold_pictures is not None:
                self.hold_pictures.wait(5)
        finally:
            with self._lock:
                self.at_once -= 1
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token in self.refused_tokens:
            return _shared(Response(status=401))
        return _shared(scripted or Response(a_picture(), mimetype="image/jpeg"))


def a_picture() -> bytes:
    """A small grey JPEG."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((96, 96)).save(buffer, "JPEG")
    return buffer.getvalue()


def _as_ndjson(lines: Iterable[dict[str, Any] | str]) -> Iterator[bytes]:
    for line in lines:
        yield (line if isinstance(line, str) else json.dumps(line) + "\n").encode()


def _shared(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    response.headers["Access-Control-Allow-Headers"] = "authorization"
    return response


def focused_study(page: Page) -> str | None:
    """The UID of the study whose row has the focus."""
    uid: str | None = page.evaluate("document.activeElement.closest('li.study')?.dataset.uid ?? null")
    return uid


def wait_until(holds: Callable[[], bool], page: Page) -> None:
    """Goes on when that holds; a page with a policy evaluates no text again and again by itself."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        page.wait_for_timeout(20)


@contextmanager
def a_browser(chromium_path: str) -> Iterator[Browser]:
    """Chromium for pages without images of a viewer."""
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def opened_list(
    browser: Browser, server: ListServer, *, width: int = 1400, height: int = 900, scripts: Sequence[str] = (), **more: Any
) -> Iterator[Page]:
    """The list on screen; afterwards no script may have failed and nothing may have been refused by the page's policy."""
    with serving(server.app(), server.port) as base:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        context.set_default_timeout(15_000)
        page = context.new_page()
        for script in scripts:
            page.add_init_script(script)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(f"{base}{SESSION}/studies")
        if more.get("java_script_enabled", True):
            page.wait_for_function("document.documentElement.style.getPropertyValue('--head') !== ''")
        try:
            yield page
        finally:
            context.close()
    assert faults == []
