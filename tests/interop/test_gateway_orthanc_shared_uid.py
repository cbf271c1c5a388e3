"""One Study Instance UID under two patients in a real Orthanc: by no way of deciding does anybody see a part of it (W5).

Orthanc keeps two studies then, and gives what is in both to whoever asks by that UID. Needs ``apt-get install orthanc
orthanc-dicomweb``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from pydicom.uid import UID

from ehr_sandbox.demo_study import ISSUER_OF_PATIENT_ID
from fhir_imaging.settings import Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc
from tests.pacs_actors import STUDY_A, STUDY_B, write_demo
from tests.security.archive_index import MRN, PatientRecord, identifier
from tests.security.gateway_actors import World, a_world

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]
OTHERS_SERIES = f"{STUDY_A}.77"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """STUDY_A of its patient, with a series under the same UID that somebody else's number stands in; and STUDY_B."""
    files = tmp_path_factory.mktemp("dicom")
    write_demo(files)
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running, running.session() as session:
        for path in sorted(files.rglob("*.dcm")):
            dataset = pydicom.dcmread(path)
            upload(session, running, dataset)
            if dataset.StudyInstanceUID == STUDY_A:
                dataset.PatientID = "SOMEBODY-ELSE"
                dataset.SeriesInstanceUID = UID(OTHERS_SERIES)
                dataset.SOPInstanceUID = UID(f"{dataset.SOPInstanceUID}.77")
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                upload(session, running, dataset)
        yield running


def upload(session: requests.Session, running: Orthanc, dataset: pydicom.Dataset) -> None:
    with BytesIO() as written:
        dataset.save_as(written)
        session.post(f"{running.url}/instances", data=written.getvalue(), timeout=20).raise_for_status()


def number_of(orthanc: Orthanc, study: str) -> str:
    """The PatientID that Orthanc names first and which is not the stranger's."""
    with orthanc.session() as session:
        found = session.get(f"{orthanc.dicomweb}/studies?StudyInstanceUID={study}", timeout=20).json()
    return next(number for one in found if (number := str(one["00100020"]["Value"][0])) != "SOMEBODY-ELSE")


@pytest.fixture(scope="module", params=["not compared", "fhir", "identifier"])
def world(request: pytest.FixtureRequest, orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rules = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id=ISSUER_OF_PATIENT_ID)}}
    server: dict[str, Any] = {} if request.param == "not compared" else rules
    north = {"ownership": Ownership.IDENTIFIER} if request.param == "identifier" else {}
    archive = {"dicomweb_root": orthanc.dicomweb, "user": USER, "password": orthanc.password, "read_timeout_s": 20.0}
    with ExitStack() as stack:
        directory: Path = tmp_path_factory.mktemp("gateway")
        made = stack.enter_context(a_world(directory, server=server, north=north, archive=archive))
        made.north.studies.update({STUDY_A: "pat-a", STUDY_B: "pat-a"})
        PatientRecord(made.north, [identifier(number_of(orthanc, STUDY_A)), identifier(number_of(orthanc, STUDY_B))])
        yield made


SERIES = [f"/series/{STUDY_A}.1", f"/series/{OTHERS_SERIES}"]


@pytest.mark.parametrize(
    "below",
    ["", "/metadata", "/series", "/instances", *SERIES]
    + [f"{series}{ending}" for series in SERIES for ending in ("/metadata", "/instances")]
    + [f"{SERIES[0]}/instances/{STUDY_A}.1.2{ending}" for ending in ("", "/frames/1", "/rendered")],
)
def test_w5_no_part_of_a_study_that_two_patients_share_is_given(world: World, below: str) -> None:
    answer = world.get(f"/studies/{STUDY_A}{below}", world.north.token())

    assert (answer.status, answer.problem in ("identity-conflict", "study-not-of-patient")) == (403, True)
    assert world.audit()[0].outcome == "denied"


@pytest.mark.parametrize("query", ["", "?PatientID={number}", "?00100020={number}", "?ModalitiesInStudy=CT"])
def test_group_11_it_stands_in_no_list_whatever_is_searched_by(world: World, orthanc: Orthanc, query: str) -> None:
    found = world.found("/studies" + query.format(number=number_of(orthanc, STUDY_A)), world.north.token())

    assert STUDY_A not in found


def test_another_study_of_the_patient_opens(world: World) -> None:
    """The other side: the questions that the gateway asks are understood by Orthanc."""
    metadata = world.get(f"/studies/{STUDY_B}/metadata", world.north.token())

    assert metadata.status == 200
    assert STUDY_B in world.found("/studies", world.north.token())
