"""The decision that nginx keeps: who is told it, and for how long it holds (W3, groups 6, 10 and 35)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.clients.breaker import BreakerSettings
from fhir_imaging.settings import HandOver
from imaging_server.handover import KEY_HEADER, handover_key
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import FRAME, PRIOR_A, STUDY_A, STUDY_B, series_of

HANDED = {"hand_over": HandOver.FRAMES, "keeps_hierarchy": True}
OWN = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("state"), server={"handed_decision_s": 10.0}, archive=HANDED) as world:
        yield world


def asked(world: World, path: str, token: str | None, *, key: str | None = None, method: str = "GET") -> Answer:
    """As nginx asks."""
    sent = {KEY_HEADER: handover_key(world.store.sealer) if key is None else key}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    return world.send(method, f"/imaging/north/handover/main{path}", sent)


@pytest.mark.parametrize("path", [f"/studies/{STUDY_A}", OWN])
def test_yes_holds_for_less_than_the_setting_says(world: World, path: str) -> None:
    answer = asked(world, path, world.north.token())

    assert (answer.status, answer.body) == (204, b"")
    # One second less: nginx counts whole seconds and takes the last one for good until it has passed.
    assert answer.headers["X-Accel-Expires"] == "9"
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize(("life_s", "longest"), [(6, 5), (2, 1), (1, 0), (-5, 0)])
def test_yes_holds_no_longer_than_the_token(world: World, life_s: int, longest: int) -> None:
    """The clock skew that is accepted of a token is not given to nginx as well."""
    answer = asked(world, OWN, world.north.token(exp=int(time.time()) + life_s))

    assert answer.status == 204
    assert 0 <= int(answer.headers["X-Accel-Expires"] or -1) <= longest


@pytest.mark.parametrize(
    ("path", "patient", "status"),
    [
        (f"/studies/{STUDY_B}", "pat-a", 403),
        (f"/studies/{STUDY_A}", "pat-b", 403),
        (f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}", "pat-a", 403),
        (f"/studies/{STUDY_B}/series/{series_of(STUDY_A)}", "pat-a", 403),
    ],
)
def test_no_is_neither_kept_nor_recorded_here(world: World, path: str, patient: str, status: int) -> None:
    """The ordinary route decides it again, answers and records it: once."""
    before = len(world.audit())

    answer = asked(world, path, world.north.token(patient))

    assert answer.status == status
    assert answer.headers["X-Accel-Expires"] is None
    assert len(world.audit()) == before


def test_yes_is_recorded_as_the_ordinary_route_does(world: World) -> None:
    token, before = world.north.token(), len(world.audit())

    asked(world, OWN, token)
    asked(world, f"/studies/{STUDY_A}", token)
    world.get(OWN + "/metadata", token)
    world.get(OWN, token, Accept="*/*")

    records = world.audit()[: len(world.audit()) - before]
    assert sorted(one.action for one in records) == ["study-described", "study-opened"]
    assert {one.study_instance_uid for one in records} == {STUDY_A}


def test_group_35_yes_holds_no_longer_than_its_record(tmp_path: Path) -> None:
    """What nginx hands out beyond the record's window would be in none."""
    with a_world(tmp_path, server={"handed_decision_s": 10.0, "audit_window_s": 10}, archive=HANDED) as world:
        token = world.north.token()
        first = int(asked(world, OWN, token).headers["X-Accel-Expires"] or -1)
        time.sleep(3)
        later = int(asked(world, OWN, token).headers["X-Accel-Expires"] or -1)

    assert 6 < first < 10
    assert 0 <= later <= first - 2


@pytest.mark.parametrize("key", ["", "x", "0" * 64, "schl\u00fcssel"])
def test_nobody_but_nginx_is_told(world: World, key: str) -> None:
    answer = asked(world, OWN, world.north.token(), key=key)

    assert (answer.status, answer.problem) == (404, "not-found")
    assert world.north.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_but_get_is_offered(world: World, method: str) -> None:
    assert asked(world, OWN, world.north.token(), method=method).status == 405


@pytest.mark.parametrize("token", [None, "not-a-token"])
def test_no_token_no_decision(world: World, token: str | None) -> None:
    assert asked(world, OWN, token).status == 401


def test_no_yes_while_the_archive_is_out_of_order(tmp_path: Path) -> None:
    """Group 23: nginx would go on asking an archive that the application leaves alone."""
    breaker = BreakerSettings(outages=2, cool_down_s=60)
    with a_world(tmp_path, server={"handed_decision_s": 10.0, "breaker": breaker}, archive=HANDED) as world:
        token = world.north.token()
        assert asked(world, OWN, token).status == 204
        world.pacs.answer = lambda _: Response("no", 502)
        for study in (STUDY_A, PRIOR_A):
            world.get(FRAME.replace(STUDY_A, study), token)

        assert asked(world, OWN, token).status == 503


@pytest.mark.parametrize(
    ("server", "archive"),
    [
        ({"handed_decision_s": 0.0}, HANDED),
        ({"handed_decision_s": 10.0}, {**HANDED, "keeps_hierarchy": False}),
        ({"handed_decision_s": 10.0}, {**HANDED, "hand_over": HandOver.OFF}),
        ({"handed_decision_s": 10.0, "pacs_by_ehr": {"north": ()}}, HANDED),
    ],
)
def test_where_nothing_may_be_kept_there_is_no_decision(
    tmp_path: Path, server: dict[str, Any], archive: dict[str, Any]
) -> None:
    """Fail closed, also for an nginx with an old configuration."""
    with a_world(tmp_path, server=server, archive=archive) as world:
        assert asked(world, OWN, world.north.token()).status == 404
