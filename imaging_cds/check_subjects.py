"""Whether another server than the EHR's own, which has its studies, names the EHR's patients as the gateway understands them.

Spec: FHIR R4 references (a relative one is into the server that holds it); SMART Imaging Access F3, W4, group 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.errors import ImagingError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding
from imaging_cds.check_site import ImagingSite, caller_of


def is_foreign(ehr: EhrSettings) -> bool:
    """Whether ``Patient/{id}`` in a study is somebody else than the EHR's patient of that id."""
    return ehr.has_studies_elsewhere and not ehr.imaging_base_has_ehr_ids


def check_subjects(area: Area, context: CheckContext, site: ImagingSite) -> Iterator[Finding]:
    """How subjects must be written there; where the site says that both number alike, whether one patient shows otherwise."""
    ehr = context.ehr
    if not ehr.has_studies_elsewhere:
        return
    if is_foreign(ehr):
        yield area.warning(
            f"{ehr.studies_base} is another server than the EHR's FHIR base, so Patient/ID in its studies is not the EHR's "
            f"patient ID: only {ehr.fhir_base.rstrip('/')}/Patient/ID is.",
            "Have subjects written so; or, where that server's Patients have the EHR's own ids, say "
            "imaging_base_has_ehr_ids = true for this EHR. Until then studies with other subjects are refused.",
        )
    elif context.token is None or context.patient is None:
        yield area.note(
            f"By your word (imaging_base_has_ehr_ids) Patient/ID at {ehr.studies_base} is the EHR's patient ID.",
            "Give --token-file and --patient to have one patient compared.",
        )
    else:
        yield _compared(area, context, site)


def _compared(area: Area, context: CheckContext, site: ImagingSite) -> Finding:
    ehr, caller = context.ehr, caller_of(context.ehr, context.patient or "", context.token or "")
    here = there = None
    if caller is not None:
        with site.session(ehr) as session:
            bases = (ehr.fhir_base, ehr.studies_base)
            clients = (FhirClient(base, session, access_token=caller.token.value) for base in bases)
            here, there = (_patient(client, caller.patient_id) for client in clients)
    if here is None or there is None:
        return area.note(
            f"Whether Patient/ID at {ehr.studies_base} is the EHR's patient ID (imaging_base_has_ehr_ids) was not compared: "
            "the token does not read that Patient at both.",
            "Compare a few patients by hand.",
        )
    if _contradict(here, there):
        return area.fault(
            f"The Patient of this id at {ehr.studies_base} is another person than at the EHR: number or date of birth differ.",
            "Take imaging_base_has_ehr_ids out of this EHR's settings: with it, one patient's images open for another.",
        )
    return area.ok(f"The Patient of this id at {ehr.studies_base} has no other number and date of birth than at the EHR.")


def _patient(client: FhirClient, patient_id: str) -> Mapping[str, Any] | None:
    try:
        found = client.read("Patient", patient_id)
    except ImagingError:
        return None
    return found if found.get("resourceType") == "Patient" else None


def _contradict(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether two Patients have no number in common of a system that both have, or were born on different days."""
    born = {text(one.get("birthDate")) for one in (here, there)} - {None}
    numbers, others = _numbers(here), _numbers(there)
    return len(born) > 1 or any(numbers[system].isdisjoint(others[system]) for system in numbers.keys() & others.keys())


def _numbers(patient: Mapping[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in dicts(patient.get("identifier")):
        system, value = text(one.get("system")), text(one.get("value"))
        if system and value:
            found.setdefault(system, set()).add(value)
    return found
