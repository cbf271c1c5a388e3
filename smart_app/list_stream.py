"""What follows the first page of a long list: a line of JSON for each thing that becomes known, in the order it does.

Rows come as their pages come, reports as theirs do; the findings last, because the judgement needs the whole record. A row that
has been sent may come again when more is known of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from flask import render_template

from fhir_imaging.clients.fhir import SearchPage
from fhir_imaging.endpoints import BundleResources
from fhir_imaging.errors import UpstreamError
from smart_app.explanations import EXPLANATIONS, ExplainedRefusal
from smart_app.gathering import Event, PageCame, ServerBusy
from smart_app.list_rendering import RowMarks, RowWriter
from smart_app.pages import explained
from smart_app.patient_imaging import Inquiry, PatientImaging
from smart_app.study_list import StudyRow, build_study_list
from smart_app.study_search import PATIENT, REPORTS, STUDIES, FoundStudies, collected

FIRST_PAGE_S = 30.0
"""How long the newest studies and the Patient are waited for, however the servers drag it out."""
PATIENCE_S = 4.0
"""How long the first page waits for answers besides the studies, so that a list comes whole where the servers are quick."""
LONGEST_S = 180.0
"""How long a list may go on coming in."""
LOOK_AROUND_S = 2.0
"""How often a stream looks whether its session still lives: a sign-out may come to another worker."""
BUSY_RETRIES = 4
BUSY_WAIT_S = 60.0
"""How often and how long a busy server is waited for while the page shows how long that is."""


def wait_for_first_page(inquiry: Inquiry, *, is_whole: bool = False) -> bool:
    """Waits until there is something to show; whether that is the whole list. ``is_whole``: waits for all of it."""
    gathering = inquiry.gathering
    has_newest = partial(_has_newest, inquiry)
    for _ in gathering.events(has_newest, within_s=FIRST_PAGE_S):
        pass
    if not gathering.pages(STUDIES):
        # There is no list, so nothing else is waited for.
        return True
    if not is_whole and gathering.has_more(STUDIES):
        return False
    gathering.follow()
    for _ in gathering.events(within_s=LONGEST_S if is_whole else PATIENCE_S):
        pass
    return gathering.is_done or is_whole


def _has_newest(inquiry: Inquiry) -> bool:
    return inquiry.gathering.has_answered(STUDIES) and inquiry.gathering.has_answered(PATIENT)


class ListStream:
    """The rest of one list. ``shown`` are the rows that the page has already, by Study Instance UID."""

    def __init__(
        self, inquiry: Inquiry, writer: RowWriter, marks: RowMarks, shown: Mapping[str, StudyRow] | None = None
    ) -> None:
        self._inquiry = inquiry
        self._gathering = inquiry.gathering
        self._writer = writer
        self._marks = marks
        self._sent: dict[str, StudyRow] = dict(shown or {})
        self._by_full_url: dict[str, Mapping[str, Any]] = {}
        self._by_type_and_id: dict[str, Mapping[str, Any]] = {}
        self._is_resumed = bool(shown)

    def lines(self) -> Iterator[str]:
        """The lines, each with its line feed; closing the iterator ends the asking."""
        try:
            yield from map(_line, self._objects())
        except ExplainedRefusal as refusal:
            yield failure_line(refusal)
        except UpstreamError as error:
            yield failure_line(explained(error))
        finally:
            self._inquiry.close()

    def _objects(self) -> Iterator[dict[str, Any] | None]:
        if self._is_resumed:
            yield from self._since_the_page()
        self._gathering.wait_longer(replace(self._inquiry.busy, retries=BUSY_RETRIES, longest_wait_s=BUSY_WAIT_S))
        self._gathering.follow()
        yield from self._came()
        self._gathering.stop()
        imaging = self._inquiry.answer()
        yield from self._corrected(imaging)
        lines = {row.study_instance_uid: lines for row in imaging.studies.rows if (lines := imaging.highlights.of(row))}
        rows = {row.study_instance_uid: row for row in imaging.studies.rows}
        yield {"kind": "findings", "rows": {uid: self._writer.findings(rows[uid], found) for uid, found in lines.items()}}
        yield {"kind": "notes", "html": self._notes(imaging)}
        yield {"kind": "done", "found": len(imaging.studies.rows)}

    def _came(self) -> Iterator[dict[str, Any] | None]:
        """What comes in, and None after each while without anything. ExplainedRefusal when the session is over."""
        until = time.monotonic() + LONGEST_S
        while not self._gathering.is_done and (left := until - time.monotonic()) > 0:
            is_quiet = True
            for event in self._gathering.events(within_s=min(LOOK_AROUND_S, left)):
                is_quiet = False
                yield from self._after(event)
            self._inquiry.require_living()
            if is_quiet:
                yield None

    def _since_the_page(self) -> Iterator[dict[str, Any]]:
        """What came between the page and its stream; a row that the page shows as it is now does not come again."""
        for page in self._gathering.pages(STUDIES):
            self._learned(page)
        for key in (REPORTS, STUDIES):
            for page in self._gathering.pages(key):
                yield from self._after(PageCame(key, page))

    def _notes(self, imaging: PatientImaging) -> str:
        for_patient = self._inquiry.context.for_patient
        parts = ("smart/list_notes.html", "smart/list_problems.html")
        return "".join(render_template(part, imaging=imaging, for_patient=for_patient) for part in parts).strip()

    def _after(self, event: Event) -> Iterator[dict[str, Any]]:
        if isinstance(event, ServerBusy):
            yield {"kind": "busy", "seconds": event.seconds}
        elif isinstance(event, PageCame) and event.key == STUDIES:
            yield from self._with_studies(event.page)
        elif isinstance(event, PageCame) and event.key == REPORTS:
            yield from self._with_reports()

    def _with_studies(self, page: SearchPage) -> Iterator[dict[str, Any]]:
        """The rows of one page; Endpoints may have come with an earlier one."""
        listed = build_study_list(self._learned(page), self._inquiry.reports_so_far(), self._inquiry.context)
        self._inquiry.refused_endpoints.record(listed.refused_addresses)
        yield from self._rows(listed.rows, self._marks, total=page.total)

    def _learned(self, page: SearchPage) -> FoundStudies:
        """The studies of one page with the Endpoints of all pages that came before it."""
        found = collected([page], without_endpoints=self._gathering.is_without_endpoints())
        self._by_full_url |= found.endpoints.by_full_url
        self._by_type_and_id |= found.endpoints.by_type_and_id
        return replace(found, endpoints=BundleResources(self._by_full_url, self._by_type_and_id))

    def _with_reports(self) -> Iterator[dict[str, Any]]:
        if self._inquiry.context.for_patient:
            # What a patient may read is known when all is; it comes with the rows that change then.
            return
        known = self._inquiry.reports_so_far()
        changed: dict[str, str] = {}
        for uid, row in self._sent.items():
            reports = known.of_study(row.resource_id, row.accession, uid)
            if reports != row.reports:
                self._sent[uid] = row.with_reports(reports)
                changed[uid] = self._writer.reports(reports)
        if changed:
            yield {"kind": "reports", "rows": changed}

    def _corrected(self, imaging: PatientImaging) -> Iterator[dict[str, Any]]:
        """Rows that read otherwise once all is known: an Endpoint on a later page, priors of a study that came late."""
        marks = replace(self._marks, priors=imaging.studies.priors_of(self._marks.opened))
        changed = [row for row in imaging.studies.rows if row.study_instance_uid in marks.priors]
        changed += [row for row in imaging.studies.rows if self._sent.get(row.study_instance_uid) != row]
        by_uid = {row.study_instance_uid: row for row in changed}
        yield from self._rows(list(by_uid.values()), marks, total=len(imaging.studies.rows), again=True)

    def _rows(
        self, rows: tuple[StudyRow, ...] | list[StudyRow], marks: RowMarks, *, total: int | None, again: bool = False
    ) -> Iterator[dict[str, Any]]:
        new = [row for row in rows if again or self._sent.get(row.study_instance_uid) != row]
        self._sent |= {row.study_instance_uid: row for row in new}
        if new:
            yield {"kind": "rows", "html": self._writer.rows(new, marks), "found": len(self._sent), "total": total}


def failure_line(refusal: ExplainedRefusal) -> str:
    """The line that says why the list cannot go on."""
    html = render_template("smart/list_failed.html", explanation=EXPLANATIONS[refusal.reason].in_words(), facts=refusal.facts)
    return _line({"kind": "failed", "html": html.strip(), "reason": refusal.reason.value})


def _line(value: dict[str, Any] | None) -> str:
    """One line; None is an empty one, which readers pass over and which tells the server whether anybody still reads."""
    if value is None:
        return "\n"
    # As for a page: half a character in a record reads as a question mark.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace").decode() + "\n"
