"""The page around the viewer with a stand-in for the viewer."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify, request
from playwright.sync_api import Page

from tests.conftest import CHECKOUT

PAGE = """<!doctype html><html lang="en"><title>{study}</title><body class="viewing">
<header class="banner" id="patient" tabindex="-1">Alma
<form id="new-window" method="post" target="_blank" action="/window" data-ticket="/ticket"><input type="hidden" name="ticket">
<button>New window</button></form></header><main>
<div class="study-line">{study}<span id="ending" role="status"><span data-within="120" hidden>two minutes</span>
<span data-within="60" hidden>one minute</span></span><button id="panel-button">Report</button></div>
<template id="window-failed"><p class="window-failed" role="alert">no window</p></template>
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
<a href="/viewer/1.4" data-open>Third</a> <a href="/refused" data-open>Not yours</a>
<section id="key-objects" data-viewer="/viewer/" hidden><ul></ul>
<template data-kind="KO"><li><strong data-say="title"></strong><ul></ul></li></template></section>"""
FRAME = """<!doctype html><script src="/frame.js"></script>"""
# Says "ready" when it comes, which may be before the page listens, and again when it is asked.
FRAME_JS = """window.got = [];
const ready = () => parent.postMessage({ source: "imaging-cds-viewer", event: "ready" }, location.origin);
addEventListener("message", ({ data }) => data.type === "contents" ? ready() : got.push(data));
ready();"""
# A list that keeps a viewer page ready, as static/warm.js does.
PREPARED = """<!doctype html><title>List</title><iframe id="kept" data-prepared="waiting" width="1300" height="700"
src="/viewer/1.1"></iframe>"""


def viewer_pages() -> Flask:
    """Viewer pages of the studies 1.1, 1.2 and 1.4 on one image server, and of 1.3 on another."""
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
    app.post("/ticket", endpoint="ticket")(lambda: jsonify(ticket="one-use"))
    app.post("/window", endpoint="window")(lambda: f"<p>window with {request.form['ticket']}</p>")
    app.get("/refused", endpoint="refused")(lambda: ("This study is not among this patient's", 403))
    app.get("/prepared", endpoint="prepared")(lambda: PREPARED)
    return app


def is_same_document(page: Page) -> bool:
    """Whether the page was never loaded anew."""
    return bool(page.evaluate("window.isTheFirstDocument === true"))


def sent(page: Page, count: int = 1) -> list[dict[str, Any]]:
    """What the viewer was asked, once there are ``count`` commands."""
    page.wait_for_function(f"document.querySelector('#viewer').contentWindow.got.length >= {count}")
    got: list[dict[str, Any]] = page.evaluate("document.querySelector('#viewer').contentWindow.got")
    return got


def tell(page: Page, **event: Any) -> None:
    """An event of the viewer's own frame."""
    script = "(event) => parent.postMessage({ source: 'imaging-cds-viewer', ...event }, location.origin)"
    page.frames[1].evaluate(script, event)
