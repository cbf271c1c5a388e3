"""How many large bodies one token may have on their way at once, and all together: a caller who takes slowly what it asked for
holds a thread of this server and a connection of the archive, and has them for as long as it likes.

However many tokens do so, threads and connections are left for those who ask for a frame. Each worker counts for itself.
Images below ``small_body_bytes`` are read whole and have no place: what is left of them, the network or a proxy in front takes
at once. Long JSON has one. So has what an archive takes its time to begin, for as long as that is: it holds both as well.

Spec: SMART Imaging Access groups 19 and 23; RFC 6585 §4 (429), RFC 9110 §10.2.3 (Retry-After), §15.6.4 (503).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from fhir_imaging.errors import Busy, TooManyRequests
from fhir_imaging.settings import PacsSettings
from imaging_server.access import AccessGrant
from imaging_server.auditing import AccessAudit, Attempt
from imaging_server.rate_limit import CallerKey, HeldBack, RateLimitSettings
from imaging_server.slow_answers import told_of_silence

RETRY_AFTER_S = 2
"""Nobody knows when a download ends; our viewer comes back often enough for any that are taken at all."""
LONG_JSON_BYTES = 1 << 20
"""JSON from here on holds a thread for as long as its caller takes it."""
GiveBack = Callable[[], None]
TakePlace = Callable[[], GiveBack]
"""Takes a place for one body and says how it is given back, which may be done more than once. TooManyRequests when the token
has all of its own, Busy when there is none for anybody."""


class OpenDownloads:
    """One place for each large body that is on its way. Thread-safe."""

    def __init__(self, limits: RateLimitSettings, archives: Iterable[PacsSettings], audit: AccessAudit) -> None:
        self._most = limits.open_downloads
        self._most_in_all = limits.all_downloads
        # A quarter of its connections is for frames and searches.
        self._most_of = {one.name: one.max_connections - one.max_connections // 4 for one in archives}
        self._audit = audit
        self._lock = threading.Lock()
        self._open: Counter[CallerKey] = Counter()
        self._open_of: Counter[str] = Counter()
        self._slow: Counter[CallerKey] = Counter()
        """Of those, what has not begun yet."""

    def take(self, grant: AccessGrant, attempt: Attempt, archive: str) -> GiveBack:
        """As ``TakePlace``, for a token that holds; who is refused for what it has itself stands in the audit log."""
        caller = _caller(grant)
        with self._lock:
            has_own = not 0 < self._most <= self._open[caller]
            if has_own and self._has_room(archive):
                self._open[caller] += 1
                self._open_of[archive] += 1
                return _Once(partial(self._give_back, caller, archive))
        if has_own:
            raise Busy("As many large answers are on their way as there is room for.", retry_after_s=RETRY_AFTER_S)
        self._audit.held_back(attempt, grant, HeldBack(RETRY_AFTER_S, caller))
        raise TooManyRequests(
            "Too many large answers are on their way already; please take those first.", retry_after_s=RETRY_AFTER_S
        )

    @contextmanager
    def asked(self, grant: AccessGrant, attempt: Attempt, archive: str) -> Iterator[None]:
        """An answer that is slow to begin has a place from then until it has begun, which ends the block; raises as ``take``.

        Whoever waits for such ones already, and has no place for one more, is told at once: each holds a thread until it is
        known to be slow.
        """
        with ExitStack() as held:
            if self._slow[_caller(grant)]:
                self.take(grant, attempt, archive)()
            with told_of_silence(partial(self._is_slow, held, grant, attempt, archive)):
                yield

    def _is_slow(self, held: ExitStack, grant: AccessGrant, attempt: Attempt, archive: str) -> None:
        held.pop_all().close()  # the same request may be made in another form, and has one place
        held.callback(self.take(grant, attempt, archive))
        with self._lock:
            self._slow[_caller(grant)] += 1
        held.callback(self._has_begun, _caller(grant))

    def _has_begun(self, caller: CallerKey) -> None:
        with self._lock:
            self._slow[caller] -= 1
            if not self._slow[caller]:
                del self._slow[caller]

    def _has_room(self, archive: str) -> bool:
        in_all = self._open_of.total()
        return not 0 < self._most_in_all <= in_all and self._open_of[archive] < self._most_of[archive]

    def _give_back(self, caller: CallerKey, archive: str) -> None:
        with self._lock:
            self._open_of[archive] -= 1
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


@dataclass(frozen=True, slots=True)
class Place:
    """What one request that was let through may have of them; itself it is a ``TakePlace``."""

    downloads: OpenDownloads
    grant: AccessGrant
    attempt: Attempt
    archive: str

    def __call__(self) -> GiveBack:
        """As ``OpenDownloads.take``."""
        return self.downloads.take(self.grant, self.attempt, self.archive)

    def asked(self) -> AbstractContextManager[None]:
        """As ``OpenDownloads.asked``."""
        return self.downloads.asked(self.grant, self.attempt, self.archive)


def _caller(grant: AccessGrant) -> CallerKey:
    return (grant.ehr, grant.issuer, grant.token_reference)


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
