"""One demo and one browser for all tests of the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.demo_stack import Demo, running_demo
from tests.browser.ohif_actors import CHROMIUM_ARGUMENTS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, viewer_dir: Path) -> Iterator[Demo]:
    """The demo as ``make demo`` starts it, on free ports."""
    with running_demo(tmp_path_factory.mktemp("demo") / "state", viewer_dir) as running:
        yield running


@pytest.fixture(scope="module")
def playwright_driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright_driver: Playwright, chromium_path: str) -> Iterator[Browser]:
    """Chromium as it is: third-party cookies blocked in its fresh profiles (a test checks that)."""
    launched = playwright_driver.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGUMENTS)
    yield launched
    launched.close()
