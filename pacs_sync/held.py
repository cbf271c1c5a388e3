"""What waits for a person: studies that nobody may guess the patient of, and those that failed too often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, select, update

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import HoldReason, Subject, Work
from pacs_sync.queueing import Stage, study_digest
from pacs_sync.sealed_facts import Decision, SealedFacts
from pacs_sync.tables import sync_study

PAGE = 500
OF_FILES = ".files-"
"""Between the name of a synchronisation and a folder's mark, in the name of what waits of that folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStudy:
    """A study that waits, and what the archive says of its patient. ``assigned`` is what a person decided before, if so."""

    study: StudyInstanceUID
    reason: HoldReason
    patient: PatientNumber | None
    detail: str
    since: datetime
    assigned: Subject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadStudy:
    """A study that was laid aside, with the words of its last failure."""

    study: StudyInstanceUID
    reason: str
    attempts: int
    since: datetime


def waiting_of(store: Store, sync: str) -> list[WaitingForPeople]:
    """What waits of a synchronisation: of its archive, and of each folder of files that was read by its rules."""
    table = sync_study.c
    aside = table.since_ms.is_not(None) & table.stage.in_((Stage.HELD, Stage.DEAD))
    folders = select(table.sync).where(table.sync.startswith(f"{sync}{OF_FILES}", autoescape=True), aside).distinct()
    with store.read() as connection:
        found = sorted(row.sync for row in connection.execute(folders))
    return [WaitingForPeople(store, name) for name in (sync, *found)]


class WaitingForPeople:
    """The lists of one synchronisation, and how a person clears them. ``now`` in UTC seconds."""

    def __init__(self, store: Store, sync: str) -> None:
        self.sync = sync
        self._store = store
        self._sync = sync
        self._facts = SealedFacts(store.sealer)

    def held(self) -> Iterator[HeldStudy]:
        """Held studies, the longest first, page by page."""
        for study, row in self._rows(Stage.HELD):
            trouble = self._facts.opened_trouble(row.trouble)
            decision = self._facts.opened_decision(row.assigned)
            yield HeldStudy(
                study=study,
                reason=HoldReason(row.reason),
                patient=trouble.patient,
                detail=trouble.detail,
                since=_moment(row.since_ms),
                assigned=decision.subject if decision else None,
            )

    def dead(self) -> Iterator[DeadStudy]:
        """Studies that were laid aside, the longest first, page by page."""
        for study, row in self._rows(Stage.DEAD):
            reason = self._facts.opened_trouble(row.trouble).detail
            yield DeadStudy(study=study, reason=reason, attempts=row.attempts, since=_moment(row.since_ms))

    def resolve(self, study: StudyInstanceUID, answer: Subject | Literal["retry"], *, now: float) -> bool:
        """Brings a held study back, as this person's or to be resolved anew. False when it is not held (any more).

        Whose it is counts for later images of it too, until the archive names another patient than it does now.
        """
        is_held = self._is(study) & (sync_study.c.stage == Stage.HELD)
        with self._store.write(durable=True) as connection:
            row = connection.execute(select(sync_study.c.trouble).where(is_held).with_for_update()).first()
            if row is None:
                return False
            values: dict[str, Any] = {}
            if answer != "retry":
                decided_for = self._facts.opened_trouble(row.trouble).patient
                values["assigned"] = self._facts.decision(Decision(subject=answer, decided_for=decided_for))
            connection.execute(update(sync_study).where(is_held).values(**_released(now), **values))
        return True

    def take_back(self, study: StudyInstanceUID, *, now: float) -> bool:
        """Forgets whose a person said that it is; it is looked at anew. False when nobody had said so."""
        decided = self._is(study) & sync_study.c.assigned.is_not(None)
        with self._store.write(durable=True) as connection:
            row = connection.execute(select(sync_study.c.ticket).where(decided).with_for_update()).first()
            if row is None:
                return False
            # A worker that has it believes the old word.
            again = {"again_ms": round(now * 1000), "work": Work.RELEASED} if row.ticket else _released(now)
            connection.execute(update(sync_study).where(decided).values(**again, assigned=None))
        return True

    def retry(self, study: StudyInstanceUID | None = None, *, now: float) -> int:
        """Brings one dead study back, or all of them; how many those were."""
        dead = (sync_study.c.sync == self._sync) & sync_study.c.since_ms.is_not(None) & (sync_study.c.stage == Stage.DEAD)
        if study is not None:
            dead &= self._is(study)
        # In the order in which news are noted, so that two processes never wait for each other.
        locked = select(sync_study.c.study_digest).where(dead).order_by(sync_study.c.study_digest).with_for_update().cte("dead")
        brought = update(sync_study).where(dead, sync_study.c.study_digest.in_(select(locked.c.study_digest)))
        with self._store.write_once() as connection:
            return len(connection.execute(brought.values(**_released(now)).returning(sync_study.c.study_digest)).all())

    def _rows(self, stage: Stage) -> Iterator[tuple[StudyInstanceUID, Any]]:
        table = sync_study.c
        wanted = (table.sync == self._sync) & table.since_ms.is_not(None) & (table.stage == stage)
        query = select(
            table.study, table.reason, table.trouble, table.assigned, table.attempts, table.since_ms, table.study_digest
        )
        last: tuple[int, str] | None = None
        while True:
            page = query.where(wanted)
            if last is not None:
                since, digest = last
                later = (table.since_ms > since) | ((table.since_ms == since) & (table.study_digest > digest))
                page = page.where(table.since_ms >= since, later)
            with self._store.read() as connection:
                rows = connection.execute(page.order_by(table.since_ms, table.study_digest).limit(PAGE)).all()
            for row in rows:
                study = self._facts.opened_text(row.study)
                if study is not None:  # else sealed with a master key that is no more
                    yield StudyInstanceUID(study), row
            if len(rows) < PAGE:
                return
            last = (rows[-1].since_ms, rows[-1].study_digest)

    def _is(self, study: StudyInstanceUID) -> ColumnElement[bool]:
        digest = study_digest(self._store.sealer, self._sync, study)
        return (sync_study.c.sync == self._sync) & (sync_study.c.study_digest == digest)


def _released(now: float) -> dict[str, Any]:
    """What makes a row due at once; why it waited stays, in case that it still does."""
    due_ms = round(now * 1000)
    return {"stage": Stage.QUEUED, "work": Work.RELEASED, "due_ms": due_ms, "queued_ms": due_ms, "attempts": 0}


def _moment(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC)
