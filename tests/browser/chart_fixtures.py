"""Chromium for the tests of the chart, and a page that fails its test on any script error or refused resource.

Tests import from here and register this module as a plugin, which pytest only takes without a warning when it need not
rewrite it: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="module")
def chart_browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium_path, headless=True, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def a_watched_page(browser: Browser, *, width: int = 1400, expected: str = "", **context: Any) -> Iterator[Page]:
    """A page in a profile of its own. Troubles that hold ``expected`` are the test's own doing."""
    with browser.new_context(viewport={"width": width, "height": 900}, **context) as profile:
        opened = profile.new_page()
        troubles: list[str] = []
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        yield opened
        assert [trouble for trouble in troubles if not expected or expected not in trouble] == []
