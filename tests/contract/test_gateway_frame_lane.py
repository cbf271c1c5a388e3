"""The short way of a frame: the very answer of the framework, for plain requests only, and nothing asked or recorded twice."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.test import TestResponse

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.clients.breaker import BreakerSettings
from fhir_imaging.settings import HandOver, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import RequestSummary, install, observe
from imaging_server.handover import ACCEPT_HEADER, AUTHORIZATION_HEADER, KEY_HEADER, handover_key, vendor_header
from imaging_server.views import create_blueprint, error_surface
from tests.security.gateway_actors import VIEWER_ORIGIN, World, a_world
from tests.security.gateway_stubs import FRAME, PACS_PASSWORD, PRIOR_A, STUDY_A, STUDY_B, Asked
from tests.served_actors import a_served_installation

REFERENCE = "reading-room-4711"


@dataclass(frozen=True, slots=True)
class Entrance:
    """The gateway's application on the world's services, with or without the lane before it."""

    world: World
    has_lane: bool
    seen: list[str] = field(default_factory=list)
    told: list[RequestSummary] = field(default_factory=list)

    def get(self, path: str = FRAME, *, token: str | None = None, method: str = "GET", **headers: str) -> TestResponse:
        """One request; ``seen`` has its path if the framework saw it, ``told`` what log and metrics are told of it."""
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(self.world.services)])
        app.before_request(lambda: self.seen.append(request.path))
        observe(app, self.told.append)
        app.register_blueprint(create_blueprint(self.world.services))
        if not self.has_lane:
            app.wsgi_app = MethodType(Flask.wsgi_app, app)  # type: ignore[method-assign]
        sent = {"X-Request-Id": REFERENCE} | {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return app.test_client().open(f"{self.world.root}{path}", method=method, headers=sent)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("lane"), server={"small_body_bytes": 4096}) as world:
        yield world


@pytest.fixture
def lane(world: World) -> Entrance:
    world.start_anew()
    return Entrance(world, has_lane=True)


@pytest.fixture
def framework(world: World) -> Entrance:
    return Entrance(world, has_lane=False)


def in_parts(asked: Asked, body: bytes, **headers: str) -> Response:
    """One part of a multipart message, its length as the archive says it in ``headers``."""
    location = f"http://pacs.internal.example{asked.path}"
    head = f"\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Location: {location}\r\n\r\n".encode()
    said = {"Content-Type": 'multipart/related; type="application/octet-stream"; boundary=b', **headers}
    return Response(head + body + b"\r\n--b--\r\n", headers=said)


ARCHIVE = {
    "as usual": lambda asked: None,
    "a warning, a location and a life": lambda asked: in_parts(
        asked,
        b"pixels",
        **{
            "Warning": '299 pacs.internal.example "rounded"',
            "Content-Location": f"http://pacs.internal.example{asked.path}",
            "Set-Cookie": "archive=1",
            "Accept-Ranges": "bytes",
        },
    ),
    "larger than what is read whole": lambda asked: in_parts(asked, b"\x01" * 20_000),
    "not there": lambda asked: Response("no such frame at pacs.internal.example", 404),
    "not in this form": lambda asked: Response("cannot", 406),
    "partly": lambda asked: Response(
        in_parts(asked, b"pix").data, 206, content_type='multipart/related; type="application/octet-stream"; boundary=b'
    ),
    "busy": lambda asked: Response("later", 503, {"Retry-After": "7"}),
    "its own fault": lambda asked: Response("Traceback at pacs.internal.example", 500),
    "a page": lambda asked: Response("<script>", content_type="text/html"),
    "cut": lambda asked: Response(b"--b\r\n\r\npix", content_type='multipart/related; type="image/jpeg"; boundary=b'),
    "our credential is refused": lambda asked: Response("who are you", 401),
}
CALLERS: dict[str, dict[str, str]] = {
    "a viewer": {"Origin": VIEWER_ORIGIN, "Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
    "a page elsewhere": {"Origin": "https://elsewhere.example"},
    "a page that hides": {"Origin": "null"},
    "a program": {"Accept": "*/*"},
    "several forms": {"Accept": 'multipart/related; type="image/jls", multipart/related; type="application/octet-stream"'},
}


def as_told(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status_code, answer.data, sorted(answer.headers.items())


def without_time(told: list[RequestSummary]) -> list[tuple[object, ...]]:
    return [(one.reference, one.method, one.route, one.endpoint, one.status, one.reason, dict(one.names)) for one in told]


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("says", ARCHIVE.values(), ids=ARCHIVE)
def test_answer_log_and_archive_are_those_of_the_framework(
    lane: Entrance, framework: Entrance, says: object, caller: dict[str, str]
) -> None:
    world = lane.world
    world.pacs.answer = lambda asked: says(asked) if "/frames/" in asked.path else None  # type: ignore[operator]
    token, further = world.north.token(), world.north.token()
    ways = []
    for entrance, holds in ((framework, token), (lane, further)):
        world.pacs.asked.clear()
        answer = entrance.get(token=holds, **caller)
        ways.append(
            (
                as_told(answer),
                without_time(entrance.told),
                [(one.path, one.headers.get("Accept"), one.headers.get("Authorization")) for one in world.pacs.retrievals()],
                [(one.outcome, one.reason, one.request_id, one.query) for one in world.audit()[:1]],
            )
        )

    assert ways[0] == ways[1]
    assert lane.seen == ([] if lane.told[0].reason is None else [f"{world.root}{FRAME}"])


PLAIN = {
    "one frame": FRAME,
    "several": FRAME.replace("/frames/1", "/frames/1,2,3"),
    "a dot as %2E, which no server tells from a dot": FRAME.replace("2.25", "2%2E25", 1),
}
OTHERS = {
    "a query": (f"{FRAME}?accept=image/jpeg", "GET", {}),
    "only the head": (FRAME, "HEAD", {}),
    "what is allowed": (FRAME, "OPTIONS", {}),
    "to write": (FRAME, "POST", {}),
    "a form that is not offered": (FRAME, "GET", {"Accept": "text/html"}),
    "an Accept that cannot be read": (FRAME, "GET", {"Accept": "multipart/related; type="}),
    "an Accept without end": (FRAME, "GET", {"Accept": "image/jpeg," * 2000}),
    "no number": (FRAME.replace("/frames/1", "/frames/x"), "GET", {}),
    "frame nought": (FRAME.replace("/frames/1", "/frames/0"), "GET", {}),
    "a slash more": (f"{FRAME}/", "GET", {}),
    "a UID that is none": (FRAME.replace(STUDY_A, f"{STUDY_A}..1"), "GET", {}),
    "a rendered frame": (f"{FRAME}/rendered", "GET", {}),
    "a whole instance": (FRAME.partition("/frames/")[0], "GET", {}),
}


@pytest.mark.parametrize("path", PLAIN.values(), ids=PLAIN)
def test_plain_requests_for_frames_are_answered_before_the_framework(lane: Entrance, path: str) -> None:
    answer = lane.get(path, token=lane.world.north.token())

    assert (answer.status_code, lane.seen) == (200, [])
    assert [(one.status, one.names) for one in lane.told] == [(200, {"ehr": "north", "pacs": "main"})]


@pytest.mark.parametrize(("path", "method", "headers"), OTHERS.values(), ids=OTHERS)
def test_whatever_is_not_plain_is_the_frameworks(
    lane: Entrance, framework: Entrance, path: str, method: str, headers: dict[str, str]
) -> None:
    told = [as_told(one.get(path, token=lane.world.north.token(), method=method, **headers)) for one in (lane, framework)]

    assert told[0] == told[1]
    assert len(lane.seen) == 1


def test_group_10_a_refusal_is_explained_by_the_framework_and_recorded_once(lane: Entrance, framework: Entrance) -> None:
    world, path = lane.world, FRAME.replace(STUDY_A, STUDY_B)
    before = len(world.audit())
    refused = lane.get(path, token=world.north.token())
    recorded = world.audit()

    assert refused.status_code == 403
    assert refused.get_json()["type"].endswith("study-not-of-patient")
    assert as_told(refused) == as_told(framework.get(path, token=world.north.token()))
    assert [(one.outcome, one.reason, one.request_id) for one in recorded[: len(recorded) - before]] == [
        ("denied", "study-not-of-patient", REFERENCE)
    ]
    assert world.pacs.asked == []
    assert [(one.status, one.reason) for one in lane.told] == [(403, "study-not-of-patient")]


def test_group_1_without_a_token_nobody_is_asked(lane: Entrance) -> None:
    answer = lane.get()

    assert (answer.status_code, answer.headers["WWW-Authenticate"], lane.world.pacs.asked) == (401, "Bearer", [])


def test_group_7_a_scope_that_is_too_small_is_challenged(lane: Entrance, framework: Entrance) -> None:
    token = lane.world.north.token(scope="patient/Observation.rs")
    told = [one.get(token=token) for one in (lane, framework)]

    assert told[0].status_code == 403
    assert told[0].headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert as_told(told[0]) == as_told(told[1])


HANDED = {"hand_over": HandOver.FRAMES, "keeps_hierarchy": True, "headers": {"X-Tenant": "north"}}
FOR_NGINX = ("X-Accel-Redirect", ACCEPT_HEADER, AUTHORIZATION_HEADER, vendor_header(0))
CREDENTIAL = base64.b64encode(f"gateway:{PACS_PASSWORD}".encode()).decode()
ONE_FORM = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}


@pytest.fixture(scope="module")
def handing_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("handing"), server={"small_body_bytes": 4096}, archive=HANDED) as world:
        yield world


@pytest.fixture
def handing(handing_world: World) -> tuple[Entrance, Entrance]:
    """By the framework, and by the lane."""
    handing_world.start_anew()
    return Entrance(handing_world, has_lane=False), Entrance(handing_world, has_lane=True)


def shown(world: World) -> dict[str, str]:
    """What nginx says besides what its caller says."""
    return {KEY_HEADER: handover_key(world.store.sealer)}


def all_told(entrance: Entrance, path: str = FRAME, **asked: Any) -> tuple[object, ...]:
    """An answer, and whatever log, archive and audit know of it."""
    world = entrance.world
    world.pacs.asked.clear()
    known = len(world.audit())
    answer = entrance.get(path, **asked)
    recorded = [replace(one, recorded_at=0, token_reference=None) for one in world.audit()[: len(world.audit()) - known]]
    return as_told(answer), without_time(entrance.told), [(one.path, one.headers) for one in world.pacs.retrievals()], recorded


@pytest.mark.parametrize("path", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_directions_for_nginx_log_and_audit_are_those_of_the_framework(
    handing: tuple[Entrance, Entrance], caller: dict[str, str], path: str
) -> None:
    """Whoever asks for several forms gets the image itself, by both ways: nginx asks for one only."""
    world = handing[0].world
    tokens = [world.north.token() for _ in handing]
    told = [all_told(one, path, token=its, **caller, **shown(world)) for one, its in zip(handing, tokens, strict=True)]

    assert told[0] == told[1]
    assert [len(one.seen) for one in handing] == [1, 0]


def test_directions_name_the_frame_and_the_archives_credential_once_it_is_recorded(
    handing: tuple[Entrance, Entrance],
) -> None:
    world, lane = handing[0].world, handing[1]
    known = len(world.audit())
    answer = lane.get(token=world.north.token(), **ONE_FORM, **shown(world))

    assert (answer.status_code, answer.data, lane.seen, world.pacs.retrievals()) == (200, b"", [], [])
    assert [answer.headers[name] for name in FOR_NGINX] == [
        f"/_handed/main{FRAME}",
        ONE_FORM["Accept"],
        f"Basic {CREDENTIAL}",
        "north",
    ]
    assert "Content-Type" not in answer.headers
    assert [(one.outcome, one.study_instance_uid, one.request_id) for one in world.audit()[: len(world.audit()) - known]] == [
        ("allowed", STUDY_A, REFERENCE)
    ]


@pytest.mark.parametrize("key", [None, "", "x", "0" * 64, "schl\u00fcssel"])
def test_group_21_nobody_but_nginx_is_given_directions(handing: tuple[Entrance, Entrance], key: str | None) -> None:
    world, presented = handing[0].world, {} if key is None else {KEY_HEADER: key}
    told = [all_told(one, token=world.north.token(), **ONE_FORM, **presented) for one in handing]
    answer = handing[1].get(token=world.north.token(), **ONE_FORM, **presented)

    assert told[0] == told[1]
    assert (answer.status_code, STUDY_A.encode() in answer.data) == (200, True)
    assert not [name for name in FOR_NGINX if name in answer.headers]
    assert CREDENTIAL not in str(answer.headers) + answer.get_data(as_text=True)
    assert [len(one.seen) for one in handing] == [1, 0]


@pytest.mark.parametrize(
    ("path", "has_token", "status"),
    [(FRAME.replace(STUDY_A, STUDY_B), True, 403), (FRAME.replace(STUDY_A, "2.25.99"), True, 403), (FRAME, False, 401)],
    ids=["of another patient", "of nobody", "without a token"],
)
def test_group_10_nginx_is_refused_what_its_caller_may_not_see(
    handing: tuple[Entrance, Entrance], path: str, has_token: bool, status: int
) -> None:
    world = handing[0].world
    tokens = [world.north.token() if has_token else None for _ in handing]
    told = [all_told(one, path, token=its, **ONE_FORM, **shown(world)) for one, its in zip(handing, tokens, strict=True)]
    answer = handing[1].get(path, token=tokens[1], **ONE_FORM, **shown(world))

    assert told[0] == told[1]
    assert answer.status_code == status
    assert not [name for name in FOR_NGINX if name in answer.headers]
    assert CREDENTIAL not in str(answer.headers) + answer.get_data(as_text=True)
    assert world.pacs.retrievals() == []


def out_of_order(world: World) -> None:
    """Makes the archive fail for two studies, one after the other, whose owner is known by then."""
    for says in (lambda _: None, lambda _: Response("no", 502)):
        world.pacs.answer = says
        for study in (STUDY_A, PRIOR_A):
            world.get(FRAME.replace(STUDY_A, study), world.north.token())
    world.pacs.asked.clear()


def test_group_23_nginx_is_not_sent_to_an_archive_that_is_left_alone(tmp_path: Path) -> None:
    breaker = BreakerSettings(outages=2, cool_down_s=60)
    with a_world(tmp_path, server={"breaker": breaker}, archive=HANDED) as world:
        out_of_order(world)
        entrances = [Entrance(world, has_lane=has_lane) for has_lane in (False, True)]
        answers = [one.get(token=world.north.token(), **ONE_FORM, **shown(world)) for one in entrances]

    told = [(status, [one for one in headers if one[0] != "Retry-After"]) for status, _, headers in map(as_told, answers)]
    assert told[0] == told[1]
    assert [one.status_code for one in answers] == [503, 503]
    assert [without_time(one.told) for one in entrances[:1]] == [without_time(one.told) for one in entrances[1:]]
    assert not [name for name in FOR_NGINX for one in answers if name in one.headers]
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize("has_lane", [False, True], ids=["framework", "lane"])
def test_group_23_the_application_itself_finds_the_archive_back_before_nginx_asks_again(has_lane: bool, tmp_path: Path) -> None:
    breaker = BreakerSettings(outages=2, cool_down_s=0.05)
    with a_world(tmp_path, server={"breaker": breaker}, archive=HANDED) as world:
        out_of_order(world)
        world.pacs.answer = lambda _: None
        time.sleep(0.2)
        entrance = Entrance(world, has_lane=has_lane)
        found, after = (entrance.get(token=world.north.token(), **ONE_FORM, **shown(world)) for _ in range(2))

    assert [one.status_code for one in (found, after)] == [200, 200]
    assert STUDY_A.encode() in found.data
    assert [[name for name in FOR_NGINX if name in one.headers] for one in (found, after)] == [[], list(FOR_NGINX)]


def test_a_caller_cannot_put_an_error_into_the_environment(lane: Entrance) -> None:
    answer = lane.get(token=lane.world.north.token(), imaging_server_raised="x", HTTP_IMAGING_SERVER_RAISED="x")

    assert answer.status_code == 200


def test_a_refused_request_is_timed_from_its_beginning(lane: Entrance) -> None:
    lane.world.pacs.answer = lambda asked: Response(status=500) if "/frames/" in asked.path else None
    lane.get(token=lane.world.north.token())

    assert 0 < lane.told[0].duration_s < 60


def test_a_number_that_is_no_plain_one_is_made_anew_for_log_audit_and_answer(lane: Entrance) -> None:
    token = lane.world.north.token()
    answers = [lane.get(path, token=token, X_Request_Id="2.25.11 Alma") for path in (FRAME, FRAME.replace(STUDY_A, STUDY_B))]
    sent = [one.headers["X-Request-Id"] for one in answers]

    assert "2.25.11 Alma" not in sent
    assert [one.reference for one in lane.told] == sent
    assert [one.request_id for one in lane.world.audit()[:2]] == sent[::-1]


def test_behind_a_counted_proxy_the_callers_own_address_is_recorded(tmp_path: Path) -> None:
    with a_served_installation(tmp_path, server={"trusted_proxies": 1}) as running:
        answer = running.gateway(FRAME, running.north.token(), X_Forwarded_For="10.9.8.7")
        store = Store.open(StateSettings(state_dir=tmp_path / "state"))
        (record,) = AuditLog(store).find(AuditFilter())
        store.close()

    assert (answer.status, record.client_address) == (200, "10.9.8.7")
