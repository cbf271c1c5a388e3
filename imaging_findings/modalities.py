"""Modality families: which DICOM modalities count as the same kind of examination.

Spec: clinical rules O1 (CT; MR; XR = CR, DX, RF; US; NM and PT; MG).
"""

from __future__ import annotations

_FAMILY_OF = {
    "CT": "CT",
    "MR": "MR",
    "CR": "XR",
    "DX": "XR",
    "RF": "XR",
    "US": "US",
    "NM": "NM",
    "PT": "NM",
    "MG": "MG",
}


def family_of(modality: str) -> str | None:
    """The family of an acquisition modality; None for documents, derived objects and unknown codes."""
    return _FAMILY_OF.get(modality.strip().upper())
