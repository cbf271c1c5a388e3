"""The EHR's style over HTTP: asked for without a token, of the EHR's own servers only, and never missed (APP-A31)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request

from ehr_sandbox.oauth_discovery import style_url
from smart_app import style_views
from smart_app.style import read_style
from smart_app.style_sheet import style_sheet
from tests.conftest import free_port_number, serving
from tests.contract.sandbox_client import a_sandbox
from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record

STYLE = {"color_background": "#fdf6e3", "color_text": "#202020", "dim_font_size": "15px"}


class StyleServer:
    """Answers every address with ``answer`` and keeps what it was asked."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.url = ""
        self.asked: list[dict[str, str]] = []

    def app(self) -> Flask:
        app = Flask("styles")
        app.add_url_rule("/<path:name>", view_func=self._serve)
        return app

    def _serve(self, name: str) -> Any:
        self.asked.append({"path": name, **dict(request.headers.items())})
        return self.answer()


@contextmanager
def styled(tmp_path: Path, answer: Callable[[], Any], *, is_known: bool = True) -> Iterator[tuple[World, StyleServer]]:
    server = StyleServer(answer)
    with serving(server.app(), free_port_number()) as url:
        server.url = url
        ehr = FakeEhr(fhir=demo_record(), token_changes={"smart_style_url": f"{url}/style/7.json"})
        with a_world(tmp_path, ehr=ehr, server_origins=(url,) if is_known else ()) as world:
            yield world, server


def sheet_of(world: World) -> Any:
    return world.clinician.get(f"/s/{world.clinician.session}/style.css")


def test_a31_a_style_is_asked_for_once_without_a_token_and_colours_the_pages(tmp_path: Path) -> None:
    with styled(tmp_path, lambda: Response(json.dumps(STYLE))) as (world, server):
        page = world.clinician.launches(world.ehr)
        address = f"/s/{world.clinician.session}/style.css"
        sheet = sheet_of(world)
        world.clinician.launches(world.ehr)
        again = sheet_of(world)

    assert f'href="{address}"' in page.text
    assert sheet.mimetype == "text/css"
    assert sheet.headers["X-Content-Type-Options"] == "nosniff"
    assert "--ground: #fdf6e3;" in sheet.text
    assert again.text == sheet.text
    assert [asked["path"] for asked in server.asked] == ["style/7.json"], "the address is the version"
    assert not {"Authorization", "Cookie", "Referer"} & server.asked[0].keys()


def test_a31_another_address_is_another_style(tmp_path: Path) -> None:
    with styled(tmp_path, lambda: Response(json.dumps(STYLE))) as (world, server):
        for version in ("7", "8"):
            world.ehr.token_changes = {"smart_style_url": f"{server.url}/style/{version}.json"}
            world.clinician.launches(world.ehr)
            sheet_of(world)

    assert [asked["path"] for asked in server.asked] == ["style/7.json", "style/8.json"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ("gone", 404),
        lambda: ("", 500),
        lambda: ("", 302, {"Location": "http://127.0.0.1:9/"}),
        lambda: "<html>",
        lambda: "[1, 2]",
        lambda: "[" * 5000,
        lambda: json.dumps({"color_text": "#000", "more": "x" * 20_000}),
        lambda: Response(b"\xff\xfe\x00", mimetype="application/json"),
    ],
)
def test_a31_a_style_that_cannot_be_used_is_done_without(tmp_path: Path, answer: Callable[[], Any]) -> None:
    with styled(tmp_path, answer) as (world, server):
        page = world.clinician.launches(world.ehr)
        sheet = sheet_of(world)
        sheet_of(world)

    assert page.status_code == sheet.status_code == 200
    assert sheet.text == ""
    assert sheet.headers["Cache-Control"] == "no-store"
    assert len(server.asked) in (1, 2), "a 500 is asked once more at once, and none of them again at the next page"


def test_a31_a_slow_style_holds_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style_views, "PATIENCE_S", 0.2)

    def slowly() -> Response:
        time.sleep(5)
        return Response(json.dumps(STYLE))

    with styled(tmp_path, slowly) as (world, _server):
        world.clinician.launches(world.ehr)
        began = time.monotonic()
        sheet = sheet_of(world)
        took = time.monotonic() - began

    assert sheet.text == ""
    assert took < 4


@pytest.mark.parametrize(
    "url", ["{server}", "http://169.254.169.254/latest", "file:///etc/passwd", "//x", "javascript:1", "http://[::1"]
)
def test_group_24_a_style_elsewhere_is_not_asked_for(tmp_path: Path, url: str) -> None:
    with styled(tmp_path, lambda: Response(json.dumps(STYLE)), is_known=False) as (world, server):
        world.ehr.token_changes = {"smart_style_url": url.format(server=f"{server.url}/style/7.json")}
        page = world.clinician.launches(world.ehr)
        sheet = sheet_of(world)

    assert page.status_code == sheet.status_code == 200
    assert sheet.text == ""
    assert server.asked == []


@pytest.mark.parametrize("address", [None, 7, "", "x" * 2001, ["https://ehr.example/s"], "http://a\nb"])
def test_a31_without_a_usable_address_pages_have_our_own_looks(tmp_path: Path, address: object) -> None:
    ehr = FakeEhr(fhir=demo_record(), token_changes={"smart_style_url": address})
    with a_world(tmp_path, ehr=ehr) as world:
        page = world.clinician.launches(world.ehr)
        sheet = sheet_of(world)

    assert "style.css" not in page.text
    assert sheet.text == ""


def test_a_style_sheet_is_for_the_browser_of_its_session(tmp_path: Path) -> None:
    with styled(tmp_path, lambda: Response(json.dumps(STYLE))) as (world, server):
        world.clinician.launches(world.ehr)
        stranger = world.another_clinician().get(f"/s/{world.clinician.session}/style.css")

    assert stranger.status_code == 403
    assert server.asked == []


def test_a31_the_sandbox_serves_a_style_that_we_can_use(tmp_path: Path) -> None:
    with a_sandbox(tmp_path / "sandbox") as sandbox:
        document = sandbox.http.get(style_url(sandbox.settings), timeout=5).json()
    style = read_style(document)

    assert None not in (style.background, style.text, style.highlight, style.radius, style.font_size)
    assert "--radius: 0.375rem;" in style_sheet(style)
