"""The requests of a viewer that opens a study, in their order (PS3.18 §10.6, §10.4), against the sandbox PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pacs_actors import (
    COLUMNS,
    JPEG_2000,
    JPEG_LS,
    ROWS,
    STUDY_A,
    STUDY_B,
    STUDY_C,
    RunningPacs,
    a_running_pacs,
    pixels_of_frame,
    write_demo,
)

VIEWER_FRAME_ACCEPT = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory: Path = tmp_path_factory.mktemp("pacs")
    write_demo(directory / "dicom")
    with a_running_pacs(directory / "data", directory / "dicom") as running:
        yield running


def test_study_then_series_then_metadata_then_frames(pacs: RunningPacs) -> None:
    """X15: the modalities of a study are an array."""
    (study,) = pacs.get(f"/studies?StudyInstanceUID={STUDY_A}&limit=101&offset=0&fuzzymatching=false").json()
    series = pacs.get(f"/studies/{STUDY_A}/series").json()
    metadata = pacs.get(f"/studies/{STUDY_A}/series/{series[0]['0020000E']['Value'][0]}/metadata").json()
    frame = pacs.get(
        f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{metadata[0]['00080018']['Value'][0]}/frames/1",
        VIEWER_FRAME_ACCEPT,
    )

    assert study["00080061"]["Value"] == ["CT", "SR"]
    assert [one["00200011"]["Value"][0] for one in series] == [1, 2, 9]
    assert [one["00200013"]["Value"][0] for one in metadata] == [1, 2, 3]
    assert metadata[0]["7FE00010"] == {
        "vr": "OW",
        "BulkDataURI": f"{pacs.url}/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.1/bulkdata/7FE00010",
    }
    samples = np.frombuffer(_only_part(frame.content), dtype="<i2").reshape(ROWS, COLUMNS)
    assert np.array_equal(samples, pixels_of_frame(1))


@pytest.mark.parametrize(("study", "syntax"), [(STUDY_B, JPEG_2000), (STUDY_C, JPEG_LS)])
def test_compressed_frame_comes_as_stored_and_names_its_transfer_syntax(pacs: RunningPacs, study: str, syntax: str) -> None:
    answer = pacs.get(f"/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1", VIEWER_FRAME_ACCEPT)

    assert answer.status_code == 200
    assert f"Content-Type: application/octet-stream; transfer-syntax={syntax}\r\n".encode() in answer.content
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_priors_of_the_patient_are_found_by_patient_id_tag(pacs: RunningPacs) -> None:
    assert [one["0020000D"]["Value"] for one in pacs.get("/studies?00100020=DEMO-1002").json()] == [[STUDY_B]]


def _only_part(body: bytes) -> bytes:
    head, _, rest = body.partition(b"\r\n\r\n")
    boundary = head.split(b"\r\n")[0]
    return rest[: rest.rindex(b"\r\n" + boundary)]
