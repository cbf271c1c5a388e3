"""Writes docs/pictures: each page at three widths, light and dark, and the README's (``make pictures``; no part of the tests).

The list and the viewer are the demo's, with its images; the other pages stand at an EHR of one's own, by a fixed clock.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page

from ehr_sandbox.demo_study import nodule_mark
from ehr_sandbox.patients import alma
from tests.browser.app_pages import APP_PAGES, a_visit, served_app
from tests.browser.demo_stack import Demo, clinician, open_chart, opened_app
from tests.browser.ohif_pixels import viewer_frame, wait_for_picture
from tests.conftest import CHECKOUT

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

SIZES = ((1400, 900), (800, 1000), (390, 844))
SCHEMES = ("light", "dark")
PICTURES = CHECKOUT / "docs" / "pictures"
PLAIN_PAGES = {"list-crowded": "list-crowded", "error": "declined", "index": "index", "list-patient": "list-of-the-patient"}
"""Name of the picture, and of the page in APP_PAGES."""
DEMO_PAGES = ("list", "viewer")
LARGEST_PICTURE = 110_000
LARGEST_SUM = 1_500_000
STORY, STILL = CHECKOUT / "docs" / "story.png", CHECKOUT / "docs" / "screenshot.png"
STORY_SIZE = (1200, 860)
LARGEST_STORY = 250_000
STEP_MS = 3500
"""How long each step of the story is looked at."""
NOISE = 24
"""What differs by less than so many levels of grey is noise."""
STEADY = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const said = texts.currentNode.data;
    const steady = said.replace(/(localhost|127\\.0\\.0\\.1):\\d+/g, "$1:8000")
      .replace(/\\b[0-9a-f]{16}\\b/g, "05bea4c0df0ce3a8");
    if (steady !== said) texts.currentNode.data = steady;
  }
}"""
"""What is another one in each run: ports and reference numbers."""


def path_of(name: str, width: int, scheme: str) -> Path:
    """Where a picture is kept."""
    return PICTURES / f"{name}-{width}-{scheme}.png"


def keep(path: Path, picture: bytes) -> None:
    """Writes one picture, small enough for a repository."""
    image = few_colours(without_noise(Image.open(io.BytesIO(picture)).convert("RGB")))
    stored = io.BytesIO()
    image.save(stored, "PNG", optimize=True)
    assert len(stored.getvalue()) <= LARGEST_PICTURE, f"{path.name}: {len(stored.getvalue())} bytes"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(stored.getvalue())


def without_noise(image: Image.Image) -> Image.Image:
    """The noise of CT, which no PNG can store in few bytes, evened out; edges and letters stay as they are."""
    shown = np.asarray(image).astype(int)
    even = np.asarray(image.filter(ImageFilter.MedianFilter(9))).astype(int)
    is_near = np.abs(even - shown).max(axis=2, keepdims=True) < NOISE
    is_grey = np.ptp(shown, axis=2, keepdims=True) < 3
    return Image.fromarray(np.where(is_near & is_grey, even, shown).astype(np.uint8))


def few_colours(image: Image.Image) -> Image.Image:
    """The areas' own colours, greys, and the colours that a few letters and signs have, which a plain palette loses."""
    pixels = np.asarray(image).reshape(-1, 3)
    packed, counts = np.unique(pixels @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    areas = colours[np.argsort(-counts, kind="stable")[:16]]
    greys = np.repeat(np.linspace(0, 255, 16, dtype=np.uint8)[:, None], 3, axis=1)
    signs = np.asarray(Image.fromarray(colours[None]).quantize(20, method=Image.Quantize.MAXCOVERAGE).convert("RGB"))
    chosen = np.unique(np.concatenate([areas, greys, np.unique(signs.reshape(-1, 3), axis=0)]), axis=0)
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.tobytes())
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def keep_all(name: str, page: Page, ready: Callable[[], object]) -> None:
    """Writes one page at each width, light and dark."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        ready()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            page.evaluate(STEADY)
            page.wait_for_timeout(500)
            keep(path_of(name, width, scheme), page.screenshot())


@pytest.mark.parametrize("name", PLAIN_PAGES)
def test_pictures_of_a_page(name: str, tmp_path: Path, browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(browser) as visit:
        APP_PAGES[PLAIN_PAGES[name]](served, visit)
        keep_all(name, visit.page, lambda: visit.page.evaluate("scrollTo(0, 0)"))


@pytest.fixture
def list_page(demo: Demo, browser: Browser) -> Iterator[Page]:
    """Alma's study list, opened from her chart in a window of its own."""
    with clinician(browser, demo) as (context, _):
        yield opened_app(context, demo)


def test_pictures_of_the_list(list_page: Page) -> None:
    list_page.locator(".thumbnail img").nth(1).wait_for()
    keep_all("list", list_page, lambda: list_page.wait_for_timeout(1500))


def test_pictures_of_the_viewer(list_page: Page) -> None:
    def drawn() -> None:
        list_page.goto(address)
        wait_for_picture(viewer_frame(list_page), until=lambda one: one.sop_instance_uid == nodule and not one.is_empty)
        list_page.wait_for_timeout(3000)

    nodule = nodule_mark(alma.CURRENT).sop_instance_uid
    address = urljoin(list_page.url, list_page.get_by_role("link", name="Show on its slice").first.get_attribute("href") or "")
    keep_all("viewer", list_page, drawn)


def keep_story(steps: list[bytes]) -> None:
    """Writes the steps as one picture that moves (APNG), and side by side at half their size for who wants none that does."""
    width, height = STORY_SIZE
    images = [without_noise(Image.open(io.BytesIO(one)).convert("RGB")) for one in steps]
    strip = Image.new("RGB", (width * len(images), height))
    for number, image in enumerate(images):
        strip.paste(image, (number * width, 0))
    shared = few_colours(strip)
    first, *others = (shared.crop((left, 0, left + width, height)) for left in range(0, strip.width, width))
    first.save(STORY, "PNG", save_all=True, append_images=others, duration=STEP_MS, loop=0, optimize=True)
    few_colours(strip.reduce(2)).save(STILL, "PNG", optimize=True)
    sizes = {path.name: path.stat().st_size for path in (STORY, STILL)}
    assert max(sizes.values()) <= LARGEST_STORY, sizes


def test_the_way_from_the_card_to_the_images(demo: Demo, browser: Browser) -> None:
    """The README's: the card in the chart, the study list that it launches, the slice that the AI marked."""
    nodule = nodule_mark(alma.CURRENT).sop_instance_uid
    with clinician(browser, demo) as (context, _):
        page = context.new_page()
        page.set_viewport_size({"width": STORY_SIZE[0], "height": STORY_SIZE[1]})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        open_chart(page, demo, "Alma")
        steps = [page.screenshot()]

        page.locator("#open-app", has_text="Open imaging app").click()
        page.frame_locator("iframe").locator("li.study").first.wait_for()
        page.wait_for_timeout(3000)
        page.evaluate("scrollTo(0, 0)")
        steps.append(page.screenshot())
        page.get_by_role("button", name="Close app").click()
        page.frame_locator("iframe").locator("body").wait_for(state="detached")

        page.locator("[data-launch]", has_text="Open the AI result's slice").first.click()
        wait_for_picture(viewer_frame(page), until=lambda one: one.sop_instance_uid == nodule and not one.is_empty)
        page.wait_for_timeout(3000)
        page.evaluate("scrollTo(0, 0)")
        steps.append(page.screenshot())
    keep_story(steps)
