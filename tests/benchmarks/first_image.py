"""When the first image stands on the screen: a clock inside each page of a browser profile that nobody used before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

# Looked at in each frame of each page: the first viewport's canvas, made small, is no longer one even colour.
WATCH = """
(() => {
  const small = new OffscreenCanvas(32, 32).getContext("2d", { willReadFrequently: true });
  const look = () => {
    const viewport = window.cornerstone?.getEnabledElements?.()[0]?.viewport;
    // Where a stack is runs ahead of what it has the pixels of.
    const hasPicture = viewport?.getCornerstoneImage;
    const imageId = hasPicture ? viewport.getCornerstoneImage()?.imageId : viewport?.getCurrentImageId?.();
    if (imageId && (!window.imageWanted || imageId.includes(window.imageWanted))) {
      small.drawImage(viewport.getCanvas(), 0, 0, 32, 32);
      const { data } = small.getImageData(0, 0, 32, 32);
      let [least, most] = [255, 0];
      for (let at = 0; at < data.length; at += 4) [least, most] = [Math.min(least, data[at]), Math.max(most, data[at])];
      if (most - least > 60) { window.firstImageAt = Date.now(); return; }
    }
    setTimeout(look, 25);
  };
  look();
  addEventListener("click", () => { window.clickedAt ??= Date.now(); }, { capture: true });
})();
"""
TIMEOUT_S = 90.0


@contextmanager
def new_profile(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile with empty caches whose pages keep that clock."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(TIMEOUT_S * 1000)
    context.add_init_script(WATCH)
    try:
        yield context
    finally:
        context.close()


def first_image_ms(page: Page, since: float) -> float:
    """Milliseconds from ``since`` (UTC seconds; browser and test share the clock) to the first image in the page's frames."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for frame in page.frames:
            if "/viewer" not in frame.url:
                continue
            at: Any = frame.evaluate("window.firstImageAt ?? null")
            if at is not None:
                return float(at) - since * 1000
        page.wait_for_timeout(100)
    raise AssertionError("no image was drawn")


def browser_cpu_s() -> float:
    """Seconds of processor time that this process's browser has spent: unlike the clock, it hardly knows its neighbours."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            command, _, rest = file.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it ended meanwhile
            continue
        fields = rest.split()
        number = int(file.parent.name)
        parents[number] = int(fields[1])
        if command.startswith("chrom"):
            spent[number] = (int(fields[11]) + int(fields[12])) / ticks
    return sum(seconds for number, seconds in spent.items() if _descends(number, parents))


def _descends(number: int, parents: dict[int, int]) -> bool:
    while number > 1:
        if number == os.getpid():
            return True
        number = parents.get(number, 0)
    return False
