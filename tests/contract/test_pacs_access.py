"""Credentials and CORS of the sandbox PACS (PS3.18 §8.9, RFC 6750 §3, RFC 7617, Fetch standard)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pacs_actors import STUDY_A, RunningPacs, Slice, a_running_pacs

TOKEN = "archive-token-of-a-test"
VIEWER = "http://viewer.example"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory = tmp_path_factory.mktemp("pacs")
    Slice().write(directory / "dicom")
    with a_running_pacs(directory / "data", directory / "dicom", bearer_token=TOKEN) as running:
        yield running


def test_no_credential_is_demanded_by_default_and_cors_is_off(tmp_path: Path) -> None:
    with a_running_pacs(tmp_path / "data") as pacs:
        answer = pacs.get("/studies", headers={"Origin": VIEWER})

    assert answer.status_code == 204
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
    ],
)
def test_rfc_6750_bearer_token_is_demanded_on_every_route(guarded: RunningPacs, authorization: str | None, status: int) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    instance = f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.1"
    for path in ("/studies", f"{instance}/metadata", f"{instance}/frames/1", f"{instance}/rendered"):
        answer = guarded.get(path, headers=headers)

        assert answer.status_code == status
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sandbox PACS"'
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert STUDY_A not in answer.text


def test_unknown_path_tells_nothing_without_the_token(guarded: RunningPacs) -> None:
    assert guarded.get("/unknown").status_code == 401


def test_rfc_7617_basic_credential(tmp_path: Path) -> None:
    with a_running_pacs(tmp_path / "data", basic_credential=("gateway", "sécret:1")) as pacs:
        good = pacs.get("/studies", auth=(b"gateway", "sécret:1".encode()))
        bad = pacs.get("/studies", auth=("gateway", "other"))
        none = pacs.get("/studies")

    assert [answer.status_code for answer in (good, bad, none)] == [204, 401, 401]
    assert none.headers["WWW-Authenticate"] == 'Basic realm="sandbox PACS", charset="UTF-8"'


def test_fetch_preflight_of_a_listed_origin_needs_no_credential(tmp_path: Path) -> None:
    asked = {"Origin": VIEWER, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    with a_running_pacs(tmp_path / "data", bearer_token=TOKEN, cors_origins=(VIEWER,)) as pacs:
        preflight = pacs.session.options(f"{pacs.url}/studies", headers=asked, timeout=20)
        refused = pacs.get("/studies", headers={"Origin": VIEWER})
        foreign = pacs.session.options(f"{pacs.url}/studies", headers=asked | {"Origin": "null"}, timeout=20)

    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == VIEWER
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    # A viewer must be able to read why it was refused.
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, VIEWER)
    assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"]
    assert foreign.status_code == 401
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert "Origin" in foreign.headers["Vary"]


def test_answers_are_kept_out_of_caches(guarded: RunningPacs) -> None:
    answer = guarded.get("/studies", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Accept" in answer.headers["Vary"]


def test_urls_in_answers_come_from_the_settings_and_not_from_the_request(tmp_path: Path) -> None:
    Slice().write(tmp_path / "dicom")
    forged = {"Host": "evil.example", "Forwarded": "host=evil.example", "X-Forwarded-Host": "evil.example"}
    with a_running_pacs(tmp_path / "data", tmp_path / "dicom") as pacs:
        search = pacs.get("/studies", headers=forged)
        metadata = pacs.get(f"/studies/{STUDY_A}/metadata", headers=forged)

    assert search.json()[0]["00081190"]["Value"] == [f"{pacs.url}/studies/{STUDY_A}"]
    assert "evil.example" not in search.text + metadata.text
