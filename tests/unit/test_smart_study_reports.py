"""Reports beside the study: how far each has come, who wrote it when, its words, and what opens apart (FHIR R4/R5)."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from smart_app.report_text import LONGEST_TEXT, attached_bytes, text_of_attachment, words_of_html
from smart_app.study_reports import ReportsByStudy, report_row
from tests.unit.test_smart_study_list import a_study, the_list


def a_report(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "CT chest report"},
        "issued": "2026-03-01T10:00:00+07:00",
        "imagingStudy": [{"reference": "ImagingStudy/study-1.2.3"}],
        "resultsInterpreter": [{"reference": "Practitioner/1", "display": "Dr R."}],
        **more,
    }


def a_form(content_type: str | None, data: bytes | str | None = None, **more: Any) -> dict[str, Any]:
    stated = data.encode() if isinstance(data, str) else data
    encoded = {"data": base64.b64encode(stated).decode()} if stated is not None else {}
    return {**({"contentType": content_type} if content_type else {}), **encoded, **more}


def test_a_report_says_who_and_when_with_its_zone() -> None:
    row = report_row(a_report())

    assert (row.state, row.who, row.issued) == ("Final report", "Dr R.", "1 Mar 2026 10:00 UTC+07:00")
    assert (row.is_signed, row.is_unsigned, row.is_by_ai) == (True, False, False)


@pytest.mark.parametrize(
    ("status", "state", "is_unsigned"),
    [
        ("amended", "Amended report", False),
        ("corrected", "Corrected report", False),
        ("appended", "Report with addendum", False),
        ("preliminary", "Preliminary report", True),
        ("partial", "Partial report", True),
        ("registered", "Report pending", True),
        ("unknown", "Report", False),
    ],
)
def test_how_far_a_report_has_come_is_said(status: str, state: str, is_unsigned: bool) -> None:
    row = report_row(a_report(status=status))

    assert (row.state, row.is_unsigned) == (state, is_unsigned)


@pytest.mark.parametrize("status", ["final", "preliminary"])
def test_a_report_that_only_a_device_stands_behind_is_an_ai_report_and_unsigned(status: str) -> None:
    device = [{"reference": "Device/ai", "display": "Nodule AI 1.0"}]
    row = report_row(a_report(status=status, resultsInterpreter=device))

    assert (row.state, row.is_by_ai, row.is_signed, row.who) == ("AI report", True, False, "Nodule AI 1.0")


@pytest.mark.parametrize(("status", "is_by_ai"), [("preliminary", True), ("partial", True), ("final", False)])
def test_an_unsigned_report_that_is_labelled_as_asserted_by_ai_is_an_ai_report_whoever_stands_behind_it(
    status: str, is_by_ai: bool
) -> None:
    """Its performer is an organisation, since no device may be one (X7)."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}
    hospital = [{"display": "Synthetic Hospital"}]
    row = report_row(a_report(status=status, performer=hospital, resultsInterpreter=[], meta={"security": [label]}))

    assert (row.is_by_ai, row.is_signed) == (is_by_ai, not is_by_ai)


def test_attached_text_is_shown_and_a_pdf_opens_apart() -> None:
    forms = [a_form("text/plain", "Findings:\r\nA nodule."), a_form("application/pdf", b"%PDF-1.4", title="Letter")]
    row = report_row(a_report(presentedForm=forms))

    assert row.text == "Findings:\nA nodule."
    assert [(one.position, one.words) for one in row.forms] == [(1, "Report as PDF: Letter")]


def test_only_what_says_that_it_is_text_is_decoded_for_the_list() -> None:
    """A scanned report opens apart by its media type alone; whether its bytes can be read is found out when it is opened."""
    kinds = ("application/pdf", "text/plain")
    row = report_row(a_report(presentedForm=[{"contentType": kind, "data": "no base64!"} for kind in kinds]))

    assert [form.position for form in row.forms] == [0]
    assert row.text is None


def test_an_attachment_behind_a_url_opens_apart_and_an_empty_one_is_left_out() -> None:
    forms = [a_form("text/html", url="Binary/7"), a_form("text/plain"), a_form(None, url="Binary/8")]
    row = report_row(a_report(presentedForm=forms))

    assert [(one.position, one.words) for one in row.forms] == [(0, "Report as a page"), (2, "Report as a document")]


def test_the_same_text_in_two_forms_stands_once_and_the_conclusion_is_not_repeated() -> None:
    both = [a_form("text/plain", "A nodule."), a_form("text/html", "<p>A  nodule.</p>")]

    assert report_row(a_report(presentedForm=both)).text == "A nodule."
    assert report_row(a_report(presentedForm=both, conclusion="A nodule.")).text is None


def test_the_narrative_speaks_only_where_nothing_else_does() -> None:
    narrative = {"status": "additional", "div": "<div><b>Nodule</b> of 8&nbsp;mm</div>"}

    assert report_row(a_report(text=narrative)).text == "Nodule of 8 mm"
    assert report_row(a_report(text=narrative, conclusion="Nodule.")).text is None


def test_a_very_long_text_is_cut_and_says_so() -> None:
    row = report_row(a_report(presentedForm=[a_form("text/plain", "word " * LONGEST_TEXT)]))

    assert row.is_cut
    assert len(row.text or "") == LONGEST_TEXT


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<ul><li>a<li>b</ul>", "• a\n• b"),
        ("a<br/>b", "a\nb"),
        ("<script>alert(1)</script>seen<style>p{}</style>", "seen"),
        ("&lt;b&gt; 5 &amp; 6", "<b> 5 & 6"),
        ("<img src=x onerror=alert(1)>text", "text"),
        ("<table><tr><td>size</td><td>8 mm</td></tr></table>", "size 8 mm"),
        ("<html><head><title>r</title><body><p>Nodule 8 mm</p>", "Nodule 8 mm"),
        ("<head><meta charset=utf-8><style>p{}</style></head><p>Nodule 8 mm</p>", "Nodule 8 mm"),
        ("<title>r</title><h1>Chest</h1><p>Nodule", "Chest\n\nNodule"),
        ("<p>One</p><template><ul><li>a<br/>b<td>c</ul></template><p>Two</p>", "One\n\nTwo"),
        ("", ""),
    ],
)
def test_html_is_reduced_to_its_words(html: str, words: str) -> None:
    assert words_of_html(html).replace("  ", " ") == words


@pytest.mark.parametrize(
    ("content_type", "data", "words"),
    [
        ("text/plain; charset=iso-8859-1", "Größe".encode("latin-1"), "Größe"),
        ("TEXT/PLAIN", "Größe".encode(), "Größe"),
        ("text/plain", b"8 \x80", "8 €"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("text/plain", b"a\x00\x1b[2Jb", "a[2Jb"),
        ("application/pdf", b"%PDF", None),
        (None, b"a", None),
        ("text/plain", b"", None),
    ],
)
def test_attached_text_is_read_in_its_own_charset(content_type: str | None, data: bytes, words: str | None) -> None:
    assert text_of_attachment(content_type, data) == words


@pytest.mark.parametrize("encoded", [None, "", "not base64!", "YQ"])
def test_what_is_no_base64_is_no_attachment(encoded: str | None) -> None:
    assert attached_bytes(encoded) is None


def test_a_report_is_found_by_reference_by_uid_and_page_by_page() -> None:
    reports = ReportsByStudy([a_report(id="by-reference")])
    uid = {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}}
    reports.add([a_report(id="by-uid", imagingStudy=[uid]), a_report(id="of-another", imagingStudy=[{"reference": "x"}])])
    absolute = [{"reference": "https://ehr.example/fhir/ImagingStudy/study-1.2.3/_history/2"}]
    reports.add([a_report(id="absolute", imagingStudy=absolute), a_report(id="wrong", status="entered-in-error")])
    (row,) = the_list(a_study(), reports=reports).rows

    assert [report.report_id for report in row.reports] == ["by-reference", "by-uid", "absolute"]


def test_a_signed_report_stands_above_a_newer_unsigned_one() -> None:
    reports = ReportsByStudy(
        [a_report(), a_report(id="r2", status="preliminary", issued="2026-03-02T10:00:00+07:00", conclusion="not yet signed")]
    )

    assert [row.status for row in reports.of_study("study-1.2.3", None, "1.2.3")] == ["final", "preliminary"]


def test_the_newest_report_of_a_study_comes_first_and_the_undated_last() -> None:
    days = {"old": "2026-03-01", "new": "2026-03-05T10:00:00Z", "amended": "2026-03-05T10:00:00-05:00", "undated": None}
    (row,) = the_list(a_study(), reports=[a_report(id=name, issued=day) for name, day in days.items()]).rows

    assert [report.report_id for report in row.reports] == ["amended", "new", "old", "undated"]


@pytest.mark.parametrize("odd", ["../../Patient/1", "a b", "", 7, None])
def test_an_id_that_is_none_is_not_asked_for(odd: object) -> None:
    row = report_row(a_report(id=odd, presentedForm=[a_form("application/pdf", b"%PDF")]))

    assert row.report_id is None


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>Nodule</p><![x>lung", "Nodule\nlung"),
        ("<![if !supportLists]><p>1. Nodule<![endif]></p>", "1. Nodule"),
        ("<!--[if mso]><xml>hidden</xml><![endif]-->Nodule", "Nodule"),
        ("<![CDATA[hidden]]>Nodule", "Nodule"),
        ("<p>5 < 6 and a<b<br>c</p>", "5 < 6 and a<b\nc"),
        ("<!-- a <b>word</b> -->Nodule <!-- of 8 mm", "Nodule <!-- of 8 mm"),
    ],
)
def test_marked_sections_and_brackets_that_open_nothing_are_no_fault(html: str, words: str) -> None:
    """A section of a kind that the parser did not know took the whole list away."""
    assert words_of_html(html) == words


@pytest.mark.parametrize("piece", ["<a ", "<a b='", "<a/", "<!--", "</", "<![CDATA[", "<?", "<!-- >"])
def test_group_23_html_that_closes_nothing_is_read_in_one_go(piece: str) -> None:
    """Ten thousand of these kept the process busy for seconds, and forty thousand for minutes."""
    began = time.monotonic()
    words_of_html(piece * 40_000)

    assert time.monotonic() - began < 10
