"""When a study that failed is tried again, and when it is laid aside. Pure.

Spec: RFC 9110 §15 (which statuses may pass), §10.2.3 (Retry-After).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.settings import PaceSettings

REFUSED_ATTEMPTS = 3
"""A server that says no to what it was sent, and an error of our own, will hardly think better of it."""
LONGEST_OUTAGE_PAUSE_S = 60.0
"""A server that was away is tried again at least so often, unless it asks for more patience itself."""
FEW = 5
"""So few studies that fail, and no other that anybody could try, may be what is wrong themselves."""
BLAMELESS_S = 24 * 3600.0
"""For so long: then their attempts count."""
MANY_KNOWN = 10_000
_MAY_PASS = frozenset({408, 409, 412, 423, 425, 429})
_OUTAGES = frozenset({401, 403, 404, 429, 502, 503, 504})
"""A token that is no longer taken or allows too little fails every study alike; so do a wrong address and too many requests."""
_BROKEN = 500
"""Of one study, where the server stumbles over it; of every study, where the server's own database is down. A page of somebody
else's in place of the server (2xx and 3xx) is the same: maintenance, a login."""
_MOST_DOUBLINGS = 30


def is_retryable(error: Exception) -> bool:
    """Whether the same request may well succeed later."""
    if not isinstance(error, UpstreamError):
        return False
    return error.retryable or error.status in _MAY_PASS or (error.status or 0) >= 500


def is_like_an_outage(error: Exception) -> bool:
    """Whether every other study would have failed just now too, unless another one shows the contrary."""
    if isinstance(error, ConfigurationError):
        return True
    return isinstance(error, UpstreamError) and (error.status is None or error.status in _OUTAGES)


def is_like_an_outage_of_several(error: Exception) -> bool:
    """Whether it tells of an outage only where another study has just failed too."""
    return isinstance(error, UpstreamError) and error.status is not None and (error.status == _BROKEN or error.status < 400)


def pause_s(
    attempts: int, error: Exception, pace: PaceSettings, *, retry_after_s: float | None = None, jitter: float = 1.0
) -> float | None:
    """Until the next attempt, after so many; None = laid aside.

    Twice as long each time. ``jitter`` (0 to 1, at random) takes up to half of it away, so that studies which failed together
    do not come back together.
    """
    most = pace.max_attempts if is_retryable(error) else min(pace.max_attempts, REFUSED_ATTEMPTS)
    if attempts >= most:
        return None
    return max(retry_after_s or 0.0, _doubled(pace.first_retry_s, attempts - 1, pace.longest_retry_s) * (0.5 + jitter / 2))


@dataclass(slots=True, kw_only=True)
class Outage:
    """Whether a server is away for every study, seen from how the studies of one process fare. Times in any seconds.

    A study that fails as if the server were away says so only while no other one succeeds: else it is that study itself, and
    its attempt counts. Everything waits when a second study says so too, or the server itself asks for patience.

    Where nothing else is to be done, nothing else succeeds: a few studies that always fail come back ever more seldom, after a
    quarter of the time for which they have failed, and after a day they are to blame. In an outage more studies come to fail.
    """

    pace: PaceSettings
    until: float = 0.0
    _pauses: int = 0
    _succeeded_at: float = float("-inf")
    _failed_since: set[StudyInstanceUID] = field(default_factory=set)
    _suspects: dict[StudyInstanceUID, float] = field(default_factory=dict)
    _fails_since: dict[StudyInstanceUID, float] = field(default_factory=dict)

    def succeeded(self, study: StudyInstanceUID, *, now: float) -> None:
        """A study was brought over: the servers are there."""
        self._succeeded_at = now
        self._pauses = 0
        self._failed_since.clear()
        self._suspects.pop(study, None)
        self._fails_since.pop(study, None)

    def comes_back_in_s(
        self, study: StudyInstanceUID, *, begun: float, now: float, retry_after_s: float | None, alone: bool = True
    ) -> float | None:
        """When a study comes back that is not to blame; None = it is. ``alone``: its word counts without another study's."""
        failing_s = self._failing_s(study, now)
        if self._succeeded_at > min(begun, self._suspects.get(study, begun)):
            self._suspects.pop(study, None)
            return None
        if not alone and not self._failed_since - {study}:
            self._failed_since.add(study)
            return None
        self._failed_since.add(study)
        are_few = len(self._failed_since) <= FEW
        if are_few and failing_s >= BLAMELESS_S:
            return None
        self._suspects[study] = now
        seldom_s = min(failing_s / 4, self.pace.longest_retry_s)
        at_least_s = seldom_s if are_few and seldom_s > LONGEST_OUTAGE_PAUSE_S else 0.0
        if len(self._failed_since) == 1 and retry_after_s is None:
            return max(self._next_pause_s(), at_least_s)
        self.pause(now=now, retry_after_s=retry_after_s)
        return max(self.left_s(now=now), at_least_s)

    def pause(self, *, now: float, retry_after_s: float | None = None) -> None:
        """Everything waits, longer each time; several studies that fail together are one failure."""
        if now >= self.until:
            self.until = now + self._next_pause_s()
        self.until = max(self.until, now + (retry_after_s or 0.0))

    def left_s(self, *, now: float) -> float:
        """How long everything still waits; 0 = nothing does."""
        return max(0.0, self.until - now)

    def _failing_s(self, study: StudyInstanceUID, now: float) -> float:
        if len(self._fails_since) > MANY_KNOWN:
            self._fails_since.clear()
        return now - self._fails_since.setdefault(study, now)

    def _next_pause_s(self) -> float:
        self._pauses += 1
        return _doubled(self.pace.first_retry_s, self._pauses - 1, min(self.pace.longest_retry_s, LONGEST_OUTAGE_PAUSE_S))


def _doubled(first: float, times: int, longest: float) -> float:
    return min(longest, first * float(1 << min(times, _MOST_DOUBLINGS)))
