"""The way from a launch that names a study to that study, over HTTP.

Spec: SMART App Launch 2.2 A29 (fhirContext); DESIGN §6 (links).
"""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.uids import study_uid
from smart_app.list_views import list_page
from smart_app.named_lookup import ResolvedNames, resolve_named
from smart_app.named_study import NamedStudy
from smart_app.patient_imaging import look_up
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.session_views import live_session, viewer_address

NOT_FOUND_NOTICE = "The study that the link names is not among this patient's studies, so it was not opened."
NO_IMAGES_NOTICE = "The study that the link names has no images that can be opened here."
NOT_FOLLOWED_NOTICE = "The launch names a report or an order, and no imaging study of this patient was found for it."


def add_named_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the study that a launch names."""

    @blueprint.get("/s/<session_id>/named")
    def named(session_id: str) -> AnyResponse:
        """The first study that the launch points at, when it is this patient's; else the list, saying why not."""
        live = live_session(services, session_id)
        if not live.session.named_studies:
            return redirect(url_for(".studies", session_id=session_id), 303)
        names = resolve_named(services, live)
        if names.studies and names.studies != live.session.named_studies:
            live = _remembered(services, live, names)
        return _first(services, live, names)


def _remembered(services: SmartAppServices, live: LiveSession, names: ResolvedNames) -> LiveSession:
    """Keeps the UIDs in the session: the next visit asks nothing, and the list can mark the others."""
    session = SessionTokens(services).change(
        live.session_id, lambda current: replace(current, named_studies=(*names.studies, *names.open))
    )
    return replace(live, session=session)


def _first(services: SmartAppServices, live: LiveSession, names: ResolvedNames) -> AnyResponse:
    """Opens the first study that can be opened; the list where none can.

    The first name alone is asked for by itself: however many a launch names, the list is asked for once.
    """
    for one in names.studies[:1]:
        row = look_up(services, live, study_uid(one.study_instance_uid or "")).studies.named(one)
        if row is not None and row.can_open:
            return redirect(_address(live, one), 303)
    imaging = look_up(services, live)
    notice, known = NOT_FOLLOWED_NOTICE, None
    for one in names.studies:
        row = imaging.studies.named(one)
        if row is not None and row.can_open:
            return redirect(_address(live, one), 303)
        notice, known = (NOT_FOUND_NOTICE, known) if row is None else (NO_IMAGES_NOTICE, row)
    if any(one.resource_id or one.accession for one in names.open):
        notice = NOT_FOUND_NOTICE
    return list_page(services, imaging, live.session_id, notice=notice, highlighted=known)


def _address(live: LiveSession, one: NamedStudy) -> str:
    deep = {"series": one.series_instance_uid, "instance": one.sop_instance_uid}
    return viewer_address(live.session_id, one.study_instance_uid or "", deep)
