"""Heart, great vessels, airways and gullet, and the fat that holds them between the lungs."""

import numpy as np

from ehr_sandbox.phantom_blood import Blood
from ehr_sandbox.phantom_bones import spine_distance
from ehr_sandbox.phantom_canvas import SliceCanvas, Tube, crossing, paint_tubes, segment_box, segment_distance, segments_of
from ehr_sandbox.phantom_shapes import Scalars, bar, blend, ellipse, ellipsoid, profile

AIR, WALL, GULLET, FAT = -995.0, 25.0, 36.0, -98.0

_AORTA = Tube.along(
    (2, -14, -40, 15), (-12, -22, -18, 17), (-15, -22, 6, 16.5), (-11, -18, 26, 15.5), (2, -6, 37, 14.5),
    (15, 10, 36, 13.5), (23, 24, 22, 13), (25, 29, 0, 12.5), (24, 30, -50, 12), (17, 27, -100, 12), (8, 24, -175, 11.5),
)  # fmt: skip
_ARTERIES = (
    Tube.along((-3, -12, 36, 7), (-11, -12, 58, 6.5), (-20, -8, 82, 6), (-24, -6, 130, 4)),
    Tube.along((7, -2, 38, 5), (13, -2, 70, 4.2), (20, -5, 130, 4)),
    Tube.along((17, 9, 38, 6), (22, 10, 68, 5.2), (36, 4, 90, 5), (70, -6, 97, 4.6), (110, 0, 104, 4)),
    Tube.along((-19, -8, 80, 5), (-36, 2, 93, 5), (-70, -6, 97, 4.6), (-110, 0, 104, 4)),
)
_PULMONARY = (
    Tube.along((10, -44, -40, 15), (16, -38, -20, 14), (19, -26, -6, 13)),
    Tube.along((18, -26, -8, 11), (2, -12, -12, 11), (-22, -6, -14, 10.5), (-40, 2, -18, 9), (-46, 10, -32, 8)),
    Tube.along((20, -24, -4, 12), (28, -8, 3, 11.5), (38, 8, 2, 10.5), (45, 17, -14, 9), (47, 21, -28, 8)),
)
_SYSTEMIC_VEINS = (
    Tube.along((-24, -22, 60, 8.5), (-25, -19, 20, 9.5), (-27, -15, -10, 10), (-30, -16, -34, 11)),
    Tube.along((-24, -24, 58, 7), (-10, -30, 50, 6.5), (14, -30, 55, 6.5), (34, -26, 72, 6), (60, -20, 92, 5)),
    Tube.along((-24, -22, 60, 7), (-32, -22, 80, 6.5), (-60, -20, 95, 5)),
    Tube.along((-26, -2, -84, 12), (-23, 6, -110, 12), (-20, 14, -175, 12.5)),
    Tube.along((-5, 27, -175, 3.5), (-6, 28, -40, 4), (-7, 26, 6, 4.5), (-14, 16, 16, 5), (-23, -6, 15, 5.5)),
)
_PULMONARY_VEINS = (
    Tube.along((-18, 10, -42, 8), (-34, 16, -46, 7), (-50, 22, -50, 6)),
    Tube.along((-18, 2, -32, 8), (-34, -6, -26, 7), (-48, -10, -18, 6)),
    Tube.along((22, 4, -32, 8), (36, -2, -22, 7), (50, -8, -10, 6)),
    Tube.along((20, 12, -42, 8), (36, 18, -46, 7), (52, 24, -50, 6)),
)
_GULLET = Tube.along(
    (2, 13, 130, 7), (3, 20, 70, 7.5), (5, 22, 20, 7), (3, 21, -30, 7.5), (8, 16, -80, 7.5), (22, 2, -112, 8), (34, -6, -124, 9)
)  # fmt: skip
_AIRWAYS = (
    Tube.along((0, -12, 130, 8.2), (0, -2, 80, 8.6), (1, 4, 40, 8.8), (1, 7, 10, 9)),
    Tube.along((1, 7, 11, 8), (-13, 8, 0, 7.6), (-26, 8, -10, 7), (-32, 10, -26, 6), (-35, 13, -40, 5.4), (-41, 24, -62, 4.2)),
    Tube.along((-21, 8, -5, 5.4), (-33, 7, 0, 4.8), (-46, 4, 8, 4)),
    Tube.along((-34, 11, -34, 4.4), (-44, -4, -44, 3.8), (-58, -20, -52, 3)),
    Tube.along((1, 7, 11, 7.6), (16, 9, 0, 6.9), (32, 11, -12, 6.4), (40, 14, -22, 5.6), (45, 22, -42, 4.8), (50, 30, -62, 4)),
    Tube.along((35, 12, -15, 5), (46, 6, -13, 4.4), (56, -6, -6, 3.6)),
)  # fmt: skip

_AORTIC, _PULMONARY_ARTERIAL = segments_of((_AORTA, *_ARTERIES)), segments_of(_PULMONARY)
_VENOUS, _PULMONARY_VENOUS = segments_of(_SYSTEMIC_VEINS), segments_of(_PULMONARY_VEINS)
_GULLET_SEGMENTS, _AIRWAY_SEGMENTS = _GULLET.segments(), segments_of(_AIRWAYS)
_HULL = segments_of((_AORTA, *_ARTERIES, *_PULMONARY, *_SYSTEMIC_VEINS, *_PULMONARY_VEINS, _GULLET, *_AIRWAYS))

# z, centre x, centre y, half width, half depth of the fat between the lungs
_core = profile(
    (-170, 4, 0, 44, 40),
    (-90, 2, 2, 22, 26),
    (-40, 0, 4, 24, 26),
    (0, 2, -8, 27, 26),
    (36, 2, -10, 30, 30),
    (66, 2, -2, 31, 26),
    (92, 1, 6, 27, 26),
    (112, 0, 8, 26, 26),
)
# z, half thickness of the fold along which the lungs meet in front, and its middle
_front_line = profile((-112, 34, 8), (-90, 26, 8), (-60, 14, 4), (-20, 5, 0), (30, 4, 0), (55, 13, 0), (70, 24, 0))
_TOP_OF_HEART = 4.0
_BOX = (-85.0, 125.0, -118.0, 72.0)
_FAR = np.float32(500.0)

_CHAMBERS = (  # centre, radii (mm) along x, y, z in the turned frame
    ((32.0, -34.0, -72.0), (56.0, 33.0, 35.0)),  # left ventricle with its muscle
    ((2.0, -50.0, -74.0), (44.0, 27.0, 34.0)),  # right ventricle
    ((-30.0, -22.0, -62.0), (23.0, 31.0, 36.0)),  # right atrium
    ((0.0, 4.0, -42.0), (33.0, 19.0, 22.0)),  # left atrium
)
_LEFT_VENTRICLE_WALL_MM = 11.0
_TURN = np.deg2rad(-28.0)  # the long axis of the heart points to the left and front


def _chamber(x: Scalars, y: Scalars, z: Scalars, index: int) -> Scalars:
    centre, radii = _CHAMBERS[index]
    if index > 1:
        return ellipsoid(x, y, z, centre, radii)
    u, v = x - centre[0], y - centre[1]
    along, across = u * np.cos(_TURN) + v * np.sin(_TURN), v * np.cos(_TURN) - u * np.sin(_TURN)
    return ellipsoid(along, across, z + 0.22 * along, (0.0, 0.0, centre[2]), radii)


def heart_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the heart within its pericardium."""
    whole = _chamber(x, y, z, 0)
    for index in range(1, len(_CHAMBERS)):
        whole = blend(whole, _chamber(x, y, z, index), 14.0)
    return whole


def mediastinum_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to everything between the lungs except the great vessels' own bulges; any broadcastable x, y, z."""
    cx, cy, a, b = _core(z)
    thin, middle = _front_line(z)
    core = ellipse(x, y, (cx, cy), (a, b))
    line = ellipse(x, y, (middle, -66.0), (thin, 48.0))
    spine = spine_distance(x, y, z) - 3.5
    whole = blend(blend(core, spine, 5.0), line, 10.0)
    if np.ndim(z) == 0 and z > _TOP_OF_HEART:
        return whole
    return blend(whole, heart_distance(x, y, z) - 4.0, 10.0)


def slice_mediastinum(canvas: SliceCanvas) -> Scalars:
    """`mediastinum_distance` of one slice, with vessels and airways pushing their outline into the lungs."""
    whole = np.full(canvas.hu.shape, _FAR, dtype=np.float32)
    rows, columns = canvas.window(_BOX)
    whole[rows, columns] = mediastinum_distance(canvas.x[:, columns], canvas.y[rows], canvas.z)
    shadow = SliceCanvas(hu=whole, x=canvas.x, y=canvas.y, z=canvas.z, edge_mm=canvas.edge_mm)
    for segment in crossing(_HULL, canvas.z, 8.0):
        if abs(float(segment[0])) > 62:
            continue
        part = shadow.within(segment_box(segment, 8.0))
        np.copyto(part.hu, blend(part.hu, segment_distance(part, segment, 1.6), 3.0))
    return whole


def paint_mediastinum(canvas: SliceCanvas, blood: Blood) -> None:
    """Fill the space between the lungs, which is fat already."""
    part = canvas.within((-70, 115, -110, 70))
    if canvas.z < _TOP_OF_HEART:
        heart = heart_distance(part.x, part.y, part.z)
        if canvas.z > -88:  # further down the slice runs along the pericardium and would smear it
            part.paint(np.abs(heart - 2.2) - 0.6, 10.0, strength=0.7)
        part.paint(heart, FAT + 20)
        _paint_chambers(part, blood)
    if 15 < canvas.z < 70:
        thymus = bar(part.x, part.y, (-6.0, -38.0), (10.0, -38.0), 7.0)
        part.paint(thymus, -62.0, strength=0.5)
    paint_tubes(canvas, _VENOUS, blood.systemic_veins)
    paint_tubes(canvas, _PULMONARY_VENOUS, blood.pulmonary_veins)
    paint_tubes(canvas, _AORTIC, blood.systemic_arteries)
    paint_tubes(canvas, _PULMONARY_ARTERIAL, blood.pulmonary_arteries)
    paint_tubes(canvas, _GULLET_SEGMENTS, GULLET)
    paint_tubes(canvas, _GULLET_SEGMENTS, -350.0, grow=-5.4)
    if canvas.z > 98:
        for side in (-1.0, 1.0):
            part.paint(ellipse(part.x, part.y, (side * 19.0, -8.0), (9.0, 13.0)), 105.0)  # the thyroid


def _paint_chambers(part: SliceCanvas, blood: Blood) -> None:
    hues = (blood.heart_muscle, blood.systemic_veins, blood.systemic_veins, blood.pulmonary_veins)
    for index, hu in enumerate(hues):
        part.paint(_chamber(part.x, part.y, part.z, index) + 0.6, hu)
        if index == 0 and blood.is_enhanced:
            part.paint(_chamber(part.x, part.y, part.z, index) + _LEFT_VENTRICLE_WALL_MM, blood.systemic_arteries)


def paint_airways(canvas: SliceCanvas) -> None:
    """Trachea, main and lobar bronchi; all walls first, so that the lumen stays open where they branch."""
    paint_tubes(canvas, _AIRWAY_SEGMENTS, WALL, grow=1.5)
    paint_tubes(canvas, _AIRWAY_SEGMENTS, AIR)
