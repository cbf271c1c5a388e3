"""The study list over HTTP.

Spec: smart-launch.md §8 (study list).
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from fhir_imaging.uids import is_uid
from smart_app.list_rendering import ListPlace, RowMarks
from smart_app.ohif import ViewerNotInstalled, prefetch_links
from smart_app.pages import page
from smart_app.patient_imaging import PatientImaging, look_up
from smart_app.services import SmartAppServices
from smart_app.session_views import live_session
from smart_app.study_findings import is_for_clinicians
from smart_app.study_list import StudyRow


def add_list_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the study list."""

    @blueprint.get("/s/<session_id>/studies")
    def studies(session_id: str) -> Response:
        """The patient's studies."""
        return list_page(services, look_up(services, live_session(services, session_id)), session_id)


def list_page(
    services: SmartAppServices,
    imaging: PatientImaging,
    session_id: str,
    *,
    notice: str | None = None,
    highlighted: StudyRow | None = None,
) -> Response:
    """The list as a page; ``notice`` says why it is shown in place of a study that was asked for."""
    for_patient = not is_for_clinicians(imaging.session.user)
    by_region = request.args.get("by") == "region"
    opened = opened_study()
    marks = RowMarks(
        opened=opened,
        priors=imaging.studies.priors_of(opened),
        highlighted=imaging.session.named_uids | {row.study_instance_uid for row in (highlighted,) if row},
    )
    return page(
        services,
        "smart/studies.html",
        ehr=imaging.ehr,
        imaging=imaging,
        banner=imaging.banner,
        session_id=session_id,
        notice=notice,
        of=ListPlace.of_session(session_id, for_patient=for_patient),
        for_patient=for_patient,
        grouped_by="region" if by_region else "year",
        groups=imaging.studies.regions if by_region else imaging.studies.years,
        marks=marks,
        opened=opened,
        prefetch=_prefetch(services),
    )


def opened_study() -> str | None:
    """The study that the user comes back from, as the address says."""
    opened = request.args.get("opened")
    return opened if opened and is_uid(opened) else None


def _prefetch(services: SmartAppServices) -> list[str]:
    try:
        return prefetch_links(services.settings.viewer_dir) if services.settings.viewer_dir else []
    except ViewerNotInstalled:
        return []
