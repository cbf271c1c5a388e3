"""How many large bodies one token may have on their way at once: a caller who never takes what it asked for holds a thread of
this server and a connection of the archive, and has them for as long as it likes.

Each worker counts for itself. Images below ``small_body_bytes`` are read whole and have no place: what is left of them, the
network or a proxy in front takes at once. Long JSON has one.

Spec: SMART Imaging Access groups 19 and 23; RFC 6585 §4 (429), RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from fhir_imaging.errors import TooManyRequests
from imaging_server.access import AccessGrant
from imaging_server.auditing import AccessAudit, Attempt
from imaging_server.rate_limit import CallerKey, HeldBack

RETRY_AFTER_S = 2
"""Nobody knows when a download ends; our viewer comes back often enough for any that are taken at all."""
LONG_JSON_BYTES = 1 << 20
"""JSON from here on holds a thread for as long as its caller takes it."""
GiveBack = Callable[[], None]
TakePlace = Callable[[], GiveBack]
"""Takes a place for one body and says how it is given back, which may be done more than once. TooManyRequests when all are
taken."""


class OpenDownloads:
    """One place for each large body that is on its way. Thread-safe."""

    def __init__(self, most: int, audit: AccessAudit) -> None:
        """``most`` for each token; 0 = no limit."""
        self._most = most
        self._audit = audit
        self._lock = threading.Lock()
        self._open: Counter[CallerKey] = Counter()

    def take(self, grant: AccessGrant, attempt: Attempt) -> GiveBack:
        """As ``TakePlace``, for a token that holds; who is refused stands in the audit log."""
        caller = (grant.ehr, grant.issuer, grant.token_reference)
        with self._lock:
            if not 0 < self._most <= self._open[caller]:
                self._open[caller] += 1
                return _Once(lambda: self._give_back(caller))
        self._audit.held_back(attempt, grant, HeldBack(RETRY_AFTER_S, caller))
        raise TooManyRequests(
            "Too many large answers are on their way already; please take those first.", retry_after_s=RETRY_AFTER_S
        )

    def _give_back(self, caller: CallerKey) -> None:
        with self._lock:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


class _Once:
    """Does something the first time that it is called: a body ends, and is closed as well."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            action, self._action = self._action, None
        if action is not None:
            action()
