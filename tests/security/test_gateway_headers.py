"""Headers in both directions, caching, CORS, storms and logs (groups 20 to 23, and 34 as far as this component logs)."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Response

from tests.security.gateway_actors import VIEWER_ORIGIN, World, a_world
from tests.security.gateway_stubs import (
    BULK,
    FRAME,
    INSTANCE,
    METADATA,
    PACS_PASSWORD,
    SMALL_BODY,
    STUDY_A,
    STUDY_B,
    multipart,
    only_for,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


# Group 20: separation of credentials and headers


def test_archive_sees_its_own_credential_and_nothing_of_the_caller(world: World) -> None:
    token = world.north.token()
    headers = {
        "Forwarded": "host=attacker.example",
        "X_Forwarded_For": "10.0.0.1",
        "X_Forwarded_Host": "attacker.example",
        "X_Original_URL": "/system",
        "X_Rewrite_URL": "/system",
        "Cookie": "session=1",
        "Proxy_Authorization": "Basic abc",
        "Referer": "http://ehr.example/patient",
        "Origin": VIEWER_ORIGIN,
        "If_None_Match": '"etag"',
        "Content_Type": "application/x-evil",
        "TE": "trailers",
        "Via": "1.1 a",
    }

    world.get(METADATA, token, **headers)

    expected = "Basic " + base64.b64encode(f"gateway:{PACS_PASSWORD}".encode()).decode()
    assert world.pacs.asked != []
    for asked in world.pacs.asked:
        assert asked.headers["Authorization"] == expected
        assert asked.headers["Host"] == urlsplit(world.pacs.base).netloc
        assert set(asked.headers) == {"Authorization", "Host", "Accept", "Accept-Encoding", "User-Agent"}
        assert token not in asked.target


def test_host_of_the_caller_does_not_reach_addresses(world: World) -> None:
    answer = world.send(
        "GET", world.root + METADATA, {"Authorization": f"Bearer {world.north.token()}", "Host": "attacker.example"}
    )

    assert b"attacker.example" not in answer.body


def test_archives_own_headers_stay_behind(world: World) -> None:
    def chatty() -> Response:
        response = multipart([(b"x", {})])
        response.headers.update(
            {
                "Set-Cookie": "pacs=1",
                "X-Powered-By": "pacs.internal.example",
                "ETag": '"1"',
                "Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT",
                "Cache-Control": "public, max-age=3600",
                "Access-Control-Allow-Origin": "*",
                "Link": "<http://pacs.internal.example>",
                "Authorization": "Basic leak",
                "WWW-Authenticate": "Basic",
                "Warning": '299 pacs.internal.example "text about pacs.internal.example"',
                "Content-Disposition": "attachment; filename=x",
                "Refresh": "0; url=http://attacker.example",
            }
        )
        return response

    world.pacs.answer = only_for("/frames/1", chatty)

    answer = world.get(FRAME, world.north.token())

    assert "internal" not in str(answer.headers)
    assert "attacker" not in str(answer.headers)
    for name in ("Set-Cookie", "X-Powered-By", "ETag", "Last-Modified", "Access-Control-Allow-Origin", "Link", "Authorization"):
        assert answer.headers[name] is None
    assert answer.headers["Warning"].startswith("299 imaging-cds ")
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ("bytes=0-99", "bytes=0-99"),
        ("bytes=100-", "bytes=100-"),
        ("bytes=-5", "bytes=-5"),
        ("bytes=0-1,5-6", None),
        ("pages=1", None),
        ("bytes=0-99, x", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_range_of_bulk_data_is_passed_on_when_it_is_plain(world: World, sent: str, passed: str | None) -> None:
    headers = {"Content-Range": "bytes 0-99/1000", "Accept-Ranges": "bytes"}
    world.pacs.answer = only_for(
        "/7FE00010", lambda: Response(b"p" * 100, 206, headers, content_type="application/octet-stream")
    )

    answer = world.get(BULK, world.north.token(), Range=sent)

    assert world.pacs.asked[-1].headers.get("Range") == passed
    assert (answer.status, answer.headers["Content-Range"], len(answer.body)) == (206, "bytes 0-99/1000", 100)


# Group 21: caching


@pytest.mark.parametrize("path", [METADATA, FRAME, "/studies", f"/studies/{STUDY_B}", f"{INSTANCE}/rendered", "/nothing"])
def test_nobody_may_store_an_answer(world: World, path: str) -> None:
    answer = world.get(path, world.north.token())

    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Authorization" in answer.headers["Vary"]
    assert answer.headers["ETag"] is answer.headers["Last-Modified"] is None


def test_conditional_request_is_authorised_like_any_other(world: World) -> None:
    answer = world.get(
        f"/studies/{STUDY_B}/metadata",
        world.north.token(),
        If_None_Match="*",
        If_Modified_Since="Tue, 01 Jul 2036 10:00:00 GMT",
    )

    assert answer.status == 403


# Group 22: CORS


@pytest.mark.parametrize("path", [METADATA, FRAME, "/studies"])
def test_preflight_needs_no_token(world: World, path: str) -> None:
    headers = {
        "Origin": VIEWER_ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }

    answer = world.send("OPTIONS", world.root + path, headers)

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Credentials"] is None
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize("token", [True, False], ids=["answer", "refusal"])
def test_configured_viewer_may_read_answers_and_refusals(world: World, token: bool) -> None:
    answer = world.get(METADATA, world.north.token() if token else None, Origin=VIEWER_ORIGIN)

    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert all(name in exposed for name in ("Content-Type", "Content-Range", "Retry-After", "WWW-Authenticate"))
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://attacker.example",
        "null",
        "https://viewer.example.attacker.example",
        "http://viewer.example",
        "https://viewer.example:444",
        "",
    ],
)
def test_other_origins_get_no_permission(world: World, origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    preflight = world.send("OPTIONS", world.root + METADATA, headers)
    answer = world.get(METADATA, world.north.token(), Origin=origin)

    assert preflight.headers["Access-Control-Allow-Origin"] is None
    assert answer.headers["Access-Control-Allow-Origin"] is None


# Group 23: denial of service


@pytest.mark.parametrize(
    "accept",
    ["a/b," * 400, "x" * 3000, "*/*," * 40, 'multipart/related; type="', "multipart/related; type=a; type=b", "image/jpeg\x0b"],
)
def test_huge_or_unreadable_accept_is_refused(world: World, accept: str) -> None:
    answer = world.get(FRAME, world.north.token(), Accept=accept)

    assert answer.status in (400, 406)
    assert world.pacs.asked == []


def test_very_long_query_is_refused(world: World) -> None:
    assert world.get("/studies?PatientName=" + "x" * 20_000, world.north.token()).status in (400, 414)
    assert world.pacs.asked == []


@pytest.mark.parametrize("side", ["10000", "4" * 40, "0", "00064"])
@pytest.mark.parametrize("path", [f"{INSTANCE}/rendered", f"{FRAME}/thumbnail"])
def test_group_23_a_picture_of_any_size_is_asked_of_no_archive(world: World, path: str, side: str) -> None:
    """Debian's Orthanc ends with the first that it has no room for, and breaks off where there is nothing to be seen."""
    answers = [world.get(f"{path}?viewport={size}", world.north.token()) for size in (f"{side},64", f"64,{side},0,0,8,8")]

    assert [(one.status, one.problem) for one in answers] == [(400, "parameter-not-offered")] * 2
    assert world.pacs.retrievals() == []


def test_storm_of_frames_costs_one_decision(world: World) -> None:
    token = world.north.token()
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(world.get(FRAME, token).status for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 30
    assert world.north.paths().count("/fhir/ImagingStudy") == 1
    assert len([one for one in world.audit() if one.study_instance_uid == STUDY_A][:1]) == 1


# Group 34, as far as this component logs


def test_logs_hold_no_token_no_query_and_no_patient(world: World, caplog: pytest.LogCaptureFixture) -> None:
    token = world.north.token()
    with caplog.at_level(logging.INFO):
        for path in (METADATA, f"/studies/{STUDY_B}", "/studies?PatientName=Synthetic%5EAlma", "/studies?bad=Synthetic%5EAlma"):
            world.get(path, token)
            world.get(path, token + "x")

    # Werkzeug's own line is the test server's; the product's server writes none.
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("imaging_cds"))
    assert "GET /imaging/<ehr>/dicom-web/<pacs>/studies" in ours
    assert token not in ours
    assert "Alma" not in ours
    assert "pat-a" not in ours
