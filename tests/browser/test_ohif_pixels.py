"""What the other tests see by: a canvas that OHIF has taken off the page shows nothing, whatever cornerstone still says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.ohif_pixels import read_viewport

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

_ONE_VIEWPORT = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 20 });
  canvas.style = "width: 20px; height: 10px; display: block";
  canvas.getContext("2d").fillRect(0, 0, 40, 20);
  document.body.append(canvas);
  window.cornerstone = {
    getEnabledElements: () => [{ viewport: {
      getCornerstoneImage: () => ({ imageId: "wadors:/studies/1/series/2/instances/3/frames/1" }),
      getCurrentImageIdIndex: () => 0, getCanvas: () => canvas, worldToCanvas: (place) => place,
    } }],
    metaData: { get: () => ({ columns: 20, rows: 10 }) },
    utilities: { imageToWorldCoords: (_, place) => place },
  };
}"""


def test_a_canvas_that_is_not_on_the_page_shows_nothing(browser: Browser) -> None:
    page = browser.new_page()
    page.evaluate(_ONE_VIEWPORT)
    on_the_page = read_viewport(page)
    page.locator("canvas").evaluate("(canvas) => canvas.remove()")
    taken_off = read_viewport(page)
    page.close()

    assert on_the_page is not None
    assert (on_the_page.sop_instance_uid, list(on_the_page.right), list(on_the_page.down)) == ("3", [40, 0], [0, 20])
    assert taken_off is None
