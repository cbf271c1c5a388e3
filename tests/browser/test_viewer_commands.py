"""The page around the viewer opens, jumps and compares inside the running viewer: no reload, no second boot."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import Browser, Frame, Page, Route

from ehr_sandbox.demo_study import NoduleMark
from ehr_sandbox.patients import alma as alma_record
from ehr_sandbox.patients.demo import build_demo
from smart_app import ohif
from tests.browser.ohif_actors import Launch, add_parent_page, archive_of, running_viewer, viewer_config
from tests.browser.ohif_pixels import read_viewport, wait_for_picture
from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT, PRIOR = alma_record.CURRENT.study_instance_uid, alma_record.PRIOR.study_instance_uid


@pytest.fixture(scope="module")
def alma(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, NoduleMark]:
    directory = tmp_path_factory.mktemp("alma")
    demo = build_demo(
        directory,
        demo_day=date(2026, 3, 2),
        fhir_base="http://127.0.0.1:8001/fhir",
        only=frozenset({"demo-a"}),
        slices=9,
    )
    return archive_of(tmp_path_factory.mktemp("pacs"), directory), demo.nodules["demo-a-ct-current"]


def framed(page: Page, base: str, study: str) -> Frame:
    """The viewer in a frame of a page of its own origin; it stays the same document as long as ``marked`` says so."""
    address = base + ohif.viewer_path(viewer_config(base), study)
    page.goto(f"{base}/parent?{urlencode({'address': address})}")
    [frame] = page.frames[1:]
    wait_for_picture(frame)
    frame.evaluate("window.isTheFirstDocument = true")
    return frame


def is_same_document(frame: Frame) -> bool:
    return bool(frame.evaluate("window.isTheFirstDocument === true"))


def send(page: Page, **command: Any) -> None:
    page.evaluate(
        "(command) => document.querySelector('iframe').contentWindow.postMessage(command, location.origin)",
        {"source": "imaging-cds-page", **command},
    )


def heard(page: Page, event: str, count: int = 1) -> list[dict[str, str]]:
    """The viewer's events of one kind, waiting until there are ``count``."""
    deadline = time.monotonic() + 30
    told: list[dict[str, str]] = []
    while time.monotonic() < deadline and len(told) < count:
        page.wait_for_timeout(50)
        told = [one for one in page.evaluate("window.heard") if one.get("event") == event]
    assert len(told) >= count, page.evaluate("window.heard")
    return told


def wait_for_canvases(frame: Frame, wanted: list[str]) -> list[str]:
    """The studies from left to right once they are as wanted, else what they were last: the grid is laid out in steps."""
    deadline = time.monotonic() + 30
    while (shown := canvases(frame)) != wanted and time.monotonic() < deadline:
        frame.page.wait_for_timeout(100)
    return shown


def canvases(frame: Frame) -> list[str]:
    """The study of each viewport's image, from left to right."""
    script = """() => window.cornerstone.getEnabledElements()
        .map(({ viewport }) => [viewport.canvas.getBoundingClientRect().x, viewport.getCurrentImageId?.() ?? ""])
        .sort(([a], [b]) => a - b).map(([, id]) => id.split("/studies/")[1]?.split("/")[0] ?? "")"""
    shown: list[str] = frame.evaluate(script)
    return shown


def test_a_jump_shows_the_slice_without_loading_the_viewer_anew(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    pacs, mark = alma
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        frame = framed(page, base, CURRENT)
        heard(page, "ready")
        [first] = heard(page, "first-image")
        send(page, type="jump", study=CURRENT, series=mark.series_instance_uid, instance=mark.sop_instance_uid)
        [jumped] = heard(page, "jumped")
        picture = wait_for_picture(frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid)
        same = is_same_document(frame)
        page.close()

    assert first["study"] == CURRENT
    assert jumped["instance"] == mark.sop_instance_uid
    assert picture.at((mark.column + 0.5) / 512, (mark.row + 0.5) / 512, 0.003) > 100
    assert same


def test_a_slice_whose_pixels_are_on_their_way_is_neither_told_of_nor_marked(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    """An archive may take seconds for a slice. Until then the former picture stays, without the finding of the next."""
    pacs, mark = alma
    held: list[Route] = []
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        page.route(f"**/instances/{mark.sop_instance_uid}/frames/1", lambda route: held.append(route))
        frame = framed(page, base, CURRENT)
        send(page, type="jump", study=CURRENT, series=mark.series_instance_uid, instance=mark.sop_instance_uid)
        frame.wait_for_function(
            "uid => cornerstone.getEnabledElements()[0].viewport.getCurrentImageId().includes(uid)", arg=mark.sop_instance_uid
        )
        # Whatever makes the viewer draw its marks anew.
        frame.evaluate("cornerstone.getEnabledElements()[0].viewport.render()")
        page.wait_for_timeout(1000)
        waiting = read_viewport(frame)
        told_early = [one for one in page.evaluate("window.heard") if one.get("event") in ("jumped", "failed")]
        words_early = frame.locator("svg.svg-layer text", has_text="AI (unsigned)").count()
        for route in held:
            route.continue_()
        heard(page, "jumped")
        picture = read_viewport(frame)
        frame.locator("svg.svg-layer text", has_text="AI (unsigned)").wait_for(state="attached", timeout=15_000)
        page.close()

    assert held
    assert waiting is not None
    assert waiting.sop_instance_uid != mark.sop_instance_uid
    assert told_early == []
    assert words_early == 0
    assert picture is not None
    assert picture.sop_instance_uid == mark.sop_instance_uid
    assert picture.at((mark.column + 0.5) / 512, (mark.row + 0.5) / 512, 0.003) > 100


def test_prior_and_current_hang_side_by_side_and_a_jump_finds_its_side(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    pacs, mark = alma
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        frame = framed(page, base, PRIOR)
        send(page, type="compare", studies=[CURRENT, PRIOR])
        heard(page, "first-image", 2)
        beside = wait_for_canvases(frame, [CURRENT, PRIOR])
        send(page, type="jump", study=CURRENT, instance=mark.sop_instance_uid)
        heard(page, "jumped")
        after = wait_for_canvases(frame, [CURRENT, PRIOR])
        same = is_same_document(frame)
        address = frame.url
        page.close()

    assert beside == [CURRENT, PRIOR]
    assert after == [CURRENT, PRIOR]
    assert same
    assert f"StudyInstanceUIDs={CURRENT},{PRIOR}" in address


def test_another_study_opens_on_its_slice_in_the_running_viewer(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    pacs, mark = alma
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        frame = framed(page, base, PRIOR)
        send(
            page,
            type="open",
            studies=[CURRENT],
            dataSource="demo",
            series=mark.series_instance_uid,
            instance=mark.sop_instance_uid,
        )
        picture = wait_for_picture(frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and not one.is_empty)
        [_, second] = heard(page, "first-image", 2)
        same = is_same_document(frame)
        page.close()

    assert not picture.is_empty
    assert second["study"] == CURRENT
    assert same


@pytest.mark.parametrize(
    "command",
    [
        {"type": "open", "studies": ["1.2.3&token=x"]},
        {"type": "open", "studies": ["1.2.3"], "protocol": "https://stranger.example/p.json"},
        {"type": "open", "studies": ["1.2.3"], "dataSource": "../other"},
        {"type": "compare", "studies": ["1.2.3"]},
        {"type": "jump", "study": "1.2.3", "instance": "*"},
        {"type": "eval", "code": "1"},
    ],
)
def test_what_is_not_a_command_moves_nothing(command: dict[str, Any], ohif_browser: Browser) -> None:
    """Group 31: the messages carry UIDs and our own names, nothing else is passed on to the viewer."""
    scripts = Flask("scripts", static_folder=str(CHECKOUT / "static"))
    add_parent_page(scripts)
    with serving(scripts, free_port_number()) as base:
        page = ohif_browser.new_page()
        page.goto(f"{base}/parent?address=about:blank")
        fault = page.evaluate("async (c) => (await import('/static/viewer/commands.js')).faultOf(c)", command)
        page.close()

    assert fault in ("not-uids", "unknown-command")


def test_a_page_of_another_origin_commands_nothing(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    """Group 31: an EHR that frames the viewer directly cannot steer it, and hears nothing."""
    pacs, _ = alma
    foreign_site = Flask("foreign_site")
    add_parent_page(foreign_site)
    with serving(foreign_site, free_port_number()) as foreign, running_viewer(ohif_dir, Launch(), pacs, foreign) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        address = base + ohif.viewer_path(viewer_config(base), PRIOR)
        page.goto(f"{foreign}/parent?{urlencode({'address': address})}")
        [frame] = page.frames[1:]
        wait_for_picture(frame)
        page.evaluate(
            "(command) => document.querySelector('iframe').contentWindow.postMessage(command, '*')",
            {"source": "imaging-cds-page", "type": "open", "studies": [CURRENT]},
        )
        page.wait_for_timeout(1500)
        address_after = frame.url
        told = [one for one in page.evaluate("window.heard") if one.get("source") == "imaging-cds-viewer"]
        page.close()

    assert address_after == address
    assert told == []
