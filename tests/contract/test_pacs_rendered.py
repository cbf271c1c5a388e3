"""Rendered images, thumbnails and WADO-URI of the sandbox PACS (PS3.18 §10.4.1.1.3, §8.3.5, §9) over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom import dcmread

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
    parts_of,
    pixels_of_frame,
    write_demo,
)

ALMA = f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.1"
BRUNO = f"/studies/{STUDY_B}/series/{STUDY_B}.1/instances/{STUDY_B}.1.1"
MULTI_FRAME = f"/studies/{STUDY_C}/series/{STUDY_C}.2/instances/{STUDY_C}.2.1"
MULTI_FRAME_JPEG_LS = f"/studies/{STUDY_C}/series/{STUDY_C}.3/instances/{STUDY_C}.3.1"
REPORT = f"/studies/{STUDY_A}/series/{STUDY_A}.9/instances/{STUDY_A}.9.1"


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory = tmp_path_factory.mktemp("pacs")
    write_demo(directory / "dicom")
    with a_running_pacs(directory / "data", directory / "dicom") as running:
        yield running


def image(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    "path",
    [f"/studies/{STUDY_C}", f"/studies/{STUDY_C}/series/{STUDY_C}.1", BRUNO, MULTI_FRAME, f"{MULTI_FRAME}/frames/2"],
)
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_10_4_1_1_3_rendered_image_at_every_level(pacs: RunningPacs, path: str, media_type: str) -> None:
    answer = pacs.get(f"{path}/rendered", media_type)
    thumbnail = pacs.get(f"{path}/thumbnail", media_type)

    assert answer.headers["Content-Type"] == thumbnail.headers["Content-Type"] == media_type
    assert image(answer.content).size == (COLUMNS, ROWS)
    assert max(image(thumbnail.content).size) == 128


def test_10_4_1_1_3_series_as_multipart_has_an_image_of_each_instance(pacs: RunningPacs) -> None:
    parts = parts_of(pacs.get(f"/studies/{STUDY_A}/series/{STUDY_A}.1/rendered", 'multipart/related; type="image/png"'))

    assert [content_type for content_type, _ in parts] == ["image/png"] * 3


def test_8_3_5_1_4_window_decides_what_is_black_and_white(pacs: RunningPacs) -> None:
    # Samples run from 100 to 2019; with the intercept of -1024 that is -924 to 995 HU.
    shown = np.asarray(image(pacs.get(f"{ALMA}/rendered?window=0,2,linear", "image/png").content))
    stored = pixels_of_frame(1) - 1024

    assert (shown[stored < -1] == 0).all()
    assert (shown[stored > 0] == 255).all()
    sigmoid = pacs.get(f"{ALMA}/rendered?window=0,500,sigmoid", "image/png").content
    exact = pacs.get(f"{ALMA}/rendered?window=0,500,linear-exact", "image/png").content
    assert sigmoid != exact


def test_8_3_5_1_3_viewport_scales_crops_and_flips(pacs: RunningPacs) -> None:
    assert image(pacs.get(f"{ALMA}/rendered?viewport=96,96").content).size == (96, 80)
    plain = np.asarray(image(pacs.get(f"{ALMA}/rendered?viewport=8,8,0,0,8,8", "image/png").content))
    flipped = np.asarray(image(pacs.get(f"{ALMA}/rendered?viewport=8,8,0,0,-8,8", "image/png").content))
    assert np.array_equal(plain[:, ::-1], flipped)


@pytest.mark.parametrize(
    "query",
    ["window=1", "window=0,0", "window=nan,5", "window=1,2,cubic", "viewport=0,5", "viewport=9,9,1", "quality=101"],
)
def test_8_3_5_rendering_parameter_that_cannot_be_understood_is_400(pacs: RunningPacs, query: str) -> None:
    assert pacs.get(f"{ALMA}/rendered?{query}").status_code == 400


def wado_uri(pacs: RunningPacs, **parameters: str) -> requests.Response:
    origin = pacs.url.removesuffix("/dicom-web")
    asked = {"requestType": "WADO", "studyUID": STUDY_A, "seriesUID": f"{STUDY_A}.1", "objectUID": f"{STUDY_A}.1.1"}
    return pacs.session.get(f"{origin}/wado", params=asked | parameters, timeout=20)


def test_9_wado_uri_gives_image_or_file(pacs: RunningPacs) -> None:
    jpeg = wado_uri(pacs)
    png = wado_uri(pacs, contentType="image/png", columns="24", windowCenter="0", windowWidth="400")
    file = wado_uri(pacs, contentType="application/dicom")
    compressed = wado_uri(
        pacs,
        studyUID=STUDY_B,
        seriesUID=f"{STUDY_B}.1",
        objectUID=f"{STUDY_B}.1.1",
        contentType="application/dicom",
        transferSyntax=JPEG_2000,
    )

    assert (jpeg.headers["Content-Type"], image(jpeg.content).size) == ("image/jpeg", (COLUMNS, ROWS))
    assert image(png.content).size == (24, 20)
    assert dcmread(io.BytesIO(file.content)).PatientID == "DEMO-1001"
    assert dcmread(io.BytesIO(compressed.content)).file_meta.TransferSyntaxUID == JPEG_2000


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"requestType": "wado"}, 400),
        ({"studyUID": ""}, 400),
        ({"seriesUID": "1.2/../3"}, 400),
        ({"studyUID": STUDY_B}, 404),
        ({"anonymize": "yes"}, 400),
        ({"contentType": "video/mpeg"}, 406),
        ({"frameNumber": "2"}, 404),
        ({"contentType": "application/dicom", "transferSyntax": JPEG_LS}, 406),
    ],
)
def test_9_wado_uri_refuses_what_it_cannot_do(pacs: RunningPacs, parameters: dict[str, str], status: int) -> None:
    assert wado_uri(pacs, **parameters).status_code == status


def test_9_1_2_report_is_sent_as_file_by_default(pacs: RunningPacs) -> None:
    answer = wado_uri(pacs, seriesUID=f"{STUDY_A}.9", objectUID=f"{STUDY_A}.9.1")

    assert answer.headers["Content-Type"].startswith("application/dicom")
