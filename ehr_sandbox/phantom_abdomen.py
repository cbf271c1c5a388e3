"""The diaphragm and what shows beneath it at the lung bases: liver, spleen and stomach."""

from dataclasses import dataclass

import numpy as np

from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_shapes import Scalars, blend, ellipse, ellipsoid

STOMACH, GAS, FAT, CRUS = 28.0, -960.0, -102.0, 50.0
_EQUATOR_Z = -182.0  # where the domes are widest; the space below goes on as wide


@dataclass(frozen=True, kw_only=True)
class Organs:
    """Hounsfield units of the solid organs."""

    liver: float = 62.0
    spleen: float = 52.0


NATIVE_ORGANS = Organs()
PORTAL_ORGANS = Organs(liver=112.0, spleen=124.0)

_RIGHT_DOME = ((-64.0, -6.0, -182.0), (84.0, 92.0, 86.0))
_LEFT_DOME = ((62.0, -2.0, -188.0), (80.0, 88.0, 80.0))
_CENTRE_DOME = ((2.0, -26.0, -186.0), (82.0, 74.0, 82.0))


def diaphragm_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the space below the diaphragm: two domes and the plateau under the heart."""
    right = ellipsoid(x, y, z, *_RIGHT_DOME)
    left = ellipsoid(x, y, z, *_LEFT_DOME)
    return blend(blend(right, left, 8.0), ellipsoid(x, y, z, *_CENTRE_DOME), 12.0)


def paint_abdomen(canvas: SliceCanvas, cage: Scalars, organs: Organs = NATIVE_ORGANS) -> None:
    """Paint the upper abdomen where this slice lies below the domes."""
    if canvas.z > -90:
        return
    rows, columns = canvas.window((-138.0, 138.0, -100.0, 90.0))
    x, y, z = canvas.x[:, columns], canvas.y[rows], canvas.z
    canvas, cage = canvas.within((-138.0, 138.0, -100.0, 90.0)), cage[rows, columns]
    below = np.maximum(diaphragm_distance(x, y, max(z, _EQUATOR_Z)), cage)
    if z > _EQUATOR_Z:
        canvas.paint(below, CRUS)
    canvas.paint(below + 3.0, FAT)
    bound = below + 2.4
    stomach = ellipsoid(x, y, z, (54.0, -18.0, -166.0), (44.0, 52.0, 52.0))
    canvas.paint(np.maximum(stomach, bound), STOMACH + 12)
    canvas.paint(np.maximum(stomach + 4, bound + 3), STOMACH)
    canvas.paint(np.maximum(np.maximum(stomach + 4, bound + 3), y + 34 + 0.5 * np.sin(x * 0.2)), GAS)
    spleen = ellipsoid(x, y, z, (92.0, 36.0, -166.0), (32.0, 42.0, 50.0))
    canvas.paint(np.maximum(spleen, bound), organs.spleen)
    liver = blend(
        ellipsoid(x, y, z, (-64.0, -6.0, -182.0), (90.0, 98.0, 92.0)),
        ellipsoid(x, y, z, (2.0, -42.0, -178.0), (60.0, 46.0, 74.0)),
        16.0,
    )
    hilum = ellipse(x, y, (24.0, 44.0), (36.0, 46.0))
    canvas.paint(np.maximum(np.maximum(liver, bound), -hilum), organs.liver)
    if z > _EQUATOR_Z - 30:
        for side in (-1.0, 1.0):
            canvas.paint(ellipse(x, y, (side * 16.0 + 2, 20.0), (5.0, 15.0)), CRUS)
