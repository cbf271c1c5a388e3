"""The viewer's token: renewed in time, renewed once after a refusal, and an end that everybody concerned is told of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import Browser, Frame, Page, Playwright

from smart_app import ohif
from tests.browser.ohif_actors import Launch, SmallArchive, add_parent_page, launch_chromium, running_viewer, viewer_config
from tests.browser.ohif_pixels import wait_for_picture
from tests.conftest import free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def study_address(base: str, archive: SmallArchive) -> str:
    return base + ohif.viewer_path(viewer_config(base), archive.chests["uncompressed"].study)


def framed(page: Page, parent: str, address: str) -> Frame:
    """The viewer in a frame of the page at the origin `parent`, which notes every message that it gets."""
    page.goto(f"{parent}/parent?{urlencode({'address': address})}")
    [frame] = page.frames[1:]
    return frame


@contextmanager
def foreign_site() -> Iterator[str]:
    """Another site that frames the viewer, as an EHR does; a real server, because Chromium guards loopback addresses."""
    app = Flask("foreign_site")
    add_parent_page(app)
    with serving(app, free_port_number()) as origin:
        yield origin


def heard_by(page: Page) -> list[dict[str, str]]:
    return json.loads(page.evaluate("JSON.stringify(window.heard.filter((m) => m.source === 'imaging-cds-viewer'))"))


def test_the_token_is_renewed_by_a_timer_before_it_ends(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """Group 33: at four fifths of its life, without a request that asks for it."""
    launch = Launch(lifetime_s=5)
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page()
        page.goto(study_address(base, small_archive))
        wait_for_picture(page)
        page.wait_for_timeout(5500)
        page.close()

    assert len(launch.issued) >= 2
    assert launch.token_bodies == [{"refused": False}] * len(launch.issued)
    assert all(status == 200 for _, _, status in launch.gateway_calls)


def test_a_refused_token_is_renewed_once_and_the_images_come(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    launch = Launch(refused_tokens=1)
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page()
        page.goto(study_address(base, small_archive))
        picture = wait_for_picture(page)
        notices = page.locator("#imaging-cds-notice").count()
        page.close()

    assert picture.at(0.5, 0.7) > 150
    assert notices == 0
    assert launch.token_bodies == [{"refused": False}, {"refused": True}]
    assert {status for _, token, status in launch.gateway_calls if token == launch.issued[0]} == {401}
    assert {status for _, token, status in launch.gateway_calls if token == launch.issued[1]} == {200}


def test_a_second_refusal_ends_the_session_in_page_and_parent(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    launch = Launch(refused_tokens=99)
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page()
        frame = framed(page, base, study_address(base, small_archive))
        frame.locator("#imaging-cds-notice").wait_for(timeout=30_000)
        notice = frame.locator("#imaging-cds-notice").inner_text()
        link = frame.locator("#imaging-cds-notice a").get_attribute("href")
        page.wait_for_timeout(500)
        heard = heard_by(page)
        page.close()

    assert "no longer accepts this sign-in" in notice
    assert link == viewer_config(base).new_window_path
    ready = {"source": "imaging-cds-viewer", "event": "ready"}
    assert heard == [ready, {"source": "imaging-cds-viewer", "event": "session-ended", "reason": "refused"}]
    assert len(launch.issued) == 2


def test_without_a_session_no_image_is_asked_for_and_a_foreign_parent_hears_nothing(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """Group 31: a parent of another origin gets no message, not even that the session ended."""
    launch = Launch(is_open=False)
    with foreign_site() as foreign, running_viewer(ohif_dir, launch, small_archive.pacs, foreign) as base:
        page = ohif_browser.new_page()
        frame = framed(page, foreign, study_address(base, small_archive))
        frame.locator("#imaging-cds-notice").wait_for(timeout=30_000)
        notice = frame.locator("#imaging-cds-notice").inner_text()
        page.wait_for_timeout(500)
        heard = heard_by(page)
        page.close()

    assert "does not let a framed page keep it" in notice
    assert heard == []
    assert launch.gateway_calls == []


def test_a_page_that_may_not_frame_the_viewer_gets_no_viewer(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """Group 28: frame-ancestors."""
    launch = Launch()
    ehr = "http://127.0.0.1:9"
    with foreign_site() as foreign, running_viewer(ohif_dir, launch, small_archive.pacs, ehr) as base:
        page = ohif_browser.new_page()
        framed(page, foreign, study_address(base, small_archive))
        page.wait_for_timeout(1500)
        page.close()

    assert launch.issued == []


def test_images_appear_where_the_browser_blocks_storage_in_a_cross_site_frame(
    ohif_dir: Path, ohif_playwright: Playwright, chromium_path: str, small_archive: SmallArchive
) -> None:
    launch = Launch()
    with foreign_site() as foreign, running_viewer(ohif_dir, launch, small_archive.pacs, foreign) as base:
        browser = launch_chromium(ohif_playwright, chromium_path, "--test-third-party-cookie-phaseout")
        page = browser.new_page()
        frame = framed(page, foreign, study_address(base, small_archive))
        picture = wait_for_picture(frame)
        storage = frame.evaluate("localStorage.constructor.name")
        browser.close()

    assert picture.at(0.5, 0.7) > 150
    assert storage == "PageStorage"
