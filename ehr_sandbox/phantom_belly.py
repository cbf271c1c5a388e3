"""A synthetic CT of abdomen and pelvis in the portal venous phase, from the domes of the liver to the pubic bones.

The body goes on where the chest ends, in the same coordinates: the iliac crests lie near z = -300 mm, the hips near -430.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ehr_sandbox.phantom_abdomen import PORTAL_ORGANS, paint_abdomen
from ehr_sandbox.phantom_blood import PORTAL_PHASE
from ehr_sandbox.phantom_bones import paint_ribs, paint_spine
from ehr_sandbox.phantom_canvas import SliceCanvas, Tube, paint_tubes, segments_of
from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_lungs import paint_lungs
from ehr_sandbox.phantom_mediastinum import paint_mediastinum, slice_mediastinum
from ehr_sandbox.phantom_pelvis import SACRUM_TOP_Z, paint_pelvis
from ehr_sandbox.phantom_scan import CtPhantom, Slice
from ehr_sandbox.phantom_shapes import ellipse, ellipsoid
from ehr_sandbox.phantom_torso import BODY_BOX, paint_table, paint_torso

FAT, MUSCLE, URINE = -104.0, 62.0, 9.0
BOWEL_WALL, BOWEL_CONTENT, STOOL, GAS = 95.0, 22.0, 42.0, -940.0
KIDNEY, PANCREAS = 185.0, 105.0
KIDNEY_Z = -240.0
_LAST_RIB_Z, _LOWEST_LUNG_Z, _LOWEST_HEART_Z = -215.0, -165.0, -118.0

_AORTA = Tube.along((17, 27, -100, 12), (8, 24, -175, 11), (4, 20, -240, 9.5), (2, 18, -300, 9))
_VENA_CAVA = Tube.along((-23, 4, -105, 12), (-22, 12, -175, 12), (-20, 16, -240, 11), (-17, 19, -305, 10.5))
_ILIAC = (
    Tube.along((2, 18, -300, 7), (24, 22, -335, 6), (48, 12, -375, 5.5), (62, -22, -425, 5), (58, -46, -490, 5)),
    Tube.along((2, 18, -300, 7), (-24, 22, -335, 6), (-48, 12, -375, 5.5), (-62, -22, -425, 5), (-58, -46, -490, 5)),
)
_ILIAC_VEINS = (
    Tube.along((-17, 19, -305, 8), (20, 30, -340, 7), (42, 22, -378, 6.5), (52, -14, -425, 6), (47, -40, -490, 6)),
    Tube.along((-17, 19, -305, 8), (-22, 30, -340, 7), (-42, 22, -378, 6.5), (-52, -14, -425, 6), (-47, -40, -490, 6)),
)
_RENAL = (
    Tube.along((-20, 14, -238, 5), (-34, 22, -240, 5), (-48, 28, -242, 4)),
    Tube.along((-18, 6, -236, 4.5), (4, 6, -236, 4.5), (28, 16, -238, 5), (48, 28, -240, 4)),
)
_PORTAL = Tube.along((2, -8, -235, 5.5), (-8, -10, -215, 6.5), (-24, -8, -192, 7), (-40, -10, -178, 6))
_PANCREAS = Tube.along((-30, -14, -232, 11), (-4, -16, -222, 8.5), (26, -6, -212, 8.5), (56, 12, -200, 7.5))
_COLON = (
    Tube.along((-94, 4, -352, 21), (-98, 14, -318, 20), (-98, 10, -284, 18), (-92, -26, -272, 17)),
    Tube.along((-92, -26, -272, 17), (-48, -56, -284, 15), (0, -62, -286, 14), (50, -54, -258, 14), (94, -4, -212, 14)),
    Tube.along((94, -4, -212, 14), (100, 24, -250, 13), (100, 20, -310, 12), (88, 8, -352, 12)),
    Tube.along(
        (88, 8, -352, 12), (62, 4, -384, 12), (30, -6, -392, 12.5), (8, 18, -402, 13), (0, 44, -420, 15), (0, 46, -485, 14)
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AbdomenPhantom(CtPhantom):
    """Abdomen and pelvis with contrast, 70 seconds after the injection; nothing in it is ill."""

    @property
    def focus_z(self) -> float:
        """The middle of the kidneys."""
        return KIDNEY_Z

    def render(self, index: int) -> Slice:
        """The slice with this index."""
        canvas = self.canvas(index)
        paint_table(canvas)
        body = canvas.within(BODY_BOX)
        cage = paint_torso(body, self.habitus)
        if body.z > _LOWEST_HEART_Z:
            paint_mediastinum(body, PORTAL_PHASE)
        paint_abdomen(body, cage, PORTAL_ORGANS)
        if body.z > _LOWEST_LUNG_Z:
            paint_lungs(body, cage, slice_mediastinum(body))
        _paint_psoas(body)
        _paint_retroperitoneum(body)
        _paint_bowel(body, self.seed)
        if body.z > _LAST_RIB_Z:
            paint_ribs(body, cage)
        if body.z > SACRUM_TOP_Z:
            paint_spine(body)
        paint_pelvis(body, self.habitus)
        return self.exposed(canvas, index)


def _paint_psoas(canvas: SliceCanvas) -> None:
    """The muscles beside the spine, wandering forward into the pelvis."""
    if canvas.z > -185:
        return
    down = float(np.clip((-185 - canvas.z) / 240, 0, 1))
    for side in (-1.0, 1.0):
        centre = (side * (26 + 40 * down), 42 - 58 * down)
        radii = (9 + 26 * down * (1.3 - down), 14 + 16 * down * (1.2 - down))
        canvas.paint(ellipse(canvas.x, canvas.y, centre, radii), MUSCLE)


def _paint_retroperitoneum(canvas: SliceCanvas) -> None:
    """Kidneys with their pelvis, pancreas and the great vessels."""
    x, y, z = canvas.x, canvas.y, canvas.z
    for side in (-1.0, 1.0):
        lean = 0.12 * (z - KIDNEY_Z)  # the upper poles lie nearer to the spine
        centre = (side * (60 - lean), 34 - 0.06 * (z - KIDNEY_Z), KIDNEY_Z - 6 * (side < 0))
        kidney = ellipsoid(x, y, z, centre, (27.0, 25.0, 50.0))
        canvas.paint(kidney, KIDNEY)
        sinus = ellipsoid(x, y, z, (centre[0] - side * 13, centre[1] - 3, centre[2]), (14.0, 9.0, 27.0))
        canvas.paint(sinus, FAT + 20)
        canvas.paint(sinus + 5.0, URINE + 20)
    paint_tubes(canvas, _PANCREAS.segments(), PANCREAS)
    paint_tubes(canvas, segments_of((_VENA_CAVA, *_RENAL, *_ILIAC_VEINS)), PORTAL_PHASE.systemic_veins)
    paint_tubes(canvas, _PORTAL.segments(), PORTAL_PHASE.systemic_arteries + 10)
    paint_tubes(canvas, segments_of((_AORTA, *_ILIAC)), PORTAL_PHASE.systemic_arteries)


def _paint_bowel(canvas: SliceCanvas, seed: int) -> None:
    """Coils of small bowel, then the colon around them with stool and, in front, gas."""
    coils = _coils(seed)
    paint_tubes(canvas, coils, BOWEL_WALL)
    paint_tubes(canvas, coils, BOWEL_CONTENT, grow=-2.2)
    colon = segments_of(_COLON)
    paint_tubes(canvas, colon, BOWEL_WALL - 25)
    paint_tubes(canvas, colon, STOOL, grow=-2.2)
    gas = colon.copy()
    gas[:, [1, 5]] -= 5.0  # gas rises to the front of a supine patient
    paint_tubes(canvas, gas, GAS, grow=-7.5)


@lru_cache(maxsize=1)
def _coils(seed: int) -> Field:
    """Small bowel as short tubes that fill the middle of the abdomen; the same seed coils it the same way."""
    rng = np.random.default_rng(seed)
    tubes: list[Tube] = []
    for level in np.arange(-272.0, -395.0, -19.0):
        for row in (-58.0, -36.0, -14.0):
            start = rng.uniform(-66, -30)
            stations = [
                (start + 26.0 * step, row + rng.uniform(-8, 8), level + rng.uniform(-9, 9), rng.uniform(8.0, 10.5))
                for step in range(5)
            ]
            tubes.append(Tube.along(*stations, steps=4))
    return segments_of(tubes)
