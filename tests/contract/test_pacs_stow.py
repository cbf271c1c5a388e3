"""STOW-RS of the sandbox PACS (PS3.18 §10.5 and Annex I.2) over HTTP."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydicom.dataset import FileDataset

from tests.pacs_actors import STUDY_A, STUDY_B, RunningPacs, Slice, a_report, a_running_pacs

BOUNDARY = "part-boundary"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[RunningPacs]:
    with a_running_pacs(tmp_path / "data", max_body_bytes=200_000) as running:
        yield running


def file_bytes(dataset: FileDataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def body_of(*files: bytes) -> bytes:
    parts = [f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def store(
    pacs: RunningPacs, body: bytes, *, path: str = "/studies", content_type: str = CONTENT_TYPE, **headers: str
) -> requests.Response:
    return pacs.session.post(f"{pacs.url}{path}", data=body, headers={"Content-Type": content_type, **headers}, timeout=20)


def sequence(answer: requests.Response, tag: str, inner: str) -> list[object]:
    return [item[inner]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def test_10_5_3_1_stored_instances_are_answered_200_and_can_be_found(pacs: RunningPacs) -> None:
    answer = store(pacs, body_of(file_bytes(Slice().dataset()), file_bytes(a_report())))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert sequence(answer, "00081199", "00081155") == [f"{STUDY_A}.1.1", f"{STUDY_A}.9.1"]
    assert answer.json()["00081190"]["Value"] == [f"{pacs.url}/studies/{STUDY_A}"]
    (url, _) = sequence(answer, "00081199", "00081190")
    assert pacs.session.get(str(url), timeout=20).status_code == 200
    assert pacs.get("/studies").json()[0]["00201208"]["Value"] == [2]


def test_10_5_2_instances_of_another_study_than_the_path_names_fail(pacs: RunningPacs) -> None:
    files = [file_bytes(Slice().dataset()), file_bytes(Slice(study_uid=STUDY_B).dataset())]

    some = store(pacs, body_of(*files), path=f"/studies/{STUDY_A}")
    none = store(pacs, body_of(files[1]), path=f"/studies/{STUDY_A}")

    assert (some.status_code, none.status_code) == (202, 409)
    assert sequence(some, "00081198", "00081155") == [f"{STUDY_B}.1.1"]
    assert sequence(some, "00081198", "00081197") == [0xA901]
    assert pacs.get(f"/studies?StudyInstanceUID={STUDY_B}").status_code == 204


def test_i_2_2_unreadable_part_is_an_other_failure(pacs: RunningPacs) -> None:
    answer = store(pacs, body_of(b"no image", file_bytes(Slice().dataset())))

    assert answer.status_code == 202
    assert sequence(answer, "0008119A", "00081197") == [0xC000]
    assert sequence(answer, "00081199", "00081155") == [f"{STUDY_A}.1.1"]


def test_same_instance_again_replaces_it(pacs: RunningPacs) -> None:
    store(pacs, body_of(file_bytes(Slice().dataset())))
    answer = store(pacs, body_of(file_bytes(Slice(extra={"StudyDescription": "Corrected"}).dataset())))

    (study,) = pacs.get("/studies").json()
    assert answer.status_code == 200
    assert study["00201208"]["Value"] == [1]
    assert study["00081030"]["Value"] == ["Corrected"]


def test_instance_uid_of_another_study_is_a_duplicate_and_leaves_the_first_alone(pacs: RunningPacs) -> None:
    store(pacs, body_of(file_bytes(Slice().dataset())))
    stolen = Slice(study_uid=STUDY_B, extra={"SOPInstanceUID": f"{STUDY_A}.1.1"}).dataset()
    answer = store(pacs, body_of(file_bytes(stolen)))

    assert answer.status_code == 409
    assert sequence(answer, "00081198", "00081197") == [0x0111]
    assert [one["0020000D"]["Value"] for one in pacs.get("/studies").json()] == [[STUDY_A]]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/dicom",
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f'multipart/related; type="application/dicom+json"; boundary="{BOUNDARY}"',
        f'multipart/related; type="application/dicom+xml"; boundary="{BOUNDARY}"',
    ],
)
def test_10_5_3_1_other_media_type_is_415(pacs: RunningPacs, content_type: str) -> None:
    """X12: a bare DICOM file is no STOW request."""
    answer = store(pacs, body_of(file_bytes(Slice().dataset())), content_type=content_type)

    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/problem+json")
    assert pacs.get("/studies").status_code == 204


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", CONTENT_TYPE),
        (f"--{BOUNDARY}--".encode(), CONTENT_TYPE),
        (body_of(b"x")[:-20], CONTENT_TYPE),
        (body_of(b"x"), 'multipart/related; type="application/dicom"'),
        (body_of(b"x"), CONTENT_TYPE.replace(BOUNDARY, "x" * 71)),
    ],
)
def test_10_5_3_1_malformed_body_is_400(pacs: RunningPacs, body: bytes, content_type: str) -> None:
    assert store(pacs, body, content_type=content_type).status_code == 400


def test_10_5_3_1_too_large_body_is_413_also_when_it_comes_in_chunks(pacs: RunningPacs) -> None:
    large = body_of(b"x" * 300_000)

    whole = store(pacs, large)
    chunked = pacs.session.post(
        f"{pacs.url}/studies",
        data=iter([large[:150_000], large[150_000:]]),
        headers={"Content-Type": CONTENT_TYPE},
        timeout=20,
    )

    assert [answer.status_code for answer in (whole, chunked)] == [413, 413]


def test_8_7_5_store_response_is_json_only(pacs: RunningPacs) -> None:
    answer = store(pacs, body_of(file_bytes(Slice().dataset())), Accept="application/dicom+xml")

    assert answer.status_code == 406
    assert pacs.get("/studies").status_code == 204


def test_stored_instances_survive_a_restart_and_leave_no_temporary_files(tmp_path: Path) -> None:
    with a_running_pacs(tmp_path / "data") as pacs:
        store(pacs, body_of(file_bytes(Slice().dataset()), b"no image"))
    (tmp_path / "data" / "index.sqlite3").unlink()

    with a_running_pacs(tmp_path / "data") as pacs:
        assert pacs.get("/studies").json()[0]["0020000D"]["Value"] == [STUDY_A]
    assert list((tmp_path / "data" / "incoming").iterdir()) == []


def test_many_stores_at_once_lose_nothing(pacs: RunningPacs) -> None:
    statuses: list[int] = []

    def send(number: int) -> None:
        with requests.Session() as session:
            answer = session.post(
                f"{pacs.url}/studies",
                data=body_of(file_bytes(Slice(number=number).dataset())),
                headers={"Content-Type": CONTENT_TYPE},
                timeout=60,
            )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 8
    assert pacs.get("/studies").json()[0]["00201208"]["Value"] == [8]
