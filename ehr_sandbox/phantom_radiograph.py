"""A synthetic chest radiograph: the CT phantom of the same person, seen through from front to back.

Coarser than a CT, since the beam blurs what lies behind each other anyway: a few dozen samples along the beam and a
hundred and twenty levels, drawn out to the matrix of the detector. The same description gives the same pixels.
"""

from dataclasses import dataclass
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

    def render(self) -> NDArray[np.uint16]:
        """Twelve-bit values, bone is white; the patient's right is on the left of the image."""
        beam = np.stack([self._attenuation(float(z)) for z in np.linspace(_TOP, _TOP - _HEIGHT, self.levels)])
        value = (_drawn_out(beam, self.rows, self.columns) - _BLACK) / (_WHITE - _BLACK) * HIGHEST_VALUE
        rng = np.random.default_rng(self.noise_seed)
        value += rng.standard_normal(value.shape, dtype=np.float32) * np.float32(18.0)
        seen: NDArray[np.uint16] = np.clip(np.rint(value), 0, HIGHEST_VALUE).astype(np.uint16)
        return seen

    def _attenuation(self, z: float) -> Field:
        """The sum along the beam for every column at one height."""
        x = np.linspace(-_LEFT, _LEFT, self.columns_sampled, dtype=np.float32)[None, :] / np.float32(self.chest.width)
        y = np.linspace(-_FRONT, _FRONT, self.depths, dtype=np.float32)[:, None] / np.float32(self.chest.depth)
        air = np.full((self.depths, self.columns_sampled), -1000.0, dtype=np.float32)
        canvas = SliceCanvas(hu=air, x=x, y=y, z=z, edge_mm=_EDGE_MM)
        paint_chest(canvas, self.chest, _trees(self.chest.seed), NATIVE)
        # 0.2 per cm of water: what a chest beam of 120 kV leaves.
        thickness_cm = 2 * _FRONT / self.depths / 10
        summed: Field = np.clip(canvas.hu + 1000.0, 0.0, None).sum(axis=0) * np.float32(0.2 * thickness_cm / 1000.0)
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
