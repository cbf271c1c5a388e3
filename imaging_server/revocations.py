"""Access that an administrator ends: marks in the database, which every worker looks for once a second.

A mark lets every kept answer go that it concerns, so that the EHR is asked anew at once and not only when the answer ends. A
token that a mark names is refused from then on, whatever the EHR says. While the marks cannot be read nothing is opened.

Spec: SMART Imaging Access W3, groups 6 and 34; issue 5 ("decisions cached … and revocable").
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

from sqlalchemy import func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.errors import UpstreamError
from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import revocation
from imaging_server.access import AccessGrant

log = logging.getLogger("imaging_cds.imaging_server")

LOOK_EVERY_S = 1.0
LONGEST_UNREAD_S = 5.0
"""How long access goes on by what was read last while the database does not answer."""
DIGEST = "revocation"
DIGESTS_KEPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What an administrator ended, when (UTC seconds), under which account of this machine and why; None means any."""

    marked_at: int
    ehr: str | None = None
    patient: str | None = None
    study: str | None = None
    token_reference: str | None = None
    by: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A revocation as workers compare it; ``number`` counts up. ``patient`` and ``token`` are keyed digests."""

    number: int
    ehr: str | None
    patient: str | None
    token: str | None


class Marks:
    """All marks as of one moment."""

    def __init__(self, marks: Iterable[Mark], digest: Callable[[str, str], str]) -> None:
        self._digest = lru_cache(maxsize=DIGESTS_KEPT)(digest)  # the same few tokens and patients come with every frame
        self._tokens: set[tuple[str | None, str]] = set()
        self._latest: dict[tuple[str | None, str | None], int] = {}
        for one in marks:
            if one.token is not None:
                self._tokens.add((one.ehr, one.token))
            else:
                scope = (one.ehr, one.patient)
                self._latest[scope] = max(one.number, self._latest.get(scope, 0))
        self._names_patients = any(patient for _, patient in self._latest)

    def refuses(self, grant: AccessGrant) -> bool:
        """Whether a mark names this very token."""
        if not self._tokens:
            return False
        token = self._digest("token", grant.token_reference)
        return (None, token) in self._tokens or (grant.ehr, token) in self._tokens

    def concerning(self, grant: AccessGrant) -> int:
        """The newest mark that lets answers about this token's patient go; 0 when there is none."""
        if not self._latest:
            return 0
        patients: set[str | None] = {None}
        if self._names_patients and grant.patient_id is not None:
            patients.add(self._digest("patient", grant.patient_id))
        return max(self._latest.get((ehr, patient), 0) for ehr in (None, grant.ehr) for patient in patients)


class RevocationLog:
    """The marks of one installation, written by administrators and read by whoever wants to know."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def mark(self, ended: Revocation) -> None:
        """From now on, for all workers within about a second; on the disk when this returns."""
        row = {
            "marked_at": ended.marked_at,
            "ehr": ended.ehr,
            "patient_digest": self._digest("patient", ended.patient),
            "token_digest": self._digest("token", ended.token_reference),
            "body": self._store.sealer.seal(json.dumps(asdict(ended)).encode()),
        }
        with self._store.write_once(durable=True) as connection:
            connection.execute(insert(revocation).values(row))

    def listed(self) -> list[Revocation]:
        """All of them, newest first, but for those that another installation sealed."""
        with self._store.read() as connection:
            bodies = connection.execute(select(revocation.c.body).order_by(revocation.c.id.desc())).scalars().all()
        opened = (self._store.sealer.open(body) for body in bodies)
        return [Revocation(**json.loads(plain)) for plain in opened if plain is not None]

    def _digest(self, kind: str, value: str | None) -> str | None:
        return None if value is None else self._store.sealer.digest(DIGEST, kind, value)


class Revocations:
    """What one worker knows of the marks: asked for with every request, looked up at most once a second. Thread-safe."""

    def __init__(self, store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._marks: Marks | None = None
        self._read_at = self._looked_at = float("-inf")

    def current(self) -> Marks:
        """The marks, at most a second old, or up to ``LONGEST_UNREAD_S`` while they cannot be read. UpstreamError after it."""
        marks = self.known()
        if marks is not None:
            return marks
        marks = self._marks
        # One request looks; those beside it go on with what is known, as long as that is not too old.
        if self._looking.acquire(blocking=marks is None or not self._may_still_use()):
            try:
                if self._age(self._looked_at) >= LOOK_EVERY_S:
                    self._look()
            finally:
                self._looking.release()
        if self._marks is None or not self._may_still_use():
            raise UpstreamError("Whether access was ended could not be read.", server="database", retryable=True)
        return self._marks

    def known(self) -> Marks | None:
        """The marks, where they need not be looked up: this never waits."""
        now = self._monotonic()
        is_known = now - self._looked_at < LOOK_EVERY_S and now - self._read_at < LONGEST_UNREAD_S
        return self._marks if is_known else None

    def _look(self) -> None:
        started = self._looked_at = self._monotonic()
        try:
            with self._store.read() as connection:
                count, newest = connection.execute(select(func.count(), func.max(revocation.c.id))).one()
                # Both, for PostgreSQL gives numbers out before rows can be seen: a later number may show first.
                if self._state != (count, newest or 0):
                    rows = connection.execute(select(revocation)).all()
                    self._marks = Marks((_mark(row) for row in rows), lambda *said: self._store.sealer.digest(DIGEST, *said))
                    self._state = (count, newest or 0)
        except SQLAlchemyError as exc:
            log.error("marks that end access cannot be read: %s", type(exc).__name__)
            # Whoever waited meanwhile must not wait for the same again.
            self._looked_at = self._monotonic()
            return
        self._read_at = started

    def _may_still_use(self) -> bool:
        return self._age(self._read_at) < LONGEST_UNREAD_S

    def _age(self, moment: float) -> float:
        return self._monotonic() - moment


def _mark(row: object) -> Mark:
    number, ehr, patient, token = (getattr(row, name) for name in ("id", "ehr", "patient_digest", "token_digest"))
    return Mark(number=number, ehr=ehr, patient=patient, token=token)
