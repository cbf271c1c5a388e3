"""Modality families: which DICOM modalities count as the same kind of examination.

Spec: clinical rules O1 (CT; MR; XR = CR, DX, RF; US; NM and PT; MG) and O3, whose window for DXA needs a family of its own;
angiography (XA) is one too, since it repeats none of the others.
"""

from __future__ import annotations

_FAMILY_OF = {
    "CT": "CT",
    "MR": "MR",
    "CR": "XR",
    "DX": "XR",
    "RF": "XR",
    # No DICOM modality, but what LOINC names, orders and sites say.
    "XR": "XR",
    "US": "US",
    "NM": "NM",
    "PT": "NM",
    "MG": "MG",
    "XA": "XA",
    "BMD": "DXA",
    "DXA": "DXA",
}


def family_of(modality: str) -> str | None:
    """The family of an acquisition modality; None for documents, derived objects and unknown codes."""
    return _FAMILY_OF.get(modality.strip().upper())


def families() -> tuple[str, ...]:
    """All families, in the order of the specification."""
    return tuple(dict.fromkeys(_FAMILY_OF.values()))
