"""The life of a SMART configuration (SMART App Launch 2.2 "Conformance", A3; SMART Imaging Access F8, group 6): time is the
test's own.

An EHR in trouble is not an EHR without a configuration: the fallback names no keys, so taking the one for the other refuses
every token.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from fhir_imaging.clients.deadlines import within
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import OAUTH_URIS, MetadataPolicy, SmartMetadata, SmartMetadataClient
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from tests.conftest import free_port_number, serving

WELL_KNOWN, STATEMENT = "/fhir/.well-known/smart-configuration", "/fhir/metadata"
POLICY = MetadataPolicy(fresh_s=300, fallback_fresh_s=30, outage_ttl_s=3600, retry_s=10)
MINUTE = 60.0


@dataclass
class Ehr:
    """An EHR, how often it was asked for what, and a client with a clock of its own."""

    client: SmartMetadataClient = field(init=False)
    base: str = ""
    document: dict[str, Any] = field(
        default_factory=lambda: {
            "authorization_endpoint": "https://ehr.example/authorize",
            "token_endpoint": "https://ehr.example/token",
            "jwks_uri": "https://ehr.example/keys",
        }
    )
    instead: dict[str, Callable[[], Response]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    now: float = 1000.0

    def app(self) -> Flask:
        app = Flask("ehr-of-configurations")

        @app.before_request
        def _record() -> Response | None:
            self.asked[request.path] += 1
            instead = self.instead.get(request.path)
            return instead() if instead else None

        @app.get(WELL_KNOWN)
        def _configuration() -> Response:
            return jsonify(self.document)

        @app.get(STATEMENT)
        def _statement() -> Response:
            uris = [{"url": name, "valueUri": f"https://legacy.example/{name}"} for name in ("authorize", "token")]
            return jsonify({"rest": [{"security": {"extension": [{"url": OAUTH_URIS, "extension": uris}]}}]})

        return app

    def says(self) -> SmartMetadata:
        return self.client.of(f"{self.base}/fhir")

    def answers(self, status: int, path: str = WELL_KNOWN, **headers: str) -> None:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.instead[path] = lambda: Response("no", status, headers=sent)


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    made = Ehr()
    with serving(made.app(), free_port_number()) as made.base, OutboundSession([made.base], retries=0) as session:
        made.client = SmartMetadataClient(session, policy=POLICY, monotonic=lambda: made.now)
        yield made


def test_what_is_known_is_said_without_asking_also_while_somebody_asks_anew(ehr: Ehr) -> None:
    base, let_go, asked = f"{ehr.base}/fhir", threading.Event(), threading.Event()

    def slowly() -> Response:
        asked.set()
        assert let_go.wait(20)
        return jsonify(ehr.document)

    before = ehr.client.known(base)
    first = ehr.says()
    fresh = ehr.client.known(base)
    ehr.now += 10 * MINUTE
    old = ehr.client.known(base)
    ehr.instead[WELL_KNOWN] = slowly
    with ThreadPoolExecutor(1) as others:
        renewed = others.submit(ehr.says)
        assert asked.wait(20)
        meanwhile = ehr.client.known(base)
        ehr.now += 60 * MINUTE
        too_old = ehr.client.known(base)
        let_go.set()
        assert renewed.result() == first

    assert (before, fresh, old, meanwhile, too_old) == (None, first, None, first, None)
    assert ehr.asked[WELL_KNOWN] == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_trouble_at_discovery_is_no_statement_that_there_is_no_configuration(ehr: Ehr, status: int) -> None:
    ehr.answers(status, Retry_After="7")

    with pytest.raises(UpstreamError) as seen:
        ehr.says()

    assert seen.value.retryable, "503 outward, so that clients wait"
    assert (seen.value.status, seen.value.retry_after_s) == (status, 7)
    assert seen.value.server == ehr.base
    assert ehr.asked[STATEMENT] == 0
    ehr.instead.clear()
    assert ehr.says().jwks_uri == "https://ehr.example/keys", "and is over with its cause"


@pytest.mark.parametrize("status", [404, 410, 401, 403, 400, 405, 501])
def test_a3_a_server_that_says_it_has_none_is_read_from_its_capability_statement(ehr: Ehr, status: int) -> None:
    ehr.answers(status)

    assert ehr.says().token_endpoint == "https://legacy.example/token"


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "[]", "", '"text"'])
def test_a3_what_is_no_document_counts_as_none(ehr: Ehr, body: str) -> None:
    ehr.instead[WELL_KNOWN] = lambda: Response(body, content_type="application/json")

    assert ehr.says().token_endpoint == "https://legacy.example/token"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_with_the_capability_statement_is_trouble(ehr: Ehr, status: int) -> None:
    ehr.answers(404)
    ehr.answers(status, STATEMENT)

    with pytest.raises(UpstreamError) as seen:
        ehr.says()

    assert seen.value.retryable


def test_an_ehr_with_neither_is_named_by_the_address_tried_and_not_waited_for(ehr: Ehr) -> None:
    ehr.answers(404)
    ehr.answers(404, STATEMENT)

    with pytest.raises(UpstreamError, match=WELL_KNOWN) as seen:
        ehr.says()

    assert not seen.value.retryable


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_the_last_good_configuration_outlives_trouble_for_an_hour(ehr: Ehr, status: int) -> None:
    """404 too: what an ingress says while the EHR behind it starts anew."""
    good = ehr.says()
    ehr.answers(status)
    ehr.now += 59 * MINUTE
    within = ehr.says()
    ehr.now += MINUTE + 1

    assert within == good
    if status == 404:
        assert ehr.says().jwks_uri is None, "by then it is meant"
    else:
        with pytest.raises(UpstreamError):
            ehr.says()


def test_trouble_costs_one_question_in_its_pause(ehr: Ehr) -> None:
    ehr.says()
    ehr.answers(503)
    ehr.now += 301
    for _ in range(20):
        ehr.says()
    first = ehr.asked[WELL_KNOWN]
    ehr.now += 11
    ehr.says()

    assert (first, ehr.asked[WELL_KNOWN]) == (2, 3)


def test_what_changed_is_seen_when_the_trouble_is_over(ehr: Ehr) -> None:
    ehr.says()
    ehr.answers(503)
    ehr.now += 301
    ehr.says()
    ehr.instead.clear()
    ehr.document["jwks_uri"] = "https://ehr.example/new-keys"
    ehr.now += 11

    assert ehr.says().jwks_uri == "https://ehr.example/new-keys"


def test_a_fallback_is_asked_about_sooner_again(ehr: Ehr) -> None:
    ehr.answers(404)
    assert ehr.says().jwks_uri is None
    ehr.instead.clear()
    ehr.now += 29
    within = ehr.says().jwks_uri
    ehr.now += 2

    assert (within, ehr.says().jwks_uri) == (None, "https://ehr.example/keys")


def test_fresh_configurations_cost_no_question(ehr: Ehr) -> None:
    for ehr.now in (1000.0, 1150.0, 1299.0):
        ehr.says()

    assert ehr.asked[WELL_KNOWN] == 1


@dataclass
class Held:
    """An answer that is held back until the test lets it go."""

    arrived: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> Response:
        self.arrived.set()
        assert self.let_go.wait(20)
        return jsonify({"authorization_endpoint": "https://ehr.example/a", "token_endpoint": "https://ehr.example/late"})


def test_many_that_want_it_ask_once(ehr: Ehr) -> None:
    """Group 23."""
    held = ehr.instead[WELL_KNOWN] = Held()
    with ThreadPoolExecutor(8) as many:
        waiting = [many.submit(ehr.says) for _ in range(8)]
        assert held.arrived.wait(20)
        held.let_go.set()
        found = {one.result().token_endpoint for one in waiting}

    assert found == {"https://ehr.example/late"}
    assert ehr.asked[WELL_KNOWN] == 1


def test_others_do_not_fail_by_the_time_of_the_one_that_asks(ehr: Ehr) -> None:
    def asks_with_little_time() -> SmartMetadata:
        with within(0.2):
            return ehr.says()

    held = ehr.instead[WELL_KNOWN] = Held()
    with ThreadPoolExecutor(2) as many:
        asking = many.submit(asks_with_little_time)
        assert held.arrived.wait(20)
        waiting = many.submit(ehr.says)
        time.sleep(0.4)
        held.let_go.set()

        assert (waiting.result(), ehr.asked[WELL_KNOWN]) == (asking.result(), 1)


def test_the_old_one_serves_while_somebody_asks_a_slow_ehr(ehr: Ehr) -> None:
    good = ehr.says()
    ehr.now += 301
    held = ehr.instead[WELL_KNOWN] = Held()
    with ThreadPoolExecutor(1) as another:
        asking = another.submit(ehr.says)
        assert held.arrived.wait(20)
        meanwhile = ehr.says()
        held.let_go.set()

        assert meanwhile == good
        assert asking.result().token_endpoint == "https://ehr.example/late"


def test_an_ehr_that_does_not_answer_is_in_trouble_too(ehr: Ehr) -> None:
    good = ehr.says()
    held = ehr.instead[WELL_KNOWN] = Held()
    with OutboundSession([ehr.base], timeout_s=1.0, retries=0) as hasty:
        with pytest.raises(UpstreamTimeout):
            SmartMetadataClient(hasty).of(f"{ehr.base}/fhir")
        ehr.client = SmartMetadataClient(hasty, policy=POLICY, monotonic=lambda: ehr.now)
        ehr.instead.clear()
        assert ehr.says() == good
        ehr.instead[WELL_KNOWN] = held
        ehr.now += 301

        assert ehr.says() == good
    held.let_go.set()


def test_ehrs_are_kept_apart(ehr: Ehr) -> None:
    with pytest.raises(UpstreamError):
        ehr.client.of("https://elsewhere.example/fhir")

    assert ehr.says().jwks_uri == "https://ehr.example/keys"
