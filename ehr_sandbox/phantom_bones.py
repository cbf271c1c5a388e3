"""Ribs, spine, breastbone and shoulder girdle."""

import numpy as np

from ehr_sandbox.phantom_canvas import SliceCanvas, Tube, crossing, paint_tubes, segments_of
from ehr_sandbox.phantom_shapes import Scalars, bar, blend, ellipse, oval, profile, smooth_step
from ehr_sandbox.phantom_torso import blade_distance

CORTEX, MARROW, DISC, CARTILAGE = 600.0, 165.0, 88.0, 105.0
VERTEBRA_MM = 22.5
FIRST_THORACIC_Z = 92.0

# z, y of the centre of the vertebral body, its half width and half depth
_spine = profile(
    (-170, 40, 19.0, 15.5),
    (-60, 47, 17.0, 14.5),
    (30, 44, 15.0, 12.5),
    (70, 35, 14.0, 10.5),
    (125, 14, 13.5, 9.0),
)
# z, y of the front of the breastbone
_sternum = profile((-112, -90), (-60, -95), (0, -88), (40, -72), (66, -57))

# Per rib 1-12: how far (mm) it falls from spine to its lowest point, how far its cartilage climbs again, and the angle
# from the back (degrees) at which it ends (180: at the breastbone).
_DROP = np.array([32, 50, 62, 72, 80, 86, 90, 92, 92, 84, 60, 40], dtype=np.float32)
_RISE = np.array([6, 6, 12, 20, 26, 34, 44, 40, 34, 20, 0, 0], dtype=np.float32)
_END = np.array([180, 180, 180, 180, 180, 180, 180, 150, 140, 126, 88, 62], dtype=np.float32)
_BONE_END = 136.0
_ANGLES = np.linspace(0, 180, 721, dtype=np.float32)


def _rib_levels() -> tuple[np.ndarray, np.ndarray]:
    """Height of every rib at every angle from the back (far away where the rib has ended), and their levels."""
    heads = FIRST_THORACIC_Z - VERTEBRA_MM * np.arange(12, dtype=np.float32)[:, None]
    fall = np.sin(np.clip(_ANGLES / 140.0, 0, 1) * np.pi / 2) ** 1.4
    climb = smooth_step(_ANGLES, 138.0, 180.0)
    levels = heads + 4 - _DROP[:, None] * fall + _RISE[:, None] * climb
    return np.where(_END[:, None] < _ANGLES, 1e4, levels), heads


_LEVELS, _HEADS = _rib_levels()


def paint_ribs(canvas: SliceCanvas, cage: Scalars) -> None:
    """Oblique rings around the cavity: each slice cuts every rib at another angle, so they wander from slice to slice."""
    x, y = canvas.x, canvas.y
    ring = (cage > -2) & (cage < 12)
    rows, columns = np.nonzero(ring)
    px, py, gap = x[0, columns], y[rows, 0], cage[rows, columns]
    angle = np.degrees(np.arctan2(np.abs(px), py - 2.0)).astype(np.float32)
    step = np.clip((angle * 4).astype(np.int32), 0, 720)
    near = np.abs(canvas.z - _LEVELS).min(axis=0)
    lift = near[step]
    # The section of a rib is a flat oval, about 8 mm thick and 14 mm high.
    distance = (np.sqrt(((gap - 5.2) / 4.0) ** 2 + (lift / 7.2) ** 2) - 1) * 4.2
    calcified = smooth_step(angle, _BONE_END + 5, _BONE_END - 1)
    cortex = CARTILAGE + (CORTEX - CARTILAGE) * calcified
    marrow = CARTILAGE - 25 + (MARROW + 25 - CARTILAGE) * calcified
    hu = canvas.hu[rows, columns]
    hu += np.clip(0.5 - distance / canvas.edge_mm, 0, 1) * (cortex - hu)
    hu += np.clip(0.5 - (distance + 1.8) / canvas.edge_mm, 0, 1) * (marrow - hu)
    canvas.hu[rows, columns] = hu


def spine_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the vertebral column, for the lungs to keep away from."""
    middle, a, b = _spine(z)
    return ellipse(x, y, (0.0, middle), (a, b))


def _bone(canvas: SliceCanvas, distance: Scalars, marrow: float = MARROW, shell_mm: float = 1.6) -> None:
    canvas.paint(distance, CORTEX)
    canvas.paint(distance + np.float32(shell_mm), marrow)


def paint_spine(canvas: SliceCanvas) -> None:
    """One vertebra every 22.5 mm: body and disc, canal, pedicles, laminae, transverse and spinous processes."""
    z = canvas.z
    middle, a, b = (float(v) for v in _spine(z))
    part = canvas.within((-48, 48, middle - 25, middle + 62))
    if part.hu.size == 0:
        return
    x, y = part.x, part.y
    left = np.abs(x)
    # phase 0: middle of the body; 0.5: middle of the disc below it
    phase = ((FIRST_THORACIC_Z - z) / VERTEBRA_MM) % 1.0
    phase = phase - 1 if phase > 0.5 else phase
    canal_y = middle + b + 8.0
    body = blend(oval(x, y, (0.0, middle), (a, b)), ellipse(x, y, (0.0, middle - 1), (a - 1.5, b)), 2.0)
    waist = 1.6 * np.cos(phase * 2 * np.pi)
    arch = np.abs(ellipse(x, y, (0.0, canal_y + 0.5), (12.0, 11.0))) - 2.6
    arch = np.maximum(arch, middle + b - 2 - y)
    if abs(phase) > 0.36:
        part.paint(body, DISC)
    else:
        _bone(part, body + waist, marrow=MARROW + 15, shell_mm=1.3 if abs(phase) < 0.28 else 2.8)
    if -0.38 < phase < 0.30:
        pedicle = bar(left, y, (9.5, middle + b - 3), (13.0, canal_y + 2), 3.4)
        arch = blend(arch, pedicle, 3.0)
        transverse = bar(left, y, (13.0, canal_y + 5), (31.0, canal_y + 15), 4.2)
        arch = blend(arch, transverse, 3.0)
    else:
        facet = ellipse(left, y, (14.0, canal_y + 6), (6.0, 4.5))
        arch = blend(arch, facet, 2.0)
    if -0.12 < phase < 0.48:
        # The spinous process slants down: the lower the slice, the further back it is cut.
        base, tip = canal_y + 11 + 14 * max(phase, 0.0), canal_y + 15 + 18 * max(phase, 0.0)
        arch = blend(arch, bar(x, y, (0.0, base), (0.0, tip), 3.0), 3.0)
    _bone(part, arch, marrow=MARROW + 120, shell_mm=1.2)
    part.paint(ellipse(x, y, (0.0, canal_y), (9.0, 8.0)), -40.0)
    part.paint(ellipse(x, y, (0.0, canal_y), (7.2, 6.6)), 22.0)
    part.paint(ellipse(x, y, (0.0, canal_y), (4.6, 3.6)), 42.0)


def paint_sternum(canvas: SliceCanvas) -> None:
    """Manubrium, body and xiphoid of the breastbone."""
    z = canvas.z
    if not -112 < z < 66:
        return
    (front,) = _sternum(z)
    wide = float(np.interp(z, [-112, -95, -60, -10, 12, 18, 40, 58, 66], [5, 9, 19, 15, 15, 24, 29, 32, 22]))
    deep = float(np.interp(z, [-112, -90, 10, 20, 60, 66], [2.5, 5.2, 5.6, 7.2, 7.4, 4]))
    part = canvas.within((-45, 45, front - 20, front + 20))
    _bone(part, oval(part.x, part.y, (0.0, float(front)), (wide, deep)), marrow=120.0, shell_mm=1.3)


def _mirrored(*stations: tuple[float, float, float, float]) -> list[Tube]:
    return [
        Tube.along(*stations, steps=4),
        Tube.along(*((-px, py, pz, r) for px, py, pz, r in stations), steps=4),
    ]


_CLAVICLES = segments_of(
    _mirrored((26, -54, 62, 9), (48, -52, 72, 6.5), (78, -34, 86, 5.8), (104, -8, 96, 7), (116, 4, 100, 8))
)
_HUMERI = segments_of(_mirrored((122, 14, 86, 19), (127, 12, 108, 16), (132, 10, 150, 12)))
_BLADE_SPINES = segments_of(_mirrored((70, 78, 34, 4), (96, 72, 62, 4.5), (116, 52, 90, 6)))


def paint_shoulders(canvas: SliceCanvas, cage: Scalars) -> None:
    """Shoulder blades, turned outwards by the raised arms, collar bones and the heads of the humeri."""
    z = canvas.z
    if -62 < z < 46:
        reach = float(smooth_step(z, -64, -20))
        blade = blade_distance(canvas.x, canvas.y, cage, 15.0) - np.float32(0.6 + 1.5 * reach)
        canvas.paint(blade + np.float32(1.0 - reach), CORTEX)
        canvas.paint(blade + np.float32(1.6), 250.0)
    elif 46 <= z < 92:
        reach = float(smooth_step(z, -70, 30))
        for side in (-1.0, 1.0):
            inner = (side * (98 - 24 * reach), 62 + 12 * reach - 0.10 * max(z, 0))
            outer = (side * (108 + 12 * reach), 42 + 8 * reach - 0.42 * max(z - 20, 0))
            part = canvas.within((side * 95 - 60, side * 95 + 60, 0, 105))
            blade = bar(part.x, part.y, inner, outer, 1.6 + 1.2 * reach)
            glenoid = ellipse(part.x, part.y, (outer[0] - side * 2, outer[1] - 3), (10.0, 8.0))
            if z > 48:
                blade = blend(blade, glenoid, 5.0)
            _bone(part, blade, marrow=260.0, shell_mm=1.7)
    for segments, marrow_hu, shell in ((_BLADE_SPINES, 240.0, 1.6), (_CLAVICLES, 220.0, 2.0), (_HUMERI, 130.0, 2.6)):
        if len(crossing(segments, z, 2.0)):
            paint_tubes(canvas, segments, CORTEX)
            paint_tubes(canvas, segments, marrow_hu, grow=-shell)
