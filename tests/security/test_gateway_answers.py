"""What may come down from the archive, and what of the caller may go up (groups 17 to 23)."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Response

from tests.security.gateway_actors import (
    PACS_PASSWORD,
    STUDY_A,
    STUDY_B,
    VIEWER_ORIGIN,
    Asked,
    World,
    a_world,
    dicom_json,
    instance_of,
    multipart,
    series_of,
)

METADATA = f"/studies/{STUDY_A}/metadata"
INSTANCE = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A)}"
FRAME = f"{INSTANCE}/frames/1"
BULK = f"{INSTANCE}/bulkdata/7FE00010"
SMALL_BODY = 64 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    return running


def only_for(ending: str, answer: Callable[[], Response]) -> Callable[[Asked], Response | None]:
    return lambda asked: answer() if asked.path.endswith(ending) else None


def urls_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [url for item in value.values() for url in urls_in(item)]
    if isinstance(value, list):
        return [url for item in value for url in urls_in(item)]
    return [value] if isinstance(value, str) and ("://" in value or "/studies/" in value) else []


# Group 17: addresses in payloads


def test_addresses_become_the_gateways_at_any_depth(world: World) -> None:
    root, gateway = world.pacs.root, world.url + world.root
    deep = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [f"{root}{INSTANCE}"]},
        "00540016": {
            "vr": "SQ",
            "Value": [
                {
                    "00091010": {
                        "vr": "SQ",
                        "Value": [{"00091001": {"vr": "OB", "BulkDataURI": f"{root}{INSTANCE}/bulkdata/1/2"}}],
                    }
                },
                {"00081190": {"vr": "UR", "Value": [f"{root}/studies/{STUDY_A}/series/{series_of(STUDY_A)}"]}},
                {"00091002": {"vr": "OB", "BulkDataURI": "bulkdata/relative"}},
                {"00091003": {"vr": "OB", "BulkDataURI": f"../{INSTANCE.rpartition('/')[2]}/bulkdata/up"}},
            ],
        },
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([deep]))

    (dataset,) = world.get(f"{INSTANCE}/metadata", world.north.token()).json()

    items = dataset["00540016"]["Value"]
    assert items[0]["00091010"]["Value"][0]["00091001"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/1/2"
    assert items[1]["00081190"]["Value"] == [f"{gateway}/studies/{STUDY_A}/series/{series_of(STUDY_A)}"]
    assert items[2]["00091002"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/relative"
    assert items[3]["00091003"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/up"
    assert dataset["7FE00010"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/7FE00010"
    assert all(url.startswith(gateway) for url in urls_in(dataset))


@pytest.mark.parametrize(
    "address",
    [
        "http://attacker.example/studies/2.25.11/series/1",
        "https://127.0.0.1/archive/dicom-web/studies/2.25.11",
        "{root}/studies/" + STUDY_B,
        "{root}/studies/" + STUDY_A + "/../" + STUDY_B,
        "{root}/studies/" + STUDY_A + "/%2e%2e/" + STUDY_B,
        "{root}/../../system",
        "{root}/studies/" + STUDY_A + "/bulkdata/1?token=secret",
        "{root}/studies/" + STUDY_A + "#fragment",
        "{root}@attacker.example/studies/" + STUDY_A,
        "//attacker.example/studies/" + STUDY_A,
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[::1",
        "{origin}:99999/archive/dicom-web/studies/" + STUDY_A,
        "",
        "/archive/dicom-web-other/studies/" + STUDY_A,
        "{root}x/studies/" + STUDY_A,
    ],
)
def test_addresses_of_others_are_dropped_and_never_fetched(world: World, address: str) -> None:
    shown = address.format(root=world.pacs.root, origin="http://127.0.0.1")
    dataset = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [shown]},
        "7FE00010": {"vr": "OW", "BulkDataURI": shown},
        "0040E010": {"vr": "UR", "Value": [shown]},
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([dataset]))

    (answer,) = world.get(METADATA, world.north.token()).json()

    assert answer["7FE00010"] == {"vr": "OW"}
    assert "00081190" not in answer
    assert "0040E010" not in answer
    assert len(world.pacs.retrievals()) == 1


def test_odd_values_in_place_of_addresses_do_no_harm(world: World) -> None:
    dataset = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [7, None]},
        "7FE00010": {"vr": "OW", "BulkDataURI": [1]},
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([dataset]))

    (answer,) = world.get(METADATA, world.north.token()).json()

    assert answer["7FE00010"] == {"vr": "OW"}


@pytest.mark.parametrize("location", [f"/archive/dicom-web/studies/{STUDY_B}", "http://pacs.internal.example/x"])
def test_part_headers_that_name_the_archive_are_dropped(world: World, location: str) -> None:
    headers = {"Content-Location": location, "X-Internal-Host": "pacs.internal.example", "Content-Length": "6"}
    world.pacs.answer = only_for("/frames/1", lambda: multipart([(b"pixels", headers)]))

    answer = world.get(FRAME, world.north.token())

    assert b"pacs.internal" not in answer.body
    assert b"Content-Location" not in answer.body
    assert (
        answer.body
        == b"--b0undary\r\nContent-Type: application/octet-stream\r\nContent-Length: 6\r\n\r\npixels\r\n--b0undary--"
    )


@pytest.mark.parametrize("size", [10, SMALL_BODY * 20], ids=["whole", "streamed"])
def test_part_location_becomes_the_gateways(world: World, size: int) -> None:
    content = b"--b0undar" + b"\r\n--b0undar" * (size // 11)
    parts = [(content, {"Content-Location": world.pacs.root + FRAME}), (b"second", {})]
    world.pacs.answer = only_for("/frames/1", lambda: multipart(parts))

    answer = world.get(FRAME, world.north.token())

    assert answer.body.count(f"Content-Location: {world.url}{world.root}{FRAME}\r\n".encode()) == 1
    assert content in answer.body
    assert world.pacs.base.encode() not in answer.body


def test_response_location_header_is_rewritten_or_dropped(world: World) -> None:
    def with_location(where: str) -> Response:
        response = multipart([(b"x", {})])
        response.headers["Content-Location"] = where
        return response

    world.pacs.answer = only_for("/frames/1", lambda: with_location(world.pacs.root + FRAME))
    own = world.get(FRAME, world.north.token())
    world.pacs.answer = only_for("/frames/1", lambda: with_location("http://pacs.internal.example/x"))
    foreign = world.get(FRAME, world.north.token())

    assert own.headers["Content-Location"] == world.url + world.root + FRAME
    assert foreign.headers["Content-Location"] is None


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+xml",
        'multipart/related; type="application/dicom+xml"',
        "text/html",
        "application/xml",
        "application/dicom+json;q=0",
    ],
)
def test_xml_is_refused(world: World, accept: str) -> None:
    for path in (METADATA, "/studies", f"/studies/{STUDY_A}/series"):
        answer = world.get(path, world.north.token(), Accept=accept)

        assert (answer.status, answer.problem) == (406, "not-acceptable")
    assert world.pacs.asked == []


# Group 18: redirects and errors


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 304, 305])
def test_redirect_is_not_followed_with_the_archives_credential(world: World, status: int) -> None:
    target = f"{world.south.base}/stolen"
    world.pacs.answer = only_for("/metadata", lambda: Response(status=status, headers={"Location": target}))

    answer = world.get(METADATA, world.north.token())

    assert answer.status == 502
    assert answer.headers["Location"] is None
    assert world.south.asked == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, 502), (403, 502), (407, 502), (500, 502), (501, 502), (502, 502), (418, 502), (204, 502)]
    + [(status, status) for status in (400, 404, 406, 409, 410, 413, 416, 503, 504)]
    + [(429, 503)],
)
def test_archive_status_is_carried_or_explained_and_its_words_are_dropped(world: World, status: int, expected: int) -> None:
    """An archive's 401 is about our credential and must not make a browser ask for one."""
    headers = {
        "WWW-Authenticate": 'Basic realm="pacs"',
        "Server": "pacs.internal.example",
        "Set-Cookie": "a=b",
        "Retry-After": "17",
    }
    world.pacs.answer = only_for("/metadata", lambda: Response("stack trace of pacs.internal.example", status, headers))

    answer = world.get(METADATA, world.north.token())

    assert answer.status == expected
    assert b"pacs.internal" not in answer.body
    assert answer.headers["WWW-Authenticate"] is answer.headers["Set-Cookie"] is None
    assert "pacs.internal" not in str(answer.headers)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == ("17" if expected == 503 else None)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b"[1]", b"", b"[{", b"\xff\xfe", b"[" * 50_000],
    ids=["html", "object", "numbers", "empty", "cut", "bytes", "deep"],
)
def test_metadata_that_cannot_be_read_is_not_passed_on(world: World, body: bytes) -> None:
    world.pacs.answer = only_for("/metadata", lambda: Response(body, 200, content_type="application/dicom+json"))

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, answer.body) == (200, b"[]") if not body else answer.status == 502


def test_deeply_nested_data_set_is_refused(world: World) -> None:
    nested = '{"00081115":{"vr":"SQ","Value":[' * 400 + "{}" + "]}}" * 400
    own = json.dumps(world.pacs.instance(STUDY_A))[:-1]
    world.pacs.answer = only_for(
        "/metadata", lambda: Response(f"[{own},{nested[1:]}]", 200, content_type="application/dicom+json")
    )

    assert world.get(METADATA, world.north.token()).status in (200, 502)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; type=text/html; boundary=b0undary",
        "multipart/mixed; boundary=b0undary",
        "*/*",
        "image/*",
        'multipart/related; type="application/dicom"; boundary="a\\"b"',
        "text/html",
        "application/dicom+xml",
        "text/plain",
        "image/svg+xml",
        "application/javascript",
        "multipart/related",
        "",
        "x",
    ],
)
@pytest.mark.parametrize("path", [FRAME, f"{INSTANCE}/rendered", METADATA, BULK])
def test_answers_in_a_form_that_was_not_asked_for_are_not_passed_on(world: World, path: str, content_type: str) -> None:
    world.pacs.answer = lambda asked: (
        Response(b"<script>", 200, headers={"Content-Type": content_type}) if asked.path.endswith(path) else None
    )

    answer = world.get(path, world.north.token())

    assert answer.status == 502
    assert b"<script>" not in answer.body


# Group 19: body integrity


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("x-gzip", gzip.compress)],
    ids=["gzip", "deflate", "x-gzip"],
)
def test_body_that_is_compressed_all_the_same_arrives_whole(
    world: World, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    """M4: the archive's Content-Length no longer fits a decoded body."""
    plain = json.dumps([world.pacs.instance(STUDY_A, number) for number in (1, 2)]).encode()
    world.pacs.answer = only_for(
        "/metadata", lambda: Response(encode(plain), 200, {"Content-Encoding": encoding}, content_type="application/dicom+json")
    )
    metadata = world.get(METADATA, world.north.token())
    pixels = multipart([(b"p" * 1000, {})])
    world.pacs.answer = only_for(
        "/frames/1",
        lambda: Response(encode(pixels.data), 200, {"Content-Encoding": encoding}, content_type=pixels.content_type),
    )
    frame = world.get(FRAME, world.north.token())

    assert len(metadata.json()) == 2
    assert frame.body.count(b"p" * 1000) == 1
    assert metadata.headers["Content-Encoding"] is frame.headers["Content-Encoding"] is None
    assert {one.headers["Accept-Encoding"] for one in world.pacs.asked} == {"identity"}


def test_unknown_encoding_is_refused(world: World) -> None:
    world.pacs.answer = only_for(
        "/metadata", lambda: Response(b"\x00", 200, {"Content-Encoding": "zstd"}, content_type="application/dicom+json")
    )

    assert world.get(METADATA, world.north.token()).status == 502


@pytest.mark.parametrize(
    "cut", [b"--b0undary\r\nContent-Type: a/b\r\n\r\npixels", b"no boundary at all", b"--b0undary\r\nX: " + b"y" * 20_000]
)
def test_multipart_that_is_cut_or_none_is_not_passed_on_as_whole(world: World, cut: bytes) -> None:
    content_type = 'multipart/related; type="application/octet-stream"; boundary=b0undary'
    world.pacs.answer = only_for("/frames/1", lambda: Response(cut, 200, content_type=content_type))

    assert world.get(FRAME, world.north.token()).status == 502


def cut_after(size: int) -> Response:
    """A body that ends before its Content-Length."""
    response = Response(iter([b"p" * size]), 200, content_type="application/octet-stream")
    response.headers["Content-Length"] = str(SMALL_BODY * 40)
    return response


def test_archive_that_breaks_off_at_once_is_explained(world: World) -> None:
    world.pacs.answer = only_for("/7FE00010", lambda: cut_after(SMALL_BODY))

    assert world.get(BULK, world.north.token()).status == 502


def test_streamed_body_that_breaks_off_is_seen_to_break_off(world: World) -> None:
    """A wrong Content-Length or a lost connection must not look like the end."""
    world.pacs.answer = only_for("/7FE00010", lambda: cut_after(SMALL_BODY * 20))

    with pytest.raises((http.client.IncompleteRead, http.client.HTTPException, ConnectionError)):
        world.get(BULK, world.north.token())


def test_large_body_is_streamed_and_arrives_byte_for_byte(world: World) -> None:
    content = bytes(range(256)) * 40_000
    world.pacs.answer = only_for("/7FE00010", lambda: Response(content, 200, content_type="application/octet-stream"))

    answer = world.get(BULK, world.north.token())

    assert answer.body == content
    assert answer.headers["Content-Length"] == str(len(content))


def test_caller_who_goes_away_frees_the_archives_connection(world: World) -> None:
    gone = threading.Event()

    def endless() -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield b"p" * 65536
            finally:
                gone.set()

        return Response(pieces(), 200, content_type="application/octet-stream")

    world.pacs.answer = only_for("/7FE00010", endless)
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=10)
    connection.request("GET", world.root + BULK, headers={"Authorization": f"Bearer {world.north.token()}"})
    response = connection.getresponse()
    response.read(1000)
    response.close()
    connection.close()

    assert gone.wait(10)


def test_archive_that_does_not_answer_in_time_is_504(world: World) -> None:
    def slow() -> Response:
        time.sleep(2.6)
        return dicom_json([])

    world.pacs.answer = only_for("/metadata", slow)

    assert world.get(METADATA, world.north.token()).status == 504


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
