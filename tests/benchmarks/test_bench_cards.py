"""Cards: latency and throughput beside a static answer from the same server, and where the time goes (STYLE 35)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cds_service.cards import CardContext
from cds_service.evaluate import SERVICES, cards_for
from cds_service.protocol import parse_request
from cds_service.runtime import CdsServices
from cds_service.settings import CdsSettings, TrustedCdsClient
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.benchmarks.load import Client, Request, Timing, drive, timed
from tests.benchmarks.report import Report
from tests.benchmarks.stack import CALLER, PATIENT, Stack
from tests.cds_actors import a_bundle, a_hook, a_store

SERVICE = "imaging-findings"
PATH = f"/cds-services/{SERVICE}"
BODY_BYTES = 62_000
SECONDS = 3.0
SIGNED = 1500
SCOPE = "patient/*.rs"


@pytest.fixture(scope="module")
def body(stack: Stack) -> bytes:
    """A hook request of 62 kB: patient A's chart, filled up with reports of long ago as a real chart is."""
    prefetch = fetched(stack)
    number = 0
    while len(json.dumps(prefetch)) < BODY_BYTES - 700:
        number += 1
        prefetch["reports"]["entry"].append({"resource": an_old_report(number)})
    return hook(prefetch=prefetch)


def an_old_report(number: int) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": f"old-{number}",
        "status": "final",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "code": {"text": "Radiograph of the knee"},
        "issued": f"{1990 + number % 30}-05-01T12:00:00Z",
        "conclusion": "Mild degenerative change of the medial compartment. No fracture. " * 6,
    }


def fetched(stack: Stack) -> dict[str, Any]:
    """The answers of the sandbox's FHIR server to the service's own prefetch templates."""
    headers = {"Authorization": f"Bearer {stack.token(SCOPE)}"}
    found: dict[str, Any] = {}
    with Client(stack.options.ehr_url) as client:
        for query in SERVICES[SERVICE].queries:
            path = quote(f"/fhir/{query.path_for(PATIENT)}", safe="/?=&,:$")
            found[query.key] = json.loads(client.send(Request(path=path, headers=headers)).body)
    found.setdefault("reports", a_bundle()).setdefault("entry", [])
    return found


def hook(**members: Any) -> bytes:
    context = {"userId": "Practitioner/demo-gp", "patientId": PATIENT}
    request = a_hook(context=context, **members)
    if "fhirServer" not in members:
        del request["fhirServer"]
    return json.dumps(request).encode()


def signed(stack: Stack, algorithm: str, number: int) -> Iterator[str]:
    """Client JWTs, made before the clock starts: each counts once."""
    url, now = f"{stack.app_url}{PATH}", int(time.time())
    header: Mapping[str, str] = {"alg": algorithm, "kid": "rsa-1" if algorithm == "RS384" else stack.caller.kid}
    return iter([stack.caller.jwt_for(url, header=header, iss=CALLER, iat=now, exp=now + 300) for _ in range(number)])


def cards(stack: Stack, body: bytes, algorithm: str, *, concurrency: int, most: int = SIGNED) -> Timing:
    tokens = signed(stack, algorithm, most)

    def call(client: Client) -> None:
        headers = {"Authorization": f"Bearer {next(tokens)}", "Content-Type": "application/json"}
        client.send(Request(method="POST", path=PATH, headers=headers, body=body))

    return drive(stack.app_url, call, concurrency=concurrency, seconds=SECONDS, most=most)


def test_card_with_prefetch_beside_a_static_answer(stack: Stack, report: Report, body: bytes) -> None:
    """R36: signed by ES384 or RS384; the outbound validator is on, as by default."""
    assert 0.95 * BODY_BYTES < len(body) < 1.05 * BODY_BYTES
    headers = {"Content-Type": "application/json"}
    posted = Request(method="POST", path="/static", headers=headers, body=body)
    for algorithm in ("ES384", "RS384"):
        cards(stack, body, algorithm, concurrency=8, most=40)  # both workers have read the keys
    for concurrency in (1, 16):
        static = drive(stack.static_url, lambda client: client.send(posted), concurrency=concurrency, seconds=SECONDS / 2)
        base = report.add("card", f"static answer, {concurrency} at once", static, concurrency=concurrency)
        for algorithm in ("ES384", "RS384"):
            timing = cards(stack, body, algorithm, concurrency=concurrency)
            report.compare(base, f"card, {algorithm}, {concurrency} at once", timing)


def test_card_without_prefetch(stack: Stack, report: Report) -> None:
    """R19, R21: the service's questions go to the sandbox's FHIR server, which answers them one core at a time."""
    token = stack.token(SCOPE)
    grant = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds", "scope": SCOPE}
    body = hook(fhirServer=stack.fhir_base, fhirAuthorization=grant | {"patient": PATIENT})
    headers = {"Authorization": f"Bearer {token}"}
    questions = [quote(f"/fhir/{query.path_for(PATIENT)}", safe="/?=&,:$") for query in SERVICES[SERVICE].queries]

    def ask(client: Client) -> None:
        for path in questions:
            client.send(Request(path=path, headers=headers))

    cards(stack, body, "ES384", concurrency=2, most=8)
    fhir = drive(stack.options.ehr_url, ask, seconds=SECONDS / 2)
    base = report.add("card-fetching", "the same questions asked directly, one after another", fhir)
    report.compare(base, "card without prefetch", cards(stack, body, "ES384", concurrency=1))
    report.compare(base, "card without prefetch, 4 at once", cards(stack, body, "ES384", concurrency=4), concurrency=4)


def authenticate(services: CdsServices, tokens: Iterator[str]) -> None:
    services.authenticator.authenticate(f"Bearer {next(tokens)}", PATH)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def test_where_the_time_of_a_card_goes(stack: Stack, report: Report, body: bytes, store: Store, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(stack.caller.jwks()))
    trusted = TrustedCdsClient(iss=CALLER, jwks_file=keys)
    services = CdsServices.assemble(CdsSettings(public_base_url=stack.app_url, trusted_clients=(trusted,)), (), store)
    times = 150
    service = SERVICES[SERVICE]
    parsed = parse_request(json.loads(body), hook=service.hook)
    context = CardContext(
        request=parsed, app_url=stack.app_url, ehr_name="sandbox", now=datetime.now(UTC), new_uuid=services.new_uuid
    )
    made = cards_for(service, context, None, services.budgets)
    answer: dict[str, object] = {"cards": [one.card for one in made]}
    assert made

    def remember() -> None:
        fresh = cards_for(service, context, None, services.budgets)
        began.append(time.perf_counter())
        services.feedback.remember(fresh, service_id=SERVICE, client=CALLER, now=services.now())
        ended.append(time.perf_counter())

    began: list[float] = []
    ended: list[float] = []
    parse = timed(lambda: parse_request(json.loads(body), hook=service.hook), times=times)
    base = report.add("card-parts", "read the request (JSON, protocol)", parse)
    for algorithm in ("ES384", "RS384"):
        tokens = signed(stack, algorithm, times)
        check = partial(authenticate, services, tokens)
        report.compare(base, f"client JWT {algorithm}, with the memory of used ids", timed(check, times=times))
    judged = timed(lambda: cards_for(service, context, None, services.budgets), times=times)
    report.compare(base, "facts, rules and wording", judged)
    report.compare(base, "outbound validator", timed(lambda: faults_of(answer), times=times))
    for _ in range(times):
        remember()
    noted = [end - start for start, end in zip(began, ended, strict=True)]
    report.compare(base, "note the issued cards", Timing.of(noted, sum(noted)))
