"""The viewer in the frames that EHRs give it, and while its token changes under the reader's hands."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from smart_app import ohif
from tests.browser.ohif_actors import Launch, SmallArchive, running_viewer, viewer_config
from tests.browser.ohif_pixels import wait_for_picture

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

# What an EHR's tab, a tablet and a phone leave for the viewer.
FRAMES = [(1225, 692), (894, 600), (800, 600), (600, 700), (420, 700)]

_HEADER_BOXES = """() => [...document.querySelectorAll('button, [data-cy="return-to-work-list"]')]
  .map((one) => [one.dataset.cy ?? one.id ?? "", one.getBoundingClientRect()])
  .filter(([, { top, width, height }]) => top < 48 && width > 0 && height > 0)
  .map(([name, { left, right, top, bottom }]) => ({ name, left, right, top, bottom }))"""

_CAMERA = "window.cornerstone.getEnabledElements()[0].viewport.getZoom()"


def header_boxes(page: Page) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = page.evaluate(_HEADER_BOXES)
    return boxes


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two boxes lie over each other by more than a hair, one not being inside of the other (an icon in its button)."""
    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
    high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return bool(wide > 2 and high > 2)


@pytest.mark.parametrize(("width", "height"), FRAMES)
def test_no_tool_lies_over_another_in_a_narrow_frame(
    width: int, height: int, ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """smart-launch.md §8 (usable from about 600 px), and phones."""
    with running_viewer(ohif_dir, Launch(), small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": width, "height": height})
        page.goto(base + ohif.viewer_path(viewer_config(base), small_archive.chests["uncompressed"].study))
        wait_for_picture(page)
        page.wait_for_timeout(500)
        boxes = header_boxes(page)
        canvas = page.locator("canvas").first.evaluate("(one) => one.clientWidth")
        words = page.locator("body").inner_text()
        page.close()

    assert len(boxes) >= 8
    assert [(a, b) for a, b in itertools.combinations(boxes, 2) if overlap(a, b)] == []
    assert all(box["left"] >= 0 and box["right"] <= width for box in boxes)
    assert canvas > width * 0.45
    assert "OHIF" not in words


def test_group_33_the_reader_scrolls_through_renewals_without_losing_place(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    """A38: tokens of five seconds, three renewals; slice and zoom are the reader's all along and no notice appears."""
    launch = Launch(lifetime_s=5)
    with running_viewer(ohif_dir, launch, small_archive.pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1000, "height": 700})
        page.goto(base + ohif.viewer_path(viewer_config(base), small_archive.chests["jpeg-2000"].study))
        wait_for_picture(page)
        page.evaluate("window.isTheFirstDocument = true")
        page.locator("canvas").first.hover()
        page.keyboard.press("+")
        page.wait_for_timeout(300)
        zoom = page.evaluate(_CAMERA)
        until, slices, zooms = time.monotonic() + 13, [], []
        while time.monotonic() < until or len(launch.issued) < 4:
            page.keyboard.press("ArrowDown" if len(slices) % 20 < 10 else "ArrowUp")
            page.wait_for_timeout(250)
            shown = page.evaluate("window.cornerstone.getEnabledElements()[0].viewport.getCurrentImageIdIndex()")
            slices.append(shown)
            zooms.append(page.evaluate(_CAMERA))
            assert len(slices) < 200
        is_same = page.evaluate("window.isTheFirstDocument === true")
        notices = page.locator("#imaging-cds-notice, #imaging-cds-trouble").count()
        page.close()

    assert len(launch.issued) >= 4
    assert max(abs(after - before) for before, after in itertools.pairwise(slices)) <= 1
    assert len(set(slices)) >= 5
    assert zooms == pytest.approx([zoom] * len(zooms))
    assert is_same
    assert notices == 0
    assert all(status == 200 for _, _, status in launch.gateway_calls)
