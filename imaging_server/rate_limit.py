"""How much one token, and one address that sends tokens which do not hold, may ask of a worker, and how often it is refused.

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

from imaging_server.access import AccessGrant

MAX_BUCKETS = 10_000
CALLERS_AT_ADDRESS = 10
"""So many times what one caller may be refused, one address may: a ward has many viewers whose tokens end."""
CallerKey = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """How often one token may be used, and how often a caller may be refused, in each worker."""

    requests_per_second: float = 500.0
    """What one token may ask in the long run; 0 = no limit. A viewer that loads a CT asks about 200 frames a second."""
    request_burst: int = 2500
    """What one token may ask at once before that rate counts: a CT of many slices with its prefetch."""
    refusals_per_minute: float = 600.0
    """Refusals of one token, different tokens that do not hold from one client address, and requests without any from one;
    0 = no limit. Behind a proxy that ``server.trusted_proxies`` does not name, all clients share the proxy's address."""
    open_downloads: int = 8
    """Large answers that one token may have on their way at once; 0 = no limit. Each holds a thread (``server.threads``) and a
    connection of the archive for as long as its caller takes. A browser fetches six at a time over HTTP/1.1; answers below
    ``small_body_bytes`` are read whole and do not count. What an archive takes more than two seconds to begin does until it has
    begun, whatever its size, but for frames."""
    all_downloads: int = 9
    """Large answers that all callers together may have on their way at once; 0 = no limit. Keep it below ``server.threads``:
    then frames go on however slowly these are taken. Of one archive they have three quarters of its ``max_connections``."""

    def problems(self) -> Iterator[str]:
        """What cannot work."""
        if not 0 <= self.requests_per_second <= 1_000_000 or not 0 <= self.refusals_per_minute <= 1_000_000:
            yield "rate_limit: rates must be 0 (no limit) or above, and at most 1000000."
        if self.request_burst < 1:
            yield "rate_limit.request_burst must be at least 1."
        if not 0 <= self.open_downloads <= 10_000:
            yield "rate_limit.open_downloads must be 0 (no limit) or above, and at most 10000."
        if not 0 <= self.all_downloads <= 10_000:
            yield "rate_limit.all_downloads must be 0 (no limit) or above, and at most 10000."


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The request comes too early. ``retry_after_s`` in whole seconds; ``caller`` says who is meant: a token or an address."""

    retry_after_s: int
    caller: CallerKey


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float
    holds: bool = False
    """Whether the token that it is for was found good."""
    refused: bool = False


class TokenBuckets:
    """One bucket for each key: ``burst`` at once, ``rate`` a second after that; 0 = no limit.

    Not thread-safe; too many drop the oldest.
    """

    def __init__(self, rate: float, burst: float, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: dict[CallerKey, _Bucket] = {}

    def known(self, key: CallerKey) -> _Bucket | None:
        """The bucket of a key that was here lately."""
        return self._buckets.get(key)

    def bucket(self, key: CallerKey, now: float) -> _Bucket:
        """The bucket as it is now, made full where there was none."""
        found = self._buckets.pop(key, None)
        if found is None:
            while len(self._buckets) >= self._max_buckets:
                self._buckets.pop(next(iter(self._buckets)))
            found = _Bucket(self._burst, now)
        self._buckets[key] = found  # last in the order now
        if now > found.at:  # threads come here with the time at which they asked, not in its order
            found.level = min(self._burst, found.level + (now - found.at) * self._rate)
            found.at = now
        return found

    def take(self, key: CallerKey, now: float) -> HeldBack | None:
        """Takes one, or says how long there is none."""
        bucket = self.bucket(key, now)
        if self._rate <= 0:
            return None
        if bucket.level < 1:
            return self._wait(key, bucket)
        bucket.level -= 1
        return None

    def spend(self, key: CallerKey, now: float) -> None:
        """Takes one for what has happened already, if there is one."""
        if self._rate > 0:
            bucket = self.bucket(key, now)
            bucket.level = max(0.0, bucket.level - 1)

    def look(self, key: CallerKey, now: float) -> HeldBack | None:
        """How long there is none, without taking any."""
        if self._rate <= 0 or key not in self._buckets:
            return None
        bucket = self.bucket(key, now)
        return None if bucket.level >= 1 else self._wait(key, bucket)

    def _wait(self, key: CallerKey, bucket: _Bucket) -> HeldBack:
        """Until the bucket has one again."""
        return HeldBack(max(1, math.ceil((1 - bucket.level) / self._rate)), key)


class RequestLimits:
    """Asked before any other server is. Thread-safe.

    A token that was found good is not held back for what others at its address try: only tokens not seen before wait then. It
    is held back for its own refusals, each of which is a record in the audit log.
    """

    def __init__(self, settings: RateLimitSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens = TokenBuckets(settings.requests_per_second, settings.request_burst)
        refusals, at_once = settings.refusals_per_minute / 60, max(1.0, settings.refusals_per_minute)
        self._refused = TokenBuckets(refusals, at_once)
        self._addresses = TokenBuckets(refusals, at_once)
        self._refused_at = TokenBuckets(CALLERS_AT_ADDRESS * refusals, CALLERS_AT_ADDRESS * at_once)
        self._not_refused = TokenBuckets(refusals, at_once)

    def admit(self, ehr: str, fingerprint: str, address: str | None) -> HeldBack | None:
        """None when the token may be looked at now."""
        key, now = (ehr, fingerprint), self._monotonic()
        with self._lock:
            held = self._refused.look(key, now)
            known = self._tokens.known(key)
            if held is None and (known is None or not known.holds):
                place = _place(address)
                held = self._addresses.look(place, now) or self._refused_at.look(place, now)
            return held or self._tokens.take(key, now)

    def admit_granted(self, grant: AccessGrant) -> HeldBack | None:
        """None when a token that holds may ask for something: it has not been refused too often."""
        key = _granted(grant)
        if self._refused.known(key) is None:
            return None
        with self._lock:
            return self._refused.look(key, self._monotonic())

    def admit_without_token(self, address: str | None) -> HeldBack | None:
        """None when this address may be told once more that a token is needed, or what needs none."""
        with self._lock:
            return self._addresses.take((*_place(address), "no token"), self._monotonic())

    def found_good(self, ehr: str, fingerprint: str) -> None:
        """The token holds."""
        bucket = self._tokens.known((ehr, fingerprint))
        if bucket is None or (bucket.holds and not bucket.refused):
            return  # as it is for all frames but the first
        with self._lock:
            bucket.holds, bucket.refused = True, False

    def found_bad(self, ehr: str, fingerprint: str, address: str | None) -> None:
        """The token does not hold. A viewer whose token has ended sends it again for many frames: at its address it counts
        once."""
        now = self._monotonic()
        with self._lock:
            bucket = self._tokens.known((ehr, fingerprint))
            if bucket is None or not bucket.refused:
                self._addresses.spend(_place(address), now)
            if bucket is not None:
                bucket.holds, bucket.refused = False, True

    def refused_token(self, ehr: str, fingerprint: str, address: str | None) -> None:
        """A refusal was recorded of a token that does not hold, or of which that could not be found out."""
        now = self._monotonic()
        with self._lock:
            self._refused.spend((ehr, fingerprint), now)
            self._refused_at.spend(_place(address), now)

    def refused(self, grant: AccessGrant) -> None:
        """A refusal was recorded of a token that holds."""
        with self._lock:
            self._refused.spend(_granted(grant), self._monotonic())

    def not_refused(self, grant: AccessGrant) -> HeldBack | None:
        """None when what a token that holds did not get, and was not refused either, may have a record of its own.

        Nobody waits for it: a study that an archive cannot read, or has nothing of, must not cost the caller all others.
        """
        with self._lock:
            return self._not_refused.take(_granted(grant), self._monotonic())


def _granted(grant: AccessGrant) -> CallerKey:
    return (grant.ehr, grant.issuer, grant.token_reference)


def _place(address: str | None) -> CallerKey:
    """Whom an address stands for: in IPv6 a subscriber has a whole /64, but where an IPv4 address is written so."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ("unknown",)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return (str(parsed.ipv4_mapped),)
        return (str(ipaddress.ip_network((parsed, 64), strict=False)),)
    return (str(parsed),)
