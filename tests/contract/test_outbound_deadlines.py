"""Every question to another server has one time, to the last byte of its answer (SMART Imaging Access groups 6 and 23)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests
from flask import Flask, Response, jsonify, request

from fhir_imaging.clients.deadlines import within
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession, ran_out_of_time
from fhir_imaging.errors import UpstreamTimeout
from tests.conftest import free_port_number, serving

TIMEOUT_S = 1.0
AT_ONCE_S = 10.0
"""Far less than what drips takes, and far more than a busy machine needs."""
Ask = Callable[[OutboundSession, str], object]


class Server:
    """Drips below ``/drips``, and a large Bundle below ``/fhir/drip``; falls silent within an answer below ``/fhir/silence``.

    Each page below ``/fhir`` takes 0.2 s and has another one behind it.
    """

    def __init__(self, base: str, app: Flask) -> None:
        self.base = base
        self.asked: list[str] = []
        app.before_request(lambda: self.asked.append(request.path))
        app.add_url_rule(
            "/drips", "drips", view_func=lambda: Response(dripping(), mimetype="text/plain"), methods=["GET", "POST"]
        )
        app.add_url_rule("/at-once", "at-once", lambda: "here")
        app.add_url_rule("/fhir/<kind>", view_func=self._page)
        app.add_url_rule("/fhir/drip/<kind>", "drip", lambda kind: Response(in_parts(0.15), mimetype="application/json"))
        app.add_url_rule("/fhir/silence/<kind>", "silence", lambda kind: Response(in_parts(3.0), mimetype="application/json"))

    def _page(self, kind: str) -> Response:
        time.sleep(0.2)
        link = [{"relation": "next", "url": f"{self.base}/fhir/{kind}?page={len(self.asked)}"}]
        return jsonify({"resourceType": "Bundle", "type": "searchset", "link": link})


def dripping() -> Iterator[bytes]:
    """Twenty seconds, never silent for as long as one read may take."""
    for _ in range(200):
        time.sleep(0.1)
        yield b" "


def in_parts(silence_s: float) -> Iterator[bytes]:
    """A Bundle in twelve parts."""
    for _ in range(11):
        yield b" "
        time.sleep(silence_s)
    yield b'{"resourceType": "Bundle", "type": "searchset"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    app, port = Flask("slow"), free_port_number()
    made = Server(f"http://127.0.0.1:{port}", app)
    with serving(app, port):
        yield made


@pytest.fixture
def session(server: Server) -> Iterator[OutboundSession]:
    with OutboundSession([server.base], timeout_s=TIMEOUT_S, retries=0) as made:
        yield made


def streamed(ask: Callable[[OutboundSession, str], requests.Response]) -> Ask:
    """Read after the question, as our clients do."""

    def read(session: OutboundSession, url: str) -> None:
        with ask(session, url) as response, pytest.raises(requests.ConnectionError) as broken:
            _ = response.content
        assert ran_out_of_time(broken.value)
        raise UpstreamTimeout("In the words of whoever reads.", server=url)

    return read


@pytest.mark.parametrize(
    "ask",
    [
        streamed(lambda session, url: session.ask(url, headers={})),
        streamed(lambda session, url: session.ask(url + "?a%41", headers={})),
        streamed(lambda session, url: session.get(url, stream=True)),
        streamed(lambda session, url: session.post(url, data={"token": "t"}, stream=True)),
        streamed(lambda session, url: session.request("POST", url, timeout=TIMEOUT_S, stream=True)),
        lambda session, url: session.post(url, data={"token": "t"}),
        lambda session, url: session.get(url),
    ],
    ids=["ask", "ask-odd", "get-streamed", "post-streamed", "own-timeout", "post", "get"],
)
def test_what_drips_is_given_up_at_its_time(server: Server, session: OutboundSession, ask: Ask) -> None:
    """A socket's own time limit begins anew with every byte."""
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        ask(session, f"{server.base}/drips")

    assert time.monotonic() - began < AT_ONCE_S


def test_questions_share_one_time(server: Server) -> None:
    with OutboundSession([server.base], timeout_s=30) as session:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout), within(0.7):
            list(FhirClient(f"{server.base}/fhir", session).pages("ImagingStudy", []))

    assert time.monotonic() - began < AT_ONCE_S


def test_the_shorter_time_holds(server: Server) -> None:
    began = time.monotonic()
    with OutboundSession([server.base], timeout_s=30) as session, pytest.raises(UpstreamTimeout), within(0.3), within(30):
        session.get(f"{server.base}/drips")

    assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("query", [(), (("patient", "a b"),)], ids=["plain", "quoted"])
@pytest.mark.parametrize("kind", ["ImagingStudy", "Imaging%53tudy"])
def test_an_answer_may_take_longer_than_its_server_may_be_silent(
    server: Server, session: OutboundSession, query: tuple[tuple[str, str], ...], kind: str
) -> None:
    """More than a second of small parts, where a silence of one is too long. Two ways lead to a server: ``session.ask``."""
    client = FhirClient(f"{server.base}/fhir/drip", session, answer_s=30)

    assert client.search(kind, query).matches == ()
    with pytest.raises(UpstreamTimeout):
        client.search(kind, query, timeout_s=TIMEOUT_S)


def test_nobody_waits_for_the_deadline_of_a_server_that_has_fallen_silent(server: Server, session: OutboundSession) -> None:
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        FhirClient(f"{server.base}/fhir/silence", session, answer_s=30).search("ImagingStudy", [])

    assert time.monotonic() - began < AT_ONCE_S


def test_a_server_is_not_asked_when_no_time_is_left(server: Server, session: OutboundSession) -> None:
    asked = len(server.asked)
    with within(0):
        for ask in (session.get, lambda url: session.ask(url, headers={})):
            with pytest.raises(UpstreamTimeout, match="no time left"):
                ask(f"{server.base}/at-once")

    assert len(server.asked) == asked


def test_a_time_ends_with_its_block(server: Server, session: OutboundSession) -> None:
    """And the connection that was used in it is good for the next question."""
    with within(0.3):
        assert session.get(f"{server.base}/at-once").text == "here"
    time.sleep(0.4)

    assert session.get(f"{server.base}/at-once").text == "here"
