"""Fixtures of the viewer's browser tests, loaded by them as a plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from imaging_cds.viewer_install import is_installed
from tests.browser.ohif_actors import SYNTAXES, SmallArchive, archive_of, launch_chromium, write_small_chest
from tests.conftest import VIEWER_DIR


@pytest.fixture(scope="session")
def ohif_dir() -> Path:
    if not is_installed(VIEWER_DIR):
        pytest.skip("The viewer is not installed; `imaging-cds demo` or `make test` installs it.")
    return VIEWER_DIR


@pytest.fixture(scope="module")
def ohif_playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def ohif_browser(ohif_playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    browser = launch_chromium(ohif_playwright, chromium_path)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    directory = tmp_path_factory.mktemp("chests")
    chests = {name: write_small_chest(directory / name, syntax, f"SMALL-{name}") for name, syntax in SYNTAXES.items()}
    return SmallArchive(pacs=archive_of(tmp_path_factory.mktemp("pacs"), directory), chests=chests)
