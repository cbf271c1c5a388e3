"""Each counterpart gone, slow or talking rubbish in the middle of a session: the right status, no leak, back without restart.

Spec: SMART Imaging Access F5, F8, W3, W5, W7, P4; security groups 6, 18, 19.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_imaging.settings import StateSettings
from tests.security.gateway_actors import Answer
from tests.security.gateway_faults import LEAK, TIMEOUT_S, Fault, Troubled, a_troubled_world
from tests.security.gateway_stubs import FRAME, METADATA, PACS_PASSWORD, PRIOR_A, STUDY_B

KEPT_S = 0.2
"""How long decisions are kept, where a session must ask again soon."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Troubled]:
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=KEPT_S) as running:
        yield running


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Troubled]:
    """A gateway that keeps its decisions for the whole test."""
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=60) as running:
        yield running


def has_no_leak(answer: Answer) -> bool:
    said = answer.body.decode("latin-1") + str(answer.headers)
    secrets = (LEAK, "SYNTHETIC", "pacs.internal", PACS_PASSWORD, "pixels of", "Traceback", "introspection-secret")
    return not any(one in said for one in secrets) and answer.headers["Content-Type"] == "application/problem+json"


def until(holds: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether it comes true in this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("line", ["authorization", "fhir"])
def test_f8_group_6_an_ehr_in_trouble_means_503_and_no_image(world: Troubled, line: str, fault: Fault) -> None:
    token = world.opaque()
    assert world.get(FRAME, token).status == 200
    world.lines[line].break_(fault)
    time.sleep(KEPT_S)
    asked = len(world.pacs.asked)
    started = time.monotonic()
    answers = [world.get(FRAME, token) for _ in range(6)]
    took = time.monotonic() - started
    world.lines[line].mend()

    assert [one.status for one in answers] == [503] * 6
    assert all(has_no_leak(one) for one in answers)
    assert all(one.headers["Retry-After"].isdigit() for one in answers)
    assert len(world.pacs.asked) == asked, "the archive was not contacted"
    assert took < 6 * TIMEOUT_S, "the last ones did not wait for a server that is down"
    assert [one.outcome for one in world.audit()][:6] == ["denied"] * 6
    assert until(lambda: world.get(FRAME, token).status == 200), "without a restart"
    assert world.get(f"/studies/{STUDY_B}/metadata", token).status == 403


@pytest.mark.parametrize("fault", list(Fault))
def test_group_5_a_key_server_in_trouble_leaves_sessions_whose_key_is_known_alone(world: Troubled, fault: Fault) -> None:
    frame = f"/imaging/south/dicom-web/main{FRAME}"

    def get(token: str) -> Answer:
        return world.send("GET", frame, {"Authorization": f"Bearer {token}"})

    token = world.south.token()
    assert get(token).status == 200
    world.lines["keys"].break_(fault)
    time.sleep(KEPT_S)

    assert get(token).status == 200
    assert get(world.south.token()).status == 200
    assert get(world.south.token(headers={"kid": "another"})).status in (401, 503)


@pytest.mark.parametrize("fault", list(Fault))
def test_group_5_a_key_server_in_trouble_from_the_start_opens_nothing(world: Troubled, fault: Fault) -> None:
    frame = f"/imaging/south/dicom-web/main{FRAME}"
    token = world.south.token()
    world.lines["keys"].break_(fault)
    answer = world.send("GET", frame, {"Authorization": f"Bearer {token}"})
    world.lines["keys"].mend()

    assert answer.status == 503
    assert has_no_leak(answer)
    assert world.pacs.asked == []
    # Keys are asked for again after their cool-down, which bounds how long the recovery takes.
    assert until(lambda: world.send("GET", frame, {"Authorization": f"Bearer {token}"}).status == 200)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.GONE, 502), (Fault.SLOW, 504), (Fault.NOISE, 502), (Fault.PAGE, 502), (Fault.HALF, 502)],
)
@pytest.mark.parametrize("path", [FRAME, METADATA])
def test_w7_group_18_an_archive_in_trouble_means_502_or_504_and_no_half_answer(
    keeping: Troubled, path: str, fault: Fault, status: int
) -> None:
    token = keeping.opaque()
    assert keeping.get(FRAME, token).status == 200
    keeping.lines["pacs"].break_(fault)
    answers = [keeping.get(path, token) for _ in range(5)]
    foreign = keeping.get(f"/studies/{STUDY_B}/metadata", token)
    keeping.lines["pacs"].mend()

    assert answers[0].status == status
    assert {one.status for one in answers} <= {status, 503}
    assert all(has_no_leak(one) for one in answers)
    assert foreign.status == 403, "whose study it is does not depend on the archive"
    assert until(lambda: keeping.get(path, token).status == 200), "without a restart"


@pytest.mark.parametrize("fault", [Fault.GONE, Fault.SLOW, Fault.NOISE])
def test_a_dead_archive_is_left_alone_until_it_answers(keeping: Troubled, fault: Fault) -> None:
    token, prior = keeping.opaque(), f"/studies/{PRIOR_A}/metadata"
    # Whose studies they are is known before: a question to the EHR that comes late under load is no outage of the archive.
    assert [keeping.get(path, token).status for path in (FRAME, prior)] == [200, 200]
    keeping.lines["pacs"].break_(fault)
    for path in (FRAME, prior, FRAME):
        keeping.get(path, token)
    started = time.monotonic()
    left_alone = keeping.get(FRAME, token)
    took = time.monotonic() - started
    keeping.lines["pacs"].mend()

    assert (left_alone.status, left_alone.headers["Retry-After"]) == (503, "1")
    assert took < TIMEOUT_S, "nobody waited for it"
    assert until(lambda: keeping.get(FRAME, token).status == 200)
