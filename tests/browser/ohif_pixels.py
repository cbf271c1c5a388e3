"""Read what OHIF has drawn: brightness at a place of the *image*, whatever zoom and margin the viewport has."""

import base64
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Error, Frame, Page

# The bundle keeps cornerstone's namespace on the window; canvas coordinates are CSS pixels. A viewport's place in its stack
# runs ahead of its image, and its image of the canvas, which is drawn with the next frame: what had the same image at the
# end of two frames is on the canvas. A page that is not on the screen has no frames, hence the time limit. A canvas without
# width is not on the page: OHIF takes one out when it puts another viewport in its place, and tells cornerstone later.
PICTURED = """(viewport) => viewport?.getCornerstoneImage
  ? viewport.getCornerstoneImage()?.imageId : viewport?.getCurrentImageId?.()"""
_READ_VIEWPORT = (
    """
async () => {
  const frame = () => new Promise((done) => { requestAnimationFrame(done); setTimeout(done, 500); });
  const [enabled] = window.cornerstone?.getEnabledElements() ?? [];
  const viewport = enabled?.viewport;
  const pictured = """
    + PICTURED
    + """;
  await frame();
  const imageId = pictured(viewport);
  await frame();
  if (!imageId || pictured(viewport) !== imageId) return null;
  const canvas = viewport.getCanvas();
  if (!canvas.clientWidth) return null;
  const plane = window.cornerstone.metaData.get("imagePlaneModule", imageId);
  const place = (column, row) =>
    viewport.worldToCanvas(window.cornerstone.utilities.imageToWorldCoords(imageId, [column, row]))
      .map((value) => value * canvas.width / canvas.clientWidth);
  return {
    imageId,
    sliceIndex: viewport.getCurrentImageIdIndex(),
    origin: place(0, 0),
    right: place(plane.columns, 0),
    down: place(0, plane.rows),
    picture: canvas.toDataURL("image/png"),
  };
}
"""
)
_STUDIES_BY_PLACE = """
() => window.cornerstone.getEnabledElements()
  .map(({ viewport }) => [viewport.canvas.getBoundingClientRect().x, viewport.getCurrentImageId?.() ?? ""])
  .sort(([a], [b]) => a - b).map(([, id]) => id.split("/studies/")[1]?.split("/")[0] ?? "")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewportPicture:
    """The first viewport's canvas (annotations, which are SVG, are not in it) and where the image lies on it."""

    sop_instance_uid: str
    slice_index: int
    brightness: np.ndarray
    warmth: np.ndarray
    """How much more red than blue, -255 to 255; pictures themselves are grey."""
    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray

    def at(self, x: float, y: float, radius: float = 0.01) -> float:
        """Mean brightness, 0 to 255, around a place given in fractions of the image's width and height.

        NaN, which no comparison accepts, where that place is outside of the viewport (as while it is being laid out).
        """
        return self._mean(self.brightness, x, y, radius)

    def warmth_at(self, x: float, y: float) -> float:
        """As ``at``, of the colour in a small spot: what is drawn over the grey picture."""
        return self._mean(self.warmth, x, y, 0.002)

    def _mean(self, values: np.ndarray, x: float, y: float, radius: float) -> float:
        centre = self.origin + x * (self.right - self.origin) + y * (self.down - self.origin)
        reach = max(1, round(radius * float(np.linalg.norm(self.right - self.origin))))
        height, width = values.shape
        if not (0 <= centre[0] < width and 0 <= centre[1] < height):
            return math.nan
        column, row = (round(float(value)) for value in centre)
        return float(values[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1].mean())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn: one even colour."""
        return bool(self.brightness.max() - self.brightness.min() < 8)


def read_viewport(page: Page | Frame) -> ViewportPicture | None:
    """What the viewer's first viewport shows now; None while it shows no image at all."""
    found: dict[str, Any] | None = page.evaluate(_READ_VIEWPORT)
    if found is None:
        return None
    _, _, encoded = found["picture"].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        brightness = np.asarray(picture.convert("L"))
        colours = np.asarray(picture.convert("RGB")).astype(np.int16)
    return ViewportPicture(
        sop_instance_uid=found["imageId"].partition("/instances/")[2].partition("/")[0],
        slice_index=found["sliceIndex"],
        brightness=brightness,
        warmth=colours[..., 0] - colours[..., 2],
        origin=np.asarray(found["origin"]),
        right=np.asarray(found["right"]),
        down=np.asarray(found["down"]),
    )


def wait_for_picture(
    page: Page | Frame,
    *,
    timeout_s: float = 60,
    until: Callable[[ViewportPicture], bool] = lambda picture: not picture.is_empty,
) -> ViewportPicture:
    """Poll the viewport until it shows something that pleases; raises AssertionError with what it showed last."""
    deadline = time.monotonic() + timeout_s
    last: ViewportPicture | None = None
    while time.monotonic() < deadline:
        try:
            last = read_viewport(page)
        except Error:  # the page is still finding its way
            last = None
        if last is not None and until(last):
            return last
        page.wait_for_timeout(100)
    shown = "no image" if last is None else f"slice {last.slice_index} of instance {last.sop_instance_uid}"
    raise AssertionError(f"After {timeout_s} s the viewport showed {shown}.")


def viewer_frame(page: Page) -> Frame:
    """The frame that OHIF runs in, wherever it is embedded."""
    for _ in range(600):
        found = next((one for one in page.frames if "/ohif/viewer" in one.url), None)
        if found is not None:
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"no viewer among {[one.url.partition('?')[0] for one in page.frames]}")


def studies_from_left_to_right(frame: Frame, wanted: list[str]) -> list[str]:
    """The Study Instance UIDs shown, once they are as wanted, else what they were last."""
    deadline = time.monotonic() + 40
    shown: list[str] = []
    while shown != wanted and time.monotonic() < deadline:
        frame.page.wait_for_timeout(100)
        shown = frame.evaluate(_STUDIES_BY_PLACE)
    return shown
