"""The imaging FHIR endpoint between sandbox EHR and sandbox PACS with the demo's patients, by both ways of ownership."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from fhir.resources.R4B.bundle import Bundle

from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.patients import alma
from ehr_sandbox.settings import SandboxSettings
from fhir_imaging.endpoints import BundleResources, EndpointState, resolve_endpoint
from fhir_imaging.settings import EhrSettings, Ownership
from fhir_imaging.study import ImagingStudy, read_study
from tests.demo_hospital import DemoHospital, a_demo_hospital, signed_by

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"


class Hospital(DemoHospital):
    """The imaging FHIR endpoint between them, once for each way of ownership."""

    def get(self, ehr: str, path: str, patient: str) -> requests.Response:
        token = self.authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient=patient), None).access_token
        with requests.Session() as session:
            url = f"{self.app_url}/imaging/{ehr}/fhir{path}"
            return session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def ways(sandbox: SandboxSettings) -> list[EhrSettings]:
    return [signed_by(sandbox, way.value, ownership=way) for way in Ownership]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_demo_hospital(Hospital, tmp_path_factory.mktemp("hospital"), ways, endpoints_of="fhir") as running:
        yield running


@pytest.mark.parametrize("way", [way.value for way in Ownership])
@pytest.mark.parametrize("patient", ["demo-a", "demo-b"])
def test_F1_demo_patients_studies_are_listed_as_they_are_archived(hospital: Hospital, way: str, patient: str) -> None:
    """F2, F3: described by the archive's own files, for the patient's logical id."""
    answer = hospital.get(way, f"/ImagingStudy?patient={patient}&_include=ImagingStudy:endpoint", patient)

    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    on_tape = [alma.ON_TAPE.study_instance_uid] if patient == "demo-a" else []
    assert Bundle.model_validate(bundle).total == len(hospital.studies[patient]) + len(on_tape)
    studies = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]
    assert sorted(one["id"] for one in studies) == sorted([*hospital.studies[patient], *on_tape])
    assert [one["id"] for one in studies if "extension" in one] == on_tape
    for study in studies:
        assert study["subject"]["reference"] == f"{hospital.sandbox.fhir_base}/Patient/{patient}"
        assert study["numberOfInstances"] == sum(one["numberOfInstances"] for one in study["series"])
        assert "T" in study["started"]  # the demo's files state their zone
    assert (
        hospital.get(way, f"/ImagingStudy?patient={patient}", "demo-b" if patient == "demo-a" else "demo-a").status_code == 403
    )


@pytest.mark.parametrize("way", [way.value for way in Ownership])
def test_W4_what_the_app_reads_in_the_list_opens_at_the_gateway(hospital: Hospital, way: str) -> None:
    """C4, C5: by the SMART app's own reading of Bundle and Endpoint."""
    bundle = hospital.get(way, "/ImagingStudy?patient=demo-a&_include=ImagingStudy:endpoint", "demo-a").json()
    included = {
        f"{one['resource']['resourceType']}/{one['resource']['id']}": one["resource"]
        for one in bundle["entry"]
        if one["search"]["mode"] == "include"
    }
    study = read_study(bundle["entry"][0]["resource"])
    assert isinstance(study, ImagingStudy)

    resolved = resolve_endpoint(study, BundleResources({}, included), {hospital.app_url})

    assert resolved.state is EndpointState.USABLE
    assert resolved.endpoint is not None
    path = resolved.endpoint.address.removeprefix(f"{hospital.app_url}/imaging/{way}/fhir")
    assert path == f"{hospital.app_url}/imaging/{way}/dicom-web/demo"
    token = hospital.authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient="demo-a"), None).access_token
    with requests.Session() as session:
        opened = session.get(
            f"{path}/studies/{study.study_instance_uid}/metadata", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
    assert opened.status_code == 200


@pytest.mark.parametrize("way", [way.value for way in Ownership])
def test_F3_a_demo_study_is_read_with_every_instance(hospital: Hospital, way: str) -> None:
    uid = hospital.studies["demo-a"][0]

    study = hospital.get(way, f"/ImagingStudy/{uid}", "demo-a").json()

    instances = [one for series in study["series"] for one in series["instance"]]
    assert len(instances) == study["numberOfInstances"]
    assert all(one["sopClass"]["code"].startswith("urn:oid:1.2.840.10008.") for one in instances)


def test_both_ways_tell_the_same_of_a_study(hospital: Hospital) -> None:
    uid = hospital.studies["demo-a"][0]

    told = [hospital.get(way.value, f"/ImagingStudy/{uid}", "demo-a").json() for way in Ownership]

    for study in told:
        del study["meta"]
    assert told[0] == told[1]
