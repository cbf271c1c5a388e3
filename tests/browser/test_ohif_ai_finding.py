"""What the AI measured stands on its slice when the study opens there, named as unsigned, and cannot be edited."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from ehr_sandbox.demo_study import NoduleMark
from ehr_sandbox.patients.demo import build_demo
from smart_app import ohif
from tests.browser.ohif_actors import (
    Launch,
    Overheard,
    archive_of,
    running_viewer,
    viewer_app,
    viewer_config,
)
from tests.browser.ohif_pixels import wait_for_picture
from tests.conftest import free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT_CT = "demo-a-ct-current"
SLICES = 9


@pytest.fixture(scope="module")
def alma(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, NoduleMark]:
    directory = tmp_path_factory.mktemp("alma")
    demo = build_demo(
        directory,
        demo_day=date(2026, 3, 2),
        fhir_base="http://127.0.0.1:8001/fhir",
        only=frozenset({"demo-a"}),
        slices=SLICES,
    )
    return archive_of(tmp_path_factory.mktemp("pacs"), directory), demo.nodules[CURRENT_CT]


def on_the_nodule(base: str, mark: NoduleMark) -> str:
    return base + ohif.viewer_path(
        viewer_config(base),
        mark.study_instance_uid,
        series_instance_uid=mark.series_instance_uid,
        sop_instance_uid=mark.sop_instance_uid,
    )


def drawn_words(page: Page) -> list[str]:
    return [words for words in page.locator("svg.svg-layer text").all_text_contents() if words]


def test_the_unsigned_measurement_is_drawn_around_the_nodule(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    pacs, mark = alma
    overheard = Overheard()
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        overheard.listen(page)

        page.goto(on_the_nodule(base, mark))
        picture = wait_for_picture(
            page, until=lambda shown: shown.at((mark.column + 0.5) / 512, (mark.row + 0.5) / 512, 0.003) > 100
        )
        page.locator("svg.svg-layer text", has_text="AI (unsigned)").wait_for(state="attached", timeout=15_000)
        words = " ".join(drawn_words(page))
        outline = page.locator("svg.svg-layer polyline").first.get_attribute("points") or ""
        page.keyboard.press("ArrowDown")
        wait_for_picture(page, until=lambda shown: shown.sop_instance_uid != mark.sop_instance_uid)
        page.wait_for_timeout(500)
        words_on_next_slice = drawn_words(page)
        page.close()

    assert picture.sop_instance_uid == mark.sop_instance_uid
    assert "AI (unsigned): Demo Nodule AI" in words
    assert f"{mark.diameter_mm:g} mm" in words
    assert "Lung-RADS 4A" in words
    numbers = np.array([float(number) for number in re.findall(r"-?[0-9.]+", outline)])
    points = numbers.reshape(-1, 2)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    wanted = picture.origin + (mark.column + 0.5) / 512 * (picture.right - picture.origin)
    wanted = wanted + (mark.row + 0.5) / 512 * (picture.down - picture.origin)
    assert list(centre) == pytest.approx(list(wanted), abs=2)
    assert words_on_next_slice == []
    assert not [line for line in overheard.console if "pageerror" in line]


def test_a_user_who_may_not_see_unsigned_ai_sees_none(
    ohif_dir: Path, ohif_browser: Browser, alma: tuple[Flask, NoduleMark]
) -> None:
    """A patient or proxy gets no unsigned AI (DESIGN §6)."""
    pacs, mark = alma
    port = free_port_number()
    base = f"http://localhost:{port}"
    config = replace(viewer_config(base), shows_unsigned_ai=False)
    with serving(viewer_app(ohif_dir, Launch(), pacs, config), port, host="localhost"):
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(on_the_nodule(base, mark))
        wait_for_picture(page)
        page.locator("text=AI lung nodule result").wait_for(timeout=15_000)
        page.wait_for_timeout(1000)
        words = drawn_words(page)
        page.close()

    assert words == []
