"""What nginx makes of an archive's answers: its pages, headers and redirects stay behind (groups 17, 18, 20 and 21)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Response

from fhir_imaging.clients.breaker import BreakerSettings
from imaging_cds.nginx_plan import Mode
from tests.nginx_actors import OCTETS, Front, a_front
from tests.security.gateway_actors import VIEWER_ORIGIN
from tests.security.gateway_stubs import FRAME, INSTANCE, PRIOR_A, STUDY_A, STUDY_B, multipart, only_for

ALLOWED = {
    *("server", "date", "transfer-encoding", "content-length", "connection", "keep-alive", "content-type", "cache-control"),
    *("content-security-policy", "x-content-type-options", "referrer-policy", "vary", "x-request-id", "x-accel-buffering"),
    *("access-control-allow-origin", "access-control-expose-headers"),
}

TOLD = 'multipart/related; type="application/octet-stream"; boundary="a-b"'
OTHER_ORDERS = (
    'multipart/related;start="<1@resteasy-multipart>";type="application/octet-stream"; boundary=a-b',
    'multipart/related; type="application/octet-stream";  boundary=a-b',
    'multipart/related ; type="application/octet-stream"; boundary=a-b',
    'multipart/related; type="application/octet-stream"; boundary=a-b; charset=utf-8',
    'Multipart/Related; start="; boundary=x"; Boundary="a-b"; Type=application/octet-stream',
)
WITH_SYNTAX = (
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1; boundary=a-b',
    'multipart/related; boundary=a-b; transfer-syntax="1.2.840.10008.1.2.1"; type="application/octet-stream"',
)


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param, archive={"headers": {"X-Tenant": 'a$b "c"\\d'}}) as front:
        yield front


@pytest.fixture
def front(running: Front) -> Front:
    running.world.start_anew()
    return running


@pytest.mark.parametrize("status", [204, 301, 302, 304, 307, 400, 401, 403, 404, 406, 410, 413, 429, 500, 502, 503, 504])
def test_any_other_status_of_the_archive_is_worded_by_the_application(front: Front, status: int) -> None:
    """Group 18: no page, header, redirect or challenge of the archive goes down, and its redirects lead nowhere."""

    def refusal() -> Response:
        bad = {"Location": "http://evil.example/", "WWW-Authenticate": 'Basic realm="pacs.internal"', "Retry-After": "7"}
        return Response(b"" if status in (204, 304) else b"pacs.internal.example says no", status, bad)

    front.world.pacs.answer = only_for("/frames/1", refusal)
    token = front.world.north.token()

    through = front.world.get(FRAME, token, Accept=OCTETS)
    past = front.past_nginx().get(FRAME, token, Accept=OCTETS)

    assert b"internal" not in through.body
    assert through.headers["Location"] is None
    assert through.headers["WWW-Authenticate"] is None, "nobody may be asked for the archive's password"
    assert through.headers.get_all("Cache-Control") == past.headers.get_all("Cache-Control")
    if status != 204:
        assert through.status == past.status
        assert through.problem == past.problem
        assert through.headers["Retry-After"] == past.headers["Retry-After"]


def test_archives_headers_stay_behind(front: Front) -> None:
    """Groups 18, 20 and 21; neither can the archive tell nginx what to do."""
    bad = {
        "Server": "pacs.internal",
        "Set-Cookie": "session=archive",
        "X-Accel-Redirect": f"/_handed/main{FRAME.replace(STUDY_A, STUDY_B)}",
        "X-Accel-Expires": "600",
        "X-Accel-Charset": "koi8-r",
        "X-Accel-Limit-Rate": "1",
        "Cache-Control": "public, max-age=600",
        "Expires": "Fri, 01 Jan 2038 00:00:00 GMT",
        "ETag": '"1"',
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "Link": "<http://pacs.internal>; rel=x",
        "Content-Location": "http://pacs.internal/",
        "Content-Disposition": "attachment; filename=doe^john.dcm",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Credentials": "true",
        "Strict-Transport-Security": "max-age=0",
        "X-Powered-By": "archive",
        "X-Request-Id": "archives-own-number",
        "Via": "1.1 pacs.internal",
        "Warning": '299 pacs.internal "words"',
    }

    def with_headers() -> Response:
        answer = multipart([(b"pixels", {})])
        answer.headers.extend(bad)
        return answer

    front.world.pacs.answer = only_for("/frames/1", with_headers)

    answer = front.world.get(FRAME, front.world.north.token(), Accept=OCTETS, Origin=VIEWER_ORIGIN)

    assert (answer.status, b"pixels" in answer.body) == (200, True)
    assert {name.lower() for name in answer.headers} <= ALLOWED
    assert not [value for value in answer.headers.values() if "internal" in value or "archive" in value]
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert answer.headers.get_all("Cache-Control") == ["private, no-store"]


def test_each_of_several_frames_names_the_gateways_address(front: Front) -> None:
    """Group 17: the archive writes its own into the headers of each part."""
    path, root = f"{INSTANCE}/frames/1,2,3", front.world.pacs.root
    parts = [(b"pixels", {"Content-Location": f"{root}{INSTANCE}/frames/{number}"}) for number in (1, 2, 3)]
    front.world.pacs.answer = only_for("/frames/1,2,3", lambda: multipart(parts))

    answer = front.world.get(path, front.world.north.token(), Accept=OCTETS)

    assert answer.body.count(f"{front.world.root}{INSTANCE}/frames/".encode()) == 3
    assert front.world.pacs.base.encode() not in answer.body


def test_pixels_of_a_frame_pass_as_they_are(front: Front) -> None:
    """Even where they look like words of the archive: what it says of the one part stands before it."""
    location = f"Content-Location: {front.world.pacs.root}{INSTANCE}/frames/1"
    pixels = b"pixels \r\n" + location.encode() + b"\r\n more pixels"
    part = (pixels, dict([location.split(": ", 1)]))
    front.world.pacs.answer = only_for("/frames/1", lambda: multipart([part]))

    answer = front.world.get(FRAME, front.world.north.token(), Accept=OCTETS)

    head, _, body = answer.body.partition(b"\r\n\r\n")
    assert f"{front.world.root}{INSTANCE}/frames/1".encode() in head
    assert front.world.pacs.base.encode() not in head
    assert body.startswith(pixels)


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/xhtml+xml", 'multipart/related; type="text/html"; boundary=b']
)
def test_form_that_was_not_asked_for_is_but_bytes(front: Front, content_type: str) -> None:
    """The application refuses it (502); nginx cannot, so no browser may take it for a page."""
    front.world.pacs.answer = only_for("/frames/1", lambda: Response(b"<script>", content_type=content_type))

    answer = front.world.get(FRAME, front.world.north.token(), Accept=OCTETS)

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            'multipart/related; type="application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"; boundary=a-b',
            'multipart/related; type="application/octet-stream"; boundary="a-b"',
        ),
        (
            "multipart/related;boundary=a-b;type=application/octet-stream",
            'multipart/related; type="application/octet-stream"; boundary="a-b"',
        ),
        *((written, 'multipart/related; type="application/octet-stream"; boundary="a-b"') for written in OTHER_ORDERS),
        *((written, f"{TOLD}; transfer-syntax=1.2.840.10008.1.2.1") for written in WITH_SYNTAX),
        ("multipart/related; boundary=a-b", 'multipart/related; boundary="a-b"'),
        ('multipart/related; type="image/jp2"; boundary="a-b c"', 'multipart/related; type="image/jp2"; boundary="a-b c"'),
        ('image/jp2; name="x.jp2"', "image/jp2"),
        ('multipart/related; start="; boundary=x"; type="text/html"; boundary=a-b', "application/octet-stream"),
        ('multipart/related; type="application/octet-stream"', "application/octet-stream"),
        ("image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ],
)
def test_forms_of_real_archives_are_told_plainly(front: Front, written: str, told: str) -> None:
    """Orthanc quotes the transfer syntax within the type, dcm4chee names a start before it; the rest stays behind."""
    front.world.pacs.answer = only_for("/frames/1", lambda: Response(b"--a-b\r\n\r\nx\r\n--a-b--", content_type=written))

    assert front.world.get(FRAME, front.world.north.token(), Accept=OCTETS).headers["Content-Type"] == told


def test_slow_archive_is_given_up_in_the_applications_words(front: Front) -> None:

    def late() -> Response:
        time.sleep(2.6)
        return multipart([(b"late", {})])

    front.world.pacs.answer = only_for("/frames/1", late)

    before = len(front.world.pacs.retrievals())
    answer = front.world.get(FRAME, front.world.north.token(), Accept=OCTETS)
    asked = len(front.world.pacs.retrievals()) - before

    assert (answer.status, answer.problem) == (504, "upstream-timeout")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get_all("Cache-Control") == ["private, no-store"]
    assert asked == 1, "the caller waits for the same object once more"
    assert (answer.headers["X-Request-Id"] or "-") in answer.body.decode()


def test_archive_that_is_out_of_order_is_left_alone_by_nginx_too(tmp_path: Path) -> None:
    """Group 23: while the application's breaker is open, nobody is directed to the archive."""
    with a_front(tmp_path, Mode.ACCEL, server={"breaker": BreakerSettings(outages=2, cool_down_s=60)}) as front:
        token, pacs = front.world.north.token(), front.world.pacs
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        pacs.answer = lambda _: Response("no", 502)
        for study in (STUDY_A, PRIOR_A):
            front.past_nginx().get(FRAME.replace(STUDY_A, study), token, Accept=OCTETS)
        pacs.answer = lambda _: None
        pacs.asked.clear()

        answer = front.world.get(FRAME, token, Accept=OCTETS)

        assert (answer.status, bool(answer.headers["Retry-After"])) == (503, True)
        assert pacs.asked == []
