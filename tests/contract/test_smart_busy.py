"""A server that asks for time: short waits pass unseen, longer ones are a page that counts down (SMART Imaging Access C7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.smart_actors import STUDY_A, World, a_world, busy


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def test_c7_a_wait_that_is_too_long_to_hide_is_shown_and_can_be_repeated(world: World) -> None:
    world.clinician.launches(world.ehr)
    address = f"/s/{world.clinician.session}/viewer/{STUDY_A}"
    world.ehr.fhir_answers = [busy(90)]
    page = world.clinician.get(address)

    assert page.status_code == 503
    assert page.headers["Retry-After"] == "90"
    assert "That does not mean there are none" in page.text
    assert re.search(r'id="countdown" role="timer" data-seconds="90" hidden', page.text)
    assert '<a class="button" id="retry" href="">Try again now</a>' in page.text
    assert "countdown.js" in page.text
    assert "http-equiv" not in page.text

    assert world.clinician.get(address).status_code == 200


def test_c7_the_same_search_is_sent_again_unchanged(world: World) -> None:
    world.clinician.launches(world.ehr)
    waits: list[float] = []
    object.__setattr__(world.app.services, "sleep", waits.append)
    world.ehr.fhir_requests.clear()
    world.ehr.fhir_answers = [busy(3)]
    world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")
    first, second, *_ = [path for path in world.ehr.fhir_requests if path.startswith("/fhir/ImagingStudy")]

    assert first == second
    assert 3.0 in waits


def test_c7_a_busy_server_without_a_time_has_no_countdown(world: World) -> None:
    world.clinician.launches(world.ehr)
    object.__setattr__(world.app.services, "sleep", lambda _seconds: None)
    answer = busy(1)
    del answer.headers["Retry-After"]
    world.ehr.fhir_answers = [answer for _ in range(9)]
    page = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert page.status_code == 503
    assert "countdown" not in page.text
    assert 'id="retry"' in page.text
