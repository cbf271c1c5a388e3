"""One demo and one browser for all tests of the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.demo_stack import Demo, running_demo
from tests.browser.ohif_actors import CHROMIUM_ARGUMENTS
from tests.interop.outsiders import demo_images, with_images


@pytest.fixture(scope="module")
def demo(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, viewer_dir: Path) -> Iterator[Demo]:
    """The demo as ``make demo`` starts it, on free ports; its images are those that all tests share."""
    directory = with_images(tmp_path_factory.mktemp("demo") / "state", demo_images(pytestconfig))
    with running_demo(directory, viewer_dir) as running:
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
