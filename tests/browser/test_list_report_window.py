"""A report's document from the list inside an EHR's frame, in a browser that blocks third-party cookies (group 28)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.app_pages import ServedApp, served_app
from tests.browser.list_actors import a_picture
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import report_on

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--test-third-party-cookie-phaseout"]
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium_path, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def port() -> int:
    return free_port_number()


@pytest.fixture
def listed(tmp_path: Path, port: int) -> Iterator[ServedApp]:
    with served_app(tmp_path, frame_ancestors=(f"http://127.0.0.1:{port}",)) as served:
        form = {"contentType": "image/jpeg", "data": base64.b64encode(a_picture()).decode(), "title": "Key image"}
        served.ehr.fhir["DiagnosticReport"] = [{**report_on(), "presentedForm": [form]}]
        yield served


def test_from_a_frame_the_document_opens_in_a_window_of_its_own(browser: Browser, listed: ServedApp, port: int) -> None:
    chart = Flask("chart")
    chart.add_url_rule("/", view_func=lambda: f'<iframe width=1200 height=800 src="{escape(listed.launch_url)}"></iframe>')
    with serving(chart, port) as outside, browser.new_context() as context:
        page = context.new_page()
        page.goto(outside)
        link = page.frame_locator("iframe").get_by_role("link", name="Report as a document: Key image")
        with context.expect_page() as opening:
            link.click()
        window = opening.value
        expect(window.locator("img")).to_be_visible()

        assert window.url.startswith(f"{listed.url}/s/")
        assert "ticket" not in window.url
        assert window.evaluate("document.images[0].naturalWidth") > 0


def test_a_window_without_a_ticket_is_told_beside_the_link(browser: Browser, listed: ServedApp, port: int) -> None:
    chart = Flask("chart")
    chart.add_url_rule("/", view_func=lambda: f'<iframe width=1200 height=800 src="{escape(listed.launch_url)}"></iframe>')
    with serving(chart, port) as outside, browser.new_context() as context:
        page = context.new_page()
        page.goto(outside)
        context.route("**/window-ticket", lambda route: route.fulfill(status=503, body=""))
        listing = page.frame_locator("iframe")
        link = listing.get_by_role("link", name="Report as a document: Key image")
        link.click()
        expect(listing.locator(".report-form + [role=alert]")).to_contain_text("Please try again.")
        context.unroute("**/window-ticket")
        with context.expect_page() as opening:
            link.click()
        expect(opening.value.locator("img")).to_be_visible()

        expect(listing.locator(".window-failed")).to_have_count(0)


def test_outside_of_frames_the_link_does_it_alone(browser: Browser, listed: ServedApp) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(listed.launch_url)
        with context.expect_page() as opening:
            page.get_by_role("link", name="Report as a document: Key image").click()
        expect(opening.value.locator("img")).to_be_visible()

        assert not [url for url in asked if url.endswith("window-ticket")]
