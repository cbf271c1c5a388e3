"""Fixtures of the page around a stand-in for the viewer, loaded by its tests as a plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.viewer_page_actors import viewer_pages
from tests.conftest import free_port_number, serving


@pytest.fixture(scope="module")
def viewer_base() -> Iterator[str]:
    with serving(viewer_pages(), free_port_number()) as base:
        yield base


@pytest.fixture
def page(ohif_browser: Browser, viewer_base: str) -> Iterator[Page]:
    """The page of study 1.1, in a profile of its own."""
    with ohif_browser.new_context(viewport={"width": 1300, "height": 700}) as context:
        opened = context.new_page()
        opened.goto(f"{viewer_base}/viewer/1.1")
        opened.locator("#words").wait_for()
        opened.evaluate("window.isTheFirstDocument = true")
        yield opened
