"""Where launches and sessions are kept: sealed records that all workers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_imaging.store.engine import Store
from fhir_imaging.store.launched_tokens import KIND as LAUNCHED_TOKENS
from fhir_imaging.store.sealed import SealedRecords
from smart_app.active_session import ActiveSession
from smart_app.browser_sessions import KIND as BROWSER_SESSIONS
from smart_app.browser_sessions import BrowserSessions
from smart_app.launch import PendingLaunch
from smart_app.used_launches import KIND as USED_LAUNCHES

EXCHANGE_LEASE_S = 60
REFRESH_LEASE_S = 30
WINDOW_TICKET_S = 60
KINDS = ("pending-launch", "session", "opened-study", "window-ticket", USED_LAUNCHES, BROWSER_SESSIONS, LAUNCHED_TOKENS)


def purge_expired(store: Store, *, now: int) -> None:
    """Removes every record of the app that has ended; nothing of a patient stays longer than its session."""
    for kind in KINDS:
        SealedRecords(store, kind).purge(now=now)


class PendingLaunches:
    """Launches between authorize and callback, by ``state`` (256 bits, A10)."""

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, "pending-launch")

    def remember(self, launch: PendingLaunch, *, expires_at: int) -> str:
        """Stores the launch and returns its fresh ``state``."""
        return self._records.add(launch.to_record(), expires_at=expires_at)

    def find(self, state: str, *, now: int) -> PendingLaunch | None:
        """The launch of this ``state``, finished or not."""
        record = self._records.get(state, now=now)
        return None if record is None else PendingLaunch.from_record(record)

    def claim(self, state: str, *, now: int) -> bool:
        """The right to exchange the code, given to one worker once."""
        return self._records.lease(state, now=now, seconds=EXCHANGE_LEASE_S)

    def finish(self, state: str, launch: PendingLaunch, *, expires_at: int) -> None:
        """Writes what became of the launch, for reloads of the callback."""
        self._records.replace(state, launch.to_record(), expires_at=expires_at)


class ActiveSessions:
    """Sessions by id. The id stands in the path and is never enough by itself: the browser's binding must match."""

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, "session")
        self._browsers = BrowserSessions(store)

    def open(self, session: ActiveSession) -> str:
        """Stores a new session under a fresh id, known to the browser that opened it."""
        session_id = self._records.add(session.to_record(), expires_at=session.session_expires_at)
        self._note(session_id, session)
        return session_id

    def find(self, session_id: str, *, now: int) -> ActiveSession | None:
        """The session of this id."""
        record = self._records.get(session_id, now=now)
        return None if record is None else ActiveSession.from_record(record)

    def lease(self, session_id: str, *, now: int) -> bool:
        """The right to change the session, for all workers."""
        return self._records.lease(session_id, now=now, seconds=REFRESH_LEASE_S)

    def release(self, session_id: str) -> None:
        """Gives the right back unused."""
        self._records.release(session_id)

    def write(self, session_id: str, session: ActiveSession) -> None:
        """Writes the changed session and gives the right back."""
        self._records.replace(session_id, session.to_record(), expires_at=session.session_expires_at)
        if len(session.bindings) > 1:
            self._note(session_id, session)

    def _note(self, session_id: str, session: ActiveSession) -> None:
        for binding in session.bindings:
            self._browsers.note(binding, session_id, now=session.created_at, expires_at=session.session_expires_at)

    def forget(self, session_id: str) -> None:
        """Removes the session with its tokens."""
        self._records.remove(session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedStudy:
    """A study that this session may show, found to be its patient's: where its images are, and whether the token goes there."""

    study_instance_uid: str
    address: str
    send_token: bool


class OpenedStudies:
    """Which studies a session has been allowed to show, so that the viewer's own requests need not ask FHIR again."""

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, "opened-study")

    def remember(self, session_id: str, study: OpenedStudy, *, expires_at: int) -> None:
        """Notes that the study was checked for this session."""
        body: dict[str, Any] = {"address": study.address, "send_token": study.send_token}
        self._records.add(body, expires_at=expires_at, record_id=f"{session_id}/{study.study_instance_uid}")

    def find(self, session_id: str, study_instance_uid: str, *, now: int) -> OpenedStudy | None:
        """The study, if this session was allowed to show it."""
        body = self._records.get(f"{session_id}/{study_instance_uid}", now=now)
        return None if body is None else OpenedStudy(study_instance_uid=study_instance_uid, **body)


class WindowTickets:
    """One-use tickets by which a framed page hands its session to a new window, where the frame's cookie is not sent."""

    def __init__(self, store: Store) -> None:
        self._records = SealedRecords(store, "window-ticket")

    def issue(self, session_id: str, *, now: int) -> str:
        """A ticket for this session, good for a minute and one use."""
        return self._records.add({"session": session_id}, expires_at=now + WINDOW_TICKET_S)

    def redeem(self, ticket: str, session_id: str, *, now: int) -> bool:
        """Whether the ticket was issued for this session and not used before."""
        body = self._records.take(ticket, now=now)
        return body is not None and body.get("session") == session_id
