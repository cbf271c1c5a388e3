"""The keeper of a token of our own at one server: an EHR, an archive or the audit server.

However many requests want it, it is asked for once; however many are refused with it, it is replaced once, and kept until
another is there; and a client that is refused for good asks for one no more often than every few seconds.

Spec: SMART App Launch 2.2 "Backend Services"; RFC 6749 §4.4, §5.2; RFC 6750 §3.1; SMART Imaging Access F8, group 23.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fhir_imaging.clients.deadlines import without
from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.clients.token_answers import OwnToken, TokenRefused

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
        """Another token than the refused one (401); None where there is none worth trying. UpstreamError as ``ask``.

        The refused one stays in use until another is there: a server may have refused a single question with it.
        """
        issued = self._issued()
        if refused == issued.token.value:
            if self._monotonic() - issued.at < LEAST_AGE_TO_RENEW_S:
                return None
            issued = self._issued(issued.generation + 1)
            with self._lock:
                self._generation = max(self._generation, issued.generation)
        return None if refused == issued.token.value else issued.token.value

    def _issued(self, generation: int | None = None) -> _Issued:
        wanted = self._generation if generation is None else generation
        kept = self._kept.get((str(wanted),), lambda: self._asked(wanted), seconds=_kept_s)
        if isinstance(kept, TokenRefused):
            raise kept.again()
        return kept

    def _asked(self, generation: int) -> _Issued | TokenRefused:
        try:
            with without():  # also those wait for it who have more time
                return _Issued(self._ask(), self._monotonic(), generation)
        except TokenRefused as refusal:
            return refusal


def _kept_s(kept: _Issued | TokenRefused) -> float:
    if isinstance(kept, TokenRefused):
        return min(LONGEST_REFUSED_FOR_S, max(REFUSED_FOR_S, kept.retry_after_s or 0))
    return kept.token.kept_s
