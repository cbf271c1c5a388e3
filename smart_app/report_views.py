"""The attached forms of reports over HTTP: each opens in a window of its own, apart from our pages.

Spec: smart-launch.md §8; FHIR R4/R5 DiagnosticReport.presentedForm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.errors import NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.study import points_to_patient
from fhir_imaging.tolerant import as_dict, text
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.named_study import FHIR_ID
from smart_app.patient_imaging import look_up
from smart_app.report_forms import FORM_SECONDS, ServedForm, content_of, form_at, served
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.session_views import live_session, redirect_with_ticket, require_own_page
from smart_app.study_findings import is_for_clinicians

_WITHDRAWN = ("entered-in-error", "cancelled")


def add_report_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the forms of reports."""

    @blueprint.post("/s/<session_id>/reports/<report_id>/forms/<int:position>")
    def report_window(session_id: str, report_id: str, position: int) -> AnyResponse:
        """The same in a new window that does not share a frame's partitioned cookie: it brings a ticket in its form."""
        require_own_page(services)
        address = url_for(".report_form", session_id=session_id, report_id=report_id, position=position)
        return redirect_with_ticket(services, session_id, address)

    @blueprint.get("/s/<session_id>/reports/<report_id>/forms/<int:position>")
    def report_form(session_id: str, report_id: str, position: int) -> Response:
        """One form of a report of the session's patient, rechecked every time."""
        live = live_session(services, session_id)
        if not FHIR_ID.fullmatch(report_id):
            raise ExplainedRefusal(Reason.REPORT_NOT_AVAILABLE)
        if not is_for_clinicians(live.session.user):
            _require_released(services, live, report_id)
        try:
            return _answer(_form(services, live, report_id, position))
        except UpstreamRefused as refused:
            if refused.status != 401:
                raise _unavailable(refused) from refused
        except UpstreamError as error:
            raise _unavailable(error) from error
        renewed = SessionTokens(services).live(session_id, was_refused=True)
        try:
            return _answer(_form(services, renewed, report_id, position))
        except UpstreamError as error:
            raise _unavailable(error) from error


def _form(services: SmartAppServices, live: LiveSession, report_id: str, position: int) -> ServedForm:
    iss = live.session.iss
    ehr = FhirClient(iss, services.outbound, access_token=live.access_token)
    try:
        report = ehr.read("DiagnosticReport", report_id, timeout_s=FORM_SECONDS)
        form = form_at(report, position)
        if form is None or not _is_readable(report, live):
            raise ExplainedRefusal(Reason.REPORT_NOT_AVAILABLE)
        return served(content_of(form, iss, services.outbound, live.access_token))
    except NotFound as exc:
        raise ExplainedRefusal(Reason.REPORT_NOT_AVAILABLE) from exc


def _is_readable(report: Mapping[str, Any], live: LiveSession) -> bool:
    subject = text(as_dict(report.get("subject")).get("reference"))
    is_own = points_to_patient(subject, live.session.patient, (live.session.iss,))
    return is_own and report.get("resourceType") == "DiagnosticReport" and report.get("status") not in _WITHDRAWN


def _require_released(services: SmartAppServices, live: LiveSession, report_id: str) -> None:
    """A patient opens only what their list shows."""
    rows = look_up(services, live).studies.rows
    if not any(report.report_id == report_id for row in rows for report in row.reports):
        raise ExplainedRefusal(Reason.REPORT_NOT_AVAILABLE)


def _unavailable(error: UpstreamError) -> ExplainedRefusal:
    facts = {"server": error.server, "fault": error.detail}
    if error.status is not None:
        facts["answer"] = f"HTTP {error.status}"
    return ExplainedRefusal(Reason.REPORT_NOT_AVAILABLE, facts=facts)


def _answer(form: ServedForm) -> Response:
    response = Response(form.content, content_type=form.content_type)
    kind = "attachment" if form.is_download else "inline"
    response.headers["Content-Disposition"] = f'{kind}; filename="{form.file_name}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Browsers refuse to show a PDF in a sandbox; their own viewer is one.
    apart = "frame-ancestors 'none'"
    policy = apart if form.content_type == "application/pdf" else f"default-src 'none'; sandbox; {apart}"
    response.headers["Content-Security-Policy"] = policy
    return response
