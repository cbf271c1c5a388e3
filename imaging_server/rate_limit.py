"""How much one token, and one address that sends tokens which do not hold, may ask of a worker.

Each worker counts for itself, so an installation lets through the rate times its workers. What a bucket has is lost with the
worker, and nothing is asked of anybody: a limit that needed a server would be a way to bring that server down.

Spec: SMART Imaging Access group 23; RFC 6585 §4 (429), RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imaging_server.access import BearerToken

MAX_BUCKETS = 10_000
TOLD_EACH_S = 60.0
"""A caller that is held back is recorded once in this time, or the audit log would be the flood's next target."""
_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """How often one token may be used, and how many refused tokens one address may try, in each worker."""

    requests_per_second: float = 500.0
    """What one token may ask in the long run; 0 = no limit. A viewer that loads a CT asks about 200 frames a second."""
    request_burst: int = 2500
    """What one token may ask at once before that rate counts: a CT of many slices with its prefetch."""
    refusals_per_minute: float = 600.0
    """Different tokens that do not hold, and requests without any, from one client address; 0 = no limit. Behind a proxy that
    ``server.trusted_proxies`` does not name, all clients share the proxy's address."""

    def problems(self) -> Iterator[str]:
        """What cannot work."""
        if not 0 <= self.requests_per_second <= 1_000_000 or not 0 <= self.refusals_per_minute <= 1_000_000:
            yield "rate_limit: rates must be 0 (no limit) or above, and at most 1000000."
        if self.request_burst < 1:
            yield "rate_limit.request_burst must be at least 1."


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The request comes too early. ``retry_after_s`` in whole seconds; ``is_first`` once in ``TOLD_EACH_S`` for each caller."""

    retry_after_s: int
    is_first: bool


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float
    told_at: float = -math.inf
    holds: bool = False
    """Whether the token that it is for was found good."""
    refused: bool = False


class TokenBuckets:
    """One bucket for each key: ``burst`` at once, ``rate`` a second after that. Not thread-safe; too many drop the oldest."""

    def __init__(self, rate: float, burst: float, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: dict[_Key, _Bucket] = {}

    def known(self, key: _Key) -> _Bucket | None:
        """The bucket of a key that was here lately."""
        return self._buckets.get(key)

    def bucket(self, key: _Key, now: float) -> _Bucket:
        """The bucket as it is now, made full where there was none."""
        found = self._buckets.pop(key, None) or _Bucket(self._burst, now)
        while len(self._buckets) >= self._max_buckets:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[key] = found  # last in the order now
        found.level = min(self._burst, found.level + (now - found.at) * self._rate)
        found.at = now
        return found

    def take(self, key: _Key, now: float) -> HeldBack | None:
        """Takes one, or says how long there is none."""
        bucket = self.bucket(key, now)
        if self._rate <= 0 or bucket.level >= 1:
            bucket.level -= 1 if self._rate > 0 else 0
            return None
        return self.wait(bucket, now)

    def wait(self, bucket: _Bucket, now: float) -> HeldBack:
        """Until the bucket has one again."""
        is_first = now - bucket.told_at >= TOLD_EACH_S
        if is_first:
            bucket.told_at = now
        return HeldBack(max(1, math.ceil((1 - bucket.level) / self._rate)), is_first)


class RequestLimits:
    """Asked before any other server is. Thread-safe.

    A token that was found good is not held back for what others at its address try: only tokens not seen before wait then.
    """

    def __init__(self, settings: RateLimitSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refusals = settings.refusals_per_minute
        self._lock = threading.Lock()
        self._tokens = TokenBuckets(settings.requests_per_second, settings.request_burst)
        self._addresses = TokenBuckets(settings.refusals_per_minute / 60, max(1.0, settings.refusals_per_minute))

    def admit(self, ehr: str, token: BearerToken, address: str | None) -> HeldBack | None:
        """None when the token may be looked at now."""
        key, now = (ehr, token.fingerprint), self._monotonic()
        with self._lock:
            known = self._tokens.known(key)
            if self._refusals > 0 and (known is None or not known.holds):
                at_address = self._addresses.bucket(_place(address), now)
                if at_address.level < 1:
                    return self._addresses.wait(at_address, now)
            return self._tokens.take(key, now)

    def admit_without_token(self, address: str | None) -> HeldBack | None:
        """None when this address may be told once more that a token is needed."""
        with self._lock:
            return self._addresses.take((*_place(address), "no token"), self._monotonic())

    def found_good(self, ehr: str, token: BearerToken) -> None:
        """The token holds."""
        with self._lock:
            bucket = self._tokens.known((ehr, token.fingerprint))
            if bucket is not None:
                bucket.holds, bucket.refused = True, False

    def found_bad(self, ehr: str, token: BearerToken, address: str | None) -> None:
        """The token does not hold. A viewer whose token has ended sends it again for many frames: each counts once."""
        now = self._monotonic()
        with self._lock:
            bucket = self._tokens.known((ehr, token.fingerprint))
            if bucket is None or not bucket.refused:
                self._addresses.take(_place(address), now)
            if bucket is not None:
                bucket.holds, bucket.refused = False, True


def _place(address: str | None) -> _Key:
    """Whom an address stands for: in IPv6 a subscriber has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ("unknown",)
    if parsed.version == 6:
        return (str(ipaddress.ip_network((parsed, 64), strict=False)),)
    return (str(parsed),)
