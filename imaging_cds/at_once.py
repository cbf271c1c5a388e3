"""Requests that a worker answers in its own loop, by what the application has said of requests in the same words.

nginx asks the application about each frame before it fetches it (``X-Accel-Redirect``), and the application lets the server ask
a pass in its stead. No thread is woken up for that, and none waits for another one's turn: with eight at once that was half of
what a decision cost.

Only what never waits is answered here. Whatever else comes, and whatever the application wants to be asked about, goes the way
of all requests with not a byte taken from it.

Spec: RFC 9112 §9.3 (persistence); docs/decisions/0007.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.in_front import SAME_WORDS, SameWords
from imaging_cds.one_write import head_of
from imaging_cds.plain_requests import PlainFields, in_pieces

_KEPT_S = 30.0
"""How long words are known that nobody uses any more."""
_MOST = 1000


class AtOnce:
    """What one worker knows of its callers' words. Thread-safe."""

    def __init__(self) -> None:
        self._known: DecisionCache[SameWords] = DecisionCache(max_entries=_MOST)

    def offer(self, environ: dict[str, Any], client: Any, fields: PlainFields) -> None:
        """Lets the application say what is to be answered to further requests in these words."""
        environ[SAME_WORDS] = partial(self._words, client, fields)

    def answer(self, begun: bytes, client: Any, last: PlainFields | None = None) -> tuple[bytes, Callable[[], None]] | None:
        """The whole answer to a request, and what is to be called when it was sent; None when the application is to be asked,
        which has heard nothing of it yet.

        ``last``: the fields of the request before it on its connection.
        """
        pieces = in_pieces(begun)
        if pieces is None:
            return None
        line, written, number = pieces
        # On a connection it is mostly one caller who asks, and there the words need no digest to be found by.
        known = last.words if last is not None and last.written == written else None
        words = known or self._known.kept(_key(client, written))
        if words is None or words.at_once is None or line[3] is not None:
            return None
        answer = words.at_once(line[2].decode("ascii"), number)
        return None if answer is None else (head_of(answer[0]), answer[1])

    def _words(self, client: Any, fields: PlainFields) -> SameWords:
        key = _key(client, fields.written)
        words = self._known.kept(key) or SameWords()
        self._known.keep(key, words, _KEPT_S)
        fields.words = words
        return words


def _key(client: Any, written: bytes) -> tuple[str, ...]:
    """One caller's words are never another one's: who asks is told apart by address too. The words hold a token, and so they
    are not kept themselves."""
    return (str(client[0]), hashlib.sha256(written).hexdigest())
