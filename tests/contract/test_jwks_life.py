"""The life of an issuer's keys over HTTP (SMART Imaging Access group 5; RFC 7517, RFC 8725 §3.1): time is the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, Response, jsonify

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient, JwksPolicy, read_jwks
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from tests.conftest import free_port_number, serving

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC256 = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
POLICY = JwksPolicy(fresh_s=300, outage_ttl_s=3600, refetch_cooldown_s=10, retry_s=2)


def rsa_jwk(kid: str | None, **more: Any) -> dict[str, Any]:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
    return {**public, **({"kid": kid} if kid else {}), **more}


def ec_jwk(kid: str, key: ec.EllipticCurvePrivateKey = EC256, **more: Any) -> dict[str, Any]:
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


@dataclass
class KeyServer:
    """A key server, what it publishes and how often it was asked, and a client with a clock of its own."""

    client: JwksClient = field(init=False)
    published: list[dict[str, Any]] = field(default_factory=lambda: [rsa_jwk("k1")])
    headers: dict[str, str] = field(default_factory=dict)
    instead: Callable[[], Response] | None = None
    held: bool = False
    """Answers wait until the test lets them go."""
    let_go: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    now: float = 1000.0

    def app(self) -> Flask:
        app = Flask("key-server")

        @app.get("/jwks")
        def _jwks() -> Response:
            self.asked += 1
            if self.held:
                self.arrived.set()
                assert self.let_go.wait(20)
            if self.instead is not None:
                return self.instead()
            answer = jsonify({"keys": self.published})
            answer.headers.update(self.headers)
            return answer

        return app

    def has(self, kid: str | None, algorithm: str = "RS256") -> bool:
        return bool(self.client.candidates(kid, algorithm))

    def is_down(self, status: int = 500) -> None:
        self.instead = lambda: Response("down", status, headers={"Location": "/elsewhere"})

    def at_once(self, kid: str, number: int = 8) -> list[object]:
        """What each of many threads finds that ask while an answer is held back."""
        found: list[object] = []

        def ask() -> None:
            try:
                found.append(self.has(kid))
            except UpstreamError as error:
                found.append(type(error))

        threads = [threading.Thread(target=ask) for _ in range(number)]
        for thread in threads:
            thread.start()
        assert self.arrived.wait(20)
        self.let_go.set()
        for thread in threads:
            thread.join()
        return found

    def answers_late(self, *, after_s: float = 0.0) -> None:
        """From now on an answer waits until it is let go, and comes so much later by the client's clock."""
        self.held = True

        def late() -> Response:
            self.now += after_s
            return jsonify({"keys": self.published})

        self.instead = late


@pytest.fixture
def server() -> Iterator[KeyServer]:
    made = KeyServer()
    with serving(made.app(), free_port_number()) as base, OutboundSession([base], timeout_s=1.0, retries=0) as session:
        made.client = JwksClient(f"{base}/jwks", session, policy=POLICY, monotonic=lambda: made.now)
        yield made
        made.let_go.set()


def test_fresh_keys_cost_no_question(server: KeyServer) -> None:
    for server.now in (1000.0, 1150.0, 1299.0):
        assert server.has("k1")

    assert server.asked == 1


def test_unknown_kid_costs_one_refetch_in_the_cool_down_however_many_come(server: KeyServer) -> None:
    assert server.has("k1")
    server.now += 11
    assert [server.has(f"unknown-{number}") for number in range(50)] == [False] * 50
    within = server.asked
    server.now += 11
    assert not server.has("unknown")

    assert (within, server.asked) == (2, 3)


def test_rotated_key_is_found_by_everybody_who_comes_while_it_is_fetched(server: KeyServer) -> None:
    """Single flight: nobody is refused because somebody else is asking."""
    assert server.has("k1")
    server.published[:] = [rsa_jwk("k2")]
    server.now += 11
    server.answers_late()

    assert server.at_once("k2") == [True] * 8
    assert server.asked == 2


def test_keys_that_were_long_on_their_way_are_not_fetched_again_by_those_who_waited(server: KeyServer) -> None:
    server.answers_late(after_s=20)  # longer than every pause

    assert server.at_once("k1") == [True] * 8
    assert server.asked == 1


def test_removed_key_counts_no_longer_after_the_refresh(server: KeyServer) -> None:
    server.published[:] = [rsa_jwk("k1"), rsa_jwk("k2")]
    assert server.has("k1")
    server.published[:] = [rsa_jwk("k2")]
    server.now += 299
    while_fresh = server.has("k1")
    server.now += 2

    assert (while_fresh, server.has("k1"), server.has("k2")) == (True, False, True)


def test_all_keys_withdrawn_leave_none(server: KeyServer) -> None:
    assert server.has("k1")
    server.published.clear()
    server.now += 301

    assert not server.has("k1")


@pytest.mark.parametrize(
    ("cache_control", "asked_again_after_s"),
    [
        ("max-age=60", 61),
        ("public, max-age=60, must-revalidate", 61),
        ("max-age=0", 11),
        ("no-store", 11),
        ("no-cache", 11),
        ("max-age=86400", 301),
        ("max-age=soon", 301),
        ("", 301),
    ],
)
def test_servers_own_cache_life_is_kept_where_it_is_shorter(
    server: KeyServer, cache_control: str, asked_again_after_s: float
) -> None:
    server.headers["Cache-Control"] = cache_control
    assert server.has("k1")
    server.now += asked_again_after_s - 2
    assert server.has("k1")
    before = server.asked
    server.now += 2
    assert server.has("k1")

    assert (before, server.asked) == (1, 2)


def test_outage_is_lived_through_with_old_keys_and_then_fails_closed(server: KeyServer) -> None:
    assert server.has("k1")
    server.is_down()
    server.now = 1000.0 + 3599
    while_trusted = server.has("k1")
    server.now = 1000.0 + 3601

    assert while_trusted
    with pytest.raises(UpstreamError):
        server.has("k1")


def test_outage_costs_one_question_in_the_cool_down(server: KeyServer) -> None:
    assert server.has("k1")
    server.is_down()
    server.now += 400
    assert all(server.has("k1") for _ in range(20))
    first = server.asked
    server.now += 11
    assert all(server.has("k1") for _ in range(20))

    assert (first, server.asked) == (2, 3)


def test_unknown_kid_in_an_outage_is_no_verdict_about_the_token(server: KeyServer) -> None:
    """It may be the new key: 503 to the caller, not 401."""
    assert server.has("k1")
    server.is_down()
    server.now += 11

    for _ in range(3):
        with pytest.raises(UpstreamError):
            server.has("k2")
    assert server.asked == 2
    assert server.has("k1")


def test_old_keys_serve_while_somebody_waits_for_a_slow_key_server(server: KeyServer) -> None:
    assert server.has("k1")
    server.now += 400
    server.answers_late()
    waiting = threading.Thread(target=server.has, args=("k1",))
    waiting.start()
    assert server.arrived.wait(20)
    found = server.has("k1")  # would wait for ever if it waited for the answer
    still_asking = waiting.is_alive()
    server.let_go.set()
    waiting.join()

    assert (found, still_asking) == (True, True)


@pytest.mark.parametrize("status", [302, 401, 404, 500, 503])
def test_server_that_gives_no_keys_fails_closed(server: KeyServer, status: int) -> None:
    server.is_down(status)

    with pytest.raises(UpstreamError):
        server.has("k1")


@pytest.mark.parametrize("body", ["<html>", "[]", '"keys"', "", '{"keys": "' + "x" * 300_000 + '"}', "[" * 100_000])
def test_answer_that_is_no_key_set_fails_closed(server: KeyServer, body: str) -> None:
    server.instead = lambda: Response(body, content_type="application/json")

    with pytest.raises(UpstreamError):
        server.has("k1")


def test_key_server_that_hangs_is_waited_for_once_by_all(server: KeyServer) -> None:
    """Whoever comes during the pause after a failure has that failure: nobody waits for a timeout of its own."""
    server.held = True
    with ThreadPoolExecutor(8) as many:
        found = [many.submit(server.has, "k1") for _ in range(8)]
        failures = [type(one.exception()) for one in found]

    assert failures == [UpstreamTimeout] * 8
    assert server.asked == 1


def test_key_server_that_came_back_is_believed_again(server: KeyServer) -> None:
    server.is_down()
    with pytest.raises(UpstreamError):
        server.has("k1")
    server.instead, server.now = None, server.now + 3

    assert server.has("k1")


@pytest.mark.parametrize(
    "entries",
    [
        [rsa_jwk("k1"), rsa_jwk("k1")],
        [rsa_jwk("k1"), ec_jwk("k1")],
        [rsa_jwk("k1", use="enc")],
        [rsa_jwk("k1", key_ops=["encrypt"])],
        [rsa_jwk("k1", key_ops="verify")],
        [rsa_jwk("k1", alg="RS384")],
        [rsa_jwk("k1", alg="PS256")],
        [rsa_jwk("k1", alg="RSA-OAEP")],
        [rsa_jwk("k1", alg="HS256")],
        [rsa_jwk("k1", alg="none")],
        [rsa_jwk("k1", alg=7)],
        [rsa_jwk("k1", alg=["RS256"])],
        [ec_jwk("k1")],
        [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0", "alg": "RS256"}],
        [{"kty": "RSA", "kid": "k1"}],
        [{"kty": "RSA", "kid": "k1", "n": 7, "e": "AQAB"}],
        [{**rsa_jwk("k1"), "kty": "rsa"}],
        [{**rsa_jwk("k1"), "kid": "K1"}],
        [{**rsa_jwk("k1"), "kid": 1}],
        [rsa_jwk(None)],
        ["k1", None, []],
    ],
    ids=lambda entries: str([one.get("alg", one.get("kty")) if isinstance(one, dict) else one for one in entries]),
)
def test_key_of_another_kind_does_not_serve(server: KeyServer, entries: list[Any]) -> None:
    """Duplicate kid; wrong kty, use, key_ops or alg."""
    server.published[:] = entries

    assert not server.has("k1", "RS256")


@pytest.mark.parametrize(
    ("entry", "algorithm"),
    [
        (rsa_jwk("k1"), "RS256"),
        (rsa_jwk("k1"), "RS384"),
        (rsa_jwk("k1", alg="RS384"), "RS384"),
        (rsa_jwk("k1", use="sig", key_ops=["verify"]), "RS256"),
        (ec_jwk("k1"), "ES256"),
        (ec_jwk("k1", EC384), "ES384"),
        (ec_jwk("k1", EC384, alg="ES384"), "ES384"),
    ],
    ids=lambda one: one if isinstance(one, str) else "-".join(str(one.get(name)) for name in ("kty", "crv", "alg", "use")),
)
def test_key_of_the_right_kind_serves(server: KeyServer, entry: dict[str, Any], algorithm: str) -> None:
    server.published[:] = [entry]

    assert server.has("k1", algorithm)
    assert server.has(None, algorithm), "no kid: every key that serves the algorithm"


@pytest.mark.parametrize("algorithm", ["ES384", "ES256K", "RS256"])
def test_curve_has_one_algorithm(server: KeyServer, algorithm: str) -> None:
    server.published[:] = [ec_jwk("k1")]

    assert not server.has("k1", algorithm)


def test_entry_that_gives_a_curve_another_algorithm_is_left_out() -> None:
    assert read_jwks({"keys": [ec_jwk("k1", EC256, alg="ES384"), ec_jwk("k2", EC384, alg="ES256")]}) == ()


def test_odd_entries_do_not_take_the_good_ones_away(server: KeyServer) -> None:
    server.published[:] = [{"kty": "OKP", "kid": "o"}, {}, rsa_jwk("k1"), {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"}]

    assert server.has("k1")
