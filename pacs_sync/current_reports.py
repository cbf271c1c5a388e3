"""Which structured reports of a study count, and as what they go on: a newer document takes the place of those before it.

A chain keeps its name from its first document on, so that what follows updates what stands and never adds to it.

Spec: DICOM PS3.3 §C.17.2.1 (Predecessor Documents Sequence); clinical rules, section 6 (SR traps).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pacs_sync.report_document import Document, NothingToBring

AnyReport = Document | NothingToBring


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentReport:
    """A document that nothing follows. ``chain`` is the UID of the first document that it goes back to."""

    document: Document
    chain: str

    @property
    def rank(self) -> tuple[bool, float, str]:
        """Of two that say the same thing the signed one counts, then the newer one."""
        return (self.document.is_signed, seconds_of(self.document.written), self.document.uid)


def current_reports(reports: Iterable[AnyReport]) -> tuple[CurrentReport, ...]:
    """The documents that nothing follows, those that count most last.

    Also a follower that is not read takes the place of what it names: what was replaced is not shown as if it still held.
    """
    by_uid: dict[str, AnyReport] = {one.uid: one for one in reports if one.uid is not None}
    names: dict[str, Iterable[str]] = {uid: tuple(one.predecessors) for uid, one in by_uid.items()}
    before = {uid: _all_before(uid, names) for uid in names}
    replaced = {old for uid, olds in before.items() for old in olds if old in by_uid and _follows(uid, old, before, by_uid)}
    found = [
        CurrentReport(document=one, chain=_first(one.uid, before[one.uid], names))
        for uid, one in by_uid.items()
        if isinstance(one, Document) and uid not in replaced
    ]
    return tuple(sorted(found, key=lambda one: one.rank))


def seconds_of(stated: str | None) -> float:
    """A FHIR dateTime to compare by: a day alone counts from its beginning, nothing comes before everything."""
    try:
        moment = datetime.fromisoformat(stated or "")
    except ValueError:
        return float("-inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _all_before(uid: str, names: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Everything that a document goes back to, at any distance; a circle ends by itself."""
    found: set[str] = set()
    open_ = list(names.get(uid, ()))
    while open_:
        one = open_.pop()
        if one not in found:
            found.add(one)
            open_.extend(names.get(one, ()))
    return frozenset(found - {uid})


def _follows(uid: str, old: str, before: Mapping[str, frozenset[str]], by_uid: Mapping[str, AnyReport]) -> bool:
    """Whether the first is the newer one; in a circle, which no honest archive has, the time of writing tells."""
    if uid not in before[old]:
        return True
    return _age(by_uid[uid]) > _age(by_uid[old])


def _age(report: AnyReport) -> tuple[float, str]:
    return (seconds_of(report.written if isinstance(report, Document) else None), report.uid or "")


def _first(uid: str, before: frozenset[str], names: Mapping[str, Iterable[str]]) -> str:
    """Where the chain begins; the smallest UID where several documents were joined."""
    beginnings = sorted(one for one in before if not names.get(one))
    return next(iter(beginnings), min({uid, *before}))
