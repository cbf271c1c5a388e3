"""Synthetic chest CT, plain or with contrast: Hounsfield units of one slice at a time, from what is said of person and scan.

Every slice depends only on its arguments, so slices can be made in any order and in several processes. The same
description gives the same pixels on every machine with the same numpy.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ehr_sandbox.phantom_abdomen import paint_abdomen
from ehr_sandbox.phantom_blood import NATIVE, PULMONARY_PHASE, Blood
from ehr_sandbox.phantom_bones import paint_ribs, paint_shoulders, paint_spine, paint_sternum
from ehr_sandbox.phantom_canvas import SliceCanvas, Tube, paint_tubes
from ehr_sandbox.phantom_lungs import paint_lungs
from ehr_sandbox.phantom_mediastinum import paint_airways, paint_mediastinum, slice_mediastinum
from ehr_sandbox.phantom_scan import CtPhantom, Slice
from ehr_sandbox.phantom_torso import BODY_BOX, paint_table, paint_torso
from ehr_sandbox.phantom_vessels import LungTrees, away_from, grow_trees, paint_trees


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
class ChestPhantom(CtPhantom):
    """A chest without contrast and with one solid nodule."""

    nodule: Nodule

    @property
    def focus_z(self) -> float:
        """Middle of the nodule."""
        return self.nodule.z

    def render(self, index: int) -> Slice:
        """The slice with this index."""
        return render_slice(self, index)


@dataclass(frozen=True, kw_only=True)
class Embolus:
    """A clot inside a pulmonary artery: a tube through points (x, y, z, radius) in anatomical mm, thinner than its vessel."""

    course: tuple[tuple[float, float, float, float], ...]
    hu: float = 55.0

    @property
    def middle(self) -> tuple[float, float, float]:
        """A point on its axis, half way along."""
        x, y, z, _ = self.course[len(self.course) // 2]
        return x, y, z


@dataclass(frozen=True, kw_only=True)
class AngiogramPhantom(CtPhantom):
    """A chest while contrast fills the pulmonary arteries, around a clot that it does not enter."""

    embolus: Embolus

    @property
    def focus_z(self) -> float:
        """Middle of the clot."""
        return self.embolus.middle[2]

    def render(self, index: int) -> Slice:
        """The slice with this index."""
        canvas = self.canvas(index)
        paint_chest(canvas, self, _all_trees(self.seed), PULMONARY_PHASE)
        clot = Tube.along(*self.embolus.course).segments()
        paint_tubes(canvas.within(BODY_BOX), clot, self.embolus.hu)
        return self.exposed(canvas, index)


@lru_cache(maxsize=4)
def _trees(seed: int, nodule: Nodule, width: float, depth: float) -> LungTrees:
    centre = (nodule.x / width, nodule.y / depth, nodule.z)
    return away_from(grow_trees(seed), centre, nodule.long_axis_mm / 2 + 2.0)


@lru_cache(maxsize=1)
def _all_trees(seed: int) -> LungTrees:
    return grow_trees(seed)


def render_slice(phantom: ChestPhantom, index: int) -> Slice:
    """Hounsfield units of the slice with this index, 0 nearest the head, shape (rows, columns)."""
    canvas = phantom.canvas(index)
    paint_chest(canvas, phantom, _trees(phantom.seed, phantom.nodule, phantom.width, phantom.depth), NATIVE)
    _paint_nodule(canvas, phantom)
    return phantom.exposed(canvas, index)


def paint_chest(canvas: SliceCanvas, phantom: CtPhantom, trees: LungTrees, blood: Blood) -> None:
    """Paint table and chest with these vessels of the lungs."""
    paint_table(canvas)
    body = canvas.within(BODY_BOX)
    cage = paint_torso(body, phantom.habitus)
    mediastinum = slice_mediastinum(body)
    paint_mediastinum(body, blood)
    paint_abdomen(body, cage)
    paint_lungs(body, cage, mediastinum)
    paint_trees(body, trees, blood.lung_vessels)
    paint_airways(body)
    paint_ribs(body, cage)
    paint_spine(body)
    paint_sternum(body)
    paint_shoulders(body, cage)


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
