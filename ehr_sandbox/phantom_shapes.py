"""Signed distances of simple solids in millimetres: negative inside, positive outside, arrays in and out.

Ellipses use the first-order distance f(f-1)/|grad f|, which is exact on the outline and good to a few per cent within
a centimetre of it, as far as any tissue layer here reaches.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scalars: TypeAlias = Any  # a float or an array of floats; numpy's own stubs cannot say "broadcasts with"
Row: TypeAlias = tuple[float, ...]


def profile(*rows: Row) -> Callable[[Scalars], tuple[Scalars, ...]]:
    """Measures of a cross-section that change along the body: rows of (z, measure, …) from feet to head.

    The returned function interpolates each measure smoothly (monotone cubic) at a z or an array of z, and holds the end
    values outside the table.
    """
    table = np.array(rows, dtype=np.float64)
    levels, slopes = table[:, 0], _monotone_slopes(table)

    def at(z: Scalars) -> tuple[Scalars, ...]:
        z = np.clip(z, levels[0], levels[-1])
        i = np.clip(np.searchsorted(levels, z, side="right") - 1, 0, len(levels) - 2)
        span = levels[i + 1] - levels[i]
        t = (z - levels[i]) / span
        return tuple(
            # A 64-bit scalar would widen every 32-bit array that it meets.
            np.float32(
                (2 * t**3 - 3 * t**2 + 1) * table[i, k]
                + (t**3 - 2 * t**2 + t) * span * slopes[i, k]
                + (3 * t**2 - 2 * t**3) * table[i + 1, k]
                + (t**3 - t**2) * span * slopes[i + 1, k]
            )
            for k in range(1, table.shape[1])
        )

    return at


def _monotone_slopes(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes that never overshoot the table (harmonic mean of the neighbouring secants)."""
    secants = np.diff(table, axis=0) / np.diff(table[:, :1], axis=0)
    slopes = np.zeros_like(table)
    before, after = secants[:-1], secants[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 2 * before * after / (before + after)
    slopes[1:-1] = np.where(before * after > 0, mean, 0.0)
    slopes[0], slopes[-1] = secants[0], secants[-1]
    return slopes


def ellipse(x: Scalars, y: Scalars, centre: Sequence[Scalars], radii: Sequence[Scalars]) -> Scalars:
    """Distance to an axis-parallel ellipse."""
    u, v = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    f = np.sqrt(u * u + v * v) + np.float32(1e-6)
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2) / f + np.float32(1e-6)
    return (f - 1) / slope


def oval(x: Scalars, y: Scalars, centre: Sequence[Scalars], radii: Sequence[Scalars]) -> Scalars:
    """Distance to an ellipse that is a little boxy (exponent 2.5), as trunks and chests are."""
    u, v = np.abs(x - centre[0]) / radii[0], np.abs(y - centre[1]) / radii[1]
    u15, v15 = u * np.sqrt(u), v * np.sqrt(v)
    f = (u15 * u + v15 * v) ** np.float32(0.4) + np.float32(1e-6)
    slope = np.sqrt((u15 / radii[0]) ** 2 + (v15 / radii[1]) ** 2) / (f * np.sqrt(f)) + np.float32(1e-6)
    return (f - 1) / slope


def ellipsoid(x: Scalars, y: Scalars, z: Scalars, centre: Sequence[float], radii: Sequence[float]) -> Scalars:
    """Distance to an axis-parallel ellipsoid."""
    u, v, w = ((p - c) / r for p, c, r in zip((x, y, z), centre, radii, strict=True))
    f = np.sqrt(u * u + v * v + w * w) + np.float32(1e-6)
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) / f + np.float32(1e-6)
    return (f - 1) / slope


def bar(x: Scalars, y: Scalars, start: Sequence[float], end: Sequence[float], radius: float) -> Scalars:
    """Distance to a rounded bar between two points of the slice's plane."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    t = np.clip(((x - start[0]) * ex + (y - start[1]) * ey) / (ex * ex + ey * ey), 0, 1)
    return np.hypot(x - start[0] - t * ex, y - start[1] - t * ey) - radius


def blend(one: Scalars, other: Scalars, radius: float) -> Scalars:
    """Distance to the union of two solids whose seam is rounded off over `radius` mm."""
    overlap = np.maximum(radius - np.abs(one - other), 0) / radius
    return np.minimum(one, other) - overlap * overlap * radius * 0.25


def smooth_step(value: Scalars, low: float, high: float) -> Scalars:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
