"""Which sessions a browser has opened, for requests that name none; a session's own binding is checked all the same.

Spec: DESIGN §7 (one session per launch, never "the current patient" of a cookie).
"""

from __future__ import annotations

from fhir_imaging.store.engine import Store
from fhir_imaging.store.sealed import SealedRecords

KIND = "browser-sessions"
MOST_SESSIONS = 20
"""The oldest are forgotten above it: nobody chooses among more."""


class BrowserSessions:
    """Session ids by the digest of a browser's cookie.

    Two launches of one browser that end in the same instant may leave only one of them here; both sessions work.
    """

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, KIND)

    def note(self, binding: str, session_id: str, *, now: int, expires_at: int) -> None:
        """Remembers that this browser opened the session; one that is known already keeps its place."""
        body = self._records.get(binding, now=now) or {}
        known = list(body.get("sessions", ()))
        if session_id in known:
            return
        # The list lives as long as the longest of its sessions: one handed over may be older than those opened here.
        until = max(expires_at, body.get("until", 0))
        listed = {"sessions": [session_id, *known][:MOST_SESSIONS], "until": until}
        self._records.add(listed, expires_at=until, record_id=binding)

    def of(self, binding: str, *, now: int) -> list[str]:
        """The ids, latest first; some may have ended."""
        body = self._records.get(binding, now=now)
        return [] if body is None else list(body["sessions"])
