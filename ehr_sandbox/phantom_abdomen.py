"""The diaphragm and what shows beneath it at the lung bases: liver, spleen and stomach."""

import numpy as np

from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_shapes import Scalars, blend, ellipse, ellipsoid

LIVER, SPLEEN, STOMACH, GAS, FAT, CRUS = 62.0, 52.0, 28.0, -960.0, -102.0, 50.0

_RIGHT_DOME = ((-64.0, -6.0, -182.0), (84.0, 92.0, 86.0))
_LEFT_DOME = ((62.0, -2.0, -188.0), (80.0, 88.0, 80.0))
_CENTRE_DOME = ((2.0, -26.0, -186.0), (82.0, 74.0, 82.0))


def diaphragm_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the space below the diaphragm: two domes and the plateau under the heart."""
    right = ellipsoid(x, y, z, *_RIGHT_DOME)
    left = ellipsoid(x, y, z, *_LEFT_DOME)
    return blend(blend(right, left, 8.0), ellipsoid(x, y, z, *_CENTRE_DOME), 12.0)


def paint_abdomen(canvas: SliceCanvas, cage: Scalars) -> None:
    """Paint the upper abdomen where this slice lies below the domes."""
    if canvas.z > -90:
        return
    x, y, z = canvas.x, canvas.y, canvas.z
    below = np.maximum(diaphragm_distance(x, y, z), cage)
    canvas.paint(below, CRUS)
    canvas.paint(below + 2.4, FAT)
    bound = below + 3.0
    stomach = ellipsoid(x, y, z, (52.0, -22.0, -168.0), (36.0, 44.0, 44.0))
    canvas.paint(np.maximum(stomach, bound), STOMACH + 12)
    canvas.paint(np.maximum(stomach + 4, bound + 3), STOMACH)
    canvas.paint(np.maximum(np.maximum(stomach + 4, bound + 3), y + 34 + 0.5 * np.sin(x * 0.2)), GAS)
    spleen = ellipsoid(x, y, z, (92.0, 38.0, -166.0), (27.0, 36.0, 44.0))
    canvas.paint(np.maximum(spleen, bound), SPLEEN)
    liver = blend(
        ellipsoid(x, y, z, (-66.0, -8.0, -186.0), (84.0, 92.0, 88.0)),
        ellipsoid(x, y, z, (4.0, -50.0, -176.0), (62.0, 36.0, 64.0)),
        16.0,
    )
    hilum = ellipse(x, y, (18.0, 38.0), (44.0, 52.0))
    canvas.paint(np.maximum(np.maximum(liver, bound), -hilum), LIVER)
    for side in (-1.0, 1.0):
        canvas.paint(ellipse(x, y, (side * 16.0 + 2, 20.0), (5.0, 15.0)), CRUS)
