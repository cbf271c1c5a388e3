"""A FHIR server that answers, but not with what was asked for: required data is 412, the rest is named (R19)."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from flask import Flask, Response

from cds_service.fetching import fetch
from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_bundle, a_cds_service, a_hook, a_lung_rads, a_patient, a_store, a_study

ERROR = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing", "diagnostics": "secret"}]}
WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}


def with_outcome(outcome: dict[str, Any], *resources: dict[str, Any]) -> dict[str, Any]:
    bundle = a_bundle(*resources)
    return bundle | {"entry": [*bundle["entry"], {"resource": outcome, "search": {"mode": "outcome"}}]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def answers() -> dict[str, Any]:
    """What the server answers, by the path of the request; statuses as numbers."""
    return {"Patient/p": a_patient(), "Observation": a_bundle(a_lung_rads("3")), "ImagingStudy": a_bundle(a_study())}


@pytest.fixture
def ask(
    store: Store, tmp_path: Path, serve: Callable[[Flask, int], str], free_port: int, answers: dict[str, Any]
) -> Callable[..., Any]:
    app = Flask("fhir")

    @app.get("/fhir/<path:path>")
    def answer(path: str) -> Response:
        found = answers.get(path, a_bundle())
        return (
            Response(status=found) if isinstance(found, int) else Response(json.dumps(found), mimetype="application/fhir+json")
        )

    base = f"{serve(app, free_port)}/fhir"
    # Nobody waits for a budget here: every answer comes at once, or as soon as a full machine lets it.
    budgets = {"soft_budget_ms": 10_000, "hard_budget_ms": 10_000}
    cds: CdsActor = a_cds_service(store, tmp_path, trust={"fhir_servers": (base,)}, **budgets)
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "imaging-cds"}

    def call(service: str = "imaging-findings", **members: Any) -> Any:
        return cds.call(a_hook(fhirServer=base, fhirAuthorization=grant | {"patient": "p"}, **members), service)

    return call


@pytest.mark.parametrize(
    ("patient", "reason"),
    [
        (404, "The FHIR server does not hold it"),
        (a_bundle(a_patient()), "The FHIR server answered with something else"),
        ({"resourceType": "OperationOutcome"}, "The FHIR server answered with something else"),
        (a_patient("zzz"), "The FHIR server answered with another Patient than was asked for"),
        ({"resourceType": "Patient"}, "The FHIR server answered with another Patient than was asked for"),
    ],
    ids=["not found", "a Bundle", "an outcome", "another patient", "nobody in particular"],
)
def test_r19_a_patient_that_cannot_be_read_is_412_with_its_reason(
    ask: Callable[[], Any], answers: dict[str, Any], patient: object, reason: str
) -> None:
    answers["Patient/p"] = patient

    response = ask()

    assert response.status_code == 412
    assert f"patient: {reason}" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("changed", "available"),
    [({}, True), ({"subject": {"reference": "Patient/zzz"}}, False), ({"id": "other"}, False), ({"id": None}, False)],
    ids=["the context's", "another patient's", "another one", "without id"],
)
def test_r18_r19_another_encounter_than_was_asked_for_is_not_available(
    ask: Callable[..., Any], answers: dict[str, Any], changed: dict[str, Any], available: bool
) -> None:
    stay = {"resourceType": "Encounter", "id": "e", "status": "in-progress", "subject": {"reference": "Patient/p"}}
    film = a_study(encounter={"reference": "Encounter/e"}, started="2026-11-20T08:00:00Z")
    answers |= {"Encounter/e": stay | {"period": {"start": "2026-11-18"}} | changed, "ImagingStudy": a_bundle(film)}
    context = {"userId": "Practitioner/gp", "patientId": "p", "encounterId": "e"}

    response = ask("imaging-discharge", hook="encounter-discharge", context=context)

    assert response.status_code == 200
    details = [card["detail"] for card in response.get_json()["cards"]]
    assert any("No report" in card["summary"] for card in response.get_json()["cards"])
    assert any("**Not available:** the dates of the encounter" in detail for detail in details) is not available, details


def test_r19_an_error_among_the_matches_makes_a_part_of_them(ask: Callable[[], Any], answers: dict[str, Any]) -> None:
    answers["ImagingStudy"] = with_outcome(ERROR, a_study())

    (card,) = ask().get_json()["cards"]

    assert "**Only a part came:** imaging studies." in card["detail"]
    assert "secret" not in card["detail"]


def test_r19_a_warning_among_the_matches_takes_nothing_away(ask: Callable[[], Any], answers: dict[str, Any]) -> None:
    answers["ImagingStudy"] = with_outcome(WARNING, a_study())

    (card,) = ask().get_json()["cards"]

    assert "Only a part came" not in card["detail"]


@pytest.mark.parametrize("link", ["http://[", "javascript:1", "http://h:port/"])
def test_r19_a_paging_link_that_is_no_address_keeps_the_first_page_and_is_never_taken_for_the_end(
    ask: Callable[[], Any], answers: dict[str, Any], link: str
) -> None:
    answers["ImagingStudy"] = a_bundle(a_study(), next_url=link)

    response = ask()

    assert response.status_code == 200
    lines = response.get_json()["cards"][0]["detail"].split("\n\n")
    assert "**Only a part came:** imaging studies." in lines
    assert not any(line.startswith("**Not available:**") for line in lines)


# --- a server that drips: a byte every fifth of a second, for as long as somebody reads (R22)

PROMISED = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n"
HEADERS = b"HTTP/1.1 200 OK\r\nX-Long: "
DRIPS = 300
"""A minute of them: far beyond every budget, so that a full machine's delays are told from reading on."""
SOFT_S = 0.4
LONG_S = 12.0
"""The hard budget where only optional data drips: whoever reads on until then is told from one who is late."""
LATE_S = 6.0
"""How late an answer may be on a full machine, and still be seen to have waited for neither the hard budget nor the server."""


class Dripping(socketserver.ThreadingTCPServer):
    """Says ``first`` and then drips to whoever asks for one of ``types``; everybody else has a true answer at once."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    first = PROMISED
    types: tuple[str, ...] = ()
    answers: dict[str, Any]


class _Drip(socketserver.StreamRequestHandler):
    server: Dripping

    def handle(self) -> None:
        asked = self.rfile.readline().decode().split(" ")[1].partition("?")[0].removeprefix("/fhir/")
        while self.rfile.readline().strip():
            pass
        if asked not in self.server.types:
            body = json.dumps(self.server.answers.get(asked, a_bundle())).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        try:
            self.wfile.write(self.server.first)
            for _ in range(DRIPS):
                self.wfile.write(b" ")
                time.sleep(0.2)
        except OSError:
            pass  # whoever asked has gone, as he should


@pytest.fixture
def dripping(free_port: int, answers: dict[str, Any]) -> Iterator[Dripping]:
    with Dripping(("127.0.0.1", free_port), _Drip) as server:
        server.answers = answers
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


OPTIONAL = ("ImagingStudy", "DiagnosticReport", "ServiceRequest", "Condition", "Communication")


@pytest.fixture
def ask_dripping(store: Store, tmp_path: Path, dripping: Dripping, hard_s: float) -> Callable[[], Any]:
    base = f"http://127.0.0.1:{dripping.server_address[1]}/fhir"
    budgets = {"soft_budget_ms": int(SOFT_S * 1000), "hard_budget_ms": int(hard_s * 1000)}
    cds = a_cds_service(store, tmp_path, trust={"fhir_servers": (base,)}, **budgets)
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "imaging-cds"}
    return lambda: cds.call(a_hook(fhirServer=base, fhirAuthorization=grant | {"patient": "p"}))


def asking() -> int:
    """How many threads are inside a question just now."""
    frames = sys._current_frames()
    kept = [one.ident for one in threading.enumerate() if one.name.startswith("gather")]
    return sum(1 for ident in kept if ident in frames and _is_in_fetch(frames[ident]))


def nobody_asks_by(deadline: float) -> bool:
    """Whether all questions end before that moment of the monotonic clock."""
    while asking() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not asking()


def _is_in_fetch(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is fetch.__code__:
            return True
        frame = frame.f_back
    return False


@pytest.mark.parametrize("hard_s", [LONG_S])
@pytest.mark.parametrize("first", [PROMISED, CHUNKED, HEADERS, BUSY], ids=["body", "chunk", "headers", "busy"])
def test_r22_a_dripping_server_holds_no_thread_beyond_the_budget(
    ask_dripping: Callable[[], Any], dripping: Dripping, first: bytes
) -> None:
    dripping.first, dripping.types = first, OPTIONAL
    began = time.monotonic()
    with ThreadPoolExecutor(6) as callers:
        answers = [callers.submit(ask_dripping) for _ in range(6)]
        while not (asked := asking()) and not all(answer.done() for answer in answers):
            time.sleep(0.01)
        statuses = {answer.result().status_code for answer in answers}

    assert asked, "a question is seen while it is asked"
    assert statuses == {200}
    assert time.monotonic() - began < LATE_S, "each has its cards after the soft budget"
    assert nobody_asks_by(began + LATE_S), "nobody reads on after the soft budget, long before the hard one"

    dripping.types = ()
    # A full machine may be late once; threads that were held would be missed every time.
    assert any("Not available" not in card["detail"] for _ in range(5) for (card,) in [ask_dripping().get_json()["cards"]])


@pytest.mark.parametrize("hard_s", [2.5])
def test_r22_required_data_that_drips_is_412_at_the_hard_budget(ask_dripping: Callable[[], Any], dripping: Dripping) -> None:
    dripping.types = ("Observation",)
    began = time.monotonic()

    response = ask_dripping()

    assert response.status_code == 412
    assert "findings: " in response.get_data(as_text=True)
    assert 2.0 < time.monotonic() - began < 2.5 + LATE_S
    assert nobody_asks_by(began + 2.5 + LATE_S)
