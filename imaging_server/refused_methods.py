"""Refused methods in the audit trail: whoever tries to store, change or delete images through the gateway is on record.

Flask answers 405 by itself, before any view; this looks at what it is about to refuse.

Spec: SMART Imaging Access group 16 (methods), group 35 (every denial yields an event).
"""

from __future__ import annotations

from flask import current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from fhir_imaging.uids import study_uid
from fhir_imaging.web import request_reference
from imaging_server.auditing import Attempt
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import STUDY_SEARCH
from imaging_server.services import ImagingServerServices

PREFIX = "/imaging/"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"})
OTHER_METHOD = "other"


class RefusedMethods:
    """For ``before_app_request``."""

    def __init__(self, services: ImagingServerServices) -> None:
        self._services = services

    def record(self) -> None:
        """Records the request under way where its method is about to be refused; raises where that cannot be done (503)."""
        fault = request.routing_exception
        if not isinstance(fault, MethodNotAllowed) or not request.path.startswith(PREFIX):
            return
        pieces = _pieces(fault)
        ehr = self._services.ehrs.get(str(pieces.get("ehr")))
        if ehr is None:
            return  # nobody's patients are there
        attempt = Attempt(
            ehr=ehr.name,
            resource=_resource(pieces.get("study")),
            query=None,
            client_address=request.remote_addr,
            request_id=request_reference(),
            refused_method=request.method if request.method in KNOWN_METHODS else OTHER_METHOD,
        )
        self._services.gate.refuse_method(ehr, request.headers.get("Authorization"), attempt)


def _pieces(fault: MethodNotAllowed) -> dict[str, object]:
    """The pieces of the path, as the route has them that takes another method."""
    adapter = current_app.create_url_adapter(request)
    for method in fault.valid_methods or ():
        try:
            return dict(adapter.match(method=method)[1]) if adapter else {}
        except HTTPException:
            continue
    return {}


def _resource(study: object) -> DicomResource:
    if not isinstance(study, str):
        return STUDY_SEARCH
    return DicomResource(kind=Kind.METADATA, level=Level.STUDY, study=study_uid(study))
