"""Reports beside their studies: how far each has come, who wrote it when, and its words.

Spec: FHIR R4/R5 DiagnosticReport.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from fhir_imaging.study import ImagingStudy, concept_text, parse_datetime
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings.report_states import ReportState, read_any_report
from smart_app.named_study import FHIR_ID
from smart_app.report_text import LONGEST_TEXT, attached_bytes, is_text, text_of_attachment, words_of_html
from smart_app.study_words import date_words, time_words

REPORT_WORDS = {
    "final": "Final report",
    "amended": "Amended report",
    "corrected": "Corrected report",
    "appended": "Report with addendum",
    "modified": "Modified report",
    "preliminary": "Preliminary report",
    "registered": "Report pending",
    "partial": "Partial report",
}
AI_REPORT = "AI report"
FORM_WORDS = {
    "application/pdf": "Report as PDF",
    "text/html": "Report as a page",
    "application/xhtml+xml": "Report as a page",
    "text/plain": "Report as text",
    "text/rtf": "Report as RTF document",
    "application/rtf": "Report as RTF document",
}
ANOTHER_FORM = "Report as a document"
_WITHDRAWN = ("entered-in-error", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportForm:
    """A form of the report that opens apart from the list: its position in ``presentedForm``, and its words."""

    position: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One report beside its study; ``conclusion`` and ``text`` are quoted as written."""

    state: str
    title: str
    conclusion: str | None
    issued: str | None
    """When it was signed or sent, with its zone where a time is known."""
    issued_at: float = float("-inf")
    """The same to sort by, in UTC seconds."""
    report_id: str | None = None
    """None where it is no FHIR id, so that nothing of it could be asked for."""
    status: str = "unknown"
    who: str | None = None
    """Who answers for it; the organisation where no person is named."""
    is_signed: bool = False
    is_by_ai: bool = False
    """Whether only a device stands behind it: nobody has signed it, whatever its status says."""
    text: str | None = None
    is_cut: bool = False
    forms: tuple[ReportForm, ...] = ()

    @property
    def is_unsigned(self) -> bool:
        """Whether the reader must be told that it may still change."""
        return not self.is_signed and self.status != "unknown"


class ReportsByStudy:
    """Each report read once, found by its study: a long history has hundreds of both.

    R4 says ``imagingStudy``, R5 ``study``; some EHRs only share the accession number.
    """

    def __init__(self, reports: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: dict[str, dict[int, ReportRow]] = {}
        self._numbers: dict[str, int] = {}
        self._count = 0
        self.add(reports)

    def add(self, reports: Iterable[Mapping[str, Any]]) -> None:
        """Further reports, as more pages of them come; withdrawn ones are left out, one that comes again is as it is now."""
        for report in reports:
            number = self._number_of(report)
            if report.get("status") in _WITHDRAWN:
                continue
            if marks := _marks(report):
                row = report_row(report)
                for mark in marks:
                    self._rows.setdefault(mark, {})[number] = row

    def _number_of(self, report: Mapping[str, Any]) -> int:
        """In the order in which they came; a report that is known keeps its number, and nothing else of it."""
        self._count += 1
        number = self._numbers.setdefault(text(report.get("id")) or f"unnamed {self._count}", self._count)
        if number != self._count:
            for rows in self._rows.values():
                rows.pop(number, None)
        return number

    def of(self, study: ImagingStudy) -> tuple[ReportRow, ...]:
        """The study's reports: what is signed first, the newest of it at the top."""
        return self.of_study(study.resource_id, study.accession, study.study_instance_uid)

    def of_study(self, resource_id: str | None, accession: str | None, study_instance_uid: str) -> tuple[ReportRow, ...]:
        """The same for a study by its names."""
        found = self._rows.get(resource_id or "", {}) | self._rows.get(f"accession {accession}", {})
        found |= self._rows.get(f"uid {study_instance_uid}", {})
        return tuple(row for _, row in sorted(found.items(), key=lambda one: (not one[1].is_signed, -one[1].issued_at, one[0])))


def report_row(report: Mapping[str, Any]) -> ReportRow:
    """What the list says of one report."""
    issued = text(report.get("issued")) or text(report.get("effectiveDateTime"))
    status = text(report.get("status")) or "unknown"
    read = read_any_report({"resourceType": "DiagnosticReport", **report})
    is_by_ai = read is None and status not in _WITHDRAWN
    read_forms = [_read_form(form) for form in dicts(report.get("presentedForm"))]
    words, is_cut = _words_of(report, read_forms)
    conclusion = text(report.get("conclusion"))
    return ReportRow(
        state=AI_REPORT if is_by_ai else REPORT_WORDS.get(status, "Report"),
        title=concept_text(report.get("code")) or "Report",
        conclusion=conclusion,
        issued=_when(issued),
        issued_at=_seconds(issued),
        report_id=report_id if (report_id := text(report.get("id"))) and FHIR_ID.fullmatch(report_id) else None,
        status=status,
        who=_who(report),
        is_signed=read is not None and read.state is ReportState.SIGNED,
        is_by_ai=is_by_ai,
        text=None if words == conclusion else words,
        is_cut=is_cut,
        forms=_forms(report, read_forms),
    )


def is_by_device(report: Mapping[str, Any]) -> bool:
    """Whether only a device stands behind a report that is not withdrawn."""
    return report.get("status") not in _WITHDRAWN and read_any_report({"resourceType": "DiagnosticReport", **report}) is None


def _marks(report: Mapping[str, Any]) -> set[str]:
    """What the report says of its study: logical ids, UIDs, and only where it names no study, accession numbers."""
    named = [one for name in ("imagingStudy", "study") for one in dicts(report.get(name))]
    references = {text(one.get("reference")) or "" for one in named}
    uids = (text(as_dict(one.get("identifier")).get("value")) for one in named)
    marks = {ref.rpartition("ImagingStudy/")[2].partition("/")[0] for ref in references if "ImagingStudy/" in ref}
    marks |= {f"uid {uid.removeprefix('urn:oid:')}" for uid in uids if uid}
    if named:
        return marks
    return {f"accession {value}" for one in dicts(report.get("identifier")) if (value := text(one.get("value")))}


def _when(issued: str | None) -> str | None:
    moment = parse_datetime(issued)
    if issued is None:
        return None
    return " ".join(words for words in (date_words(issued, moment), time_words(issued, moment)) if words)


def _seconds(issued: str | None) -> float:
    """A report without a time of its own comes after those with one."""
    moment = parse_datetime(issued)
    return float("-inf") if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _who(report: Mapping[str, Any]) -> str | None:
    named = dicts(report.get("resultsInterpreter")) or dicts(report.get("performer"))
    return ", ".join(dict.fromkeys(words for one in named if (words := text(one.get("display"))))) or None


def _read_form(form: Mapping[str, Any]) -> str | None:
    """The words of a form; empty where it has none that could be shown, None where there is nothing at all."""
    encoded, content_type = text(form.get("data")), text(form.get("contentType"))
    # A scanned report has megabytes, and opens apart whatever they are.
    if encoded and not is_text(content_type):
        return ""
    data = attached_bytes(encoded)
    if data is None:
        return "" if text(form.get("url")) else None
    return text_of_attachment(content_type, data) or ""


def _words_of(report: Mapping[str, Any], forms: Iterable[str | None]) -> tuple[str | None, bool]:
    """The report's own text and whether it was cut; its narrative only where nothing else tells anything."""
    read = [words for words in forms if words]
    if not read and not text(report.get("conclusion")):
        narrative = words_of_html(text(as_dict(report.get("text")).get("div")) or "")
        read = [narrative] if narrative else []
    # The same text often comes as plain text and as HTML.
    whole = "\n\n".join({" ".join(words.split()): words for words in reversed(read)}.values())
    return whole[:LONGEST_TEXT] or None, len(whole) > LONGEST_TEXT


def _forms(report: Mapping[str, Any], read: Iterable[str | None]) -> tuple[ReportForm, ...]:
    """The forms whose words do not stand in the list already."""
    found = []
    for position, (form, words) in enumerate(zip(dicts(report.get("presentedForm")), read, strict=True)):
        if words == "":
            stated = text(form.get("title"))
            kind = (text(form.get("contentType")) or "").partition(";")[0].strip().lower()
            named = FORM_WORDS.get(kind, ANOTHER_FORM)
            found.append(ReportForm(position=position, words=f"{named}: {stated}" if stated else named))
    return tuple(found)
