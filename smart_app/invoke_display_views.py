"""IHE Invoke Image Display over HTTP: other applications ask for images inside a session that a launch has opened.

The conventional address names no session, so this browser's own are looked for. Without one nothing is shown.

Spec: IHE Radiology, Invoke Image Display (RAD-106); smart-imaging.md §4; DESIGN §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.settings import EhrSettings
from fhir_imaging.texts import gettext, ngettext
from smart_app.active_session import ActiveSession
from smart_app.browser_binding import binding_of
from smart_app.browser_sessions import BrowserSessions
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.invoke_display import (
    NOT_OFFERED,
    DisplayFault,
    PatientWanted,
    RequestRefused,
    StudiesWanted,
    read_request,
    without_wishes,
)
from smart_app.invoke_display_match import PatientVerdict, find_studies, in_words, judge_patient, narrow
from smart_app.list_views import list_page
from smart_app.pages import page
from smart_app.patient_imaging import Inquiry, PatientImaging, look_up
from smart_app.services import SmartAppServices
from smart_app.session_patient import read_session_patient
from smart_app.session_tokens import LiveSession
from smart_app.session_views import live_session, viewer_address
from smart_app.study_list import StudyRow

NARROWED = (
    "Another application asked for {asked}: {shown} of {all} study is shown here. “All studies” shows the rest.",
    "Another application asked for {asked}: {shown} of {all} studies are shown here. “All studies” shows the rest.",
)
"""One study in the whole record, and many."""
NO_MATCH = "Another application asked for {asked}, and no study of this patient matches. “All studies” shows what there is."
NO_IMAGES = "Another application asked for studies whose images cannot be opened here."
ONE_BY_ONE = "Another application asked for these studies, which cannot be shown beside each other. Open them one by one."
_MOST_BESIDE = 2
"""How many studies the viewer page shows at once."""
WHOLE_STUDIES = "Another application asked for key images only. That choice is not offered here, so all images are opened."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session of this browser, as the page for choosing one names it."""

    session_id: str
    ehr: EhrSettings
    patient: str
    opened: datetime
    """In the site's zone."""


def add_display_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers both addresses of Invoke Image Display."""

    @blueprint.get("/s/<session_id>/IHEInvokeImageDisplay")
    def display_in_session(session_id: str) -> AnyResponse:
        """Shows what is asked for, as far as it belongs to the session's patient."""
        return _answer(services, session_id)

    @blueprint.get("/IHEInvokeImageDisplay")
    def display() -> AnyResponse:
        """The conventional address: the one session of this browser answers, of several somebody chooses."""
        wanted = read_request(_query())
        if isinstance(wanted, RequestRefused):
            return _refused(services, wanted)
        sessions = _own_sessions(services)
        if len(sessions) == 1:
            return _answer(services, sessions[0].session_id)
        return _choice(services, sessions, wanted)


def _answer(services: SmartAppServices, session_id: str) -> AnyResponse:
    live = live_session(services, session_id)
    wanted = read_request(_query())
    if isinstance(wanted, RequestRefused):
        return _refused(services, wanted)
    if isinstance(wanted, StudiesWanted):
        return _studies(services, live, wanted)
    return _patient(services, live, wanted)


def _studies(services: SmartAppServices, live: LiveSession, wanted: StudiesWanted) -> AnyResponse:
    imaging = look_up(services, live)
    rows = find_studies(imaging.studies.rows, wanted)
    if rows is None:
        raise imaging.absent()
    usable = [row for row in rows if row.can_open]
    fit = len(usable) <= _MOST_BESIDE and len({row.address for row in usable}) == 1
    if not fit or wanted.key_images_only:
        notice = NO_IMAGES if not usable else WHOLE_STUDIES if fit else ONE_BY_ONE
        return list_page(services, _with_rows(imaging, rows), live.session_id, notice=notice)
    return redirect(_viewer_of(live.session_id, usable), 303)


def _patient(services: SmartAppServices, live: LiveSession, wanted: PatientWanted) -> AnyResponse:
    if not wanted.narrows:
        _require_same_patient(read_session_patient(services, live), wanted)
        return redirect(url_for(".studies", session_id=live.session_id), 303)
    with Inquiry(services, live) as inquiry:
        _require_same_patient(inquiry.patient() or read_session_patient(services, live), wanted)
        imaging = inquiry.to_the_end()
    rows = narrow(imaging.studies.rows, wanted, services.clock().tzinfo or UTC)
    number = len(imaging.studies.rows)
    words = ngettext(*NARROWED, number) if rows else gettext(NO_MATCH)
    notice = words.format(asked=in_words(wanted), shown=len(rows), all=number)
    return list_page(services, _with_rows(imaging, rows), live.session_id, notice=notice)


def _with_rows(imaging: PatientImaging, chosen: Sequence[StudyRow]) -> PatientImaging:
    """The list with these rows only, in its own order: its sections are years that follow each other."""
    uids = {row.study_instance_uid for row in chosen}
    kept = tuple(row for row in imaging.studies.rows if row.study_instance_uid in uids)
    return replace(imaging, studies=replace(imaging.studies, rows=kept))


def _require_same_patient(record: dict[str, Any] | None, wanted: PatientWanted) -> None:
    verdict = judge_patient(record, wanted)
    if verdict is PatientVerdict.OTHER:
        raise ExplainedRefusal(Reason.DISPLAY_OTHER_PATIENT)
    if verdict is PatientVerdict.CANNOT_BE_COMPARED:
        raise ExplainedRefusal(Reason.DISPLAY_PATIENT_NOT_COMPARED)


def _viewer_of(session_id: str, rows: Sequence[StudyRow]) -> str:
    """The viewer page of the first study, with the others beside it."""
    address = viewer_address(session_id, rows[0].study_instance_uid, {})
    beside = [("with", row.study_instance_uid) for row in rows[1:]]
    return f"{address}?{urlencode(beside)}" if beside else address


def _refused(services: SmartAppServices, refused: RequestRefused) -> Response:
    """Malformed requests end; what only asks for too much may be asked again without it."""
    if refused.fault not in NOT_OFFERED:
        raise ExplainedRefusal(Reason.DISPLAY_REQUEST, facts={"fault": refused.fault.value})
    again = f"{request.path}?{urlencode(without_wishes(_query()))}"
    diagnostic = refused.fault is DisplayFault.NOT_DIAGNOSTIC
    return page(
        services, "smart/display_limits.html", status=406, fault=refused.fault.value, again=again, diagnostic=diagnostic
    )


def _choice(services: SmartAppServices, sessions: Sequence[OpenSession], wanted: StudiesWanted | PatientWanted) -> Response:
    """Which session is meant, or how to come by one. A study is handed to the launch by its UID only."""
    study = wanted.uids[0] if isinstance(wanted, StudiesWanted) and len(wanted.uids) == 1 else None
    return page(
        services,
        "smart/display_choice.html",
        status=200 if sessions else 403,
        sessions=sessions,
        study=study,
        query=urlencode(_query()),
    )


def _own_sessions(services: SmartAppServices) -> list[OpenSession]:
    """This browser's sessions that still live, latest first."""
    binding, now = binding_of(request, services.store.sealer, services.settings.origin), services.now()
    if binding is None:
        return []
    ids = BrowserSessions(services.store).of(binding, now=now)
    found = [(one, services.sessions.find(one, now=now)) for one in ids]
    living = ((one, session) for one, session in found if session and session.belongs_to(binding) and session.is_living(now))
    opened = [_named(services, one, session) for one, session in living]
    return [one for one in opened if one]


def _named(services: SmartAppServices, session_id: str, session: ActiveSession) -> OpenSession | None:
    ehr = services.ehr(session.ehr)
    if ehr is None:
        return None
    opened = datetime.fromtimestamp(session.created_at, services.clock().tzinfo or UTC)
    return OpenSession(session_id=session_id, ehr=ehr, patient=session.patient, opened=opened)


def _query() -> list[tuple[str, str]]:
    return list(request.args.items(multi=True))
