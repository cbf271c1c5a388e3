"""One request to the imaging FHIR endpoint, read off Flask, and what the audit log may keep of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from fhir_imaging.errors import InvalidRequest, NotSupported
from fhir_imaging.settings import EhrSettings
from fhir_imaging.uids import study_uid
from fhir_imaging.web import request_reference
from imaging_server.auditing import Attempt, without_token
from imaging_server.fhir_formats import FHIR_JSON, check_formats
from imaging_server.fhir_paging import PAGE_PARAMETER
from imaging_server.fhir_search import OFFERED
from imaging_server.queries import MAX_QUERY_LENGTH, parse_query
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import STUDY_SEARCH

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirRequest:
    """Parameters of address and form together; ``sent`` are those of a link to a further page, which is its own address."""

    pairs: tuple[tuple[str, str], ...]
    authorization: str | None
    lenient: bool
    sent: tuple[tuple[str, str], ...] = ()

    @property
    def is_of_page(self) -> bool:
        """Whether it follows a link to a further page."""
        return any(name == PAGE_PARAMETER for name, _ in self.pairs)

    def only_page(self) -> str:
        """The sealed value of ``page``, which stands alone. InvalidRequest beside anything else."""
        if len(self.pairs) != 1:
            raise InvalidRequest(f"{PAGE_PARAMETER} stands alone: follow the link as it is.", code="page-not-alone")
        return self.pairs[0][1]

    def resumed(self, pairs: tuple[tuple[str, str], ...]) -> FhirRequest:
        """The search that a link to a further page goes on with."""
        return replace(self, pairs=pairs, sent=self.pairs)


def fhir_request() -> FhirRequest:
    """The request under way. InvalidRequest for parameters that cannot be read, NotSupported for another kind of form."""
    pairs = parse_query(request.query_string)
    if request.method == "POST":
        if request.mimetype != FORM:
            raise NotSupported(f"A search by POST is sent as {FORM}.", status=415)
        request.max_content_length = MAX_QUERY_LENGTH
        pairs += parse_query(request.get_data(cache=False))
    preferred = request.headers.get("Prefer", "").replace(";", ",").split(",")
    return FhirRequest(
        pairs=pairs,
        authorization=request.headers.get("Authorization"),
        lenient="handling=lenient" in [one.strip().lower() for one in preferred],
    )


def check_accept(pairs: Sequence[tuple[str, str]]) -> None:
    """As ``check_formats``, for the request under way with its parameters."""
    check_formats([value for name, value in pairs if name == "_format"], request.headers.get("Accept"))


def fhir_json(resource: dict[str, Any]) -> Response:
    """A resource as the answer."""
    return Response(json.dumps(resource, separators=(",", ":")), 200, content_type=FHIR_JSON)


def search_attempt(ehr: EhrSettings, pairs: Sequence[tuple[str, str]], *, what: str = "ImagingStudy") -> Attempt:
    """A search as the audit log keeps it: of the parameters only those that are known, since others may hold a token."""
    known = urlencode([(name, value) for name, value in pairs if name in OFFERED])
    return _attempt(ehr, STUDY_SEARCH, without_token(f"{what}?{known}", request.headers.get("Authorization")))


def read_attempt(ehr: EhrSettings, study: str) -> Attempt:
    """The reading of one ImagingStudy: what is disclosed is the study's description."""
    return _attempt(ehr, DicomResource(kind=Kind.METADATA, level=Level.STUDY, study=study_uid(study)), None)


def _attempt(ehr: EhrSettings, resource: DicomResource, query: str | None) -> Attempt:
    return Attempt(
        ehr=ehr.name,
        resource=resource,
        query=query,
        client_address=request.remote_addr,
        request_id=request_reference(),
    )
