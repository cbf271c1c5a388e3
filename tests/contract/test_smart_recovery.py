"""Images that were refused: one renewed token, one search for the study, one answer (SMART Imaging Access C9)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.smart_actors import STUDY_A, STUDY_B, World, a_world, wado_endpoint

MOVED = "http://localhost:8000/imaging/sandbox/dicom-web/elsewhere"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.clinician.launches(made.ehr)
        made.clinician.get(f"/s/{made.clinician.session}/viewer/{STUDY_A}")
        made.clock.passes(seconds=30)
        made.ehr.fhir_requests.clear()
        made.ehr.token_requests.clear()
        yield made


def recover(world: World, study: str = STUDY_A, status: int = 403, **more: object) -> tuple[int, dict[str, str]]:
    path = f"/s/{world.clinician.session}/studies/{study}/recover"
    answer = world.clinician.post(path, json={"status": status}, **more)
    return answer.status_code, answer.get_json()


def test_c9_the_study_is_searched_once_more_by_patient_and_identifier(world: World) -> None:
    assert recover(world) == (200, {"again": "retry"})

    (search, *_) = [path for path in world.ehr.fhir_requests if path.startswith("/fhir/ImagingStudy")]
    assert "patient=demo-a" in search
    assert f"urn%3Aoid%3A{STUDY_A}" in search
    assert world.ehr.token_requests == []


def test_c9_a_token_that_was_not_taken_is_renewed_first(world: World) -> None:
    assert recover(world, status=401) == (200, {"again": "retry"})
    assert [one["grant_type"] for one in world.ehr.token_requests] == ["refresh_token"]


def test_c9_images_that_moved_are_opened_anew(world: World) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(MOVED)]

    assert recover(world) == (200, {"again": "reload"})
    assert world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}").status_code == 200
    assert MOVED in world.clinician.get(f"/s/{world.clinician.session}/ohif/app-config.js").text


@pytest.mark.parametrize(
    ("record", "status", "error"),
    [
        ({"Endpoint": []}, 409, "study-not-available"),
        ({"ImagingStudy": []}, 403, "study-not-of-patient"),
        ({"Endpoint": [wado_endpoint("https://elsewhere.example/w")]}, 409, "study-not-available"),
    ],
)
def test_c9_without_an_endpoint_it_ends(
    world: World, record: dict[str, list[dict[str, object]]], status: int, error: str
) -> None:
    world.ehr.fhir.update(record)
    answered, body = recover(world)

    assert (answered, body["error"]) == (status, error)


@pytest.mark.parametrize("study", [STUDY_B, "2.25.9", "x"])
def test_c9_only_what_this_session_was_shown_is_looked_for(world: World, study: str) -> None:
    status, body = recover(world, study)

    assert (status, body["error"]) == (403, "study-not-of-patient")
    assert world.ehr.fhir_requests == []


def test_c9_another_page_cannot_ask_for_it(world: World) -> None:
    status, body = recover(world, from_own_page=False)

    assert (status, body["error"]) == (403, "not-same-origin")


def test_c9_another_browser_cannot_ask_for_it(world: World) -> None:
    path = f"/s/{world.clinician.session}/studies/{STUDY_A}/recover"
    answer = world.another_clinician().post(path, json={"status": 403})

    assert answer.status_code == 403
    assert answer.get_json()["error"] == "session-unknown"
