"""Which session a launch of this browser became, so that its address opened again is told apart from a new start.

An EHR that reloads our frame, and the browser's history across a posted sign-in, open the launch address once more; the EHR
takes the handle once only. Test launchers and some EHRs send one handle at every start, for whichever patient.

Spec: SMART App Launch 2.2 (A5, A8, A21): ``launch`` is opaque and belongs to one start.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_imaging.store.engine import Store
from fhir_imaging.store.sealed import SealedRecords

KIND = "used-launch"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLaunch:
    """A launch that this browser has completed. ``session_id``: what it became last; that session may have ended."""

    session_id: str
    starts: int
    """How many sessions its handle has opened. More than one: the EHR repeats its handles, and none says which is meant."""


class UsedLaunches:
    """Completed launches by a browser's binding and their keyed digest. Another browser's binding finds nothing."""

    def __init__(self, store: Store) -> None:
        self._sealer = store.sealer
        self._records = SealedRecords(store, KIND)

    def handle_of(self, iss: str, launch: str) -> str:
        """The digest by which this launch is kept; neither value can be read from it."""
        return self._sealer.digest(KIND, iss, launch)

    def note(self, binding: str, handle: str, session_id: str, *, now: int, expires_at: int) -> None:
        """Remembers what the launch became."""
        earlier = self.find(binding, handle, now=now)
        body = {"session": session_id, "starts": 1 if earlier is None else earlier.starts + 1}
        self._records.add(body, expires_at=expires_at, record_id=f"{binding}/{handle}")

    def find(self, binding: str, handle: str, *, now: int) -> UsedLaunch | None:
        """The completed launch; None when this browser has not completed it."""
        body = self._records.get(f"{binding}/{handle}", now=now)
        # Records of earlier releases do not count their starts.
        return None if body is None else UsedLaunch(session_id=body["session"], starts=body.get("starts", 1))
