"""The unchanged dicomweb-client of PyPI against the sandbox PACS."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from PIL import Image
from requests.exceptions import HTTPError

from tests.pacs_actors import (
    COLUMNS,
    EXPLICIT,
    JPEG_2000,
    JPEG_LS,
    ROWS,
    STUDY_A,
    STUDY_B,
    STUDY_C,
    Slice,
    a_report,
    a_running_pacs,
    pixels_of_frame,
    write_demo,
)

pytestmark = pytest.mark.interop

TOKEN = "token-of-the-archive"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebClient]:
    directory = tmp_path_factory.mktemp("pacs")
    write_demo(directory / "dicom")
    with (
        a_running_pacs(directory / "data", directory / "dicom", bearer_token=TOKEN) as pacs,
        requests.Session() as session,
    ):
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield DICOMwebClient(pacs.url, session=session)


def instance(study: str, series: int = 1) -> tuple[str, str, str]:
    return study, f"{study}.{series}", f"{study}.{series}.1"


def test_search_at_every_level(client: DICOMwebClient) -> None:
    studies = client.search_for_studies(search_filters={"PatientName": "*bruno*"}, fields=["IssuerOfPatientID"])
    series = client.search_for_series(STUDY_A, search_filters={"Modality": "CT"})
    instances = client.search_for_instances(STUDY_A, f"{STUDY_A}.1", limit=2, offset=1)

    assert [one["0020000D"]["Value"] for one in studies] == [[STUDY_B]]
    assert studies[0]["00100021"]["Value"] == ["DEMO"]
    assert len(series) == 2
    assert [one["00200013"]["Value"] for one in instances] == [[2], [3]]


def test_search_without_matches_is_an_empty_list(client: DICOMwebClient) -> None:
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_search_collects_all_pages(client: DICOMwebClient) -> None:
    assert len(client.search_for_instances(limit=2, get_remaining=True)) == 9


def test_retrieve_study_series_and_instance(client: DICOMwebClient) -> None:
    assert len(list(client.retrieve_study(STUDY_A))) == 5
    assert len(list(client.retrieve_series(STUDY_A, f"{STUDY_A}.1"))) == 3
    one = client.retrieve_instance(*instance(STUDY_B), media_types=(("application/dicom", EXPLICIT),))
    stored = client.retrieve_instance(*instance(STUDY_B))  # its default is transfer-syntax=*

    assert (one.file_meta.TransferSyntaxUID, stored.file_meta.TransferSyntaxUID) == (EXPLICIT, JPEG_2000)
    assert np.array_equal(one.pixel_array, stored.pixel_array)


def test_study_is_read_as_a_stream(client: DICOMwebClient) -> None:
    assert [one.Modality for one in client.iter_study(STUDY_C)] == ["CT", "OT", "OT"]


def test_retrieve_metadata_at_every_level(client: DICOMwebClient) -> None:
    assert len(client.retrieve_study_metadata(STUDY_A)) == 5
    assert len(client.retrieve_series_metadata(STUDY_A, f"{STUDY_A}.1")) == 3
    assert client.retrieve_instance_metadata(*instance(STUDY_C))["00083002"]["Value"] == [JPEG_LS]


@pytest.mark.parametrize("series", [2, 3])
def test_retrieve_frames_native(client: DICOMwebClient, series: int) -> None:
    frames = client.retrieve_instance_frames(*instance(STUDY_C, series), [3, 1])

    decoded = [np.frombuffer(frame, "<i2").reshape(ROWS, COLUMNS) for frame in frames]
    assert np.array_equal(decoded, [pixels_of_frame(3), pixels_of_frame(1)])


def test_retrieve_frames_compressed(client: DICOMwebClient) -> None:
    jpeg_ls = client.retrieve_instance_frames(*instance(STUDY_C, 3), [2], media_types=(("image/jls", JPEG_LS),))
    jpeg_2000 = client.retrieve_instance_frames(*instance(STUDY_B), [1], media_types=("image/jp2",))

    assert jpeg_ls[0].startswith(b"\xff\xd8\xff\xf7")
    assert jpeg_2000[0].startswith(b"\xff\x4f\xff\x51")


def test_retrieve_bulk_data_by_its_uri(client: DICOMwebClient) -> None:
    uri = client.retrieve_instance_metadata(*instance(STUDY_A))["7FE00010"]["BulkDataURI"]

    assert client.retrieve_bulkdata(uri) == [pixels_of_frame(1).tobytes()]
    assert client.retrieve_bulkdata(uri, media_types=("application/octet-stream",)) == [pixels_of_frame(1).tobytes()]


def test_retrieve_rendered(client: DICOMwebClient) -> None:
    one = client.retrieve_instance_rendered(*instance(STUDY_A), media_types=("image/png",))
    frame = client.retrieve_instance_frames_rendered(*instance(STUDY_C, 3), [2], media_types=("image/jpeg",))
    series = client.retrieve_series_rendered(STUDY_A, f"{STUDY_A}.1", media_types=("image/jpeg",))

    assert [Image.open(io.BytesIO(content)).size for content in (one, frame, series)] == [(COLUMNS, ROWS)] * 3


def test_store_instances_in_chunks_and_read_them_back(client: DICOMwebClient) -> None:
    study = "2.25.7001"
    files = [Slice(study_uid=study, number=number).dataset() for number in range(1, 4)]
    client.set_chunk_size(1000)
    answer = client.store_instances([*files, a_report(study)])

    assert len(answer.ReferencedSOPSequence) == 4
    assert "FailedSOPSequence" not in answer
    found = {one.SOPInstanceUID: one for one in client.retrieve_study(study)}
    assert np.array_equal(found[files[1].SOPInstanceUID].pixel_array, files[1].pixel_array)


def test_store_into_another_study_is_refused(client: DICOMwebClient) -> None:
    with pytest.raises(HTTPError, match="409"):
        client.store_instances([Slice(study_uid="2.25.7002").dataset()], study_instance_uid=STUDY_A)


def test_wrong_token_is_refused(client: DICOMwebClient) -> None:
    with requests.Session() as session, pytest.raises(HTTPError, match="401"):
        DICOMwebClient(client.base_url, session=session).search_for_studies()


def test_same_calls_with_a_password(tmp_path: Path) -> None:
    Slice().write(tmp_path / "dicom")
    with (
        a_running_pacs(tmp_path / "data", tmp_path / "dicom", basic_credential=("gateway", "secret")) as pacs,
        requests.Session() as session,
    ):
        session.auth = ("gateway", "secret")
        assert len(DICOMwebClient(pacs.url, session=session).search_for_studies()) == 1
