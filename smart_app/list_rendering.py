"""The rows of the study list as HTML: the same for the first page and for what is streamed after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, url_for

from smart_app.study_findings import Highlight
from smart_app.study_list import StudyRow
from smart_app.study_reports import ReportRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlace:
    """Where the pages of a session are, and for whom: ``viewer`` is the viewer page's path up to the study."""

    session: str
    viewer: str
    for_patient: bool

    @classmethod
    def of_session(cls, session_id: str, *, for_patient: bool) -> ListPlace:
        """The paths of a session; asked once, because a thousand rows have three links each."""
        session = url_for("smart_app.studies", session_id=session_id).removesuffix("/studies")
        return cls(session=session, viewer=f"{session}/viewer/", for_patient=for_patient)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMarks:
    """What is marked: the study opened last with its priors, and the studies that the launch or a link named."""

    opened: str | None = None
    priors: frozenset[str] = frozenset()
    highlighted: frozenset[str] = frozenset()

    def of(self, row: StudyRow) -> str:
        """The classes of one row, each after a space."""
        uid = row.study_instance_uid
        marks = (("opened", uid == self.opened), ("prior", uid in self.priors), ("highlighted", uid in self.highlighted))
        return "".join(f" {name}" for name, is_so in marks if is_so)


class RowWriter:
    """Writes rows and their parts by the template of the list."""

    def __init__(self, place: ListPlace) -> None:
        self._place = place
        self._macros: Any = current_app.jinja_env.get_template("smart/study_row.html").module

    def rows(self, rows: Iterable[StudyRow], marks: RowMarks) -> str:
        """List items; their findings come later."""
        return "".join(str(self._macros.study_row(row, (), self._place, marks.of(row))) for row in rows)

    def findings(self, row: StudyRow, lines: Sequence[Highlight]) -> str:
        """What stands in a row's ``.findings``."""
        return str(self._macros.study_findings(row, lines, self._place)).strip()

    def reports(self, reports: Sequence[ReportRow]) -> str:
        """What stands in a row's ``.reports``."""
        return str(self._macros.study_reports(reports, self._place)).strip()
