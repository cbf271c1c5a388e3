"""Callers who are refused again and again: answered for a while, then held back; each refusal is on record, or counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Response

from fhir_imaging.errors import NotAuthenticated
from fhir_imaging.uids import study_uid
from imaging_server.auditing import Attempt
from imaging_server.rate_limit import RateLimitSettings
from imaging_server.resource import DicomResource, Kind, Level
from tests.security.archive_index import RULE, Index, PatientRecord, a_study, identifier
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import FRAME, PRIOR_A, STUDY_A, STUDY_B


@contextmanager
def a_world_that_refuses(path: Path, refusals: float) -> Iterator[World]:
    """So many refusals a minute, and requests without limit."""
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=refusals)
    with a_world(path, server={"rate_limit": limits}) as world:
        yield world


def denials(world: World) -> list[str]:
    """The reasons of all refusals, newest first."""
    return [one.reason or "" for one in world.audit() if one.outcome == "denied"]


def test_group_23_a_token_that_has_ended_has_its_answers_and_is_then_held_back(tmp_path: Path) -> None:
    """Each 401 is a record in the database; a client that never stops must not fill it."""
    with a_world_that_refuses(tmp_path, refusals=4) as world:
        ended = world.north.token(exp=int(time.time()) - 600)
        answers = [world.get(FRAME, ended) for _ in range(9)]
        other = world.get(FRAME, world.north.token()).status

        assert [one.status for one in answers] == [401] * 4 + [429] * 5
        assert answers[-1].headers["Retry-After"].isdigit()
        assert other == 200, "one ended token holds nobody else back"
        assert denials(world) == ["too-many-requests", *["token-invalid"] * 4]
        world.services.close()
        assert denials(world)[0] == "too-many-requests: and 3 more like it"


def test_group_23_decisions_that_nginx_asks_for_do_not_count_twice(tmp_path: Path) -> None:
    """What they refuse, the ordinary route refuses again, which is the one that records it."""
    with a_world_that_refuses(tmp_path, refusals=4) as world:
        ended = world.north.token(exp=int(time.time()) - 600)
        gate, ehr = world.services.handed_gate, world.services.ehrs["north"]
        whole = DicomResource(kind=Kind.RETRIEVE, level=Level.STUDY, study=study_uid(STUDY_A))
        attempt = Attempt(ehr="north", resource=whole, query=None, client_address="127.0.0.1", request_id="handed-1")
        for _ in range(10):
            with pytest.raises(NotAuthenticated):
                gate.open_study(ehr, world.services.archives["main"], f"Bearer {ended}", attempt)

        assert [world.get(FRAME, ended).status for _ in range(5)] == [401] * 4 + [429]
        assert denials(world) == ["too-many-requests", *["token-invalid"] * 4]


def test_group_23_a_viewers_prefetch_with_an_ended_token_is_answered_401_throughout(tmp_path: Path) -> None:
    with a_world(tmp_path, server={"rate_limit": RateLimitSettings()}) as world, ThreadPoolExecutor(6) as connections:
        ended = world.north.token(exp=int(time.time()) - 600)

        assert set(connections.map(lambda _: world.get(FRAME, ended).status, range(300))) == {401}


def test_group_23_a_good_token_that_tries_other_peoples_studies_is_held_back(tmp_path: Path) -> None:
    with a_world_that_refuses(tmp_path, refusals=3) as world:
        token, foreign = world.north.token(), f"/studies/{STUDY_B}/metadata"
        tried = [world.get(foreign, token).status for _ in range(5)]
        own = world.get(FRAME, token).status
        as_fhir = world.send(
            "GET", "/imaging/north/fhir/ImagingStudy?patient=pat-a", {"Authorization": f"Bearer {token}"}
        ).status
        method = world.send("DELETE", world.root + FRAME, {"Authorization": f"Bearer {token}"}).status
        another = world.get(FRAME, world.north.token()).status
        asked = [one.path for one in world.pacs.asked if STUDY_B in one.path]

        assert tried == [403, 403, 403, 429, 429]
        assert (own, as_fhir, method) == (429, 429, 429), "whoever walks along the fence waits everywhere"
        assert another == 200
        assert asked == []
        assert denials(world) == ["too-many-requests", *["study-not-of-patient"] * 3]
        held = world.audit()[0 if world.audit()[0].outcome == "denied" else 1]
        assert (held.patient_id, held.user) == ("pat-a", "Practitioner/p1"), "and is on record by name"


def test_group_23_what_cannot_be_checked_fills_no_audit_log_either(tmp_path: Path) -> None:
    with a_world_that_refuses(tmp_path, refusals=3) as world:
        world.north.answers["/auth/jwks"] = lambda: Response(status=500)
        token = world.north.token()
        during = [world.get(FRAME, token).status for _ in range(6)]

        assert during == [503] * 3 + [429] * 3
        assert denials(world) == ["too-many-requests", *["authorization-unavailable"] * 3]


def test_group_23_a_text_that_cannot_be_checked_is_not_asked_about_without_end(tmp_path: Path) -> None:
    """Anybody can send it, and an EHR that answers it with an error says neither yes nor no."""
    client = {"introspection_client_id": "g", "introspection_client_secret": "s", "jwks_url": None}
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=3)
    with a_world(tmp_path, server={"rate_limit": limits}, north=client) as world:
        world.north.answers["/auth/introspect"] = lambda: Response("no token of mine", status=400)
        began = time.monotonic()
        one = [world.get(FRAME, "one-junk").status for _ in range(12)]
        after_one = len(introspections(world))
        many = [world.get(FRAME, f"junk-{number}").status for number in range(40)]
        recovered = int((time.monotonic() - began) / 2)

        assert one == [503] * 3 + [429] * 9
        assert after_one == 3
        assert set(many) == {503, 429}
        assert 30 <= len(introspections(world)) <= 30 + recovered, "thirty at this address, and one more every two seconds"
        assert many.count(503) == len(introspections(world)) - after_one
        assert denials(world)[0] == "too-many-requests"


def introspections(world: World) -> list[str]:
    """The questions about tokens that reached the EHR."""
    return [path for path in world.north.paths() if path.endswith("/introspect")]


def test_group_23_a_study_that_cannot_be_decided_costs_the_caller_no_other(tmp_path: Path) -> None:
    """A viewer loads the study that the archive cannot read beside one that it can."""
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=3)
    with a_world(tmp_path, server={"rate_limit": limits, "patient_identifiers": {"north": RULE}}) as world:
        PatientRecord(world.north, [identifier("MRN-A")])
        index = Index(world.pacs)
        index.holds(a_study(STUDY_A, "MRN-A"), a_study(PRIOR_A, "MRN-A"))
        index.instead = lambda asked: Response(status=503) if PRIOR_A in str(asked) else None
        token = world.north.token()
        sick = [world.get(f"/studies/{PRIOR_A}/metadata", token).status for _ in range(8)]

        assert sick == [503] * 8
        assert world.get(FRAME, token).status == 200
        assert denials(world) == ["authorization-unavailable"] * 4


def test_group_23_a_token_that_walks_along_studies_during_an_outage_fills_no_audit_log(tmp_path: Path) -> None:
    with a_world_that_refuses(tmp_path, refusals=3) as world:
        world.north.answers["/fhir/ImagingStudy"] = lambda: Response(status=500)
        token = world.north.token()
        tried = {world.get(f"/studies/2.25.{number}/metadata", token).status for number in range(9)}

        assert tried == {503}
        assert denials(world) == ["authorization-unavailable"] * 4
        world.services.close()
        assert denials(world)[0] == "authorization-unavailable: and 4 more like it"


def test_group_23_tokens_that_cannot_be_checked_fill_no_audit_log_together(tmp_path: Path) -> None:
    with a_world_that_refuses(tmp_path, refusals=1) as world:
        world.north.answers["/auth/jwks"] = lambda: Response(status=500)
        tried = [world.get(FRAME, world.north.token(jti=f"jti-{number}")).status for number in range(14)]

        assert tried == [503] * 10 + [429] * 4
        assert denials(world) == ["too-many-requests", *["authorization-unavailable"] * 10]


def test_group_23_an_own_study_that_the_archive_has_nothing_of_costs_no_other(tmp_path: Path) -> None:
    """A viewer repeats it until the images arrive; its denials are counted all the same."""
    with a_world_that_refuses(tmp_path, refusals=3) as world:
        world.north.studies["2.25.77"] = "pat-a"
        token = world.north.token()
        absent = [world.get("/studies/2.25.77/metadata", token).status for _ in range(6)]

        assert absent == [404] * 6
        assert world.get(FRAME, token).status == 200
        assert denials(world) == ["not-in-archive"] * 4
