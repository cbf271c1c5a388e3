"""One query of the facts, asked at the client's FHIR server until its time is over.

The bearer token lives in the ``FhirClient`` of one request and nowhere else (R17). Spec: CDS Hooks 2.0 R19, R21, R22.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urljoin

from cds_service.prefetch import PrefetchState, PrefetchValue, classify, is_error
from cds_service.protocol import HookRequest
from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.errors import ImagingError, NotFound, UpstreamTimeout
from imaging_findings.facts import FactQuery

_LEAST_TIMEOUT_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came for one query; ``resources`` None = nothing could be had, ``reason`` why it is not complete."""

    resources: tuple[Mapping[str, Any], ...] | None
    complete: bool
    reason: str = ""


def fetch(
    client: FhirClient, query: FactQuery, value: PrefetchValue, request: HookRequest, limits: tuple[float, int]
) -> Fetched:
    """One query's resources; a failure becomes a reason in words that name no patient."""
    deadline, max_pages = limits
    found: list[Mapping[str, Any]] = list(value.resources) if value.next_url else []
    try:
        if "?" not in query.template:
            return Fetched(resources=_read(client, query, request, deadline), complete=True)
        page = _first_page(client, query, value, path_of(query, request), deadline)
        for further in range(max_pages, 0, -1):
            found += [one for one in page.matches if one.get("resourceType") == query.resource_type]
            if any(is_error(outcome) for outcome in page.outcomes):
                return Fetched(resources=tuple(found), complete=False, reason="the FHIR server reported an error")
            if page.next_url is None:
                return Fetched(resources=tuple(found), complete=True)
            if further > 1:
                page = client.follow(page.next_url, timeout_s=_left(deadline))
    except UpstreamTimeout:
        return _broken_off(value, found, "the FHIR server did not answer in time")
    except ImagingError as error:
        return _broken_off(value, found, error.detail.rstrip("."))
    except ValueError:
        return _broken_off(value, found, "the paging link is no address")
    return Fetched(resources=tuple(found), complete=False, reason="there are more pages than are followed")


def _broken_off(value: PrefetchValue, found: list[Mapping[str, Any]], reason: str) -> Fetched:
    """What came before the failure counts, as a part; nothing at all counts as unavailable."""
    return Fetched(resources=tuple(found) if found or value.next_url else None, complete=False, reason=reason)


def _read(client: FhirClient, query: FactQuery, request: HookRequest, deadline: float) -> tuple[Mapping[str, Any], ...]:
    resource_id = path_of(query, request).partition("/")[2]
    try:
        resource = client.read(query.resource_type, resource_id, timeout_s=_left(deadline))
    except NotFound as exc:
        raise ImagingError("The FHIR server does not hold it") from exc
    if resource.get("resourceType") != query.resource_type:
        raise ImagingError("The FHIR server answered with something else")
    # What a read answers is judged as what a prefetch brings: another patient's data is no data.
    judged = classify(query, {query.key: resource}, request.patient_id, request.encounter_id)
    if judged.state is not PrefetchState.PRESENT:
        raise ImagingError(f"The FHIR server answered with another {query.resource_type} than was asked for")
    return judged.resources


def _first_page(client: FhirClient, query: FactQuery, value: PrefetchValue, path: str, deadline: float) -> SearchPage:
    if value.next_url:
        return client.follow(urljoin(client.base_url + "/", value.next_url), timeout_s=_left(deadline))
    _, _, parameters = path.partition("?")
    return client.search(query.resource_type, parse_qsl(parameters), timeout_s=_left(deadline))


def path_of(query: FactQuery, request: HookRequest) -> str:
    """The query for the request's patient and encounter."""
    return query.path_for(request.patient_id, request.encounter_id or "")


def _left(deadline: float) -> float:
    return max(_LEAST_TIMEOUT_S, deadline - time.monotonic())
