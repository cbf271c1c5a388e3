"""The imaging examinations that can be ordered in the chart: a short list of well-known ones.

Source: LOINC long common names, https://loinc.org. This material contains content from LOINC (http://loinc.org). LOINC is
copyright Regenstrief Institute, Inc. and the LOINC Committee and is available at no cost under http://loinc.org/license.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LOINC = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Orderable:
    """One examination of the list."""

    code: str
    display: str

    def concept(self) -> dict[str, Any]:
        """It as a CodeableConcept."""
        return {"coding": [{"system": LOINC, "code": self.code, "display": self.display}], "text": self.display}


CATALOGUE: dict[str, tuple[Orderable, ...]] = {
    "Chest": (
        Orderable("30745-4", "XR Chest Views"),
        Orderable("24627-2", "CT Chest"),
        Orderable("29252-4", "CT Chest WO contrast"),
        Orderable("24628-0", "CT Chest W contrast IV"),
        Orderable("79086-5", "CT Chest for screening WO contrast"),
        Orderable("79077-4", "CTA Pulmonary arteries for pulmonary embolus W contrast IV"),
    ),
    "Abdomen and pelvis": (
        Orderable("24558-9", "US Abdomen"),
        Orderable("38036-0", "US Kidney"),
        Orderable("44115-4", "CT Abdomen and Pelvis"),
        Orderable("36952-0", "CT Abdomen and Pelvis WO contrast"),
        Orderable("36813-4", "CT Abdomen and Pelvis W contrast IV"),
        Orderable("24556-3", "MR Abdomen"),
    ),
    "Head and spine": (
        Orderable("30799-1", "CT Head WO contrast"),
        Orderable("30657-1", "MR Brain WO contrast"),
        Orderable("24587-8", "MR Brain WO and W contrast IV"),
        Orderable("30679-5", "MR Lumbar spine WO contrast"),
    ),
    "Breast": (
        Orderable("26175-0", "MG Breast - bilateral Screening"),
        Orderable("26346-7", "MG Breast - bilateral Diagnostic"),
        Orderable("36150-1", "MR Breast - bilateral W contrast IV"),
    ),
}


def orderables() -> Iterator[Orderable]:
    """All examinations of the list, whatever their heading."""
    for group in CATALOGUE.values():
        yield from group


def find_orderable(code: str) -> Orderable | None:
    """The examination of a LOINC code, if it is on the list."""
    return next((orderable for orderable in orderables() if orderable.code == code), None)
