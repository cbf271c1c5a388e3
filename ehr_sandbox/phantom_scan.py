"""What every synthetic CT has: a grid, a person, noise, and one place that the reader would point at."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_grid import Field, VolumeGrid
from ehr_sandbox.phantom_torso import Habitus

Slice: TypeAlias = NDArray[np.int16]
LOWEST_HU, HIGHEST_HU = -1024, 3071  # what twelve bits hold with an intercept of -1024


@dataclass(frozen=True, kw_only=True)
class CtPhantom(ABC):
    """One person in one scanner on one day.

    `seed` makes what is random in the body and is the same in every scan of one person; `noise_seed` differs from scan to
    scan. `width` and `depth` scale the body; `noise_hu` is the standard deviation in soft tissue.
    """

    seed: int
    noise_seed: int
    grid: VolumeGrid = field(default_factory=VolumeGrid)
    habitus: Habitus = field(default_factory=Habitus)
    width: float = 1.0
    depth: float = 1.0
    noise_hu: float = 14.0

    @property
    @abstractmethod
    def focus_z(self) -> float:
        """Height (mm) of what the study is shown for."""

    @abstractmethod
    def render(self, index: int) -> Slice:
        """Hounsfield units of the slice with this index, 0 nearest the head, shape (rows, columns)."""

    def canvas(self, index: int) -> SliceCanvas:
        """An empty slice: air everywhere."""
        grid = self.grid
        return SliceCanvas(
            hu=np.full((grid.rows, grid.columns), -1000.0, dtype=np.float32),
            x=grid.x / np.float32(self.width),
            y=grid.y / np.float32(self.depth),
            z=grid.z(index),
            edge_mm=1.0,
        )

    def exposed(self, canvas: SliceCanvas, index: int) -> Slice:
        """A painted slice with the noise of the scan, in whole Hounsfield units."""
        hu = canvas.hu + self._noise(index, canvas.hu)
        slice_hu: Slice = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        return slice_hu

    def _noise(self, index: int, hu: Field) -> Field:
        """Grainy noise as a soft reconstruction kernel leaves it, weaker in the air around the patient."""
        rng = np.random.default_rng((self.noise_seed, index))
        white = rng.standard_normal(hu.shape, dtype=np.float32)
        grain = white + np.roll(white, 1, axis=0) + np.roll(white, 1, axis=1) + np.roll(white, (1, 1), axis=(0, 1))
        strength = np.where(hu < -940, 0.45, 1.0).astype(np.float32) * np.float32(self.noise_hu / 2)
        noise: Field = grain * strength
        return noise
