"""Which cards were issued under which rule, and what clinicians did with them: the material to find a card nobody wants.

No patient data is stored in the clear: a card is known by its uuid, a user's comment is sealed. Times are UTC seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Exists,
    Index,
    LargeBinary,
    String,
    Table,
    TextClause,
    and_,
    case,
    delete,
    distinct,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError

from cds_service.card_parts import IssuedCard
from cds_service.feedback import FeedbackEntry, Outcome
from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import metadata

issued_card = Table(
    "cds_issued_card",
    metadata,
    Column("card_uuid", String(128), primary_key=True),
    Column("service_id", String(64), nullable=False),
    Column("rule_id", String(128), nullable=False),
    Column("indicator", String(16), nullable=False),
    Column("client", String(255), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Index("ix_cds_issued_card_rule_id", "rule_id"),
    Index("ix_cds_issued_card_issued_at", "issued_at"),
)
"""One row per card sent. ``client`` is the caller's ``iss``, empty where authentication is off."""

card_feedback = Table(
    "cds_card_feedback",
    metadata,
    Column("entry_digest", String(64), primary_key=True),
    Column("card_uuid", String(128), nullable=False),
    Column("service_id", String(64), nullable=False),
    Column("client", String(255), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("outcome_at", BigInteger, nullable=False),
    Column("accepted_suggestions", String(4096), nullable=False),
    Column("reason_system", String(255)),
    Column("reason_code", String(255)),
    Column("reason_display", String(255)),
    Column("comment", LargeBinary),
    Column("received_at", BigInteger, nullable=False),
    Index("ix_cds_card_feedback_card_uuid", "card_uuid"),
    Index("ix_cds_card_feedback_received_at", "received_at"),
)
"""One row per distinct entry; ``entry_digest`` makes a repeated report count once. ``comment`` is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFeedback:
    """How one rule's cards fared. ``overridden`` and ``accepted`` count cards, not repeated reports."""

    rule_id: str
    indicator: str
    shown: int
    accepted: int
    overridden: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideCount:
    """On how many of a rule's cards one reason was given. ``reason`` is the code; None = none was given."""

    rule_id: str
    indicator: str
    reason: str | None
    has_comment: bool
    cards: int


_PURGE_INTERVAL_S = 3600


class FeedbackStore:
    """Writes and counts. All workers share it. What is older than ``retention_days`` is removed as new cards come in."""

    def __init__(self, store: Store, *, retention_days: int = 730) -> None:
        self._store = store
        self._retention_s = retention_days * 86400
        self._purged_at: int | None = None

    def remember(self, cards: Iterable[IssuedCard], *, service_id: str, client: str | None, now: int) -> None:
        """Notes the cards of one response."""
        rows = [
            {
                "card_uuid": card.card_uuid.lower(),
                "service_id": service_id,
                "rule_id": card.rule_id[:128],
                "indicator": card.indicator,
                "client": (client or "")[:255],
                "issued_at": now,
            }
            for card in cards
        ]
        if rows:
            with self._store.write_once() as connection:
                connection.execute(_insert_of(len(rows)), _numbered(rows))
                self._purge_now_and_then(connection, now)

    def _purge_now_and_then(self, connection: Connection, now: int) -> None:
        """Once an hour and process is enough, and no card waits for more than two deletes."""
        if self._purged_at is not None and now - self._purged_at < _PURGE_INTERVAL_S:
            return
        self._purged_at = now
        oldest = now - self._retention_s
        connection.execute(delete(issued_card).where(issued_card.c.issued_at < oldest))
        connection.execute(delete(card_feedback).where(card_feedback.c.received_at < oldest))

    def record(self, entries: Iterable[FeedbackEntry], *, service_id: str, client: str | None, now: int) -> int:
        """Stores entries, each once however often it is sent, and says how many were new. One transaction."""
        new = 0
        with self._store.write() as connection:
            for entry in entries:
                row = self._row(entry, service_id, client or "", now)
                known = select(card_feedback.c.entry_digest).where(card_feedback.c.entry_digest == row["entry_digest"])
                if connection.execute(known).first() is not None:
                    continue
                try:
                    with connection.begin_nested():
                        connection.execute(insert(card_feedback).values(**row))
                except IntegrityError:  # another worker stored the same entry in this moment
                    continue
                new += 1
        return new

    def by_rule(self, *, since: int = 0, service_id: str | None = None) -> tuple[RuleFeedback, ...]:
        """Counts per rule and indicator for cards issued at or after ``since``; the caller who got a card may report on it."""
        accepted = _reported(Outcome.ACCEPTED)
        overridden = _reported(Outcome.OVERRIDDEN)
        query = (
            select(
                issued_card.c.rule_id,
                issued_card.c.indicator,
                func.count().label("shown"),
                func.sum(case((accepted, 1), else_=0)).label("accepted"),
                func.sum(case((overridden, 1), else_=0)).label("overridden"),
            )
            .where(_issued(since, service_id))
            .group_by(issued_card.c.rule_id, issued_card.c.indicator)
            .order_by(issued_card.c.rule_id, issued_card.c.indicator)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            RuleFeedback(
                rule_id=row.rule_id,
                indicator=row.indicator,
                shown=int(row.shown),
                accepted=int(row.accepted),
                overridden=int(row.overridden),
            )
            for row in rows
        )

    def override_reasons(self, *, since: int = 0, service_id: str | None = None) -> tuple[OverrideCount, ...]:
        """Why each rule's cards were overridden, the most frequent reason first; a card counts once per reason."""
        rule, indicator = issued_card.c.rule_id, issued_card.c.indicator
        reason, has_comment = card_feedback.c.reason_code, card_feedback.c.comment.is_not(None)
        cards = func.count(distinct(card_feedback.c.card_uuid))
        query = (
            select(rule, indicator, reason, has_comment.label("has_comment"), cards.label("cards"))
            .join(card_feedback, _reported_on(Outcome.OVERRIDDEN))
            .where(_issued(since, service_id))
            .group_by(rule, indicator, reason, has_comment)
            .order_by(rule, indicator, cards.desc(), reason)
        )
        with self._store.read() as connection:
            return tuple(
                OverrideCount(
                    rule_id=row.rule_id,
                    indicator=row.indicator,
                    reason=row.reason_code,
                    has_comment=bool(row.has_comment),
                    cards=int(row.cards),
                )
                for row in connection.execute(query)
            )

    def _row(self, entry: FeedbackEntry, service_id: str, client: str, now: int) -> dict[str, object]:
        reason = entry.reason
        suggestions = json.dumps(list(entry.accepted_suggestions))[:4096]
        parts = [
            client,
            service_id,
            entry.card_uuid,
            entry.outcome.value,
            entry.at.isoformat(),
            suggestions,
            *((reason.system or "", reason.code or "", reason.comment or "") if reason else ("", "", "")),
        ]
        comment = reason.comment if reason else None
        return {
            "entry_digest": self._store.sealer.digest(*parts),
            "card_uuid": entry.card_uuid,
            "service_id": service_id,
            "client": client[:255],
            "outcome": entry.outcome.value,
            "outcome_at": int(entry.at.timestamp()),
            "accepted_suggestions": suggestions,
            "reason_system": _storable(reason.system) if reason else None,
            "reason_code": _storable(reason.code) if reason else None,
            "reason_display": _storable(reason.display) if reason else None,
            "comment": self._store.sealer.seal(comment.encode()) if comment else None,
            "received_at": now,
        }


@cache
def _insert_of(rows: int) -> TextClause:
    """One statement for all rows, and so one transaction; as text it is compiled once per number and not for each answer."""
    names = [column.name for column in issued_card.columns]
    places = "), (".join(", ".join(f":{name}_{row}" for name in names) for row in range(rows))
    return text(f"INSERT INTO {issued_card.name} ({', '.join(names)}) VALUES ({places})")  # nosec B608 # noqa: S608 - own names


def _numbered(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {f"{name}_{number}": value for number, row in enumerate(rows) for name, value in row.items()}


def _storable(value: str | None) -> str | None:
    """Without NUL, which JSON can carry and PostgreSQL's text cannot."""
    return value.replace("\0", "") if value else None


def _issued(since: int, service_id: str | None) -> ColumnElement[bool]:
    in_time = issued_card.c.issued_at >= since
    return in_time if service_id is None else and_(in_time, issued_card.c.service_id == service_id)


def _reported_on(outcome: Outcome) -> ColumnElement[bool]:
    return and_(
        card_feedback.c.card_uuid == issued_card.c.card_uuid,
        card_feedback.c.client == issued_card.c.client,
        card_feedback.c.outcome == outcome.value,
    )


def _reported(outcome: Outcome) -> Exists:
    return select(card_feedback.c.entry_digest).where(_reported_on(outcome)).exists()
