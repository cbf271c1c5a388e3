"""The Bundle of an export: every entry has an address of its own, and every reference leads to one (FHIR R4 bdl-7, bdl-8)."""

from __future__ import annotations

import pytest
from fhir.resources.R4B.bundle import Bundle

from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.exported_bundle import bundle_of
from pacs_sync.result_elements import study_reference, uid_identifier
from tests.bundle_references import references
from tests.sr_actors import STUDY, AReport, Json, a_nodule, lung_rads, mapped


def resources() -> list[Json]:
    """A patient, a study and what two lesions of it are."""
    study: Json = {
        "resourceType": "ImagingStudy",
        "id": STUDY,
        "identifier": [uid_identifier(STUDY)],
        "status": "available",
        "subject": {"reference": "Patient/p"},
    }
    patient: Json = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:x", "value": "p"}]}
    groups = [a_nodule(lung_rads()), a_nodule(lung_rads("2"), lesion="2.25.6999")]
    return [patient, study, *mapped(AReport(groups=groups)).resources]


def test_every_reference_leads_to_an_entry_with_an_address_of_its_own() -> None:
    bundle = bundle_of(resources())

    entries = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert sorted(entries.values()) == ["Device", "DiagnosticReport", "ImagingStudy", "Observation", "Observation", "Patient"]
    assert all(url.startswith("urn:uuid:") for url in entries)
    led_to = set(references(bundle))
    assert led_to <= entries.keys()
    assert {entries[one] for one in led_to} == {"Device", "ImagingStudy", "Observation", "Patient"}
    Bundle.model_validate(bundle)
    assert bundle == bundle_of(resources()), "a study has the same addresses each time"


def test_what_refers_to_something_that_is_not_there_is_an_error() -> None:
    alone = {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:x", "value": "1"}],
        "derivedFrom": [{"reference": study_reference(StudyInstanceUID("2.25.1"))}],
    }
    with pytest.raises(ValueError, match="refers to ImagingStudy, which is not exported"):
        bundle_of([alone])
    assert "entry" not in bundle_of([])
