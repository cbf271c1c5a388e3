"""The way from a launch that names a study to that study, over HTTP.

Spec: SMART App Launch 2.2 A29 (fhirContext); DESIGN §6 (links).
"""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from smart_app.list_views import list_page
from smart_app.patient_imaging import look_up
from smart_app.services import SmartAppServices
from smart_app.session_views import live_session, viewer_address

NOT_FOUND_NOTICE = "The study that the link names is not among this patient's studies, so it was not opened."
NO_IMAGES_NOTICE = "The study that the link names has no images that can be opened here."


def add_named_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the study that a launch names."""

    @blueprint.get("/s/<session_id>/named")
    def named(session_id: str) -> AnyResponse:
        """The study that the launch points at, when it is this patient's; else the list, saying why not."""
        live = live_session(services, session_id)
        imaging = look_up(services, live)
        for one in live.session.named_studies:
            row = imaging.studies.named(one)
            if row is not None and row.can_open:
                deep = {"series": one.series_instance_uid, "instance": one.sop_instance_uid}
                return redirect(viewer_address(session_id, row.study_instance_uid, deep), 303)
            notice = NOT_FOUND_NOTICE if row is None else NO_IMAGES_NOTICE
            return list_page(services, imaging, session_id, notice=notice, highlighted=row)
        return redirect(url_for(".studies", session_id=session_id), 303)
