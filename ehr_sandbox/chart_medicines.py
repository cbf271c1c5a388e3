"""The few medicines that can be ordered in the chart: those that an imaging order has to do with, and their draft.

ATC codes: WHO Collaborating Centre for Drug Statistics Methodology, https://www.whocc.no/atc.
"""

from dataclasses import dataclass
from typing import Any

ATC = "http://www.whocc.no/atc"
LONGEST_DOSE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Medicine:
    """One product of the list, by a key of its own: products of one substance have one code. `dose` is offered, not imposed."""

    key: str
    name: str
    code: str
    class_name: str
    dose: str

    def concept(self) -> dict[str, Any]:
        """It as a CodeableConcept: the substance or its class by code, the product in words."""
        return {"coding": [{"system": ATC, "code": self.code, "display": self.class_name}], "text": self.name}


_IODINATED = "X-ray contrast media, iodinated"
MEDICINES: dict[str, tuple[Medicine, ...]] = {
    "Contrast media": (
        Medicine(
            key="iohexol-300",
            name="Iohexol 300 mg iodine/mL, injection",
            code="V08A",
            class_name=_IODINATED,
            dose="100 mL intravenously for the CT",
        ),
        Medicine(
            key="iodixanol-320",
            name="Iodixanol 320 mg iodine/mL, injection",
            code="V08A",
            class_name=_IODINATED,
            dose="80 mL intravenously for the CT",
        ),
    ),
    "Diabetes": (
        Medicine(
            key="metformin-500",
            name="Metformin 500 mg, tablet",
            code="A10BA02",
            class_name="metformin",
            dose="1 tablet twice daily with meals",
        ),
        Medicine(
            key="metformin-1000",
            name="Metformin 1000 mg, tablet",
            code="A10BA02",
            class_name="metformin",
            dose="1 tablet twice daily with meals",
        ),
    ),
}


def find_medicine(key: str) -> Medicine | None:
    """The medicine of that key, if it is on the list."""
    return next((one for group in MEDICINES.values() for one in group if one.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescriber:
    """Who orders for whom: `user` is a relative reference, ids are bare."""

    user: str
    patient_id: str
    encounter_id: str | None


def medication_draft(draft_id: str, medicine: Medicine, dose: str, by: Prescriber) -> dict[str, Any]:
    """A draft MedicationRequest; it has its id before it is stored. Without a dose in words there is no dosage."""
    draft: dict[str, Any] = {
        "resourceType": "MedicationRequest",
        "id": draft_id,
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": medicine.concept(),
        "subject": {"reference": f"Patient/{by.patient_id}"},
        "requester": {"reference": by.user},
    }
    encounter = {"encounter": {"reference": f"Encounter/{by.encounter_id}"}} if by.encounter_id else {}
    return draft | encounter | ({"dosageInstruction": [{"text": dose}]} if dose else {})
