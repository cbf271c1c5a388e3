"""When a list keeps no viewer ready: devices that cannot spare it, and a viewer that nobody opened for long."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

LIST = """<!doctype html><html lang="en"><title>List</title><main data-session-path="/s/one" data-opened="">
<ul><li class="study" data-uid="2.25.1" data-open="/s/one/viewer/2.25.1" data-started="2026-01-01">
<a href="/s/one/viewer/2.25.1">Open images</a></li></ul></main>
<script type="module" src="/static/warm.js"></script></html>"""
VIEWER = """<!doctype html><html lang="en"><title>Viewer</title>
<div id="stage" data-state="/state"><iframe id="viewer"></iframe></div></html>"""
KEPT = "iframe.prepared-viewer"


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    app = Flask("warm", static_folder=str(CHECKOUT / "static"))
    app.get("/s/one/studies", endpoint="list")(lambda: LIST)
    app.get("/s/one/viewer/<study>", endpoint="viewer")(lambda study: VIEWER)
    app.get("/state", endpoint="state")(lambda: {"alive": True})
    with serving(app, free_port_number()) as served:
        yield served


@pytest.fixture
def page(ohif_browser: Browser) -> Iterator[Page]:
    """A page whose clock the test can turn forward."""
    with ohif_browser.new_context(viewport={"width": 1300, "height": 700}) as context:
        opened = context.new_page()
        opened.clock.install()
        yield opened


def device(**features: str) -> str:
    """A script that gives the browser these features of a device, written in JavaScript."""
    return "".join(
        f"Object.defineProperty(navigator, {name!r}, {{ value: {value}, configurable: true }});"
        for name, value in features.items()
    )


SPARING = {
    "saves data": device(connection="{ saveData: true, effectiveType: '4g' }"),
    "2g": device(connection="{ saveData: false, effectiveType: '2g' }"),
    "slow 2g": device(connection="{ saveData: false, effectiveType: 'slow-2g' }"),
    "little memory": device(deviceMemory="2"),
    "battery low": device(getBattery="async () => ({ charging: false, level: 0.2 })"),
    "narrow": "Object.defineProperty(window, 'innerWidth', { value: 390 });",
}
ABLE = {
    "4g": device(connection="{ saveData: false, effectiveType: '4g' }", deviceMemory="8"),
    "battery low at the mains": device(getBattery="async () => ({ charging: true, level: 0.2 })"),
    "tells nothing": device(connection="undefined", deviceMemory="undefined", getBattery="undefined"),
    "battery not told": device(getBattery="() => Promise.reject(new Error('not allowed'))"),
}


def listed(page: Page, base: str, script: str = "") -> None:
    """The list on such a device, after the page has settled; its script may have decided before this looks."""
    page.add_init_script(script)
    page.goto(f"{base}/s/one/studies")
    expect(page.locator("html")).to_have_attribute("data-viewer", re.compile("warming|off"))
    page.clock.run_for(10_000)


@pytest.mark.parametrize("script", SPARING.values(), ids=SPARING)
def test_a_device_that_must_spare_keeps_no_viewer(page: Page, base: str, script: str) -> None:
    listed(page, base, script)

    expect(page.locator("html")).to_have_attribute("data-viewer", "off")
    expect(page.locator(KEPT)).to_have_count(0)
    page.get_by_role("link", name="Open images").click()
    page.wait_for_url("**/viewer/2.25.1")


@pytest.mark.parametrize("script", ABLE.values(), ids=ABLE)
def test_a_device_that_can_spare_it_keeps_one(page: Page, base: str, script: str) -> None:
    listed(page, base, script)

    expect(page.locator(KEPT)).to_have_attribute("data-prepared", "waiting")


def test_a_viewer_that_nobody_opens_for_ten_minutes_gives_its_memory_back(page: Page, base: str) -> None:
    listed(page, base)
    expect(page.locator(KEPT)).to_have_count(1)
    page.clock.run_for("09:45")
    expect(page.locator(KEPT)).to_have_count(1)
    page.clock.run_for("00:30")

    expect(page.locator(KEPT)).to_have_count(0)
    expect(page.locator("html")).to_have_attribute("data-viewer", "off")
    page.get_by_role("link", name="Open images").click()
    page.wait_for_url("**/viewer/2.25.1")
    expect(page.locator("#stage")).to_be_attached()


def test_a_viewer_that_was_opened_stays(page: Page, base: str) -> None:
    listed(page, base)
    expect(page.frame_locator(KEPT).locator("#stage")).to_be_attached()
    page.get_by_role("link", name="Open images").click()
    expect(page.locator(KEPT)).to_have_attribute("data-prepared", "shown")
    page.clock.run_for("10:30")

    expect(page.locator(KEPT)).to_have_attribute("data-prepared", "shown")
