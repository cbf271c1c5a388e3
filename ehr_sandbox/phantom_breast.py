"""A synthetic mammogram: one projection of one compressed breast, brighter where more gland lies in the beam.

A stub for lists, hanging and access, not for reading: the outline, the chest muscle of the oblique view, gland with the fat
around it and, where asked for, one mass. The same description gives the same pixels.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_shapes import blend, ellipse, smooth_step

Projection: TypeAlias = NDArray[np.uint16]
View: TypeAlias = Literal["CC", "MLO"]
Side: TypeAlias = Literal["R", "L"]
HIGHEST_VALUE = 4095
_FAT, _GLAND, _MUSCLE, _MASS, _SKIN = 820.0, 760.0, 1150.0, 520.0, 260.0


@dataclass(frozen=True, kw_only=True)
class Mass:
    """A round, well outlined mass: distance from the chest wall and above the nipple line (mm), and its diameter."""

    depth_mm: float
    height_mm: float
    diameter_mm: float


@dataclass(frozen=True, kw_only=True)
class BreastPhantom:
    """Both breasts of one woman on one day. `mass` lies in the breast of side `mass_side` and shows in both views."""

    seed: int
    noise_seed: int
    mass: Mass | None = None
    mass_side: Side = "R"
    columns: int = 800
    rows: int = 1000
    pixel_spacing: float = 0.22  # mm in the plane of the detector

    def render(self, side: Side, view: View) -> Projection:
        """Twelve-bit values, white is dense; the chest wall stands left for the left breast and right for the right one."""
        depth = (np.arange(self.columns, dtype=np.float32) * np.float32(self.pixel_spacing))[None, :]
        along = ((np.arange(self.rows, dtype=np.float32) - self.rows / 2) * np.float32(self.pixel_spacing))[:, None]
        value = self._tissue(depth, along, view, "RL".index(side))
        if self.mass is not None and side == self.mass_side:
            height = self.mass.height_mm * (1.0 if view == "MLO" else 0.6)
            gap = ellipse(depth, along, (self.mass.depth_mm, -height), (self.mass.diameter_mm / 2, self.mass.diameter_mm / 2.3))
            value += np.float32(_MASS) * np.clip(0.5 - gap / 0.8, 0, 1)
        rng = np.random.default_rng((self.noise_seed, "RL".index(side), ("CC", "MLO").index(view)))
        value += rng.standard_normal(value.shape, dtype=np.float32) * np.float32(14.0)
        seen: Projection = np.clip(np.rint(value), 0, HIGHEST_VALUE).astype(np.uint16)
        return seen if side == "L" else seen[:, ::-1]

    def _tissue(self, depth: Field, along: Field, view: View, side: int) -> Field:
        low = 6.0 if view == "MLO" else 0.0  # the oblique view hangs a little
        skin = ellipse(depth, along, (-4.0, low), (104.0, 88.0))
        if view == "MLO":
            skin = blend(skin, ellipse(depth, along, (0.0, -82.0), (58.0, 60.0)), 30.0)
        inside = np.clip(0.5 - skin / 0.8, 0, 1)
        thickness = np.clip(-skin / 22.0, 0, 1) ** 0.5  # compressed flat, thin towards the edge
        value = inside * (_FAT * thickness + 180.0)
        value += _SKIN * inside * np.clip(0.5 - (-skin - 1.4) / 0.6, 0, 1)
        gland = ellipse(depth, along, (52.0, low - 4.0), (44.0, 54.0)) + 9.0 * self._texture(depth, along, view, side)
        value += _GLAND * thickness * smooth_step(-gland, -6.0, 16.0) * (0.72 + 0.28 * self._texture(along, depth, view, side))
        if view == "MLO":
            muscle = (depth - 46.0 + 0.62 * (along + 108.0)) / 1.18
            value += _MUSCLE * inside * np.clip(0.5 - muscle / 5.0, 0, 1)
        tissue: Field = np.asarray(value, dtype=np.float32)
        return tissue

    def _texture(self, u: Field, v: Field, view: View, side: int) -> Field:
        """Strands, between -1 and 1: a sum of waves whose directions belong to this breast and view."""
        rng = np.random.default_rng((self.seed, side, ("CC", "MLO").index(view)))
        bend = (1.4 * np.sin(0.07 * u - 0.05 * v)).astype(np.float32)
        total = np.zeros_like(bend)
        for wavelength in (34.0, 21.0, 13.0, 8.5, 5.5):
            angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
            wave = (2 * np.pi / wavelength) * (np.cos(angle) * u + np.sin(angle) * v) + phase
            total += np.float32(0.2) * np.sin(wave.astype(np.float32) + bend)
        return total
