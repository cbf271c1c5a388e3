"""A second look at where a study's images are, after an image server refused them.

The token is renewed where the server did not take it, and the imaging server is asked once more for this one study: its
Endpoint may have been replaced. The viewer then tries once more, and no further.

Spec: SMART Imaging Access C9; SMART App Launch 2.2 A39.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from fhir_imaging.errors import UpstreamError
from fhir_imaging.uids import is_uid, study_uid
from smart_app.explanations import EXPLANATIONS, ExplainedRefusal, Reason
from smart_app.named_study import NamedStudy
from smart_app.patient_imaging import look_up
from smart_app.services import SmartAppServices
from smart_app.session_views import live_session, own_session, require_own_page


def add_recovery_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the second look."""

    @blueprint.post("/s/<session_id>/studies/<study_instance_uid>/recover")
    def recover(session_id: str, study_instance_uid: str) -> Response:
        """``again``: how the viewer goes on, "retry" the same address or "reload" its page for another one."""
        try:
            require_own_page(services)
            return _uncached(jsonify(again=_again(services, session_id, study_instance_uid)))
        except ExplainedRefusal as refusal:
            return _refused(refusal.reason)
        except UpstreamError:
            return _refused(Reason.EHR_UNAVAILABLE)


def _again(services: SmartAppServices, session_id: str, uid: str) -> str:
    own_session(services, session_id)
    opened = services.opened.find(session_id, uid, now=services.now()) if is_uid(uid) else None
    # Only what this session was shown can have been refused to it.
    if opened is None:
        raise ExplainedRefusal(Reason.STUDY_NOT_OF_PATIENT)
    body = request.get_json(silent=True)
    token_refused = isinstance(body, dict) and body.get("status") == 401
    live = live_session(services, session_id, was_refused=token_refused)
    imaging = look_up(services, live, study_uid(uid))
    row = imaging.studies.named(NamedStudy(study_instance_uid=uid))
    if row is None:
        raise imaging.absent()
    if row.address is None:
        raise ExplainedRefusal(Reason.STUDY_NOT_AVAILABLE)
    return "retry" if row.address == opened.address else "reload"


def _refused(reason: Reason) -> Response:
    explanation = EXPLANATIONS[reason].in_words()
    response = jsonify(error=reason.value, error_description=explanation.what)
    response.status_code = explanation.status
    return _uncached(response)


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
