"""Skin, fat and the muscles of the trunk, the raised arms and the table: everything outside the rib cage."""

from dataclasses import dataclass

import numpy as np

from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_grid import Field
from ehr_sandbox.phantom_shapes import Scalars, bar, blend, ellipse, oval, profile, smooth_step

BODY_BOX = (-174.0, 174.0, -134.0, 120.0)  # holds every patient, in anatomical millimetres
FAT, SKIN, MUSCLE, GLAND, TABLE = -105.0, 10.0, 55.0, 25.0, -650.0

# z, half width, front, back of the trunk; above the armpits it narrows to the neck
_trunk = profile(
    (-170, 150, -112, 108),
    (-100, 154, -114, 113),
    (-30, 159, -110, 115),
    (30, 156, -99, 115),
    (62, 150, -87, 111),
    (88, 136, -74, 104),
    (108, 124, -66, 97),
    (126, 112, -60, 90),
)
# z, lateral centre, half width, half depth of each raised arm with its shoulder
_shoulder = profile((30, 118, 12, 20), (56, 126, 36, 50), (84, 124, 44, 56), (126, 122, 46, 54))
# z, half width, front, back of the inner chest wall
_cage = profile(
    (-170, 124, -80, 68),
    (-120, 130, -86, 76),
    (-60, 130, -86, 79),
    (0, 123, -78, 79),
    (40, 106, -62, 73),
    (68, 83, -45, 63),
    (88, 56, -27, 52),
    (98, 36, -12, 43),
    (106, 9, 8, 30),
)


def cage_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the inside of the rib cage: two ovals side by side, so the back dips in at the spine."""
    half, front, back = _cage(z)
    middle, depth = (front + back) / 2, (back - front) / 2
    one = oval(np.abs(x), y, (0.40 * half, middle), (0.60 * half, depth))
    other = oval(x, y, (0.0, middle - 0.10 * depth), (0.62 * half, 0.80 * depth))
    return blend(one, other, 14.0)


@dataclass(frozen=True, kw_only=True)
class Habitus:
    """What differs between two people outside: fat thickness in mm and whether there are breasts."""

    fat_mm: float = 13.0
    breasts: bool = True


def body_distance(x: Scalars, y: Scalars, z: float) -> Scalars:
    """Distance to the skin."""
    half, front, back = _trunk(z)
    trunk = oval(x, y, (0.0, (front + back) / 2), (half, (back - front) / 2))
    if z < 34:
        return trunk
    lateral, a, b = _shoulder(z)
    arm = ellipse(np.abs(x), y, (lateral, 14.0), (a, b))
    return blend(trunk, arm, 26.0)


def _breast_distance(x: Field, y: Field, z: float) -> Scalars:
    """Distance to the breasts of a supine woman: flattened, spread to the sides, highest at the fourth rib."""
    along = 1 - ((z + 28) / 62) ** 2
    if along <= 0.05:
        return np.float32(500.0)
    grown = float(np.sqrt(along))
    return ellipse(np.abs(x), y, (88.0, -84.0), (58 * grown, 42 * grown))


def _muscle_distance(x: Field, y: Field, z: float, cage: Scalars) -> Scalars:
    """Distance to the muscle mass: the chest wall itself and the named muscles upon it."""
    left = np.abs(x)
    _, front, back = _trunk(z)
    wall = cage - np.float32(11.0)
    spine_side = ellipse(left, y, (27.0, back - 26.0), (27.0, 15.0))
    muscles = blend(wall, spine_side, 6.0)
    if z > -90:
        size = float(smooth_step(z, -90, 10))
        muscles = np.minimum(muscles, _blade_muscles(x, y, z, cage))
        latissimus = ellipse(left, y, (128.0 - 0.12 * max(z, 0), 34.0), (15 + 9 * size, 30 + 14 * size))
        muscles = np.minimum(muscles, np.maximum(latissimus, 1.0 - cage))
    if z > -40:
        size = float(smooth_step(z, -45, 35))
        pectoral = bar(left, y, (22.0, front + 24), (104 + 14 * size, front + 52 - 6 * size), 5 + 7 * size)
        muscles = blend(muscles, pectoral, 6.0)
    if z > 74:  # supraspinatus and trapezius fill the space between neck and shoulder
        muscles = blend(muscles, bar(left, y, (30.0, 42.0), (104.0, 22.0), 23.0), 14.0)
    if z > 30:
        trapezius = bar(left, y, (6.0, back - 14), (92.0, back - 30), 9.0)
        muscles = blend(muscles, trapezius, 8.0)
    if z > 40:
        lateral, a, b = _shoulder(z)
        muscles = blend(muscles, ellipse(left, y, (lateral, 14.0), (a - 12, b - 12)), 10.0)
    if z > 78:
        muscles = blend(muscles, ellipse(x, y, (0.0, 22.0), (46.0, 44.0)), 16.0)
    return muscles


def blade_distance(x: Scalars, y: Scalars, cage: Scalars, gap_mm: float) -> Scalars:
    """Distance to the sheet that hugs the back of the chest wall where the shoulder blade lies, `gap_mm` outside it."""
    angle = np.degrees(np.arctan2(np.abs(x), y - 2.0))
    return np.maximum(np.abs(cage - np.float32(gap_mm)), np.abs(angle - np.float32(65.0)) - np.float32(14.0))


def _blade_muscles(x: Field, y: Field, z: float, cage: Scalars) -> Scalars:
    """Distance to the muscles before and behind the shoulder blade, thinning out below it."""
    thick = 11.0 * float(smooth_step(z, -88, -20))
    return blade_distance(x, y, cage, 16.0) - np.float32(thick)


def paint_table(canvas: SliceCanvas) -> None:
    """The curved couch under the patient: two thin shells of carbon fibre around foam."""
    outer = ellipse(canvas.x, canvas.y, (0.0, -550.0), (720.0, 690.0))
    inner = ellipse(canvas.x, canvas.y, (0.0, -574.0), (720.0, 690.0))
    canvas.paint(np.maximum(outer, -inner), -960.0)
    canvas.paint(np.abs(outer) - 1.1, TABLE)
    canvas.paint(np.abs(inner) - 0.9, TABLE)


def paint_torso(canvas: SliceCanvas, habitus: Habitus) -> Scalars:
    """Paint everything around the chest cavity; the answer is the distance to the cavity, for what comes next."""
    x, y, z = canvas.x, canvas.y, canvas.z
    body = body_distance(x, y, z)
    cage = cage_distance(x, y, z)
    breasts = habitus.breasts and -85 < z < 29
    skin = blend(body, _breast_distance(x, y, z), 14.0) if breasts else body
    canvas.paint(skin, SKIN)
    canvas.paint(skin + np.float32(2.0), FAT)
    if breasts and -80 < z < 25:
        gland = ellipse(np.abs(x), y, (90.0, -97.0), (30.0, 17.0)) + 3.5 * np.sin(x * 0.31) * np.sin(y * 0.43)
        canvas.paint(np.maximum(gland, skin + 7), GLAND, strength=0.55)
    muscle = np.maximum(_muscle_distance(x, y, z, cage), body + np.float32(habitus.fat_mm * 0.75))
    canvas.paint(muscle, MUSCLE)
    # Thin planes of fat part the muscles; without them a chest wall looks like plasticine.
    planes = np.abs(cage - np.float32(12.5)) - np.float32(0.7)
    canvas.paint(np.maximum(planes, muscle + 3), FAT + 45, strength=0.6)
    canvas.paint(cage + np.float32(0.4), FAT)
    return cage
