"""A study on the sandbox PACS's tape: found by every search as OFFLINE, and its images are nowhere to be had.

Spec: PS3.4 §C.4.1.1.3.2 and PS3.18 §10.6.3.3 (Instance Availability), PS3.18 §8.5 (404: no current representation).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pacs_actors import STUDY_A, STUDY_B, RunningPacs, a_running_pacs, write_demo

AVAILABILITY = "00080056"
INSTANCE = f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.1"
IMAGES = [
    *(f"/studies/{STUDY_A}{what}" for what in ("", "/rendered", "/thumbnail")),
    *(f"/studies/{STUDY_A}/series/{STUDY_A}.1{what}" for what in ("", "/rendered", "/thumbnail")),
    *(f"{INSTANCE}{what}" for what in ("", "/rendered", "/thumbnail", "/frames/1", "/frames/1/rendered", "/pixeldata")),
    f"{INSTANCE}/bulkdata/7FE00010",
]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[RunningPacs]:
    write_demo(tmp_path / "files")
    with a_running_pacs(tmp_path / "data", tmp_path / "files") as running:
        yield running


def tape(pacs: RunningPacs, method: str, study: str = STUDY_A) -> int:
    return pacs.session.request(method, f"{pacs.url.removesuffix('/dicom-web')}/tape/{study}", timeout=5).status_code


def availabilities(pacs: RunningPacs, path: str) -> set[str]:
    return {one[AVAILABILITY]["Value"][0] for one in pacs.get(path).json()}


def test_searches_of_every_level_say_offline_of_it_and_online_of_others(pacs: RunningPacs) -> None:
    assert tape(pacs, "PUT") == 204

    listed = {one["0020000D"]["Value"][0]: one[AVAILABILITY]["Value"][0] for one in pacs.get("/studies").json()}
    assert (listed[STUDY_A], listed[STUDY_B]) == ("OFFLINE", "ONLINE")
    assert availabilities(pacs, f"/studies/{STUDY_A}/series") == {"OFFLINE"}
    assert availabilities(pacs, f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances") == {"OFFLINE"}


@pytest.mark.parametrize("path", IMAGES)
def test_no_image_of_it_comes_until_it_is_brought_back(pacs: RunningPacs, path: str) -> None:
    before = pacs.get(path, "*/*")
    assert before.status_code == 200

    tape(pacs, "PUT")
    away = pacs.get(path, "*/*")
    assert (away.status_code, away.headers["Content-Type"]) == (404, "application/problem+json")
    assert "offline" in away.json()["detail"]
    tape(pacs, "DELETE")

    assert pacs.get(path, "*/*").status_code == 200


def test_wado_uri_does_not_give_it_either(pacs: RunningPacs) -> None:
    tape(pacs, "PUT")
    query = f"requestType=WADO&studyUID={STUDY_A}&seriesUID={STUDY_A}.1&objectUID={STUDY_A}.1.1"

    assert pacs.session.get(f"{pacs.url.removesuffix('/dicom-web')}/wado?{query}", timeout=5).status_code == 404


def test_the_index_still_tells_of_its_instances(pacs: RunningPacs) -> None:
    before = pacs.get(f"/studies/{STUDY_A}/metadata").json()
    tape(pacs, "PUT")

    assert pacs.get(f"/studies/{STUDY_A}/metadata").json() == before


def test_it_stays_there_when_the_archive_starts_anew(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    with a_running_pacs(tmp_path / "data", tmp_path / "files") as pacs:
        assert [tape(pacs, "PUT"), tape(pacs, "PUT")] == [204, 204]
    with a_running_pacs(tmp_path / "data", tmp_path / "files") as pacs:
        assert pacs.get(INSTANCE, "*/*").status_code == 404
        assert [tape(pacs, "DELETE"), tape(pacs, "DELETE")] == [204, 204]
        assert pacs.get(INSTANCE, "*/*").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_only_studies_that_the_archive_has_can_be_moved(pacs: RunningPacs, method: str) -> None:
    assert tape(pacs, method, "2.25.404") == 404
    assert tape(pacs, method, "..") in (400, 404)
    assert tape(pacs, method, "2.25.1%2F..%2F..") in (400, 404)


def test_a_credential_of_the_archive_is_asked_for(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    with a_running_pacs(tmp_path / "data", tmp_path / "files", bearer_token="only-for-this-test") as pacs:
        assert tape(pacs, "PUT") == 401


def test_a_page_of_another_origin_is_not_let_in(tmp_path: Path) -> None:
    """The browser asks before it sends a PUT (Fetch, CORS preflight)."""
    with a_running_pacs(tmp_path / "data", cors_origins=("http://app.example",)) as pacs:
        asked = {"Origin": "http://app.example", "Access-Control-Request-Method": "PUT"}
        answer = pacs.session.options(f"{pacs.url.removesuffix('/dicom-web')}/tape/{STUDY_A}", headers=asked, timeout=5)

    assert "PUT" not in answer.headers.get("Access-Control-Allow-Methods", "")
