"""An archive that an EHR's tokens may not reach: not there, on record, and not to be walked along (groups 15, 23 and 35)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.fhir_mapping.audit_event import audit_event
from imaging_server.rate_limit import RateLimitSettings
from tests.audit_actors import SERVER
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import FRAME, METADATA, STUDY_A
from tests.security.test_gateway_ownership import EVERY_ROUTE, path_of

REFUSALS = 4
KEPT_FROM_NORTH = {"pacs_by_ehr": {"north": ()}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server=KEPT_FROM_NORTH) as world:
        yield world


def at(world: World, archive: str, path: str, token: str | None = None, method: str = "GET") -> Answer:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return world.send(method, f"/imaging/north/dicom-web/{archive}{path}", headers)


@pytest.mark.parametrize("route", EVERY_ROUTE, ids=lambda route: f"{route.rule} {route.kind}")
@pytest.mark.parametrize("token", ["good", "junk", None])
def test_group_35_an_archive_out_of_reach_is_refused_on_record(world: World, route: object, token: str | None) -> None:
    """Whoever asks: nobody is asked whether the token holds, and the images are as far away as before."""
    sent = world.north.token() if token == "good" else token
    before = len(world.audit())
    there, not_there = (at(world, name, path_of(route, STUDY_A), sent) for name in ("main", "none"))  # type: ignore[arg-type]

    def essence(answer: Answer) -> tuple[object, ...]:
        told = {name: value for name, value in answer.json().items() if name != "instance"}
        names = sorted(name for name in answer.headers if name not in ("Date", "X-Request-Id"))
        return answer.status, told, names

    assert there.status == 404
    assert essence(there) == essence(not_there), "group 15: which archives there are is not told"
    assert world.pacs.asked == world.north.asked == []
    recorded = world.audit()[: len(world.audit()) - before]
    assert [(one.outcome, one.reason, one.study_instance_uid) for one in recorded] == [
        ("denied", "no-such-archive", STUDY_A if "<dicom_uid:study>" in path_of_rule(route) else None)
    ] * 2
    assert [audit_event(one, SERVER)["outcome"] for one in recorded] == ["4", "4"]


def path_of_rule(route: object) -> str:
    """The route's rule; of WADO-URI what its query names."""
    rule = str(getattr(route, "rule", ""))
    return "<dicom_uid:study>" if rule == "/wado" else rule


def test_group_23_whoever_walks_along_archives_is_held_back(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=REFUSALS)
    with a_world(tmp_path, server={**KEPT_FROM_NORTH, "rate_limit": limits}) as world:
        good = world.north.token()
        with_token = [at(world, f"archive-{number}", FRAME, good).status for number in range(REFUSALS + 3)]
        without = [at(world, f"archive-{number}", FRAME).status for number in range(REFUSALS + 3)]
        another = at(world, "main", FRAME, world.north.token()).status
        reasons = [one.reason for one in world.audit()]

        assert with_token == without == [404] * REFUSALS + [429] * 3
        assert another == 404, "one caller holds nobody else back"
        assert reasons.count("no-such-archive") == 2 * REFUSALS + 1
        assert reasons.count("too-many-requests") == 2


def test_group_35_the_endpoint_of_an_archive_out_of_reach_is_refused_on_record(world: World) -> None:
    """Here the token was checked, so the record says whose it is."""
    headers = {"Authorization": f"Bearer {world.north.token()}"}
    answers = [world.send("GET", f"/imaging/north/fhir/Endpoint/{name}", headers).status for name in ("main", "none")]

    assert answers == [404, 404]
    recorded = world.audit()[:2]
    assert [(one.outcome, one.reason, one.patient_id) for one in recorded] == [("denied", "no-such-archive", "pat-a")] * 2


def test_an_ehr_that_is_not_configured_has_no_records(world: World) -> None:
    """Nobody's patients are there, and the name in the address is the caller's own text."""
    before = len(world.audit())

    assert world.send("GET", f"/imaging/nobody/dicom-web/main{METADATA}").status == 404
    assert at(world, "main", METADATA, method="OPTIONS").status == 204
    assert len(world.audit()) == before
