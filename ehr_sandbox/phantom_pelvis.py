"""Sacrum, hip bones, hip joints, bladder and the muscles of the buttocks."""

import numpy as np

from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_shapes import Scalars, bar, blend, ellipse, ellipsoid
from ehr_sandbox.phantom_torso import Habitus, body_distance

CORTEX, MARROW, MUSCLE, URINE, PROSTATE = 620.0, 190.0, 60.0, 8.0, 75.0
SACRUM_TOP_Z, _SACRUM_END_Z = -312.0, -425.0
_CREST_Z, _HIP_Z, _PUBIS_Z = -292.0, -438.0, -478.0


def paint_pelvis(canvas: SliceCanvas, habitus: Habitus) -> None:
    """Paint what of the pelvis this slice cuts; nothing above the iliac crests."""
    z = canvas.z
    if z > _CREST_Z:
        return
    _paint_buttocks(canvas, habitus)
    canvas.paint(ellipsoid(canvas.x, canvas.y, z, (0.0, -38.0, -446.0), (42.0, 34.0, 34.0)), MUSCLE - 15)
    canvas.paint(ellipsoid(canvas.x, canvas.y, z, (0.0, -38.0, -446.0), (39.0, 31.0, 31.0)), URINE)
    canvas.paint(ellipsoid(canvas.x, canvas.y, z, (0.0, -6.0, -478.0), (24.0, 18.0, 18.0)), PROSTATE)
    if _SACRUM_END_Z < z <= SACRUM_TOP_Z:
        _paint_sacrum(canvas)
    if z > _HIP_Z + 14:
        _paint_wings(canvas)
    else:
        _paint_hips(canvas)


def _bone(canvas: SliceCanvas, distance: Scalars, shell_mm: float = 1.8) -> None:
    canvas.paint(distance, CORTEX)
    canvas.paint(distance + np.float32(shell_mm), MARROW)


def _paint_buttocks(canvas: SliceCanvas, habitus: Habitus) -> None:
    down = float(np.clip((_CREST_Z - canvas.z) / 90, 0, 1))
    beneath_skin = body_distance(canvas.x, canvas.y, canvas.z) + np.float32(habitus.fat_mm * 0.75)
    for side in (-1.0, 1.0):
        muscle = ellipse(canvas.x, canvas.y, (side * 76, 62 + 6 * down), (30 + 24 * down, 12 + 20 * down))
        outside = ellipse(canvas.x, canvas.y, (side * 104, 22), (14 + 8 * down, 26 + 10 * down))
        canvas.paint(np.maximum(blend(muscle, outside, 12.0), beneath_skin), MUSCLE)


def _paint_sacrum(canvas: SliceCanvas) -> None:
    """Five vertebrae grown together: broad above, narrow and further back below."""
    down = (SACRUM_TOP_Z - canvas.z) / (SACRUM_TOP_Z - _SACRUM_END_Z)
    middle = 54 + 22 * np.sin(down * np.pi * 0.7)
    body = ellipse(canvas.x, canvas.y, (0.0, middle), (50 - 34 * down, 19 - 9 * down))
    _bone(canvas, body)
    for side in (-1.0, 1.0):
        if down < 0.75:
            canvas.paint(ellipse(canvas.x, canvas.y, (side * (20 - 8 * down), middle + 1), (4.5, 4.0)), -20.0)


def _paint_wings(canvas: SliceCanvas) -> None:
    """The blades of the hip bones, from the crest down to the roof of the joint."""
    down = float(np.clip((_CREST_Z - canvas.z) / (_CREST_Z - _HIP_Z), 0, 1))
    for side in (-1.0, 1.0):
        back = (side * (56 + 6 * down), 66 - 22 * down)
        middle = (side * (92 - 4 * down), 34 - 22 * down)
        front = (side * (112 - 22 * down), -6 - 14 * down)
        thick = 4.0 + 4.0 * down
        blade = bar(canvas.x, canvas.y, middle, front, thick)
        if canvas.z < _CREST_Z - 14:
            blade = blend(blade, bar(canvas.x, canvas.y, back, middle, thick + 1.5), 8.0)
        _bone(canvas, blade)


def _paint_hips(canvas: SliceCanvas) -> None:
    """Head of the femur in its socket, the pubic bones in front and the ischium behind."""
    x, y, z = canvas.x, canvas.y, canvas.z
    for side in (-1.0, 1.0):
        socket = ellipsoid(x, y, z, (side * 82, 2.0, _HIP_Z), (30.0, 31.0, 30.0))
        column = bar(x, y, (side * 66, -8.0), (side * 70, 38.0), 8.0)
        _bone(canvas, blend(np.maximum(socket, side * (x - side * 88)), column, 6.0))
        canvas.paint(ellipsoid(x, y, z, (side * 90, 0.0, _HIP_Z - 4), (26.5, 26.5, 26.5)), 30.0)
        _bone(canvas, ellipsoid(x, y, z, (side * 90, 0.0, _HIP_Z - 4), (24.0, 24.0, 24.0)))
        if z < _HIP_Z - 4:
            neck = bar(x, y, (side * 94, 4.0), (side * 122, 14.0), 13.0)
            _bone(canvas, neck)
        if abs(z - _PUBIS_Z) < 22:
            _bone(canvas, bar(x, y, (side * 5, -62.0), (side * 62, -26.0), 8.0 - 0.15 * abs(z - _PUBIS_Z)))
