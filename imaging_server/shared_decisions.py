"""Decisions in the database, so that many workers ask an authorization server or a FHIR server once.

A row is found by a keyed digest and its content is sealed together with that digest and with its own end: whoever can write to
the database can neither lengthen a decision nor give it to another token. A database that cannot be asked costs a question,
and never opens anything.

Spec: SMART Imaging Access groups 6 and 23 (bounded caching, single flight); DESIGN §8 ("or in the shared store").
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.clients.deadlines import within
from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.tables import shared_decision

log = logging.getLogger("imaging_cds.imaging_server")

T = TypeVar("T")

LONGEST_S = 60.0
"""No decision of another worker counts for longer, whatever that worker's clock says: one that says so of itself comes from a
clock that goes wrong, and counts for nothing."""
POLL_S = 0.02
SWEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How answers of one kind are written as JSON. ``read`` may raise ValueError, TypeError or KeyError for what it is not."""

    kind: str
    write: Callable[[T], Any]
    read: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """An answer and its end in UTC seconds."""

    value: T
    until: float


@dataclass(frozen=True, slots=True)
class _Row(Generic[T]):
    """What the database has: an answer, that somebody is asking, or what cannot be read here (neither)."""

    answer: Timed[T] | None = None
    is_being_asked: bool = False


class SharedDecisions:
    """The decisions of one installation. Thread-safe; ``patience_s``: how long whoever asks may take in all."""

    def __init__(self, store: Store, *, patience_s: float, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._patience_s = patience_s
        self._clock = clock
        self._swept_at = 0.0

    def get(self, form: Form[T], key: tuple[str, ...], ask: Callable[[], T], *, seconds: Callable[[T], float]) -> Timed[T]:
        """What a worker was told within ``seconds(value)``, or what ``ask`` says now. Its errors are nobody else's."""
        row_id = self._store.sealer.digest("decision", form.kind, *key)
        found, claim = self._found_or_claimed(form, row_id)
        if found is not None:
            return found
        try:
            with within(self._patience_s):
                value = ask()
        except BaseException:
            self._finish(row_id, claim, None)
            raise
        answer = Timed(value, self._clock() + seconds(value))
        self._finish(row_id, claim, self._sealed(form, row_id, answer))
        return answer

    def _found_or_claimed(self, form: Form[T], row_id: str) -> tuple[Timed[T] | None, str | None]:
        """Another worker's answer; or none, with the claim under which this one asks (None = for itself alone)."""
        give_up_at = time.monotonic() + self._patience_s
        waited = False
        try:
            while True:
                row = self._look(form, row_id)
                if row is not None and not row.is_being_asked:
                    return row.answer, None
                if row is None:
                    # Who asked before got no answer. Whoever waited for that must not wait for the next one too.
                    claim = None if waited else self._claimed(row_id)
                    if waited or claim is not None:
                        return None, claim
                if time.monotonic() > give_up_at:
                    return None, None
                waited = True
                time.sleep(POLL_S)
        except SQLAlchemyError as exc:
            log.warning("shared decisions cannot be read: %s", type(exc).__name__)
            return None, None

    def _look(self, form: Form[T], row_id: str) -> _Row[T] | None:
        table = shared_decision.c
        query = select(table.body).where(table.id == row_id, ~self._is_over(self._now_ms()))
        with self._store.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return _Row(is_being_asked=True) if row.body is None else _Row(self._opened(form, row_id, row.body))

    def _claimed(self, row_id: str) -> str | None:
        """The right to ask for all; None when another worker was faster."""
        now_ms, claim = self._now_ms(), secrets.token_hex(16)
        self._sweep(now_ms)
        fresh = {"claim": claim, "until_ms": now_ms + int(self._patience_s * 1000), "body": None}
        statement = upsert(self._store, shared_decision).values(id=row_id, **fresh)
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_=fresh,
            where=self._is_over(now_ms),
        )
        with self._store.write_once() as connection:
            won = connection.execute(statement.returning(shared_decision.c.id)).first()
        return None if won is None else claim

    def _finish(self, row_id: str, claim: str | None, sealed: tuple[bytes, int] | None) -> None:
        """Leaves the answer to all, or the place to the next. A fault costs the others a question, and no more."""
        if claim is None:
            return
        mine = (shared_decision.c.id == row_id) & (shared_decision.c.claim == claim)
        if sealed is None:
            statement: Any = delete(shared_decision).where(mine)
        else:
            statement = update(shared_decision).where(mine).values(body=sealed[0], until_ms=sealed[1])
        try:
            with self._store.write_once() as connection:
                connection.execute(statement)
        except SQLAlchemyError as exc:
            log.warning("shared decisions cannot be written: %s", type(exc).__name__)

    def _sealed(self, form: Form[T], row_id: str, answer: Timed[T]) -> tuple[bytes, int] | None:
        """The sealed answer and its end; None for one that may not be kept."""
        if answer.until <= self._clock():
            return None
        content = {"of": row_id, "until": answer.until, "value": form.write(answer.value)}
        return self._store.sealer.seal(json.dumps(content, separators=(",", ":")).encode()), int(answer.until * 1000)

    def _opened(self, form: Form[T], row_id: str, body: bytes) -> Timed[T] | None:
        """The answer in a row; None when it is of another row, has ended, or another version wrote it."""
        plain, now = self._store.sealer.open(body), self._clock()
        if plain is None:
            return None
        try:
            content = json.loads(plain)
            if content["of"] != row_id or not now < content["until"] <= now + LONGEST_S:
                return None
            return Timed(form.read(content["value"]), content["until"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def _sweep(self, now_ms: int) -> None:
        """Forgets what has ended now and then: an ended row that is still there counts as none."""
        if time.monotonic() - self._swept_at < SWEEP_EVERY_S:
            return
        self._swept_at = time.monotonic()
        with self._store.write_once() as connection:
            connection.execute(delete(shared_decision).where(shared_decision.c.until_ms <= now_ms))

    def _is_over(self, now_ms: int) -> ColumnElement[bool]:
        """Whether a row counts no longer. One with more time left than any may have is of a clock that was ahead: whoever died
        while asking by it would hold up all others until that time has come."""
        ends, longest_s = shared_decision.c.until_ms, max(LONGEST_S, self._patience_s)
        return (ends <= now_ms) | (ends > now_ms + int(longest_s * 1000))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
