"""The study list over HTTP: its page, and the stream of what comes after a long list's first page.

Spec: smart-launch.md §8 (study list).
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request, stream_with_context, url_for

from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.uids import is_uid
from smart_app.explanations import ExplainedRefusal
from smart_app.list_rendering import ListPlace, RowMarks, RowWriter
from smart_app.list_stream import ListStream, failure_line, wait_for_first_page
from smart_app.lists_under_way import ListsUnderWay, ListUnderWay
from smart_app.ohif import ViewerNotInstalled, prefetch_links
from smart_app.pages import explained, page
from smart_app.patient_imaging import Inquiry, PatientImaging
from smart_app.services import SmartAppServices
from smart_app.session_views import live_session
from smart_app.study_findings import is_for_clinicians
from smart_app.study_list import StudyRow

NDJSON = "application/x-ndjson"


def add_list_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the study list."""
    under_way = ListsUnderWay()

    @blueprint.get("/s/<session_id>/studies")
    def studies(session_id: str) -> Response:
        """The patient's studies; of a long record the newest, with the address of the rest."""
        inquiry = Inquiry(services, live_session(services, session_id))
        is_kept = False
        try:
            is_complete = wait_for_first_page(inquiry, is_whole="whole" in request.args)
            imaging = inquiry.answer(is_whole=is_complete)
            answer = list_page(services, imaging, session_id, is_complete=is_complete)
            if not is_complete:
                shown = {row.study_instance_uid: row for row in imaging.studies.rows}
                under_way.keep(session_id, ListUnderWay(inquiry, shown))
                is_kept = True
            return answer
        finally:
            if not is_kept:
                inquiry.close()

    @blueprint.after_request
    def drop_at_sign_out(response: Response) -> Response:
        """Nothing goes on being asked with the token of a session that this worker has just ended."""
        if request.endpoint == f"{blueprint.name}.logout" and response.status_code == 200:
            under_way.drop((request.view_args or {})["session_id"])
        return response

    @blueprint.get("/s/<session_id>/studies/stream")
    def stream(session_id: str) -> Response:
        """The rest of the list, a line of JSON for each thing that becomes known."""
        try:
            live = live_session(services, session_id)
            begun = under_way.take(session_id)
            inquiry = begun.inquiry if begun else Inquiry(services, live)
        except ExplainedRefusal as refusal:
            return _lines(iter([failure_line(refusal)]), status=401)
        except UpstreamError as error:
            return _lines(iter([failure_line(explained(error))]), status=503)
        for_patient = not is_for_clinicians(live.session.user)
        writer = RowWriter(ListPlace.of_session(session_id, for_patient=for_patient))
        marks = RowMarks(opened=opened_study(), highlighted=live.session.named_uids)
        rest = ListStream(inquiry, writer, marks, begun.shown if begun else None)
        return _lines(stream_with_context(rest.lines()))


def list_page(
    services: SmartAppServices,
    imaging: PatientImaging,
    session_id: str,
    *,
    notice: str | None = None,
    highlighted: StudyRow | None = None,
    is_complete: bool = True,
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
        connects_to=_image_origins(imaging),
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
        stream=None if is_complete else url_for(".stream", session_id=session_id, opened=opened),
        prefetch=_prefetch(services),
    )


def opened_study() -> str | None:
    """The study that the user comes back from, as the address says."""
    opened = request.args.get("opened")
    return opened if opened and is_uid(opened) else None


def _lines(lines: Iterator[str], *, status: int = 200) -> Response:
    response = Response(lines, status, mimetype=NDJSON)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # A proxy that collects the whole answer would make the first line as late as the last.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _image_origins(imaging: PatientImaging) -> tuple[str, ...]:
    """Where thumbnails are fetched from: only image servers that this patient's studies name and that may have the token."""
    return tuple(sorted({origin_of(row.address) for row in imaging.studies.rows if row.address}))


def _prefetch(services: SmartAppServices) -> list[str]:
    try:
        return prefetch_links(services.settings.viewer_dir) if services.settings.viewer_dir else []
    except ViewerNotInstalled:
        return []
