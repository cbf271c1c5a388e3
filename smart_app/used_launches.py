"""Which session a launch of this browser became, so that its address opened again leads back there.

An EHR that reloads our frame, and the browser's history across a posted sign-in, open the launch address once more; the EHR
takes the handle once only.

Spec: SMART App Launch 2.2 (A5, A8, A21): ``launch`` is opaque and belongs to one start.
"""

from __future__ import annotations

from fhir_imaging.store.engine import Store
from fhir_imaging.store.sealed import SealedRecords

KIND = "used-launch"


class UsedLaunches:
    """Session ids by a browser's binding and the keyed digest of a launch. Another browser's binding finds nothing."""

    def __init__(self, store: Store) -> None:
        self._sealer = store.sealer
        self._records = SealedRecords(store, KIND)

    def handle_of(self, iss: str, launch: str) -> str:
        """The digest by which this launch is kept; neither value can be read from it."""
        return self._sealer.digest(KIND, iss, launch)

    def note(self, binding: str, handle: str, session_id: str, *, expires_at: int) -> None:
        """Remembers what the launch became."""
        self._records.add({"session": session_id}, expires_at=expires_at, record_id=f"{binding}/{handle}")

    def session_of(self, binding: str, handle: str, *, now: int) -> str | None:
        """The session, which may have ended; None when this browser has not completed the launch."""
        body = self._records.get(f"{binding}/{handle}", now=now)
        return None if body is None else body["session"]
