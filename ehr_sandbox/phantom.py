"""A synthetic chest CT: Hounsfield units of one slice at a time, from a description of the person and the scan.

Every slice depends only on its arguments, so slices can be made in any order and in several processes. The same
description gives the same pixels on every machine with the same numpy.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom_abdomen import paint_abdomen
from ehr_sandbox.phantom_bones import paint_ribs, paint_shoulders, paint_spine, paint_sternum
from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_grid import Field, VolumeGrid
from ehr_sandbox.phantom_lungs import paint_lungs
from ehr_sandbox.phantom_mediastinum import paint_airways, paint_mediastinum, slice_mediastinum
from ehr_sandbox.phantom_torso import BODY_BOX, Habitus, paint_table, paint_torso
from ehr_sandbox.phantom_vessels import LungTrees, away_from, grow_trees, paint_trees

Slice: TypeAlias = NDArray[np.int16]
LOWEST_HU, HIGHEST_HU = -1024, 3071  # what twelve bits hold with an intercept of -1024


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """A solid pulmonary nodule at a place in the patient (mm).

    The mean of its long axis (left to right) and short axis (front to back) is `diameter_mm`.
    """

    x: float
    y: float
    z: float
    diameter_mm: float
    hu: float = 38.0
    elongation: float = 1.0 / 15.0

    @property
    def long_axis_mm(self) -> float:
        """Largest diameter in the axial plane."""
        return self.diameter_mm * (1 + self.elongation)

    @property
    def short_axis_mm(self) -> float:
        """Diameter across the long axis in the axial plane."""
        return self.diameter_mm * (1 - self.elongation)


@dataclass(frozen=True, kw_only=True)
class ChestPhantom:
    """One person in one scanner on one day.

    `seed` makes the vessels and is the same in every scan of one person; `noise_seed` differs from scan to scan.
    `width` and `depth` scale the body; `noise_hu` is the standard deviation in soft tissue.
    """

    seed: int
    noise_seed: int
    nodule: Nodule
    grid: VolumeGrid = field(default_factory=VolumeGrid)
    habitus: Habitus = field(default_factory=Habitus)
    width: float = 1.0
    depth: float = 1.0
    noise_hu: float = 14.0


@lru_cache(maxsize=4)
def _trees(seed: int, nodule: Nodule, width: float, depth: float) -> LungTrees:
    centre = (nodule.x / width, nodule.y / depth, nodule.z)
    return away_from(grow_trees(seed), centre, nodule.long_axis_mm / 2 + 2.0)


def render_slice(phantom: ChestPhantom, index: int) -> Slice:
    """Hounsfield units of the slice with this index, 0 nearest the head, shape (rows, columns)."""
    grid = phantom.grid
    canvas = SliceCanvas(
        hu=np.full((grid.rows, grid.columns), -1000.0, dtype=np.float32),
        x=grid.x / np.float32(phantom.width),
        y=grid.y / np.float32(phantom.depth),
        z=grid.z(index),
        edge_mm=1.0,
    )
    paint_table(canvas)
    body = canvas.within(BODY_BOX)
    cage = paint_torso(body, phantom.habitus)
    mediastinum = slice_mediastinum(body)
    paint_mediastinum(body)
    paint_abdomen(body, cage)
    paint_lungs(body, cage, mediastinum)
    paint_trees(body, _trees(phantom.seed, phantom.nodule, phantom.width, phantom.depth))
    paint_airways(body)
    paint_ribs(body, cage)
    paint_spine(body)
    paint_sternum(body)
    paint_shoulders(body, cage)
    _paint_nodule(canvas, phantom)
    hu = canvas.hu + _noise(phantom, index, canvas.hu)
    slice_hu: Slice = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
    return slice_hu


def _paint_nodule(canvas: SliceCanvas, phantom: ChestPhantom) -> None:
    """Paint the nodule in true millimetres, averaged over the thickness of the slice, faintly lobulated."""
    nodule, grid = phantom.nodule, phantom.grid
    reach = nodule.diameter_mm
    if abs(canvas.z - nodule.z) > reach:
        return
    part = SliceCanvas(hu=canvas.hu, x=grid.x, y=grid.y, z=canvas.z, edge_mm=1.0).within(
        (nodule.x - reach, nodule.x + reach, nodule.y - reach, nodule.y + reach)
    )
    u = (part.x - nodule.x) / (nodule.long_axis_mm / 2)
    v = (part.y - nodule.y) / (nodule.short_axis_mm / 2)
    lobes = 1 + 0.035 * np.cos(4 * np.arctan2(v, u) + 0.6)
    cover = np.zeros_like(part.hu)
    levels = np.linspace(-0.4, 0.4, 5) * grid.slice_spacing
    for dz in levels:
        w = (part.z + dz - nodule.z) / (nodule.diameter_mm / 2)
        f = np.sqrt(u * u + v * v + w * w)
        cover += np.clip(0.5 - (f / lobes - 1) * nodule.diameter_mm / 2 / part.edge_mm, 0, 1) / len(levels)
    part.hu[...] += cover * (nodule.hu - part.hu)


def _noise(phantom: ChestPhantom, index: int, hu: Field) -> Field:
    """Grainy noise as a soft reconstruction kernel leaves it, weaker in the air around the patient."""
    rng = np.random.default_rng((phantom.noise_seed, index))
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    grain = white + np.roll(white, 1, axis=0) + np.roll(white, 1, axis=1) + np.roll(white, (1, 1), axis=(0, 1))
    strength = np.where(hu < -940, 0.45, 1.0).astype(np.float32) * np.float32(phantom.noise_hu / 2)
    noise: Field = grain * strength
    return noise
