"""The context of each hook that this EHR fires, from what the clinician is doing.

Spec: CDS Hooks hook library: patient-view, order-select, order-sign, encounter-discharge and appointment-book 1.0. The hook
of a completed study is nobody's standard; each service names its own, and all end in the same words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STUDY_COMPLETE = re.compile(r"(?:[A-Za-z0-9-]+\.)+imaging-study-complete")
_DICOM_UID_SYSTEM = "urn:dicom:uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMoment:
    """Who looks at whose chart. `user` is a relative reference; ids are bare."""

    user: str
    patient_id: str
    encounter_id: str | None


def is_study_complete(hook: str) -> bool:
    """Whether a hook is some maker's own for a study that has become complete: reverse-domain, as custom hooks are named."""
    return STUDY_COMPLETE.fullmatch(hook) is not None


def patient_view_context(moment: ChartMoment) -> dict[str, Any]:
    """userId and patientId, and encounterId when there is one."""
    context = {"userId": moment.user, "patientId": moment.patient_id}
    return context | ({"encounterId": moment.encounter_id} if moment.encounter_id else {})


def order_sign_context(moment: ChartMoment, drafts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The drafts that are about to be signed, whether these are all that there are or not."""
    return patient_view_context(moment) | {"draftOrders": _bundle(drafts)}


def order_select_context(moment: ChartMoment, selected: str, drafts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The order in the form, by reference, among all drafts; it is on no FHIR server yet (R33)."""
    return patient_view_context(moment) | {"selections": [selected], "draftOrders": _bundle(drafts)}


def appointment_book_context(moment: ChartMoment, appointment: Mapping[str, Any]) -> dict[str, Any]:
    """The proposed appointment, which is on no FHIR server yet."""
    return patient_view_context(moment) | {"appointments": _bundle([appointment])}


def study_complete_context(moment: ChartMoment, study: Mapping[str, Any]) -> dict[str, Any]:
    """The study by its reference and, where the record has it, by its Study Instance UID without a prefix."""
    context = patient_view_context(moment) | {"study": f"ImagingStudy/{study['id']}"}
    uid = _study_instance_uid(study)
    return context | ({"studyInstanceUid": uid} if uid else {})


def _study_instance_uid(study: Mapping[str, Any]) -> str:
    for identifier in study.get("identifier", ()):
        if identifier.get("system") == _DICOM_UID_SYSTEM:
            return str(identifier.get("value", "")).removeprefix("urn:oid:")
    return ""


def _bundle(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    entries = [{"resource": dict(resource)} for resource in resources]
    return {"resourceType": "Bundle", "type": "collection"} | ({"entry": entries} if entries else {})
