"""The embedded viewer in Chromium: it draws, with the policy on, through a gateway that checks every token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from imaging_cds.viewer_install import is_installed
from smart_app import ohif
from tests.browser.ohif_actors import (
    GATEWAY_PATH,
    NODULE_AT,
    NODULE_SLICE,
    Launch,
    Overheard,
    SmallChest,
    archive_of,
    launch_chromium,
    running_viewer,
    viewer_config,
    write_small_chest,
)
from tests.browser.ohif_pixels import wait_for_picture
from tests.conftest import VIEWER_DIR, free_port_number

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "jpeg-2000": JPEG2000Lossless,
    "jpeg-ls": JPEGLSLossless,
}


@pytest.fixture(scope="module")
def installed_viewer() -> Path:
    if not is_installed(VIEWER_DIR):
        pytest.skip("The viewer is not installed; `imaging-cds demo` or `make test` installs it.")
    return VIEWER_DIR


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, chromium_path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, SmallChest]]:
    directory = tmp_path_factory.mktemp("chests")
    return directory, {name: write_small_chest(directory / name, syntax, f"SMALL-{name}") for name, syntax in SYNTAXES.items()}


@pytest.mark.parametrize("compression", SYNTAXES)
def test_a_deep_link_draws_its_slice_with_the_policy_on(
    compression: str,
    installed_viewer: Path,
    browser: Browser,
    chests: tuple[Path, dict[str, SmallChest]],
    tmp_path: Path,
) -> None:
    """Groups 31 and 32: pixels appear, nothing violates the policy, no other host is asked, the token is only a header."""
    directory, studies = chests
    chest = studies[compression]
    launch = Launch()
    overheard = Overheard()
    with running_viewer(installed_viewer, launch, archive_of(tmp_path, directory), free_port_number()) as base:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        overheard.listen(page)
        address = ohif.viewer_path(
            viewer_config(base),
            chest.study,
            series_instance_uid=chest.series,
            sop_instance_uid=chest.instances[NODULE_SLICE],
        )

        page.goto(base + address)
        picture = wait_for_picture(page, until=lambda shown: shown.at(0.3, 0.48) > 10)
        stored = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
        source = page.content()
        workers = page.evaluate("navigator.serviceWorker.getRegistrations().then((found) => found.length)")
        page.close()

    assert picture.sop_instance_uid == chest.instances[NODULE_SLICE]
    assert picture.at(*NODULE_AT) > 150
    assert picture.at(0.3, 0.48) < 60, "lung is dark"
    assert picture.at(0.5, 0.7) > 150, "body is bright"
    assert picture.at(0.02, 0.02) < 20, "air is black"
    assert not [line for line in overheard.console if "Content Security Policy" in line or "pageerror" in line]
    asked = {urlsplit(request.url) for request in overheard.requests}
    assert {address.netloc for address in asked if address.scheme not in ("blob", "data")} == {urlsplit(base).netloc}
    assert launch.gateway_calls
    assert {token for _, token, _ in launch.gateway_calls} == set(launch.issued)
    assert all(status == 200 for _, _, status in launch.gateway_calls)
    assert workers == 0
    for token in launch.issued:
        assert token not in stored
        assert token not in source
        assert not [request for request in overheard.requests if token in request.url]
    assert [request for request in overheard.requests if GATEWAY_PATH in request.url]
