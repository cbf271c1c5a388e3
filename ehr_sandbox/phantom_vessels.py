"""The branching vessels of the lungs and the bronchi beside them.

A tree is grown towards points scattered through a lung: the points are split again and again across their widest
direction, each part is served by one branch, and a branch that serves n points has a radius in proportion to
n ** 0.37, near Murray's law. So branches taper and fill the lung evenly, whatever its shape.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom_canvas import SliceCanvas, crossing, segment_box, segment_distance
from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_lungs import lung_distance

AIR, BRONCHIAL_WALL = -975.0, -330.0
_TWIG_MM = 0.46
_LARGEST_MM = 5.2
_ARTERY_ROOTS = ((-45.0, 9.0, -28.0), (46.0, 18.0, -22.0))
_VEIN_ROOTS = ((-48.0, 14.0, -40.0), (48.0, 12.0, -36.0))
Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LungTrees:
    """Segments (x0, y0, z0, r0, x1, y1, z1, r1) of all pulmonary vessels and of the bronchi."""

    vessels: Field
    bronchi: Field


def _scatter(rng: np.random.Generator, side: float, count: int) -> Points:
    """Points inside one lung (side -1 right, +1 left) at least 4 mm below its surface."""
    found: list[Points] = []
    total = 0
    while total < count:
        box = rng.uniform((8, -90, -165), (128, 85, 108), size=(6000, 3))
        box[:, 0] *= side
        inside = box[lung_distance(box[:, 0], box[:, 1], box[:, 2]) < -4.0]
        found.append(inside)
        total += len(inside)
    return np.concatenate(found)[:count]


def _radius(count: int) -> float:
    return min(_LARGEST_MM, _TWIG_MM * float(count**0.37))


def _grow(rng: np.random.Generator, start: Points, targets: Points, radius: float) -> list[tuple[float, ...]]:
    """Segments from `start` to all targets."""
    done: list[tuple[float, ...]] = []
    waiting = [(start, targets, radius)]
    while waiting:
        origin, group, r0 = waiting.pop()
        towards = group.mean(axis=0) - origin
        reach = 1.0 if len(group) == 1 else float(rng.uniform(0.34, 0.5))
        tip = origin + reach * towards
        r1 = min(r0, _radius(len(group)))
        sway = rng.normal(0, 0.05, 3) * float(np.linalg.norm(tip - origin))
        knee = (origin + tip) / 2 + sway
        begin = min(r0, r1 * 1.3)
        middle = (begin + r1) / 2
        done.append((*origin, begin, *knee, middle))
        done.append((*knee, middle, *tip, r1 if len(group) > 1 else 0.6 * r1))
        if len(group) == 1:
            continue
        spread = group - group.mean(axis=0)
        axis = np.linalg.svd(spread, full_matrices=False)[2][0]
        order = np.argsort(spread @ axis)
        cut = int(np.clip(round(len(group) * rng.uniform(0.32, 0.68)), 1, len(group) - 1))
        waiting += [(tip, group[order[:cut]], r1), (tip, group[order[cut:]], r1)]
    return done


def _bronchi_beside(arteries: Field) -> Field:
    """Each artery thick enough is accompanied by a bronchus of about its own size."""
    thick = arteries[np.minimum(arteries[:, 3], arteries[:, 7]) > 1.5].copy()
    middle = thick[:, [0, 1, 2]]
    inward = np.column_stack([-np.sign(middle[:, 0]), -0.7 * np.ones(len(thick)), 0.3 * np.ones(len(thick))])
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    for columns, r in (((0, 1, 2), 3), ((4, 5, 6), 7)):
        thick[:, columns] += inward * (2.15 * thick[:, r : r + 1] + 0.6)
        thick[:, r] *= 0.92
    return thick


def grow_trees(seed: int, *, twigs_per_lung: int = 1000) -> LungTrees:
    """Arteries with bronchi, and veins, of both lungs; the same seed grows the same trees."""
    rng = np.random.default_rng(seed)
    arteries, veins = [], []
    for side, artery_root, vein_root in zip((-1.0, 1.0), _ARTERY_ROOTS, _VEIN_ROOTS, strict=True):
        arteries += _grow(rng, np.array(artery_root), _scatter(rng, side, twigs_per_lung), 6.0)
        veins += _grow(rng, np.array(vein_root), _scatter(rng, side, twigs_per_lung * 2 // 3), 5.0)
    arterial = np.array(arteries, dtype=np.float32)
    vessels = np.concatenate([arterial, np.array(veins, dtype=np.float32)])
    return LungTrees(vessels=vessels, bronchi=_bronchi_beside(arterial))


def away_from(trees: LungTrees, centre: tuple[float, float, float], gap_mm: float) -> LungTrees:
    """The trees without the branches that come within `gap_mm` of a point: a nodule must not melt into a vessel."""

    def kept(segments: Field) -> Field:
        start, along = segments[:, 0:3] - np.asarray(centre, dtype=np.float32), segments[:, 4:7] - segments[:, 0:3]
        t = np.clip(-(start * along).sum(axis=1) / ((along * along).sum(axis=1) + 1e-6), 0, 1)
        nearest = np.linalg.norm(start + t[:, None] * along, axis=1)
        clear: Field = segments[nearest - np.maximum(segments[:, 3], segments[:, 7]) > gap_mm]
        return clear

    return LungTrees(vessels=kept(trees.vessels), bronchi=kept(trees.bronchi))


def paint_trees(canvas: SliceCanvas, trees: LungTrees, blood_hu: float) -> None:
    """Paint bronchi, then vessels; the thinnest vessels fade because a slice averages over its thickness."""
    soft = SliceCanvas(hu=canvas.hu, x=canvas.x, y=canvas.y, z=canvas.z, edge_mm=1.1)
    for grow, hu in ((0.7, BRONCHIAL_WALL), (0.0, AIR)):
        for segment in crossing(trees.bronchi, canvas.z, 1.0):
            part = soft.within(segment_box(segment, 2.0))
            part.paint(segment_distance(part, segment, grow), hu)
    for segment in crossing(trees.vessels, canvas.z, 0.9):
        part = soft.within(segment_box(segment, 1.2))
        thickness = float(segment[3] + segment[7])
        part.paint(segment_distance(part, segment, 0.15), blood_hu, strength=min(1.0, 0.46 + 0.36 * thickness))
