"""The lungs: where they are, their tissue and their fissures."""

import numpy as np

from ehr_sandbox.phantom_abdomen import diaphragm_distance
from ehr_sandbox.phantom_canvas import SliceCanvas
from ehr_sandbox.phantom_mediastinum import mediastinum_distance
from ehr_sandbox.phantom_shapes import Scalars
from ehr_sandbox.phantom_torso import cage_distance

LUNG, FISSURE = -862.0, -690.0
_APEX = 103.0


def _bounded(cage: Scalars, mediastinum: Scalars, abdomen: Scalars) -> Scalars:
    return np.maximum(np.maximum(cage + 1.0, -mediastinum), -(abdomen - 1.0))


def lung_distance(x: Scalars, y: Scalars, z: Scalars) -> Scalars:
    """Distance to the surface of the lungs at any points; negative inside."""
    return _bounded(cage_distance(x, y, z), mediastinum_distance(x, y, z), diaphragm_distance(x, y, z))


def paint_lungs(canvas: SliceCanvas, cage: Scalars, mediastinum: Scalars) -> None:
    """Aerated tissue, denser towards the back as in a supine patient, and the fissures between the lobes."""
    if canvas.z > _APEX:
        return
    rows, columns = canvas.window((-138.0, 138.0, -96.0, 90.0))
    x, y, z = canvas.x[:, columns], canvas.y[rows], canvas.z
    canvas = SliceCanvas(hu=canvas.hu[rows, columns], x=x, y=y, z=z, edge_mm=canvas.edge_mm)
    abdomen = diaphragm_distance(x, y, z) if z < -80 else np.float32(500.0)
    lungs = _bounded(cage[rows, columns], mediastinum[rows, columns], abdomen)
    mottle = 9 * np.sin(0.21 * x + 0.13 * z) * np.sin(0.17 * y - 0.11 * z) + 6 * np.sin(0.5 * x - 0.4 * y + 0.3 * z)
    canvas.paint(lungs, (LUNG + 0.22 * (y + 10) + mottle).astype(np.float32))
    # Both oblique fissures run from high at the back to low in front, the horizontal one only on the right.
    oblique = (z - 34 - (y - 60) * 1.02 - 0.02 * np.abs(x - 70)) / 1.45
    band = np.maximum(np.abs(oblique) - 0.35, lungs)
    canvas.paint(band, FISSURE, strength=0.45)
