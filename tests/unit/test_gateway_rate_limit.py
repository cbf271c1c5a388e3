"""How many requests a token and an address may make: bursts, refills, who is told, who is not punished for others."""

from __future__ import annotations

import pytest

from fhir_imaging.scopes import parse_scopes
from imaging_server.access import AccessGrant, BearerToken, FhirPatientId
from imaging_server.rate_limit import HeldBack, RateLimitSettings, RequestLimits, TokenBuckets

GOOD, OTHER = BearerToken("good"), BearerToken("other")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits(clock: Clock, **settings: float) -> RequestLimits:
    values = {"requests_per_second": 2.0, "request_burst": 3, "refusals_per_minute": 6.0, **settings}
    return RequestLimits(RateLimitSettings(**values), monotonic=clock)  # type: ignore[arg-type]


def test_a_burst_passes_and_then_the_rate_counts(clock: Clock) -> None:
    limit = limits(clock)
    at_once = [limit.admit("north", GOOD.fingerprint, "10.0.0.1") for _ in range(4)]
    clock.now += 0.5
    later = [limit.admit("north", GOOD.fingerprint, "10.0.0.1") for _ in range(2)]

    assert at_once == [None, None, None, HeldBack(1, ("north", GOOD.fingerprint))]
    assert later == [None, HeldBack(1, ("north", GOOD.fingerprint))]


def test_tokens_and_ehrs_have_buckets_of_their_own(clock: Clock) -> None:
    limit = limits(clock, request_burst=1)

    assert limit.admit("north", GOOD.fingerprint, None) is None
    assert limit.admit("north", OTHER.fingerprint, None) is None
    assert limit.admit("south", GOOD.fingerprint, None) is None
    assert limit.admit("north", GOOD.fingerprint, None) is not None


def test_zero_means_no_limit(clock: Clock) -> None:
    limit = limits(clock, requests_per_second=0, refusals_per_minute=0)
    for number in range(50):
        limit.found_bad("north", BearerToken(str(number)).fingerprint, "10.0.0.1")
        limit.refused_token("north", GOOD.fingerprint, "10.0.0.1")
        limit.refused(grant())

    assert [limit.admit("north", GOOD.fingerprint, "10.0.0.1") for _ in range(50)] == [None] * 50
    assert [limit.admit_without_token("10.0.0.1") for _ in range(50)] == [None] * 50
    assert limit.admit_granted(grant()) is None


def flood(limit: RequestLimits, address: str, count: int = 6) -> None:
    for number in range(count):
        token = BearerToken(f"forged-{address}-{number}")
        if limit.admit("north", token.fingerprint, address) is None:
            limit.found_bad("north", token.fingerprint, address)


def test_an_address_that_tries_tokens_waits_and_a_token_found_good_there_does_not(clock: Clock) -> None:
    limit = limits(clock, request_burst=100)
    limit.admit("north", GOOD.fingerprint, "10.0.0.1")
    limit.found_good("north", GOOD.fingerprint)
    flood(limit, "10.0.0.1")

    held = limit.admit("north", OTHER.fingerprint, "10.0.0.1")
    assert held == HeldBack(10, ("10.0.0.1",))
    assert limit.admit("north", GOOD.fingerprint, "10.0.0.1") is None
    assert limit.admit("north", OTHER.fingerprint, "10.0.0.2") is None

    clock.now += 10
    assert limit.admit("north", BearerToken("new").fingerprint, "10.0.0.1") is None


def test_one_token_that_has_ended_counts_once_at_its_address_however_often_it_is_sent(clock: Clock) -> None:
    limit = limits(clock, request_burst=100)
    for _ in range(30):
        limit.admit("north", OTHER.fingerprint, "10.0.0.1")
        limit.found_bad("north", OTHER.fingerprint, "10.0.0.1")

    assert limit.admit("north", GOOD.fingerprint, "10.0.0.1") is None


def refusals(limit: RequestLimits, token: BearerToken, count: int, address: str = "10.0.0.1") -> int:
    """How often the token is told that it does not hold before it is held back."""
    for number in range(count):
        if limit.admit("north", token.fingerprint, address) is not None:
            return number
        limit.found_bad("north", token.fingerprint, address)
        limit.refused_token("north", token.fingerprint, address)
    return count


def test_one_token_is_refused_so_often_and_then_waits(clock: Clock) -> None:
    """A viewer whose token has ended has its answers to a prefetch; whoever goes on is held back."""
    limit = limits(clock, request_burst=100)
    at_once = refusals(limit, OTHER, 30)
    held = limit.admit("north", OTHER.fingerprint, "10.0.0.1")
    clock.now += 20

    assert at_once == 6
    assert held == HeldBack(10, ("north", OTHER.fingerprint))
    assert refusals(limit, OTHER, 30) == 2


def test_a_prefetch_with_an_ended_token_has_its_401s() -> None:
    limit = RequestLimits(RateLimitSettings())

    assert refusals(limit, OTHER, 300) == 300


def test_many_known_tokens_of_one_address_wait_together_in_the_end(clock: Clock) -> None:
    limit = limits(clock, request_burst=1000)
    tokens = [BearerToken(f"ended-{number}") for number in range(5)]
    for _ in range(3):  # each time that tokens have waited a minute, and so may be refused again
        for token in tokens:
            refusals(limit, token, 6)
        clock.now += 6
    told = sum(refusals(limit, token, 6) for token in tokens)

    assert told < 30
    assert limit.admit("north", GOOD.fingerprint, "10.0.0.2") is None


def test_what_could_not_be_checked_counts_as_refused_and_is_over_with_the_outage(clock: Clock) -> None:
    limit = limits(clock, request_burst=100)
    limit.admit("north", GOOD.fingerprint, None)
    limit.found_good("north", GOOD.fingerprint)
    told = 0
    while limit.admit("north", GOOD.fingerprint, None) is None and told < 30:
        limit.refused_token("north", GOOD.fingerprint, None)
        told += 1
    clock.now += 10

    assert told == 6
    assert [limit.admit("north", GOOD.fingerprint, None) for _ in range(20)] == [None] * 20, "answers cost nothing"


def grant(reference: str = "jti-1", issuer: str = "https://north.example") -> AccessGrant:
    return AccessGrant(
        ehr="north",
        issuer=issuer,
        patient_id=FhirPatientId("pat-a"),
        scopes=parse_scopes(""),
        user=None,
        client_id=None,
        expires_at=2000,
        token_reference=reference,
    )


def test_a_token_that_holds_is_held_back_for_what_it_was_refused_and_no_other_is(clock: Clock) -> None:
    limit = limits(clock, request_burst=100)
    before = limit.admit_granted(grant())
    for _ in range(6):
        limit.refused(grant())

    assert before is None
    assert limit.admit_granted(grant()) == HeldBack(10, ("north", "https://north.example", "jti-1"))
    assert limit.admit_granted(grant("jti-2")) is None
    assert limit.admit_granted(grant(issuer="https://south.example")) is None
    clock.now += 10
    assert limit.admit_granted(grant()) is None


def test_a_token_that_was_good_and_ended_is_a_stranger_again(clock: Clock) -> None:
    limit = limits(clock, request_burst=100)
    limit.admit("north", GOOD.fingerprint, "10.0.0.1")
    limit.found_good("north", GOOD.fingerprint)
    limit.found_bad("north", GOOD.fingerprint, "10.0.0.1")
    flood(limit, "10.0.0.1")

    assert limit.admit("north", GOOD.fingerprint, "10.0.0.1") is not None


def test_requests_without_a_token_do_not_lock_tokens_out(clock: Clock) -> None:
    limit = limits(clock)
    told = [limit.admit_without_token("10.0.0.1") for _ in range(7)]

    assert told[:6] == [None] * 6
    assert told[6] is not None
    assert limit.admit("north", GOOD.fingerprint, "10.0.0.1") is None


@pytest.mark.parametrize(
    ("one", "another", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        (None, "no address", True),
    ],
)
def test_an_address_stands_for_a_subscriber(clock: Clock, one: str | None, another: str, is_same: bool) -> None:
    limit = limits(clock, request_burst=100)
    flood(limit, one or "", 6)

    assert (limit.admit("north", GOOD.fingerprint, another) is not None) == is_same


def test_memory_is_bounded_and_the_oldest_go() -> None:
    buckets = TokenBuckets(1, 1, max_buckets=3)
    for name in ("a", "b", "a", "c", "d"):
        buckets.bucket((name,), 0.0)

    assert [name for name in "abcd" if buckets.known((name,))] == ["a", "c", "d"]


@pytest.mark.parametrize(
    "changes", [{"requests_per_second": -1}, {"refusals_per_minute": -1}, {"request_burst": 0}, {"requests_per_second": 1e9}]
)
def test_settings_that_cannot_work_are_named(changes: dict[str, float]) -> None:
    assert list(RateLimitSettings(**changes).problems())  # type: ignore[arg-type]
    assert not list(RateLimitSettings().problems())


def test_thread_that_asked_earlier_and_comes_later_takes_nothing_back() -> None:
    buckets = TokenBuckets(100_000, 2500)
    assert [buckets.take(("k",), at) for at in (10.0, 10.05, 10.01)] == [None, None, None]


@pytest.mark.parametrize(("most", "works"), [(-1, False), (0, True), (4, True), (10_000, True), (10_001, False)])
def test_open_downloads_are_a_number_that_can_be_meant(most: int, works: bool) -> None:
    assert (not list(RateLimitSettings(open_downloads=most).problems())) is works
    assert (not list(RateLimitSettings(all_downloads=most).problems())) is works


def test_an_ipv4_caller_of_a_dual_stack_socket_is_held_back_alone() -> None:
    """Their /64 would be everybody's."""
    limit = RequestLimits(RateLimitSettings(refusals_per_minute=1), monotonic=lambda: 0.0)
    for number in range(3):
        limit.admit("north", f"made-up-{number}", "::ffff:203.0.113.9")
        limit.found_bad("north", f"made-up-{number}", "::ffff:203.0.113.9")

    assert limit.admit("north", "fresh", "::ffff:203.0.113.9") is not None
    assert limit.admit("north", "fresh", "203.0.113.9") is not None
    assert limit.admit("north", "fresh", "::ffff:10.1.2.3") is None
