"""The decision that nginx keeps for a while (``auth_request``): may this token open this study, or this series of it?

Nobody but nginx gets an answer here. Yes is 204 with the seconds for which it may be kept; no is whatever the gate raises, and
then nginx asks the ordinary route, which decides again, answers in its own words and records the refusal.

Spec: SMART Imaging Access W3-W5, groups 6, 10 and 21.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Response, request

from fhir_imaging.errors import NotFound, UpstreamError
from fhir_imaging.uids import SeriesInstanceUID, StudyInstanceUID
from fhir_imaging.web import note_for_log, request_reference
from imaging_server.auditing import Attempt
from imaging_server.handover import KEY_HEADER
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.services import ImagingServerServices

DECISION_PREFIX = "/imaging/<ehr>/handover/<pacs>"
_RULES = ("/studies/<dicom_uid:study>", "/studies/<dicom_uid:study>/series/<dicom_uid:series>")


def add_routes(blueprint: Blueprint, services: ImagingServerServices) -> None:
    """Adds the two addresses at which nginx asks."""
    decisions = HandedDecisions(services)
    for rule, name in zip(_RULES, ("study", "series"), strict=True):
        blueprint.add_url_rule(
            DECISION_PREFIX + rule, endpoint=f"handed-{name}", view_func=decisions.decide, methods=["GET"], merge_slashes=False
        )


class HandedDecisions:
    """Decides for nginx as for any caller, by the token that nginx hands on."""

    def __init__(self, services: ImagingServerServices, *, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._clock = clock

    def decide(self, ehr: str, pacs: str, study: str, series: str | None = None) -> Response:
        """204 with ``X-Accel-Expires``, or the refusal that the gate raises. NotFound for everybody but nginx."""
        services, settings = self._services, self._services.settings
        known, archive = services.ehrs.get(ehr), services.archives.get(pacs)
        keeps = settings.handed_decision_s > 0 and services.handover.may_keep(pacs)
        if not (services.handover.knows(request.headers.get(KEY_HEADER)) and keeps and settings.may_reach(ehr, pacs)):
            raise NotFound("There is nothing at this address.")
        if known is None or archive is None:
            raise NotFound("There is nothing at this address.")
        note_for_log(ehr=ehr, pacs=pacs)
        if archive.is_left_alone:
            raise UpstreamError("The archive is out of order just now.", server=archive.server, retryable=True)
        attempt = Attempt(
            ehr=ehr,
            resource=_whole(study, series),
            query=None,
            client_address=request.remote_addr,
            request_id=request_reference(),
        )
        grant = services.handed_gate.open_study(known, archive, request.headers.get("Authorization"), attempt)
        # What goes on when the record's window is over has a record of its own.
        recorded_s = services.handed_gate.recorded_for(attempt, grant)
        keep_s = min(settings.handed_decision_s, recorded_s, grant.expires_at - self._clock())
        # nginx's clock for this has whole seconds, and takes an entry for good until its last second has passed.
        return Response(status=204, headers={"X-Accel-Expires": str(max(0, int(keep_s) - 1))})


def _whole(study: str, series: str | None) -> DicomResource:
    return DicomResource(
        kind=Kind.RETRIEVE,
        level=Level.STUDY if series is None else Level.SERIES,
        study=StudyInstanceUID(study),
        series=None if series is None else SeriesInstanceUID(series),
    )
