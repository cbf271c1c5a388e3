"""The embedded viewer in Chromium: it draws, with the policy on, through a gateway that checks every token."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from smart_app import ohif
from smart_app.ohif_release import PUBLIC_PATH
from tests.browser.ohif_actors import (
    NODULE_AT,
    NODULE_SLICE,
    SYNTAXES,
    Launch,
    Overheard,
    SmallArchive,
    SmallChest,
    running_viewer,
    viewer_config,
)
from tests.browser.ohif_pixels import ViewportPicture, wait_for_picture

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def on_the_nodule(base: str, chest: SmallChest) -> str:
    return base + ohif.viewer_path(
        viewer_config(base),
        chest.study,
        series_instance_uid=chest.series,
        sop_instance_uid=chest.instances[NODULE_SLICE],
    )


def shows_a_chest(picture: ViewportPicture) -> bool:
    lung, body, air = picture.at(0.3, 0.48), picture.at(0.5, 0.7), picture.at(0.02, 0.02)
    return 10 < lung < 60 and body > 150 and air < 20


@pytest.mark.parametrize("compression", SYNTAXES)
def test_a_deep_link_draws_its_slice_with_the_policy_on(
    compression: str, ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """Groups 31, 32: pixels appear, the policy holds, no other host is asked, the token is only ever a header."""
    chest = small_archive.chests[compression]
    launch = Launch()
    overheard = Overheard()
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1000, "height": 700})
        overheard.listen(page)

        page.goto(on_the_nodule(base, chest))
        picture = wait_for_picture(page, until=shows_a_chest)
        stored = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
        source = page.content()
        workers = page.evaluate("navigator.serviceWorker.getRegistrations().then((found) => found.length)")
        page.close()

    assert picture.sop_instance_uid == chest.instances[NODULE_SLICE]
    assert picture.at(*NODULE_AT) > 150
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


def test_what_is_prefetched_is_what_the_first_image_waits_for(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    overheard = Overheard()
    with running_viewer(ohif_dir, Launch(), small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1000, "height": 700})
        overheard.listen(page)
        page.goto(on_the_nodule(base, small_archive.chests["uncompressed"]))
        wait_for_picture(page, until=shows_a_chest)
        page.close()

    loaded = [path for request in overheard.requests if (path := urlsplit(request.url).path).startswith(PUBLIC_PATH)]
    assert set(loaded) == set(ohif.prefetch_links(ohif_dir))
    # A preload of another kind than its use would be fetched twice.
    assert not [line for line in overheard.console if "preload" in line and "not used within" not in line]


def test_ohif_parameters_that_bring_in_strangers_do_nothing(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """Group 31: `url`, `token`, `configUrl` and `customization` of OHIF are dead here, in query and fragment."""
    launch = Launch()
    overheard = Overheard()
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1000, "height": 700})
        overheard.listen(page)
        address = on_the_nodule(base, small_archive.chests["uncompressed"])
        strangers = "url=http://stranger.example/s.json&configUrl=http://stranger.example/c.json&customization=/x/y"

        page.goto(f"{address}&{strangers}&token=STRANGER&TOKEN=STRANGER#token=STRANGER")
        wait_for_picture(page, until=shows_a_chest)
        arrived_at = page.url
        page.close()

    assert arrived_at == address
    assert not [request for request in overheard.requests if "stranger.example" in urlsplit(request.url).netloc]
    assert {token for _, token, _ in launch.gateway_calls} == set(launch.issued)


def test_nothing_stands_before_the_images(ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive) -> None:
    """No tour, no investigational-use bar, no upload, no storing; OHIF's own study list is not reachable."""
    with running_viewer(ohif_dir, Launch(), small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1000, "height": 700})
        page.goto(on_the_nodule(base, small_archive.chests["uncompressed"]))
        wait_for_picture(page, until=shows_a_chest)
        page.wait_for_timeout(1500)
        words = page.locator("body").inner_text()
        page.evaluate("window.commandsManager.run('promptSaveReport', {})")
        page.locator("text=this viewer only reads the archive").wait_for(timeout=5_000)
        tours = page.locator(".shepherd-element").count()
        study_list = page.goto(f"{base}{viewer_config(base).router_basename}/index")
        page.wait_for_timeout(1500)
        words_there = page.locator("body").inner_text()
        page.close()

    assert tours == 0
    assert "investigational" not in words.lower()
    assert "upload" not in words.lower()
    assert study_list is not None
    assert "study list" not in words_there.lower()


def test_a_narrow_window_gives_its_width_to_the_images(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    chest = small_archive.chests["uncompressed"]
    with running_viewer(ohif_dir, Launch(), small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 600, "height": 700})
        page.goto(on_the_nodule(base, chest))
        wait_for_picture(page, until=shows_a_chest)
        width = page.locator("canvas").first.evaluate("(canvas) => canvas.clientWidth")
        page.close()

    assert width > 400
