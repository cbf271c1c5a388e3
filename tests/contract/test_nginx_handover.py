"""Through nginx an answer is what it is without: bytes, headers, refusals, audit records (W1-W5, groups 17, 18, 21, 22, 35)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Response

from fhir_imaging.settings import HandOver
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_server.rate_limit import RateLimitSettings
from tests.conftest import free_port_number
from tests.nginx_actors import FILES, OCTETS, Front, a_front, as_application, me, running_nginx
from tests.security.gateway_actors import VIEWER_ORIGIN, Answer
from tests.security.gateway_stubs import (
    FRAME,
    INSTANCE,
    METADATA,
    STUDY_A,
    STUDY_B,
    Asked,
    instance_of,
    series_of,
)

SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
HANDED = [(FRAME, OCTETS), (INSTANCE, FILES), (SERIES, FILES), (f"/studies/{STUDY_A}", FILES)]
HANDED_MAIN = {"hand_over": HandOver.FRAMES, "keeps_hierarchy": True}


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param, archive={"headers": {"X-Tenant": 'a$b "c"\\d'}}) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    running.world.start_anew()
    return running


def said(answer: Answer) -> dict[str, str | None]:
    """What counts of an answer's headers."""
    names = ("Content-Type", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy")
    cors = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Content-Location")
    return {name: answer.headers[name] for name in (*names, *cors)}


@pytest.mark.parametrize(("path", "accept"), HANDED)
def test_answer_is_the_one_that_the_application_gives(front: Front, path: str, accept: str) -> None:
    """Also the parts' Content-Location, which the archive writes with its own address (group 17)."""
    token = front.world.north.token()
    asked = {"Authorization": f"Bearer {token}", "Accept": accept, "Origin": VIEWER_ORIGIN}

    through = front.world.send("GET", front.world.root + path, asked)
    past = front.past_nginx().send("GET", front.world.root + path, asked)

    assert (through.status, through.body) == (past.status, past.body)
    assert front.world.pacs.base.encode() not in through.body
    assert said(through) == said(past)
    assert {one.strip() for one in (through.headers["Vary"] or "").split(",")} == {"Authorization", "Origin"}
    for name in ("Cache-Control", "Content-Type", "Vary", "Access-Control-Allow-Origin", "X-Request-Id"):
        assert len(through.headers.get_all(name, [])) == 1, name


@pytest.mark.parametrize(("path", "accept"), HANDED)
def test_archive_is_asked_once_and_hears_nothing_of_the_caller(front: Front, path: str, accept: str) -> None:
    """Group 20: a request made anew, with the archive's own credential and vendor headers."""
    noise = {
        "Cookie": "session=1",
        "Forwarded": "host=evil.example",
        "X-Forwarded-Host": "evil.example",
        "If-None-Match": '"1"',
    }
    sent = {"Authorization": f"Bearer {front.world.north.token()}", "Accept": accept, "Range": "bytes=0-3", **noise}

    answer = front.world.send("GET", front.world.root + path, sent)

    assert answer.status == 200
    (asked,) = front.world.pacs.retrievals()
    assert asked.method == "GET"
    assert asked.target == f"/archive/dicom-web{path}"
    told = {
        name.lower(): value for name, value in asked.headers.items() if name.lower() not in ("connection", "content-length")
    }
    assert told.pop("authorization").startswith("Basic ")
    assert told.pop("x-tenant") == 'a$b "c"\\d'
    host = front.world.pacs.base.removeprefix("http://")
    assert told == {"host": host, "accept": accept, "accept-encoding": "identity", "user-agent": "imaging-cds"}


@pytest.mark.parametrize(("path", "accept"), HANDED)
def test_bytes_come_from_nginx_itself(front: Front, path: str, accept: str) -> None:
    """Not from the application, which would do as well and slower: its port is not asked for what nginx keeps."""
    token = front.world.north.token()
    front.world.get(path, token, Accept=accept)

    answer = front.world.get(path, token, Accept=accept)

    # Asked: the archive alone, or the application and then the archive.
    statuses = front.nginx.upstream_statuses(answer.headers["X-Request-Id"] or "")
    assert statuses == (["200"] if front.nginx.decisions() else ["200", "200"])


@pytest.mark.parametrize(
    ("method", "path", "accept", "status"),
    [
        ("HEAD", FRAME, OCTETS, 200),
        ("OPTIONS", FRAME, OCTETS, 204),
        ("POST", FRAME, OCTETS, 405),
        ("DELETE", f"/studies/{STUDY_A}", FILES, 405),
        ("GET", FRAME, "*/*", 200),
        ("GET", FRAME, f"{OCTETS}, */*; q=0.1", 200),
        ("GET", FRAME, "text/html", 406),
        ("GET", FRAME, "image/jpeg; q=x", 406),
        ("GET", f"{FRAME}?accept=application/octet-stream", OCTETS, 200),
        ("GET", f"{FRAME}?frame=2", OCTETS, 400),
        ("GET", METADATA, "application/dicom+json", 200),
        ("GET", f"{SERIES}/instances", "application/dicom+json", 200),
        ("GET", f"{INSTANCE}/rendered", "image/jpeg", 200),
        ("GET", f"{INSTANCE}/bulkdata/7FE00010", OCTETS, 200),
    ],
)
def test_what_nginx_does_not_look_after_is_answered_as_ever(
    front: Front, method: str, path: str, accept: str, status: int
) -> None:
    sent = {"Authorization": f"Bearer {front.world.north.token()}", "Accept": accept, "Origin": VIEWER_ORIGIN}

    through = front.world.send(method, front.world.root + path, sent)
    past = front.past_nginx().send(method, front.world.root + path, sent)

    assert through.status == past.status == status
    assert said(through) == said(past)
    assert through.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{VIEWER_ORIGIN}.evil.example"])
def test_other_origins_read_nothing(front: Front, origin: str) -> None:
    """Group 22."""
    answer = front.world.get(FRAME, front.world.north.token(), Accept=OCTETS, Origin=origin)

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert answer.headers["Access-Control-Expose-Headers"] is None


def test_audit_has_what_it_has_without_nginx(front: Front) -> None:
    """Group 35: one record for the opened study, one for each refusal."""
    expected: list[tuple[object, ...]] = []
    for world in (front.past_nginx(), front.world):
        token, before = world.north.token(), len(world.audit())
        for _ in range(5):
            assert world.get(FRAME, token, Accept=OCTETS).status == 200
        for path in (FRAME.replace(STUDY_A, STUDY_B), f"{SERIES}/instances/{instance_of(STUDY_B)}/frames/1"):
            hierarchy = path.replace(STUDY_B, STUDY_B)
            world.pacs.answer = lambda asked, p=hierarchy: _not_there(asked, p)
            assert world.get(path, token, Accept=OCTETS).status == 403
        assert world.get(FRAME, "not-a-token", Accept=OCTETS).status == 401
        records = world.audit()[: len(world.audit()) - before]
        found = [(one.action, one.outcome, one.reason, one.patient_id, one.study_instance_uid) for one in records]
        expected = expected or found
        assert found == expected
    assert len(expected) == 4


def _not_there(asked: Asked, path: str) -> Response | None:
    return Response("", 404) if asked.path.endswith(path) else None


def test_frames_alone_may_be_handed_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    with a_front(tmp_path_factory.mktemp("frames"), Mode.ACCEL, hand_over="frames") as front:
        token = front.world.north.token()
        answers = [front.world.get(path, token, Accept=accept) for path, accept in HANDED]
        statuses = [front.nginx.upstream_statuses(one.headers["X-Request-Id"] or "") for one in answers]

    assert statuses == [["200", "200"], ["200"], ["200"], ["200"]]


def test_too_many_requests_are_held_back_by_nginx_where_it_decides(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Group 23: each token by itself, in the caller's shape."""
    limit = RateLimitSettings(requests_per_second=1, request_burst=5)
    with a_front(tmp_path_factory.mktemp("rate"), Mode.AUTH_REQUEST, server={"rate_limit": limit}) as front:
        token, other = front.world.north.token(), front.world.north.token()
        answers = [front.world.get(FRAME, token, Accept=OCTETS, Origin=VIEWER_ORIGIN) for _ in range(12)]
        calm = front.world.get(FRAME, other, Accept=OCTETS)

    held = [one for one in answers if one.status == 429]
    assert calm.status == 200
    assert {one.status for one in answers} == {200, 429}
    assert len(held) >= 5
    assert held[0].problem == "too-many-requests"
    assert held[0].headers["Content-Type"] == "application/problem+json"
    assert held[0].headers["Retry-After"] == "1"
    assert held[0].headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert json.loads(held[0].body)["instance"].endswith(held[0].headers["X-Request-Id"] or "-")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer ", "Bearer\t"])
def test_token_in_another_way_of_writing_has_no_rate_of_its_own(front: Front, scheme: str) -> None:
    """Group 23: nginx counts a token, and keeps decisions of it, by one spelling alone; others are the application's affair."""
    kept = len(front.nginx.decisions())
    sent = {"Authorization": f"{scheme} {front.world.north.token()}", "Accept": OCTETS, "X-Request-Id": f"spelt-{uuid4().hex}"}

    front.world.send("GET", front.world.root + FRAME, sent)

    if front.mode is Mode.AUTH_REQUEST:
        assert len(front.nginx.upstream_statuses(sent["X-Request-Id"])) == 1, "nginx asked for a decision of it"
        assert len(front.nginx.decisions()) == kept


def test_storm_of_first_frames_asks_the_ehr_once(front: Front) -> None:
    """Group 23: one decision for a series, however many of its frames come at once, before nginx keeps any."""
    from concurrent.futures import ThreadPoolExecutor

    token = front.world.north.token()
    front.world.north.asked.clear()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: front.world.get(FRAME, token, Accept=OCTETS), range(64)))

    assert {one.status for one in answers} == {200}
    assert len([one for one in front.world.north.paths() if one == "/fhir/ImagingStudy"]) == 1
    assert len(front.world.pacs.retrievals()) == 64


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (f"/imaging/north/dicom-web/main{FRAME}", "application/problem+json"),
        (f"/imaging/north/dicom-web/main{FRAME}?accept=x", "application/problem+json"),
        ("/imaging/north/dicom-web/main/studies", "application/problem+json"),
        ("/imaging/north/fhir/ImagingStudy?patient=pat-a", "application/fhir+json"),
        ("/imaging/north/fhir", "application/fhir+json"),
        ("/cds-services", "application/fhir+json"),
        ("/cds-services/imaging-patient-view", "application/fhir+json"),
    ],
)
def test_application_that_is_not_there_is_told_in_the_callers_form(
    running: Front, tmp_path: Path, target: str, form: str
) -> None:
    """503 with Retry-After, which viewers wait for (C7), and readable to them; never nginx's own page."""
    settings = as_application(
        running.world, tmp_path, {"public_base_url": "http://127.0.0.1", "handed_decision_s": 9}, HANDED_MAIN
    )
    listen = f"127.0.0.1:{free_port_number()}"
    options = NginxOptions(mode=running.mode, listen=listen, apps=(f"127.0.0.1:{free_port_number()}",), user=me())
    with running_nginx(settings, options, "key", tmp_path / "nginx") as nginx:
        sent = {"Authorization": "Bearer token", "Accept": OCTETS, "Origin": VIEWER_ORIGIN, "X-Request-Id": "number-of-mine"}
        answer = replace(running.world, url=nginx.url).send("GET", target, sent)

    assert (answer.status, answer.headers["Content-Type"]) == (503, form), answer.body
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers.get_all("Cache-Control") == ["private, no-store"]
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert "number-of-mine" in json.dumps(answer.json())
