"""One stack of servers and one report for all benchmarks of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.report import Report
from tests.benchmarks.stack import Stack, a_stack
from tests.browser.ohif_actors import CHROMIUM_ARGUMENTS
from tests.interop.outsiders import demo_images


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--site-seconds", type=float, default=600.0, help="how long a site of 200 readers works")
    parser.addoption("--site-step-seconds", type=float, default=30.0, help="how long each step works that looks for its bend")


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with a_stack(tmp_path_factory.mktemp("bench") / "demo", demo_images(pytestconfig)) as running:
        yield running


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    if made.rows:
        made.write()


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()
