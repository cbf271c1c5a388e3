"""The viewer over HTTP: the page with the patient's identity above the images, and the viewer's own files beneath it.

A study is shown only after it was found in the list of the session's patient; the viewer's shell opens only such studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flask import Blueprint, Response, request, url_for

from fhir_imaging.settings import origin_of
from fhir_imaging.uids import is_uid, study_uid
from smart_app.active_session import ActiveSession
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.list_rendering import ListPlace
from smart_app.named_study import NamedStudy
from smart_app.ohif import (
    COMPARE_PROTOCOL,
    OhifConfig,
    ViewerNotInstalled,
    WadoRoot,
    app_config_headers,
    asset_response,
    render_app_config,
    render_shell,
    viewer_path,
)
from smart_app.pages import page
from smart_app.patient_imaging import PatientImaging, look_up
from smart_app.patient_match import PatientMatch, less_certain
from smart_app.patient_match_asking import match_patient
from smart_app.report_panel import read_panel
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.session_views import live_session, own_session
from smart_app.sessions import OpenedStudy
from smart_app.study_findings import is_for_clinicians
from smart_app.study_list import StudyRow

SHELL_PARAMETERS = frozenset({"StudyInstanceUIDs", "initialSeriesInstanceUID", "initialSOPInstanceUID", "hangingProtocolId"})
"""What the viewer's address may say. Its ``url``, ``token`` and ``configUrl`` do not work here."""
OTHER_SERVER = "The images of the two studies are on different servers, so they cannot be shown side by side."


def add_viewer_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the viewer page and what it loads."""

    @blueprint.get("/s/<session_id>/viewer/<study_instance_uid>")
    def viewer(session_id: str, study_instance_uid: str) -> Response:
        """One study of the session's patient, rechecked against the patient's list every time."""
        live = live_session(services, session_id)
        imaging, row, address = _find(services, live, study_instance_uid)
        match = match_patient(services, live, imaging, row.study_instance_uid, address)
        beside, beside_match = _beside(services, live, row) or (None, match)
        studies = (row, beside) if beside else (row,)
        config, source = _allow(services, session_id, live.session, studies, address)
        deep = {name: uid for name in ("series", "instance") if (uid := request.args.get(name)) and is_uid(uid)}
        return page(
            services,
            "smart/viewer.html",
            ehr=imaging.ehr,
            imaging=imaging,
            banner=imaging.banner,
            match=less_certain(match, beside_match),
            session_id=session_id,
            row=row,
            beside=beside,
            deep=deep,
            source=source,
            frame=_frame(config, row, beside, source, deep),
            for_patient=not is_for_clinicians(live.session.user),
        )

    @blueprint.get("/s/<session_id>/studies/<study_instance_uid>/panel")
    def panel(session_id: str, study_instance_uid: str) -> Response:
        """The report panel beside the images, as a fragment of the viewer page."""
        if not is_uid(study_instance_uid):
            raise ExplainedRefusal(Reason.NOT_A_STUDY)
        imaging = look_up(services, live_session(services, session_id))
        row = imaging.studies.named(NamedStudy(study_instance_uid=study_instance_uid))
        if row is None:
            raise imaging.absent()
        for_patient = not is_for_clinicians(imaging.session.user)
        return page(
            services,
            "smart/panel.html",
            ehr=imaging.ehr,
            panel=read_panel(imaging, row, for_patient=for_patient),
            of=ListPlace.of_session(session_id, for_patient=for_patient),
            for_patient=for_patient,
        )


def _find(services: SmartAppServices, live: LiveSession, uid: str) -> tuple[PatientImaging, StudyRow, str]:
    """The study in the patient's own list, and where its images are; a refusal where it is neither theirs nor open."""
    if not is_uid(uid):
        raise ExplainedRefusal(Reason.NOT_A_STUDY)
    imaging = look_up(services, live, study_uid(uid))
    row = imaging.studies.named(NamedStudy(study_instance_uid=uid))
    if row is None:
        raise imaging.absent()
    if row.address is None:
        raise ExplainedRefusal(Reason.STUDY_NOT_AVAILABLE, facts={"state": row.images})
    return imaging, row, row.address


def _beside(services: SmartAppServices, live: LiveSession, row: StudyRow) -> tuple[StudyRow, PatientMatch] | None:
    """The second study that the address asks to see beside the first, checked like the first, and whose its images are."""
    wanted = request.args.get("with")
    if not wanted or wanted == row.study_instance_uid:
        return None
    imaging, beside, address = _find(services, live, wanted)
    if address != row.address:
        raise ExplainedRefusal(Reason.STUDY_NOT_AVAILABLE, facts={"state": OTHER_SERVER})
    return beside, match_patient(services, live, imaging, beside.study_instance_uid, address)


def _frame(config: OhifConfig, row: StudyRow, beside: StudyRow | None, source: str | None, deep: dict[str, str]) -> str:
    return viewer_path(
        config,
        row.study_instance_uid,
        source=source,
        series_instance_uid=deep.get("series"),
        sop_instance_uid=deep.get("instance"),
        beside=beside.study_instance_uid if beside else None,
    )


def add_shell_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the embedded viewer: its shell and configuration per session, its immutable files."""

    @blueprint.get("/s/<session_id>/ohif/app-config.js")
    def app_config(session_id: str) -> Response:
        """What the viewer of this session is told: addresses, no token and no patient."""
        session = own_session(services, session_id)
        return Response(render_app_config(_config(services, session_id, session)), headers=app_config_headers())

    @blueprint.get("/s/<session_id>/ohif/<path:route>")
    def shell(session_id: str, route: str) -> Response:
        """The viewer itself, for studies that this session was allowed to show."""
        session = own_session(services, session_id)
        _require_opened(services, session_id)
        shell_page = render_shell(_viewer_dir(services), _config(services, session_id, session))
        return Response(shell_page.html, headers=shell_page.headers)

    @blueprint.get("/ohif/<path:name>")
    def viewer_file(name: str) -> Response:
        """One of the viewer's immutable files; they hold no patient data and need no session."""
        return asset_response(_viewer_dir(services), name)


def _allow(
    services: SmartAppServices, session_id: str, session: ActiveSession, studies: Sequence[StudyRow], address: str
) -> tuple[OhifConfig, str | None]:
    """Notes that this session may show the studies, and says which data source of the viewer holds them."""
    if address not in session.wado_roots:
        session = SessionTokens(services).change(session_id, lambda current: current.with_wado_root(address))
    for row in studies:
        opened = OpenedStudy(study_instance_uid=row.study_instance_uid, address=address, send_token=True)
        services.opened.remember(session_id, opened, expires_at=session.session_expires_at)
    config = _config(services, session_id, session)
    position = session.wado_roots.index(address)
    return config, config.wado_roots[position].name if position else None


def _config(services: SmartAppServices, session_id: str, session: ActiveSession) -> OhifConfig:
    ehr = services.ehr(session.ehr)
    if ehr is None or not session.wado_roots:
        raise ExplainedRefusal(Reason.STUDY_NOT_OF_PATIENT)
    roots = tuple(
        WadoRoot(name=f"images-{number}", title=f"{ehr.title} images", root=root)
        for number, root in enumerate(session.wado_roots, start=1)
    )
    return OhifConfig(
        session_path=url_for(".studies", session_id=session_id).removesuffix("/studies"),
        token_path=url_for(".token", session_id=session_id),
        static_path=url_for("static", filename="viewer"),
        wado_roots=roots,
        frame_ancestors=tuple(origin_of(origin) for origin in ehr.frame_ancestors),
        shows_unsigned_ai=is_for_clinicians(session.user),
    )


def _require_opened(services: SmartAppServices, session_id: str) -> None:
    protocols = request.args.getlist("hangingProtocolId")
    if set(request.args) - SHELL_PARAMETERS or set(protocols) - {COMPARE_PROTOCOL}:
        raise ExplainedRefusal(Reason.STUDY_NOT_OF_PATIENT)
    named = [uid for value in request.args.getlist("StudyInstanceUIDs") for uid in value.split(",")]
    now = services.now()
    if not named or any(services.opened.find(session_id, uid, now=now) is None for uid in named):
        raise ExplainedRefusal(Reason.STUDY_NOT_OF_PATIENT)


def _viewer_dir(services: SmartAppServices) -> Path:
    if services.settings.viewer_dir is None:
        raise ViewerNotInstalled
    return services.settings.viewer_dir
