"""What ``imaging-cds check --imaging`` makes of servers that are slow, packed, behind TLS, or answer rubbish."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from flask import Flask, Response, request

from imaging_cds.check_gateway import REQUIREMENTS, check_server
from imaging_cds.check_gateway_probe import SLOW_IN_A_ROW, Probe, Question, Reply
from imaging_cds.check_gateway_report import NotTried, Verdict, hidden
from imaging_cds.check_gateway_subject import Subject, TokenKind, altered, claims_of, forgeries, unsigned
from tests.conftest import free_port_number, serving
from tests.contract.test_smart_certificates import an_authority, served
from tests.faulty_tokens import KEY, a_token, jwt


@contextmanager
def answering(answer: Callable[[], Response]) -> Iterator[str]:
    app = Flask("answering", static_folder=None)
    app.before_request(answer)
    with serving(app, free_port_number()) as base:
        yield base


def ask(base: str, **more: object) -> Reply:
    probe = Probe([base])
    try:
        return probe.ask(Question(url=f"{base}/x", **more))  # type: ignore[arg-type]
    finally:
        probe.close()


def test_a_certificate_authority_of_the_site_counts_where_it_is_named(tmp_path: Path) -> None:
    hospital = an_authority(tmp_path)

    with served(hospital) as base:
        trusting, strange = Probe([base], authority=hospital.authority), Probe([base])
        reached = trusting.ask(Question(url=f"{base}/fhir/metadata"))
        refused = strange.ask(Question(url=f"{base}/fhir/metadata", token="t"))
        trusting.close()
        strange.close()

    assert reached.status == 200
    assert refused.said == "its TLS certificate or protocol is not accepted"


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_is_asked_again_unchanged_until_patience_ends(status: int) -> None:
    """C7."""
    waited: list[float] = []
    with answering(lambda: Response(status=status, headers={"Retry-After": "25"})) as base:
        probe = Probe([base], sleep=waited.append)
        first = probe.ask(Question(url=f"{base}/x"))
        probe.close()

    assert (first.status, waited) == (status, [25, 25])
    assert len(probe.replies) == 3


@pytest.mark.parametrize("wait", ["0.5", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "³", "9999", "9" * 5000])
def test_an_odd_or_endless_wait_is_not_waited_for(wait: str) -> None:
    with answering(lambda: Response(status=503, headers={"Retry-After": wait})) as base:
        assert ask(base).status == 503


def test_packed_answers_are_unpacked_and_cut_ones_are_none() -> None:
    packed = gzip.compress(b"[1]")
    with answering(lambda: Response(packed, headers={"Content-Encoding": "gzip"})) as base:
        assert ask(base).json() == [1]
    with answering(lambda: Response(packed[:-9], headers={"Content-Encoding": "gzip"})) as base:
        assert ask(base).json() is None
    with answering(lambda: Response(b"[1]", headers={"Content-Encoding": "gzip"})) as base:
        assert ask(base).json() is None
    with answering(lambda: Response(b"[1]", headers={"Content-Encoding": "br"})) as base:
        assert ask(base).json() is None


def test_a_body_is_read_to_its_limit_only() -> None:
    with answering(lambda: Response(b"x" * 200_000)) as base:
        assert len(ask(base, limit=1000).body) == 1000
        assert not ask(base, limit=1000).is_whole
        assert ask(base).is_whole


def test_a_body_that_is_shorter_than_it_says_is_not_whole() -> None:
    """M4."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1]")

        thread = threading.Thread(target=answer)
        thread.start()
        reply = ask(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()

    assert (reply.status, reply.is_whole, reply.json()) == (200, False, None)


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_a_server_that_drips_holds_the_check_no_longer_than_an_answer_may_take(beginning: bytes) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(beginning)
                while not ended.wait(0.1):
                    connection.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        probe, begun = Probe([base], timeout_s=5, answer_s=0.5), time.monotonic()
        reply = probe.ask(Question(url=f"{base}/x"))
        took = time.monotonic() - begun
        ended.set()
        probe.close()
        thread.join()

    assert (reply.json(), reply.is_whole) == (None, False)
    assert took < 4


def test_a_server_that_answers_nothing_has_less_and_less_time_until_it_does() -> None:
    """Thirty seconds for each of forty questions would be twenty minutes."""
    answers = threading.Event()

    def ask(listening: socket.socket) -> None:
        with suppress(OSError), ExitStack() as held:
            while True:
                connection = held.enter_context(listening.accept()[0])
                if answers.is_set():
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=ask, args=(listening,), daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        probe = Probe([base], timeout_s=1)
        failures = [probe.ask(Question(url=f"{base}/x")).failure for _ in range(SLOW_IN_A_ROW + 1)]
        answers.set()
        in_time = next(reply for _ in range(50) if (reply := probe.ask(Question(url=f"{base}/x"))).status == 204)
        answers.clear()
        again = probe.ask(Question(url=f"{base}/x")).failure
        listening.shutdown(socket.SHUT_RDWR)
        probe.close()
        thread.join(10)

    assert failures[:SLOW_IN_A_ROW] == ["no answer within 1 s"] * SLOW_IN_A_ROW
    assert failures[SLOW_IN_A_ROW] == "no answer within 0.1 s, nor to 3 questions before it that had longer"
    assert (in_time.failure, again) == (None, "no answer within 1 s")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'[[], 1, null, {"0020000D": 7, "0020000E": {"Value": [null]}, "00080018": {"Value": {}}}]',
        b'{"resourceType": "Bundle"}',
        b'{"resourceType": "Bundle", "entry": {}, "link": [1], "total": "many"}',
        b'{"resourceType": "Bundle", "entry": [1, null, {"resource": [], "search": "x", "fullUrl": 3}], "link": {}}',
        b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "ImagingStudy", "identifier": [{"system": '
        b'"urn:dicom:uid", "value": "urn:oid:1.2"}], "subject": 1, "modality": {}, "endpoint": [{"reference": "#a"}], '
        b'"series": [[]], "contained": [{"resourceType": "Endpoint", "id": "a", "status": [], "connectionType": {"code": '
        b'"dicom-wado-rs"}, "address": "HERE/d"}]}}], "link": [{"relation": "next", "url": "http://[::1"}]}',
        b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Endpoint", "connectionType": {"code": '
        b'"dicom-wado-rs"}, "address": "http://[/"}}, {"resource": {"resourceType": "ImagingStudy", "identifier": [{"system": '
        b'"urn:dicom:uid", "value": "urn:oid:1.2"}]}}]}',
        b"[" * 5000,
        b"\xff\xfe",
        b"--\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "kind", ["application/fhir+json", "application/dicom+json", "multipart/related", "multipart/related; boundary=\u00e9"]
)
def test_rubbish_is_told_of_row_by_row(body: bytes, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "werkzeug")

    def answer() -> Response:
        here = request.url_root.rstrip("/").encode()
        return Response(body.replace(b"HERE", here), content_type=kind)

    with answering(answer) as base:
        probe = Probe([base])
        report = check_server(Subject(base=base, tokens={TokenKind.GOOD: a_token()}, patient="pat-a"), probe)
        probe.close()

    assert len(report.rows) == len(REQUIREMENTS)
    assert report.of(Verdict.FAULT)
    assert json.dumps(report.as_json())


def test_an_altered_token_differs_in_one_claim_and_keeps_its_signature() -> None:
    token = a_token()

    bent = altered(token)

    assert {**(claims_of(token) or {}), "jti": "imaging-cds-check"} == claims_of(bent)
    assert bent.rpartition(".")[2] == token.rpartition(".")[2]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(bent, KEY, algorithms=["HS256"], options={"verify_aud": False})


OTHER_KINDS = ["opaque-token-A", "opaque-token-B", "a.b.c", "v4.public.eyJzdWIiOiJ1c2VyLTEifQ.Zm9vdGVy", "e.e.e.ciphertext.t"]


@pytest.mark.parametrize("token", OTHER_KINDS)
def test_a_token_of_another_kind_is_altered_in_its_middle_and_has_no_signature_to_leave_out(token: str) -> None:
    """The last character of base64url may hold bits that count for nothing: such a token would rightly be taken."""
    bent = altered(token)
    places = [place for place, (old, new) in enumerate(zip(token, bent, strict=True)) if old != new]

    assert len(places) == 1
    assert places[0] < len(token) - 1 or len(token) <= len("a.b.c")
    with pytest.raises(NotTried):
        unsigned(token)


@pytest.mark.parametrize("token", [*OTHER_KINDS, a_token()])
def test_every_kind_of_token_has_forgeries_and_none_is_the_token_itself(token: str) -> None:
    """W3, M9: PASETO-like and other signed tokens that are no JWTs too."""
    forged = forgeries(token)

    assert len(forged) >= 2
    assert token not in forged.values()


def test_a_jwts_signature_is_changed_where_it_counts() -> None:
    bent = forgeries(a_token())["with a changed signature"]

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(bent, KEY, algorithms=["HS256"], options={"verify_aud": False})


def test_what_a_server_says_is_shown_without_secrets_and_control_characters() -> None:
    assert hidden("a\x1b[31m Bearer SECRET-token-1 b", ["secret-token-1"]) == "a?[31m Bearer (token) b"
    assert hidden("?t=a%2fb%2Bopaque%3d%3D at t", ["a/b+opaque=="]) == "?t=(token) at t"
    assert len(hidden("x" * 5000, [])) < 700
