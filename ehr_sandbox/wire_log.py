"""What went over the wire between the chart and a CDS service, kept for the developer who reads along.

Every exchange is redacted before it is kept: bearer tokens are replaced wherever they stand, also in a body that echoes
them. Of the client JWT the decoded header and claims remain, never its signature.
"""

import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

REDACTED = "[redacted]"
MAX_SHOWN_CHARACTERS = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One HTTP request to a CDS service and what became of it.

    `at` is UTC. `status` is absent when no answer came; `failure` then says why in plain words. `faults` are the reasons
    why an answer, or a card of it, was not used; `remarks` are deviations that did no harm.
    """

    at: datetime
    purpose: str
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    status: int | None
    response_body: str
    milliseconds: float
    failure: str | None = None
    jwt_header: Mapping[str, Any] | None = None
    jwt_claims: Mapping[str, Any] | None = None
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.failure is None and not self.faults


@dataclass(slots=True)
class WireLog:
    """The last exchanges of one opened chart, oldest first; older ones fall out so that memory stays bounded."""

    capacity: int = 60
    _exchanges: deque[Exchange] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)
            while len(self._exchanges) > self.capacity:
                self._exchanges.popleft()

    def exchanges(self) -> tuple[Exchange, ...]:
        with self._lock:
            return tuple(self._exchanges)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets, however it came to hold them."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    return text


def pretty(text: str) -> str:
    """JSON indented for reading; anything else as it is. Very long bodies are cut, and say so."""
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text
    if len(shown) <= MAX_SHOWN_CHARACTERS:
        return shown
    return f"{shown[:MAX_SHOWN_CHARACTERS]}\n… cut after {MAX_SHOWN_CHARACTERS} of {len(shown)} characters"
