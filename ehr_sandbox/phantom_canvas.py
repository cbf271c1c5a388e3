"""One axial slice while its tissues are painted, innermost last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_shapes import Scalars

Box: TypeAlias = tuple[float, float, float, float]
Solid: TypeAlias = Callable[[Field, Field, float], Scalars]


@dataclass(frozen=True, kw_only=True)
class SliceCanvas:
    """Hounsfield units of one slice and the anatomical coordinates (mm) of its columns and rows.

    `edge_mm` is the width over which a boundary fades: about one pixel, as a scanner's resolution makes it.
    """

    hu: Field
    x: Field
    y: Field
    z: float
    edge_mm: float

    def window(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of the slice inside (x low, x high, y low, y high)."""
        return slice(*np.searchsorted(self.y[:, 0], box[2:])), slice(*np.searchsorted(self.x[0], box[:2]))

    def within(self, box: Box) -> "SliceCanvas":
        """The part of the slice inside a box; a view, so painting it paints the slice."""
        rows, columns = self.window(box)
        return SliceCanvas(
            hu=self.hu[rows, columns],
            x=self.x[:, columns],
            y=self.y[rows],
            z=self.z,
            edge_mm=self.edge_mm,
        )

    def paint(self, distance: Scalars, hu: Scalars, *, strength: float = 1.0) -> None:
        """Fill a solid, given its signed distance on this canvas, with a tissue of `hu`."""
        if self.hu.size == 0:
            return
        cover = np.clip(np.float32(0.5) - distance / np.float32(self.edge_mm), 0, 1)
        if strength != 1.0:
            cover *= np.float32(strength)
        self.hu[...] += cover * (hu - self.hu)


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A vessel, airway or bone along a centre line: points (n, 3) in mm and the radius at each."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    @classmethod
    def along(cls, *stations: tuple[float, float, float, float], steps: int = 6) -> "Tube":
        """A smooth tube through stations (x, y, z, radius); Catmull-Rom between them."""
        s = np.array([stations[0], *stations, stations[-1]], dtype=np.float64)
        t = np.linspace(0, 1, steps, endpoint=False)[:, None]
        pieces = [
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
            for a, b, c, d in zip(s[:-3], s[1:-2], s[2:-1], s[3:], strict=True)
        ]
        line = np.concatenate([*pieces, s[-1:]])
        return cls(points=line[:, :3], radii=line[:, 3])

    def segments(self) -> Field:
        """Rows of (x0, y0, z0, r0, x1, y1, z1, r1)."""
        line = np.column_stack([self.points, self.radii])
        return np.hstack([line[:-1], line[1:]]).astype(np.float32)


def segments_of(tubes: Sequence[Tube]) -> Field:
    """The segments of several tubes in one table."""
    return np.concatenate([tube.segments() for tube in tubes])


def crossing(segments: Field, z: float, margin: float) -> Field:
    """Those segments that come within `margin` mm of the slice at `z`."""
    reach = np.maximum(segments[:, 3], segments[:, 7]) + margin
    low = np.minimum(segments[:, 2], segments[:, 6]) - reach
    high = np.maximum(segments[:, 2], segments[:, 6]) + reach
    kept: Field = segments[(low < z) & (z < high)]
    return kept


def segment_box(segment: Field, margin: float) -> Box:
    """The box in the slice's plane that holds one segment."""
    reach = float(max(segment[3], segment[7])) + margin
    return (
        float(min(segment[0], segment[4])) - reach,
        float(max(segment[0], segment[4])) + reach,
        float(min(segment[1], segment[5])) - reach,
        float(max(segment[1], segment[5])) + reach,
    )


def segment_distance(canvas: SliceCanvas, segment: Field, grow: float = 0.0) -> Scalars:
    """Distance from each pixel of the slice to one tapered segment made `grow` mm thicker."""
    x0, y0, z0, r0, x1, y1, z1, r1 = segment.tolist()
    ex, ey, ez = x1 - x0, y1 - y0, z1 - z0
    px, py, pz = canvas.x - np.float32(x0), canvas.y - np.float32(y0), canvas.z - z0
    length2 = ex * ex + ey * ey + ez * ez + 1e-6
    t = np.clip((px * ex + py * ey + pz * ez) / length2, 0, 1)
    gap = np.sqrt((px - t * ex) ** 2 + (py - t * ey) ** 2 + (pz - t * ez) ** 2)
    return gap - (r0 + t * (r1 - r0)) - grow


def paint_tubes(canvas: SliceCanvas, segments: Field, hu: float, grow: float = 0.0) -> None:
    """Fill every tube that crosses the slice."""
    margin = canvas.edge_mm + max(grow, 0.0)
    for segment in crossing(segments, canvas.z, margin):
        part = canvas.within(segment_box(segment, margin))
        part.paint(segment_distance(part, segment, grow), hu)
