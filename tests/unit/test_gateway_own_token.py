"""A token of our own: got once, kept to its end, replaced once, and no storm where the client is refused (group 23)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_imaging.clients.deadlines import seconds_left, within
from fhir_imaging.clients.own_token import LEAST_AGE_TO_RENEW_S, LONGEST_REFUSED_FOR_S, REFUSED_FOR_S, OwnTokenKeeper
from fhir_imaging.clients.token_answers import OwnToken, TokenRefused
from fhir_imaging.errors import UpstreamError


class Endpoint:
    """Gives a new token each time, unless ``instead`` raises."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 1000.0
        self.lifetime_s = 300.0
        self.instead: Callable[[], None] = lambda: None
        self.keeper = OwnTokenKeeper(self.ask, monotonic=lambda: self.now)

    def ask(self) -> OwnToken:
        self.asked += 1
        self.instead()
        return OwnToken(f"token-{self.asked}", self.lifetime_s)

    def fails(self, failure: UpstreamError) -> None:
        def instead() -> None:
            raise failure

        self.instead = instead


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def a_refusal(retry_after_s: int | None = None) -> TokenRefused:
    return TokenRefused(
        "No sign-in.", server="https://as.example/token", retryable=True, retry_after_s=retry_after_s, what="400"
    )


def test_it_is_kept_until_a_minute_before_its_end(endpoint: Endpoint) -> None:
    tokens = []
    for endpoint.now in (1000.0, 1239.0, 1241.0):
        tokens.append(endpoint.keeper.current())

    assert tokens == ["token-1", "token-1", "token-2"]


def test_a_revoked_one_is_replaced(endpoint: Endpoint) -> None:
    first = endpoint.keeper.current()
    endpoint.now += LEAST_AGE_TO_RENEW_S

    assert endpoint.keeper.renewed(first) == "token-2"
    assert endpoint.keeper.current() == "token-2"


def test_however_many_were_refused_it_is_replaced_once(endpoint: Endpoint) -> None:
    first = endpoint.keeper.current()
    endpoint.now += 60
    begin = threading.Barrier(8)
    endpoint.instead = lambda: time.sleep(0.05)

    def refused(_: int) -> str | None:
        begin.wait()
        return endpoint.keeper.renewed(first)

    with ThreadPoolExecutor(8) as many:
        fresh = list(many.map(refused, range(8)))

    assert fresh == ["token-2"] * 8
    assert endpoint.asked == 2


def test_who_comes_late_with_the_old_one_gets_the_new_one(endpoint: Endpoint) -> None:
    first = endpoint.keeper.current()
    endpoint.now += 60
    endpoint.keeper.renewed(first)

    assert endpoint.keeper.renewed(first) == "token-2"
    assert endpoint.asked == 2


def test_a_client_that_every_server_refuses_gets_one_token_in_ten_seconds(endpoint: Endpoint) -> None:
    """Each second a request is refused, with whatever token."""
    for _ in range(61):
        endpoint.keeper.renewed(endpoint.keeper.current())
        endpoint.now += 1

    assert endpoint.asked == 1 + 60 // LEAST_AGE_TO_RENEW_S


def test_an_endpoint_that_gives_the_same_token_again_has_no_other(endpoint: Endpoint) -> None:
    keeper = OwnTokenKeeper(lambda: OwnToken("always-the-same", 300), monotonic=lambda: endpoint.now)
    keeper.current()
    endpoint.now += 60

    assert keeper.renewed("always-the-same") is None


@pytest.mark.parametrize(
    ("retry_after_s", "kept_s"),
    [(None, REFUSED_FOR_S), (1, REFUSED_FOR_S), (30, 30), (86_400, LONGEST_REFUSED_FOR_S)],
)
def test_a_no_of_the_endpoint_is_remembered_for_a_while(endpoint: Endpoint, retry_after_s: int | None, kept_s: float) -> None:
    """RFC 6749 §5.2."""
    endpoint.fails(a_refusal(retry_after_s))
    for endpoint.now in (1000.0, 1001.0, 1000.0 + kept_s - 0.1):
        with pytest.raises(TokenRefused) as refused:
            endpoint.keeper.current()
        assert refused.value.retryable
        assert refused.value.retry_after_s == retry_after_s
    endpoint.instead = lambda: None
    endpoint.now = 1000.0 + kept_s

    assert endpoint.keeper.current() == "token-2"


def test_an_outage_is_not_remembered(endpoint: Endpoint) -> None:
    """Whether to leave a server alone that is down is for the breaker before it to say."""
    endpoint.fails(UpstreamError("Down.", server="https://as.example/token", retryable=True))
    for _ in range(2):
        with pytest.raises(UpstreamError):
            endpoint.keeper.current()
    endpoint.instead = lambda: None

    assert endpoint.keeper.current() == "token-3"


@pytest.mark.parametrize(
    ("failure", "asked"),
    [(a_refusal(), 2), (UpstreamError("Down.", server="https://as.example/token", retryable=True), 3)],
    ids=["refused", "down"],
)
def test_a_token_stays_in_use_while_no_other_is_to_be_had(endpoint: Endpoint, failure: UpstreamError, asked: int) -> None:
    """One server's 401 takes nothing from questions that the token still answers; an endpoint's no is asked for once."""
    first = endpoint.keeper.current()
    endpoint.now += 60
    endpoint.fails(failure)
    for _ in range(2):
        with pytest.raises(type(failure)):
            endpoint.keeper.renewed(first)
        assert endpoint.keeper.current() == first
    assert endpoint.asked == asked
    endpoint.instead = lambda: None
    endpoint.now += REFUSED_FOR_S

    assert endpoint.keeper.renewed(first) == f"token-{asked + 1}" == endpoint.keeper.current()


def test_others_do_not_fail_by_the_time_of_the_one_that_asks(endpoint: Endpoint) -> None:
    """Group 23: they wait for the same answer, and a caller whose own time is up asks for all of them."""
    left: list[float | None] = []
    endpoint.instead = lambda: left.append(seconds_left())
    with within(0.2):
        endpoint.keeper.current()

        assert seconds_left() is not None

    assert left == [None]
