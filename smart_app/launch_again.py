"""A launch address that its browser has completed before: back to its session, or the question whose session is meant.

Reloading and the back button mean the session that is already there. Any other way to the same address may be a new start for
another patient, since test launchers and some EHRs send one handle at every start: then the patient is named and asked about.

Spec: SMART App Launch 2.2 (A5, A8, A21, A40): ``launch`` belongs to one start; the application cannot see the EHR's chart.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.errors import ImagingError
from smart_app.active_session import ActiveSession
from smart_app.callback import first_study_path
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.launch import LaunchRequest
from smart_app.pages import page
from smart_app.patient_banner import read_banner
from smart_app.services import SmartAppServices
from smart_app.session_patient import read_session_patient
from smart_app.session_tokens import SessionTokens
from smart_app.used_launches import UsedLaunch

log = logging.getLogger("imaging_cds.launch")
NAVIGATION = "navigation"
"""The query member with the browser's own word for how it came: the ``type`` of its PerformanceNavigationTiming."""
FRESH = "fresh"
"""The query member that asks for a new sign-in: the number of sessions that it comes after, so that it counts once."""
RETURNING = frozenset({"reload", "back_forward"})


@dataclass(frozen=True, slots=True)
class _Earlier:
    used: UsedLaunch
    session: ActiveSession


def handle_of(services: SmartAppServices, launch: LaunchRequest) -> str | None:
    """By what this start is known again; None where each start is its own: standalone, or the EHR repeats its handles."""
    if launch.launch is None or launch.ehr.launch_handles_recur:
        return None
    return services.used_launches.handle_of(launch.iss, launch.launch)


def answer_again(services: SmartAppServices, launch: LaunchRequest, binding: str) -> AnyResponse | None:
    """What a launch that this browser has completed is answered; None for one that is to begin, or to begin anew.

    ExplainedRefusal when its session has ended: the EHR would not take the handle a second time.
    """
    handle = handle_of(services, launch)
    used = services.used_launches.find(binding, handle, now=services.now()) if handle else None
    if used is None or request.args.get(FRESH) == str(used.starts):
        return None
    session = services.sessions.find(used.session_id, now=services.now())
    if session is None or not session.belongs_to(binding) or not session.is_living(services.now()):
        raise _ended(launch, used)
    return _answer(services, launch, _Earlier(used, session))


def _answer(services: SmartAppServices, launch: LaunchRequest, earlier: _Earlier) -> AnyResponse:
    navigation = request.args.get(NAVIGATION)
    if navigation is None:
        unsaid = _go(launch, {NAVIGATION: "unknown"})
        return page(services, "smart/launch_again.html", ehr=launch.ehr, onward=unsaid)
    session_id = earlier.used.session_id
    path = first_study_path(session_id, earlier.session.named_studies) or url_for(".studies", session_id=session_id)
    if navigation in RETURNING and earlier.used.starts == 1:
        return redirect(path, 303)
    return _question(services, launch, earlier, path)


def _question(services: SmartAppServices, launch: LaunchRequest, earlier: _Earlier, path: str) -> Response:
    record = _patient_record(services, launch, earlier)
    moment = services.clock()
    log.info("a completed launch was opened again at ehr %s, sessions so far: %s", launch.ehr.name, earlier.used.starts)
    return page(
        services,
        "smart/reopened.html",
        ehr=launch.ehr,
        banner=read_banner(record, earlier.session.patient, moment.date()),
        opened=datetime.fromtimestamp(earlier.session.created_at, moment.tzinfo or UTC),
        session_path=path,
        anew=_anew(launch, earlier.used),
    )


def _patient_record(services: SmartAppServices, launch: LaunchRequest, earlier: _Earlier) -> dict[str, Any] | None:
    """The Patient of the session, None where the EHR does not say; ExplainedRefusal when it no longer renews the session."""
    try:
        return read_session_patient(services, SessionTokens(services).live(earlier.used.session_id))
    except ExplainedRefusal as refusal:
        raise _ended(launch, earlier.used) from refusal
    except ImagingError:
        # A server that is away must not hide that this is an earlier patient's session.
        return None


def _ended(launch: LaunchRequest, used: UsedLaunch) -> ExplainedRefusal:
    return ExplainedRefusal(Reason.LAUNCH_USED, facts={"iss": launch.iss}, anew=_anew(launch, used))


def _anew(launch: LaunchRequest, used: UsedLaunch) -> str:
    """A new sign-in with the same handle, which the EHR may take or refuse."""
    return _go(launch, {FRESH: str(used.starts)})


def _go(launch: LaunchRequest, more: dict[str, str]) -> str:
    return f"{url_for('.go')}?{urlencode({'iss': launch.iss, 'launch': launch.launch or '', **more})}"
