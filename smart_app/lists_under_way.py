"""Lists whose first page is on a screen while the rest is being asked for: kept for moments, in this process only.

A stream that finds none (another worker, a reload) asks anew, which costs a question and loses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from smart_app.patient_imaging import Inquiry
from smart_app.study_list import StudyRow

KEPT_S = 20.0
"""How long a page may take to ask for the rest of its list; a token is held no longer than that for its sake."""
_MOST = 64


@dataclass(frozen=True, slots=True)
class ListUnderWay:
    """An inquiry that has been begun, and the rows that the page already shows."""

    inquiry: Inquiry
    shown: Mapping[str, StudyRow]


class ListsUnderWay:
    """At most one for each session, and not many altogether; what is not fetched in time is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[ListUnderWay, threading.Timer]] = {}

    def keep(self, session_id: str, under_way: ListUnderWay) -> None:
        """Keeps it for the stream that the page will ask for."""
        timer = threading.Timer(KEPT_S, self._drop, (session_id, under_way))
        timer.daemon = True
        with self._lock:
            dropped = [self._kept.pop(session_id, None)]
            if len(self._kept) >= _MOST:
                dropped.append(self._kept.pop(next(iter(self._kept))))
            self._kept[session_id] = (under_way, timer)
        timer.start()
        for one in dropped:
            if one is not None:
                one[1].cancel()
                one[0].inquiry.close()

    def take(self, session_id: str) -> ListUnderWay | None:
        """The session's list, for one reader."""
        with self._lock:
            kept = self._kept.pop(session_id, None)
        if kept is None:
            return None
        kept[1].cancel()
        return kept[0]

    def drop(self, session_id: str) -> None:
        """Ends the asking for a session that has ended, before its time is over."""
        kept = self.take(session_id)
        if kept is not None:
            kept.inquiry.close()

    def _drop(self, session_id: str, under_way: ListUnderWay) -> None:
        with self._lock:
            if session_id not in self._kept or self._kept[session_id][0] is not under_way:
                return
            del self._kept[session_id]
        under_way.inquiry.close()
