"""A window of its own for the viewer page of an EHR's frame, which keeps its partitioned cookie to itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, sync_playwright

from tests.browser.app_pages import served_app
from tests.browser.ohif_actors import launch_chromium
from tests.conftest import free_port_number, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch_chromium(playwright, chromium_path, "--test-third-party-cookie-phaseout")
        yield started
        started.close()


def test_the_viewer_page_of_a_frame_opens_in_a_window_of_its_own(browser: Browser, tmp_path: Path) -> None:
    port = free_port_number()
    with served_app(tmp_path, frame_ancestors=(f"http://127.0.0.1:{port}",)) as served:
        chart = Flask("chart")
        framed = f'<iframe width="1200" height="800" src="{escape(served.launch_url)}"></iframe>'
        chart.add_url_rule("/", view_func=lambda: framed)
        with serving(chart, port) as outside, browser.new_context() as context:
            page = context.new_page()
            page.goto(outside)
            frame = page.frame_locator("iframe")
            frame.get_by_role("link", name="Open images").first.click()
            with context.expect_page() as opening:
                frame.get_by_role("button", name="Open in new window").click()
            window = opening.value
            window.wait_for_load_state()

            assert window.locator("#patient .name").inner_text() == "SYNTHETIC, Alma"
            assert window.locator(".study-line h1").inner_text() == "CT chest"
            assert "ticket" not in window.url
