"""Where the voxels of a phantom stand: the sampling grid of one synthetic CT series.

The anatomy is described in millimetres in the DICOM patient coordinate system of a supine patient: +x is the
patient's left, +y posterior, +z towards the head. Its origin lies in the middle of the chest at the level of the
tracheal bifurcation.
Spec: DICOM PS3.3 §C.7.6.2 (Image Plane Module).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VolumeGrid:
    """Axial slices of square pixels, ordered from head to feet.

    `first_x`, `first_y` and `first_z` are the centre of the first pixel of the first slice in mm, the
    ImagePositionPatient of that slice. All lengths are in mm.
    """

    columns: int = 512
    rows: int = 512
    slices: int = 113
    pixel_spacing: float = 0.703125
    slice_spacing: float = 2.5
    first_x: float = -179.6484375
    first_y: float = -179.6484375
    first_z: float = 115.0

    @cached_property
    def x(self) -> Field:
        """Patient x of every column, shape (1, columns)."""
        return (self.first_x + self.pixel_spacing * np.arange(self.columns, dtype=np.float32))[None, :]

    @cached_property
    def y(self) -> Field:
        """Patient y of every row, shape (rows, 1)."""
        return (self.first_y + self.pixel_spacing * np.arange(self.rows, dtype=np.float32))[:, None]

    def z(self, index: int) -> float:
        """Patient z of the slice with this index, counted from 0 at the head."""
        return self.first_z - index * self.slice_spacing

    def nearest_slice(self, z: float) -> int:
        """Index of the slice whose centre is nearest to `z`; ValueError when `z` lies outside the volume."""
        index = round((self.first_z - z) / self.slice_spacing)
        if not 0 <= index < self.slices:
            raise ValueError(f"z = {z} mm is outside the volume")
        return index

    def column_of(self, x: float) -> float:
        """Column coordinate of a patient x, 0.0 at the centre of the first column."""
        return (x - self.first_x) / self.pixel_spacing

    def row_of(self, y: float) -> float:
        """Row coordinate of a patient y, 0.0 at the centre of the first row."""
        return (y - self.first_y) / self.pixel_spacing
