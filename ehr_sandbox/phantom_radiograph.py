"""A synthetic chest radiograph: the CT phantom of the same person, seen through from front to back or from side to side.

Coarser than a CT, since the beam blurs what lies behind each other anyway: a few dozen samples along the beam and a
hundred and twenty levels, drawn out to the matrix of the detector. The same description gives the same pixels.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom import paint_chest
from ehr_sandbox.phantom_blood import NATIVE
from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_scan import CtPhantom
from ehr_sandbox.phantom_vessels import LungTrees, grow_trees

HIGHEST_VALUE = 4095
# The body between these (mm): arms and table are not on the detector.
_LEFT, _FRONT, _TOP, _HEIGHT = 178.0, 150.0, 135.0, 300.0
_EDGE_MM = 2.0
# Attenuation at the air around the body and behind the spine, in the sum over the beam: black and white of the display.
_BLACK, _WHITE = 0.9, 5.0
# From side to side the beam passes both arms' roots and more of the body.
_LATERAL_BLACK, _LATERAL_WHITE = 1.2, 6.6


class RadiographView(StrEnum):
    """Which way the beam goes, as a defined term of View Position (0018,5101)."""

    FROM_THE_FRONT = "AP"
    FROM_THE_BACK = "PA"
    FROM_THE_SIDE = "LL"


@dataclass(frozen=True, kw_only=True)
class ChestRadiographPhantom:
    """One exposure of the person whose chest a CT phantom describes; nothing is injected and no clot shows.

    `levels`, `columns_sampled` and `depths` say how finely the chest is sampled, `rows` and `columns` how the image is stored.
    """

    chest: CtPhantom
    noise_seed: int
    levels: int = 120
    columns_sampled: int = 320
    depths: int = 64
    rows: int = 840
    columns: int = 1000

    @property
    def pixel_spacing(self) -> float:
        """Millimetres in the plane of the detector, the same in both directions."""
        return 2 * _LEFT / self.columns

    def columns_of(self, view: RadiographView) -> int:
        """The width of the image in pixels: a body is less deep than wide."""
        return round(self.columns * _FRONT / _LEFT) if view is RadiographView.FROM_THE_SIDE else self.columns

    def render(self, view: RadiographView = RadiographView.FROM_THE_FRONT) -> NDArray[np.uint16]:
        """Twelve-bit values, bone is white; on the left of the image is the patient's right, or from the side the front."""
        is_lateral = view is RadiographView.FROM_THE_SIDE
        black, white = (_LATERAL_BLACK, _LATERAL_WHITE) if is_lateral else (_BLACK, _WHITE)
        levels = np.linspace(_TOP, _TOP - _HEIGHT, self.levels)
        beam = np.stack([self._attenuation(float(z), is_lateral=is_lateral) for z in levels])
        value = (_drawn_out(beam, self.rows, self.columns_of(view)) - black) / (white - black) * HIGHEST_VALUE
        rng = np.random.default_rng((self.noise_seed, 1) if is_lateral else self.noise_seed)
        value += rng.standard_normal(value.shape, dtype=np.float32) * np.float32(18.0)
        seen: NDArray[np.uint16] = np.clip(np.rint(value), 0, HIGHEST_VALUE).astype(np.uint16)
        return seen

    def _attenuation(self, z: float, *, is_lateral: bool) -> Field:
        """The sum along the beam for every column at one height."""
        across, along = (self.depths, self.columns_sampled) if is_lateral else (self.columns_sampled, self.depths)
        x = np.linspace(-_LEFT, _LEFT, across, dtype=np.float32)[None, :] / np.float32(self.chest.width)
        y = np.linspace(-_FRONT, _FRONT, along, dtype=np.float32)[:, None] / np.float32(self.chest.depth)
        air = np.full((along, across), -1000.0, dtype=np.float32)
        canvas = SliceCanvas(hu=air, x=x, y=y, z=z, edge_mm=_EDGE_MM)
        paint_chest(canvas, self.chest, _trees(self.chest.seed), NATIVE)
        # 0.2 per cm of water: what a chest beam of 120 kV leaves.
        thickness_cm = 2 * (_LEFT if is_lateral else _FRONT) / self.depths / 10
        seen_through = np.clip(canvas.hu + 1000.0, 0.0, None).sum(axis=1 if is_lateral else 0)
        summed: Field = seen_through * np.float32(0.2 * thickness_cm / 1000.0)
        return summed


def _drawn_out(beam: Field, rows: int, columns: int) -> Field:
    """The samples at the pixels of the detector, linearly in between."""
    across = np.linspace(0, beam.shape[1] - 1, columns)
    down = np.linspace(0, beam.shape[0] - 1, rows)
    wide = np.stack([np.interp(across, np.arange(beam.shape[1]), line) for line in beam])
    drawn: Field = np.stack([np.interp(down, np.arange(beam.shape[0]), line) for line in wide.T]).T.astype(np.float32)
    return drawn


@lru_cache(maxsize=1)
def _trees(seed: int) -> LungTrees:
    return grow_trees(seed)
