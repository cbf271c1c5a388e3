"""Where a synchronised archive's images are, in every release (M9, SMART Imaging Access F4 and P1, IHE RAD IMR)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fhir.resources.endpoint import Endpoint as R5Endpoint
from fhir.resources.R4B.endpoint import Endpoint as R4BEndpoint

from fhir_imaging.fhir_mapping.comparison import comparable
from fhir_imaging.fhir_mapping.endpoint import SyncedEndpoint, endpoint_identifier, synced_endpoint, wado_endpoint
from fhir_imaging.fhir_versions import FhirVersion
from tests.imaging_profiles import SMART_WADO_ENDPOINT, broken

ADDRESS = "https://gateway.example/imaging/ehr/dicom-web/main"
TOLD = SyncedEndpoint(address=f"{ADDRESS}/", name="Images of main", source="urn:imaging-cds:sync:main")
STUDY = {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "113014", "display": "Study"}]}
WADO_RS = {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"}


@pytest.mark.parametrize("version", [FhirVersion.R4, FhirVersion.R4B])
def test_f4_p1_in_r4_it_is_a_smart_endpoint_for_studies(version: FhirVersion) -> None:
    made = synced_endpoint(TOLD, version)

    R4BEndpoint.model_validate(made)
    assert broken(made, SMART_WADO_ENDPOINT) == []
    assert (made["payloadType"], made["payloadMimeType"]) == ([STUDY], ["application/dicom"])


@pytest.mark.parametrize("version", [FhirVersion.R5, FhirVersion.R6])
def test_in_r5_connection_types_are_concepts_and_payloads_have_parts(version: FhirVersion) -> None:
    made = synced_endpoint(TOLD, version)

    R5Endpoint.model_validate(made)
    assert made["connectionType"] == [{"coding": [WADO_RS]}]
    assert made["payload"] == [{"type": [STUDY], "mimeType": ["application/dicom"]}]
    assert made["extension"] == synced_endpoint(TOLD, FhirVersion.R4)["extension"]


@pytest.mark.parametrize("version", FhirVersion)
def test_it_is_found_again_by_its_address_and_has_no_slash_at_its_end(version: FhirVersion) -> None:
    made = synced_endpoint(TOLD, version)
    system, value = endpoint_identifier(TOLD.address)

    assert made["address"] == value == ADDRESS
    assert made["identifier"] == [{"system": system, "value": value}]
    assert comparable(made) == comparable(synced_endpoint(replace(TOLD, address=ADDRESS, resource_id="main"), version))
    assert (made.get("id"), synced_endpoint(replace(TOLD, resource_id="main"), version)["id"]) == (None, "main")


def test_the_live_endpoint_still_says_any_payload_and_has_no_identifier() -> None:
    made = wado_endpoint("main", address=ADDRESS, name="x")

    assert (made["id"], made["payloadType"][0]["coding"][0]["code"], "identifier" in made) == ("main", "any", False)
