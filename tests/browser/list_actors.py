"""A study list as its server writes it, made by hand: any number of rows, small pictures, and a rest that arrives as a stream.

What the real server writes is tested with the demo (test_list_demo.py); here each fault can be played.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from threading import Event, Lock
from typing import Any

from flask import Flask, Response, jsonify, render_template_string, request
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from fhir_imaging import texts
from tests.conftest import CHECKOUT, free_port_number, serving

SESSION = "/s/one"
_KINDS = (
    ("CT", "ct", "chest", "CT chest"),
    ("MR", "mr", "head", "MRI brain"),
    ("DX", "xr", "chest", "Chest X-ray"),
    ("US", "us", "abdomen", "Ultrasound abdomen"),
    ("CT", "ct", "chest abdomen pelvis", "CT chest, abdomen and pelvis"),
    ("DX", "xr", "knee", "X-ray knee"),
    ("MG", "mg", "breast", "Mammography"),
    ("MR", "mr", "lumbar-spine", "MRI lumbar spine"),
)
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
_ROW = """<li class="study" id="study-{uid}" data-uid="{uid}" data-started="{day}" data-year="{year}" data-region="{region}"
  data-modalities="{modality}" data-families="{family}" data-search="{search}" data-thumbnail="{picture}" data-open="{opens}">
  <div class="thumbnail" aria-hidden="true"><span class="glyph">{modality}</span></div>
  <div class="when"><span class="date">{shown}</span><span class="quiet">09:30 UTC</span></div>
  <div class="modality">{modality}</div>
  <div class="what">
    <h3 class="title"><a href="{opens}">{title}</a></h3>
    <p class="details">2 series · 118 images · Accession A1</p>
    <div class="findings">{findings}</div>
    <div class="reports">{report}</div>
  </div>
  <div class="images"><a class="button" href="{opens}" aria-label="Open images: {title}, {shown}">Open images</a></div>
</li>
"""
_REPORT = """<article class="report"><p class="report-head"><strong>Final report</strong></p>
<p class="conclusion">No change.</p>
<details class="report-text"><summary>Whole report</summary><div class="text">Findings: none new.</div></details></article>
"""
_NO_REPORT = '<p class="quiet no-report">No report linked</p>'


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStudy:
    """One row of the list."""

    number: int
    day: date | None
    modality: str = "CT"
    family: str = "ct"
    region: str = "chest"
    title: str = "CT chest"
    tone: str | None = None
    has_report: bool = True
    picture_base: str | None = None

    @property
    def uid(self) -> str:
        """Its Study Instance UID."""
        return f"2.25.{9000 + self.number}"

    @property
    def year(self) -> str:
        """The year that it is listed under."""
        return str(self.day.year) if self.day else "Undated"

    @property
    def findings(self) -> str:
        """What stands in the slot of findings."""
        return (
            f'<p class="finding {self.tone}"><strong>Lung nodule {self.number}</strong> follow-up due</p>' if self.tone else ""
        )

    @property
    def html(self) -> str:
        """The row as the server writes it."""
        shown = f"{self.day:%-d %b %Y}" if self.day else "Date not recorded"
        return _ROW.format(
            uid=self.uid,
            day=self.day or "",
            year=self.year,
            region=self.region,
            modality=self.modality,
            family=self.family,
            search=f"{shown} {self.title} número {self.number}".lower(),
            picture=f"{self.picture_base}/studies/{self.uid}/series/1/thumbnail" if self.picture_base else "",
            opens=f"{SESSION}/viewer/{self.uid}",
            shown=shown,
            title=self.title,
            findings=self.findings,
            report=_REPORT if self.has_report else _NO_REPORT,
        )


def many_studies(count: int, *, newest: date = date(2026, 3, 1), every_days: int = 9, **more: Any) -> list[ListedStudy]:
    """A long record of all kinds, newest first; some with findings, some without report."""
    return [
        ListedStudy(
            number=number,
            day=newest - timedelta(days=every_days * number),
            modality=_KINDS[number % len(_KINDS)][0],
            family=_KINDS[number % len(_KINDS)][1],
            region=_KINDS[number % len(_KINDS)][2],
            title=_KINDS[number % len(_KINDS)][3],
            tone=("warning" if number % 3 else "critical") if number % 16 == 0 else None,
            has_report=number % 5 != 0,
            **more,
        )
        for number in range(count)
    ]


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


def rows_line(studies: Sequence[ListedStudy], found: int, total: int | None) -> dict[str, Any]:
    """A line with rows."""
    return {"kind": "rows", "html": "".join(study.html for study in studies), "found": found, "total": total}


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
