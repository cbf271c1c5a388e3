"""WADO-RS of the sandbox PACS (PS3.18 §10.4): instances, metadata, frames and bulk data over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGLosslessSV1

from tests.pacs_actors import (
    COLUMNS,
    EXPLICIT,
    JPEG_2000,
    JPEG_LS,
    ROWS,
    STUDY_A,
    STUDY_B,
    STUDY_C,
    RunningPacs,
    Slice,
    a_running_pacs,
    parts_of,
    pixels_of_frame,
    write_demo,
)

STUDY_D = "2.25.4001"
ALMA = f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.1"
BRUNO = f"/studies/{STUDY_B}/series/{STUDY_B}.1/instances/{STUDY_B}.1.1"
MULTI_FRAME = f"/studies/{STUDY_C}/series/{STUDY_C}.2/instances/{STUDY_C}.2.1"
MULTI_FRAME_JPEG_LS = f"/studies/{STUDY_C}/series/{STUDY_C}.3/instances/{STUDY_C}.3.1"
REPORT = f"/studies/{STUDY_A}/series/{STUDY_A}.9/instances/{STUDY_A}.9.1"
IMPLICIT = f"/studies/{STUDY_D}/series/{STUDY_D}.1/instances/{STUDY_D}.1.1"
DEFLATED = f"/studies/{STUDY_D}/series/{STUDY_D}.2/instances/{STUDY_D}.2.1"
UNDECODABLE = f"/studies/{STUDY_D}/series/{STUDY_D}.3/instances/{STUDY_D}.3.1"
DAMAGED = f"/studies/{STUDY_D}/series/{STUDY_D}.4/instances/{STUDY_D}.4.1"
BIG_ENDIAN = f"/studies/{STUDY_D}/series/{STUDY_D}.5/instances/{STUDY_D}.5.1"
OCTETS = 'multipart/related; type="application/octet-stream"'
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory = tmp_path_factory.mktemp("pacs")
    dicom = directory / "dicom"
    write_demo(dicom)
    for series, syntax in ((1, ImplicitVRLittleEndian), (2, DeflatedExplicitVRLittleEndian)):
        other = Slice(study_uid=STUDY_D, series=series).dataset()
        other.file_meta.TransferSyntaxUID = syntax
        other.save_as(dicom / f"d{series}.dcm", enforce_file_format=True)
    big_endian = Slice(study_uid=STUDY_D, series=5).dataset()
    big_endian.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big_endian.PixelData = pixels_of_frame(1).astype(">i2").tobytes()
    dcmwrite(dicom / "d5.dcm", big_endian, enforce_file_format=True)
    # No decoder for this transfer syntax is installed; its bytes need not be right to be passed on.
    alien = Slice(study_uid=STUDY_D, series=3, transfer_syntax=JPEG_LS).dataset()
    alien.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    alien.save_as(dicom / "d3.dcm", enforce_file_format=True)
    damaged = Slice(study_uid=STUDY_D, series=4, transfer_syntax=JPEG_2000).write(dicom)
    content = bytearray(damaged.read_bytes())
    codestream = content.index(b"\xff\x4f\xff\x51")
    content[codestream + 4 : codestream + 44] = bytes(40)
    damaged.write_bytes(content)
    with a_running_pacs(directory / "data", dicom) as running:
        yield running


def samples(octets: bytes) -> np.ndarray:
    return np.frombuffer(octets, dtype="<i2").reshape(-1, ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("path", "count"), [(f"/studies/{STUDY_A}", 5), (f"/studies/{STUDY_A}/series/{STUDY_A}.1", 3), (ALMA, 1)]
)
def test_10_4_study_series_and_instance_come_as_parts(pacs: RunningPacs, path: str, count: int) -> None:
    answer = pacs.get(path, AS_STORED)
    parts = parts_of(answer)

    assert answer.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert [content_type for content_type, _ in parts] == [f"application/dicom; transfer-syntax={EXPLICIT}"] * count
    assert {dcmread(io.BytesIO(body)).StudyInstanceUID for _, body in parts} == {STUDY_A}


@pytest.mark.parametrize(
    ("path", "syntax", "accept"),
    [
        (BRUNO, JPEG_2000, AS_STORED),
        (BRUNO, JPEG_2000, f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_2000}'),
        (BRUNO, EXPLICIT, 'multipart/related; type="application/dicom"'),
        (BRUNO, EXPLICIT, "*/*"),
        (MULTI_FRAME_JPEG_LS, EXPLICIT, f"multipart/related; type=application/dicom; transfer-syntax={EXPLICIT}"),
        (IMPLICIT, EXPLICIT, AS_STORED),
        (BIG_ENDIAN, EXPLICIT, AS_STORED),
        (DEFLATED, DeflatedExplicitVRLittleEndian, AS_STORED),
        (DEFLATED, EXPLICIT, 'multipart/related; type="application/dicom"'),
    ],
)
def test_8_7_3_5_transfer_syntax_is_the_one_agreed_on(pacs: RunningPacs, path: str, syntax: str, accept: str) -> None:
    ((content_type, body),) = parts_of(pacs.get(path, accept))
    dataset = dcmread(io.BytesIO(body))

    assert content_type == f"application/dicom; transfer-syntax={syntax}"
    assert dataset.file_meta.TransferSyntaxUID == syntax
    frames = dataset.pixel_array.reshape(-1, ROWS, COLUMNS)
    assert np.array_equal(frames, np.stack([pixels_of_frame(1 + i) for i in range(len(frames))]))


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"/studies/{STUDY_A}", "application/dicom"),
        (ALMA, f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_LS}'),
        (ALMA, "application/zip"),
        (UNDECODABLE, 'multipart/related; type="application/dicom"'),
        (f"/studies/{STUDY_D}", 'multipart/related; type="application/dicom"'),
        (f"{UNDECODABLE}/frames/1", OCTETS),
        (f"{ALMA}/frames/1", 'multipart/related; type="image/jp2"'),
        (f"{MULTI_FRAME}/frames/1,2", "application/octet-stream"),
        (f"{ALMA}/metadata", "application/dicom+xml"),
        (f"{ALMA}/rendered", "video/mp4"),
        (f"{REPORT}/rendered", "image/jpeg"),
        (f"{UNDECODABLE}/rendered", "image/jpeg"),
        (f"{ALMA}/bulkdata/7FE00010", "image/jpeg"),
    ],
)
def test_8_7_nothing_acceptable_is_406(pacs: RunningPacs, path: str, accept: str) -> None:
    answer = pacs.get(path, accept)

    assert answer.status_code == 406
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_10_4_4_instance_comes_bare_when_asked(pacs: RunningPacs) -> None:
    answer = pacs.get(ALMA, "application/dicom")

    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
    assert dcmread(io.BytesIO(answer.content)).SOPInstanceUID == f"{STUDY_A}.1.1"


def test_10_4_1_1_1_metadata_of_compressed_and_of_report(pacs: RunningPacs) -> None:
    (bruno,) = pacs.get(f"{BRUNO}/metadata").json()
    (report,) = pacs.get(f"{REPORT}/metadata").json()

    assert bruno["00083002"]["Value"] == [JPEG_2000]
    assert bruno["7FE00010"]["BulkDataURI"] == f"{pacs.url}{BRUNO}/bulkdata/7FE00010"
    assert list(bruno) == sorted(bruno)
    assert "7FE00010" not in report
    assert report["0040A730"]["Value"][0]["0040A160"]["Value"] == ["Synthetic nodule, 9 mm"]
    assert len(pacs.get(f"/studies/{STUDY_A}/metadata").json()) == 5


@pytest.mark.parametrize("path", [ALMA, BRUNO, MULTI_FRAME, MULTI_FRAME_JPEG_LS, IMPLICIT, DEFLATED, BIG_ENDIAN])
def test_10_4_1_1_4_frame_is_native_by_default_whatever_is_stored(pacs: RunningPacs, path: str) -> None:
    ((content_type, body),) = parts_of(pacs.get(f"{path}/frames/1", OCTETS))

    assert content_type == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert np.array_equal(samples(body), [pixels_of_frame(1)])
    assert pacs.get(f"{path}/frames/1", "application/octet-stream").content == body


@pytest.mark.parametrize("path", [MULTI_FRAME, MULTI_FRAME_JPEG_LS])
def test_10_4_1_1_4_frame_list_comes_in_the_order_asked(pacs: RunningPacs, path: str) -> None:
    parts = parts_of(pacs.get(f"{path}/frames/3,1", OCTETS))

    assert np.array_equal(np.concatenate([samples(body) for _, body in parts]), [pixels_of_frame(3), pixels_of_frame(1)])


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        (BRUNO, 'multipart/related; type="image/jp2"', f"image/jp2; transfer-syntax={JPEG_2000}"),
        (BRUNO, "image/jp2", f"image/jp2; transfer-syntax={JPEG_2000}"),
        (MULTI_FRAME_JPEG_LS, 'multipart/related; type="image/jls"', f"image/jls; transfer-syntax={JPEG_LS}"),
        (
            MULTI_FRAME_JPEG_LS,
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            f"application/octet-stream; transfer-syntax={JPEG_LS}",
        ),
        (
            UNDECODABLE,
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            f"application/octet-stream; transfer-syntax={JPEGLosslessSV1}",
        ),
    ],
)
def test_8_7_3_3_compressed_frame_names_media_type_and_transfer_syntax(
    pacs: RunningPacs, path: str, accept: str, content_type: str
) -> None:
    ((_, whole),) = parts_of(pacs.get(path, AS_STORED))
    dataset = dcmread(io.BytesIO(whole))
    stored = next(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))

    answer = pacs.get(f"{path}/frames/1", accept)
    found = parts_of(answer) if accept.startswith("multipart") else [(answer.headers["Content-Type"], answer.content)]

    assert found == [(content_type, stored)]


@pytest.mark.parametrize(
    ("frames", "status"),
    [("0", 404), ("2", 404), ("1,9", 404), ("-1", 400), ("1,", 400), ("a", 400), ("١", 400), ("1" * 10, 400)],
)
def test_10_4_1_1_4_frame_list_that_names_no_frames(pacs: RunningPacs, frames: str, status: int) -> None:
    assert pacs.get(f"{ALMA}/frames/{frames}").status_code == status


def test_frames_of_a_report_do_not_exist(pacs: RunningPacs) -> None:
    assert pacs.get(f"{REPORT}/frames/1").status_code == 404


def test_damaged_frame_is_an_error_without_image_data(pacs: RunningPacs) -> None:
    answer = pacs.get(f"{DAMAGED}/frames/1", OCTETS)

    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")


@pytest.mark.parametrize("path", [ALMA, MULTI_FRAME, BRUNO, DEFLATED, BIG_ENDIAN])
@pytest.mark.parametrize("resource", ["bulkdata/7FE00010", "pixeldata"])
def test_10_4_1_1_2_pixel_data_as_one_value(pacs: RunningPacs, path: str, resource: str) -> None:
    bare = pacs.get(f"{path}/{resource}", "application/octet-stream")
    ((_, body),) = parts_of(pacs.get(f"{path}/{resource}"))

    frames = samples(bare.content)
    assert body == bare.content
    assert np.array_equal(frames, np.stack([pixels_of_frame(1 + i) for i in range(len(frames))]))


def test_10_4_1_1_2_compressed_pixel_data_is_a_part_per_frame(pacs: RunningPacs) -> None:
    parts = parts_of(pacs.get(f"{MULTI_FRAME_JPEG_LS}/bulkdata/7FE00010", 'multipart/related; type="image/jls"'))

    assert [content_type for content_type, _ in parts] == [f"image/jls; transfer-syntax={JPEG_LS}"] * 3


@pytest.mark.parametrize(
    ("asked", "status", "span", "content_range"),
    [
        ("bytes=0-9", 206, slice(0, 10), "bytes 0-9/3840"),
        ("bytes=3830-", 206, slice(3830, None), "bytes 3830-3839/3840"),
        ("bytes=-4", 206, slice(-4, None), "bytes 3836-3839/3840"),
        ("bytes=0-1,4-5", 200, slice(None), None),
        ("bytes=9999-", 416, None, "bytes */3840"),
    ],
)
def test_rfc_9110_14_byte_range_of_bulk_data(
    pacs: RunningPacs, asked: str, status: int, span: slice | None, content_range: str | None
) -> None:
    answer = pacs.get(f"{ALMA}/bulkdata/7FE00010", "application/octet-stream", headers={"Range": asked})

    assert answer.status_code == status
    assert answer.headers.get("Content-Range") == content_range
    if span is not None:
        assert answer.content == pixels_of_frame(1).tobytes()[span]


@pytest.mark.parametrize(
    ("path", "status"),
    [("00282000", 404), ("00100010", 404), ("00400275/0/00401001", 404), ("x", 400), ("7FE00010/0", 400)],
)
def test_bulk_data_that_is_none(pacs: RunningPacs, path: str, status: int) -> None:
    assert pacs.get(f"{ALMA}/bulkdata/{path}").status_code == status
