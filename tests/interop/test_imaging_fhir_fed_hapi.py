"""The imaging FHIR endpoint out of a real HAPI FHIR that the synchronisation feeds, in R4 and in R5."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.settings import Ownership, SubjectBy
from tests.contract.fed_actors import lacks_something
from tests.contract.fed_by_sync_actors import FedBySync, Written, fed_by_sync
from tests.contract.imaging_fhir_actors import CT_A, CT_B, DX_A, MR_A, MRN
from tests.imaging_profiles import SMART_IMAGING_STUDY, broken
from tests.interop.hapi_process import Hapi, running_hapi

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
# The EHR's id of one patient is there, and is another patient's.
PATIENTS = {"p77": "MRN-A", "pat-a": "MRN-B"}


@pytest.fixture(scope="module", params=[FhirVersion.R4, FhirVersion.R5])
def hapi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    with running_hapi(tmp_path_factory.mktemp("hapi"), request.param) as running:
        for patient, number in PATIENTS.items():
            running.put({"resourceType": "Patient", "id": patient, "identifier": [{"system": MRN, "value": number}]})
        yield running


@pytest.fixture(scope="module")
def fed(hapi: Hapi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FedBySync]:
    """Two archives brought over, described by HAPI; the EHR says whose the studies are."""
    by, directory = (SubjectBy.PATIENT_IDENTIFIER,), tmp_path_factory.mktemp("fed")
    with fed_by_sync(directory, Written.OTHER_IDS, Ownership.FHIR, by, hapi.base) as fed:
        fed.syncs[:] = [fed.table(one, with_instances=True) for one in ("main", "second")]
        fed.bring()
        yield fed


def test_a_patients_studies_come_through_with_their_instances_and_the_gateways_endpoints(fed: FedBySync) -> None:
    answer = fed.world.search(include="ImagingStudy:endpoint")
    entries = answer.json()["entry"]
    study = fed.world.ask(f"/ImagingStudy/{CT_A}", fed.world.north.token()).json()

    assert [one["resource"]["id"] for one in entries if one["search"]["mode"] == "match"] == [CT_A, MR_A, DX_A]
    assert {one["resource"]["address"] for one in entries if one["search"]["mode"] == "include"} == {
        f"{fed.world.url}/imaging/north/dicom-web/{name}" for name in ("main", "second")
    }
    assert not lacks_something(answer.json())
    assert [len(one["instance"]) for one in study["series"]] == [3, 1]
    assert study["subject"] == {"reference": f"{fed.world.north.fhir_base}/Patient/pat-a"}
    assert broken(study, SMART_IMAGING_STUDY) == []


def test_its_own_patient_of_the_same_id_is_somebody_else(fed: FedBySync) -> None:
    assert CT_B not in fed.world.search().body.decode()
    assert fed.world.listed(fed.world.north.token("pat-b"), patient="pat-b") == [CT_B]


def test_it_cannot_be_searched_by_the_identifier_of_a_reference(hapi: Hapi) -> None:
    """Which is why there is ``patient-identifier``; once this fails, docs/connecting.md may say so."""
    assert hapi.send("GET", f"ImagingStudy?patient:identifier={MRN}|MRN-A").status_code == 400


def test_a_study_that_the_archive_deleted_vanishes(fed: FedBySync) -> None:
    del fed.world.main.index[CT_A]
    fed.compare()

    assert fed.world.listed() == [MR_A, DX_A]
