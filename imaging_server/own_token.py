"""The keeper of a token of our own at one server: an EHR, an archive or the audit server.

However many requests want it, it is asked for once; however many are refused with it, it is replaced once; and a client that is
refused for good asks no more often than every few seconds, neither for tokens nor with them.

Spec: SMART App Launch 2.2 "Backend Services"; RFC 6749 §4.4, §5.2; RFC 6750 §3.1; SMART Imaging Access F8, group 23.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imaging_server.decision_cache import DecisionCache
from imaging_server.token_answers import OwnToken, TokenRefused

LEAST_AGE_TO_RENEW_S = 10.0
"""A server that refuses a token younger than this refuses the client, not the token: another one would change nothing."""
REFUSED_FOR_S = 5.0
"""How long the token endpoint's no is remembered: each request that needs the token would ask again otherwise."""
LONGEST_REFUSED_FOR_S = 60.0
"""The longest that a Retry-After of the endpoint makes of it."""


@dataclass(frozen=True, slots=True)
class _Issued:
    token: OwnToken
    at: float
    generation: int


class OwnTokenKeeper:
    """Keeps what ``ask`` gets until 60 s before its end. Thread-safe.

    ``ask`` raises UpstreamError where there is no token to be had, TokenRefused among them where the endpoint said no.
    """

    def __init__(self, ask: Callable[[], OwnToken], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._kept: DecisionCache[_Issued | TokenRefused] = DecisionCache(monotonic=monotonic, max_entries=2)
        self._lock = threading.Lock()
        self._generation = 0

    def current(self) -> str:
        """The token; UpstreamError as ``ask``."""
        return self._issued().token.value

    def renewed(self, refused: str) -> str | None:
        """Another token than the refused one (401); None where there is none worth trying. UpstreamError as ``ask``."""
        issued = self._issued()
        with self._lock:
            is_current = refused == issued.token.value
            if is_current and self._monotonic() - issued.at < LEAST_AGE_TO_RENEW_S:
                return None
            if is_current and issued.generation == self._generation:
                self._generation += 1  # a refused token belongs to a generation that nobody asks for any more
        fresh = self.current()
        return None if fresh == refused else fresh

    def _issued(self) -> _Issued:
        generation = self._generation
        kept = self._kept.get((str(generation),), lambda: self._asked(generation), seconds=_kept_s)
        if isinstance(kept, TokenRefused):
            raise kept.again()
        return kept

    def _asked(self, generation: int) -> _Issued | TokenRefused:
        try:
            return _Issued(self._ask(), self._monotonic(), generation)
        except TokenRefused as refusal:
            return refusal


def _kept_s(kept: _Issued | TokenRefused) -> float:
    if isinstance(kept, TokenRefused):
        return min(LONGEST_REFUSED_FOR_S, max(REFUSED_FOR_S, kept.retry_after_s or 0))
    return kept.token.kept_s
