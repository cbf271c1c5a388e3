"""Rendering of one frame to an 8-bit image: modality, VOI and presentation transformations, then the viewport.

Spec: PS3.3 §C.11.1, §C.11.2.1 (LINEAR, LINEAR_EXACT and SIGMOID) and PS3.18 §8.3.5 (rendering parameters).
"""

import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

MAXIMUM_VIEWPORT_PIXELS = 8192


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A VOI window in modality units (HU for CT); ValueError for a width that PS3.3 §C.11.2.1.2 excludes."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    def __post_init__(self) -> None:
        least = 1.0 if self.function is VoiFunction.LINEAR else 0.0
        if not np.isfinite([self.center, self.width]).all() or self.width < least or self.width == 0:
            raise ValueError("the width of a window is too small")

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values from 0.0 (darkest) to 1.0 (brightest)."""
        if self.function is VoiFunction.SIGMOID:
            # Beyond 50 the curve is flat to the last bit, and the exponential would overflow.
            slope = np.clip(-4.0 * (values - self.center) / self.width, -50.0, 50.0)
            return np.asarray(1.0 / (1.0 + np.exp(slope)))
        if self.function is VoiFunction.LINEAR_EXACT:
            return np.clip((values - self.center) / self.width + 0.5, 0.0, 1.0)
        # A width of 1 is a threshold: the span is zero and only the two sides remain.
        span = max(self.width - 1.0, 1e-9)
        return np.clip((values - (self.center - 0.5)) / span + 0.5, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """Size to fit into, in pixels, and the region of the image to show (x, y, width, height; negative flips)."""

    width: int
    height: int
    region: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a client asks for; each absent part is taken from the image."""

    media_type: str = "image/jpeg"
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = field(default=90)

    def render(self, samples: NDArray[Any], attributes: Dataset, frame_number: int) -> bytes:
        """The encoded image of a decoded frame; `attributes` is the instance's data set without pixels."""
        image = Image.fromarray(_displayed(samples, attributes, frame_number, self.window))
        if self.viewport is not None:
            image = _fitted(image, self.viewport)
        encoded = io.BytesIO()
        if self.media_type == "image/png":
            image.save(encoded, "PNG")
        else:
            image.save(encoded, "JPEG", quality=self.quality)
        return encoded.getvalue()


def _displayed(samples: NDArray[Any], attributes: Dataset, frame_number: int, window: Window | None) -> NDArray[np.uint8]:
    photometric = str(attributes.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR":
        return _eight_bits(apply_color_lut(samples, attributes), 16)
    if not photometric.startswith("MONOCHROME"):
        return _eight_bits(samples, int(attributes.get("BitsStored", 8)))
    values = _modality_values(samples, attributes, frame_number)
    chosen = window or _own_window(attributes, frame_number) or _whole_range(values)
    shown = chosen.apply(values)
    if photometric == "MONOCHROME1":
        shown = 1.0 - shown
    return np.rint(shown * 255.0).astype(np.uint8)


def _eight_bits(samples: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8:
        return np.asarray(samples, dtype=np.uint8)
    return np.asarray(np.clip(samples.astype(np.int64) >> max(bits - 8, 0), 0, 255), dtype=np.uint8)


def _modality_values(samples: NDArray[Any], attributes: Dataset, frame_number: int) -> NDArray[np.float64]:
    transformation = _group_item(attributes, frame_number, "PixelValueTransformationSequence")
    if transformation is None:
        return apply_modality_lut(samples, attributes).astype(np.float64)
    slope = float(transformation.get("RescaleSlope", 1))
    return samples.astype(np.float64) * slope + float(transformation.get("RescaleIntercept", 0))


def _own_window(attributes: Dataset, frame_number: int) -> Window | None:
    source = _group_item(attributes, frame_number, "FrameVOILUTSequence") or attributes
    center, width = _first_number(source.get("WindowCenter")), _first_number(source.get("WindowWidth"))
    if center is None or width is None:
        return None
    try:
        return Window(center=center, width=width, function=VoiFunction(source.get("VOILUTFunction", VoiFunction.LINEAR)))
    except ValueError:
        return None


def _whole_range(values: NDArray[np.float64]) -> Window:
    low, high = float(values.min()), float(values.max())
    return Window(center=(low + high) / 2, width=max(high - low, 1.0), function=VoiFunction.LINEAR_EXACT)


def _first_number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value if isinstance(value, int | float | str) else value[0])


def _group_item(attributes: Dataset, frame_number: int, keyword: str) -> Dataset | None:
    """The functional group of a frame in an enhanced multi-frame image: its own, else the shared one."""
    per_frame = attributes.get("PerFrameFunctionalGroupsSequence") or []
    shared = attributes.get("SharedFunctionalGroupsSequence") or []
    for groups in [*per_frame[frame_number - 1 : frame_number], *shared[:1]]:
        items = groups.get(keyword)
        if items:
            item: Dataset = items[0]
            return item
    return None


def _fitted(image: Image.Image, viewport: Viewport) -> Image.Image:
    if viewport.region is not None:
        x, y, width, height = viewport.region
        box = (round(x), round(y), round(x + abs(width)), round(y + abs(height)))
        image = image.crop(box)
        if width < 0:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if height < 0:
            image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    scale = min(viewport.width / image.width, viewport.height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)
