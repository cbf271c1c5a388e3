"""Batch and transaction Bundles.

Spec: FHIR R4 http, section 3.1.0.11: in a transaction all entries happen or none, in the order DELETE, POST, PUT,
GET, and temporary `urn:uuid:` addresses become the final ones.
"""

import uuid
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ehr_sandbox.fhir_access import Access
from ehr_sandbox.fhir_faults import FhirFault, Resource, invalid, not_supported
from ehr_sandbox.fhir_interactions import FhirInteractions, Outcome
from ehr_sandbox.fhir_references import references_in, resolved_urns, rewritten
from ehr_sandbox.fhir_results import searchset
from ehr_sandbox.fhir_session import FhirBackend, Version
from ehr_sandbox.fhir_validation import check_type

_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRequest:
    """One entry of a batch or transaction, parsed."""

    index: int
    method: str
    resource_type: str
    resource_id: str | None
    version: str | None
    criteria: str
    full_url: str | None
    resource: Any
    if_match: str | None
    if_none_exist: str | None


def process_bundle(bundle: Any, backend: FhirBackend, access: Access) -> Resource:
    """The response Bundle. Raises FhirFault when the Bundle is none, or a transaction fails as a whole."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise invalid("the base URL takes a Bundle of type batch or transaction")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise invalid("Bundle.entry must be a list")
    match bundle.get("type"):
        case "transaction":
            return _transaction(entries, backend, access)
        case "batch":
            answers = [_batch_entry(index, entry, backend, access) for index, entry in enumerate(entries)]
            return _response("batch-response", answers)
        case other:
            raise not_supported(f"a Bundle of type '{other}'; send batch or transaction")


def _response(kind: str, entries: list[Resource]) -> Resource:
    response: Resource = {"resourceType": "Bundle", "id": str(uuid.uuid4()), "type": kind}
    return response | ({"entry": entries} if entries else {})


def _batch_entry(index: int, entry: Any, backend: FhirBackend, access: Access) -> Resource:
    try:
        request = _parse_entry(index, entry, backend.base_url)
        with backend.writing() as session:
            return _perform(request, FhirInteractions(session=session, access=access), backend.base_url)
    except FhirFault as fault:
        return {"response": {"status": str(fault.status), "outcome": fault.outcome()}}


def _transaction(entries: list[Any], backend: FhirBackend, access: Access) -> Resource:
    requests = [_parse_entry(index, entry, backend.base_url) for index, entry in enumerate(entries)]
    _refuse_duplicates(requests)
    answers: dict[int, Resource] = {}
    with backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        addresses = _final_addresses(requests, interactions)
        for request in sorted(requests, key=lambda request: _ORDER[request.method]):
            try:
                resolved = _with_references(request, addresses, interactions)
                answers[request.index] = _perform(resolved, interactions, backend.base_url, addresses)
            except FhirFault as fault:
                diagnostics = f"Bundle.entry[{request.index}]: {fault.diagnostics}"
                raise FhirFault(fault.status, fault.code, diagnostics, fault.headers) from fault
    return _response("transaction-response", [answers[index] for index in range(len(requests))])


def _parse_entry(index: int, entry: Any, base_url: str) -> EntryRequest:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or request.get("method") not in _ORDER:
        raise invalid(f"Bundle.entry[{index}].request needs a method out of GET, POST, PUT, DELETE")
    parts = urlsplit(str(request.get("url", "")).removeprefix(base_url).lstrip("/"))
    if parts.scheme or parts.netloc:
        raise invalid(f"Bundle.entry[{index}].request.url does not point into this server")
    segments = unquote(parts.path).split("/")
    if len(segments) not in (1, 2, 4) or (len(segments) == 4 and segments[2] != "_history"):
        raise invalid(f"Bundle.entry[{index}].request.url is not one that a Bundle can carry")
    check_type(segments[0])
    return EntryRequest(
        index=index,
        method=request["method"],
        resource_type=segments[0],
        resource_id=segments[1] if len(segments) > 1 else None,
        version=segments[3] if len(segments) == 4 else None,
        criteria=parts.query,
        full_url=entry.get("fullUrl"),
        resource=entry.get("resource"),
        if_match=request.get("ifMatch"),
        if_none_exist=request.get("ifNoneExist"),
    )


def _refuse_duplicates(requests: list[EntryRequest]) -> None:
    targets = [
        (request.resource_type, request.resource_id)
        for request in requests
        if request.method in ("PUT", "DELETE") and request.resource_id
    ]
    full_urls = [request.full_url for request in requests if request.full_url and request.method != "GET"]
    if len(set(targets)) != len(targets) or len(set(full_urls)) != len(full_urls):
        raise invalid("a transaction must not hold two entries for the same resource")


def _final_addresses(requests: list[EntryRequest], interactions: FhirInteractions) -> dict[str, str]:
    """fullUrl of each entry → the `Type/id` under which its resource will stand."""
    addresses = {}
    for request in requests:
        if request.full_url is None or request.method not in ("POST", "PUT"):
            continue
        resource_id = request.resource_id
        if request.method == "POST":
            resource_id = str(uuid.uuid4())
            if request.if_none_exist is not None:
                resource_id = interactions.match_id(request.resource_type, request.if_none_exist) or resource_id
        elif resource_id is None:
            own_id = request.resource.get("id") if isinstance(request.resource, dict) else None
            resource_id = interactions.match_id(request.resource_type, request.criteria) or own_id or str(uuid.uuid4())
        addresses[request.full_url] = f"{request.resource_type}/{resource_id}"
    return addresses


def _with_references(request: EntryRequest, addresses: dict[str, str], interactions: FhirInteractions) -> EntryRequest:
    if request.resource is None:
        return request
    resource = resolved_urns(request.resource, addresses)
    conditional = {reference for reference in references_in(resource) if "?" in reference}
    found = {reference: _conditional_reference(reference, interactions) for reference in conditional}
    resource = rewritten(resource, lambda reference: found.get(reference, reference))
    for reference in references_in(resource):
        if reference.startswith("urn:uuid:"):
            raise invalid(f"the reference {reference} names no entry of the Bundle")
    return replace(request, resource=resource)


def _conditional_reference(reference: str, interactions: FhirInteractions) -> str:
    resource_type, _, criteria = reference.partition("?")
    check_type(resource_type)
    resource_id = interactions.match_id(resource_type, criteria)
    if resource_id is None:
        raise FhirFault(412, "not-found", f"no {resource_type} matches a conditional reference")
    return f"{resource_type}/{resource_id}"


def _perform(
    request: EntryRequest, interactions: FhirInteractions, base_url: str, addresses: dict[str, str] | None = None
) -> Resource:
    match request.method:
        case "GET":
            return _get(request, interactions, base_url)
        case "DELETE":
            return _delete(request, interactions)
        case "POST":
            if request.resource_id is not None:
                raise invalid("POST takes the resource type alone as its URL")
            new_id = (addresses or {}).get(request.full_url or "", "/").partition("/")[2] or None
            outcome = interactions.create(request.resource_type, request.resource, request.if_none_exist, new_id=new_id)
        case _:
            outcome = _put(request, interactions, addresses or {})
    return _written(outcome)


def _put(request: EntryRequest, interactions: FhirInteractions, addresses: dict[str, str]) -> Outcome:
    if request.resource_id is not None:
        return interactions.update(request.resource_type, request.resource_id, request.resource, request.if_match)
    resource = request.resource
    final_id = addresses.get(request.full_url or "", "/").partition("/")[2]
    if final_id and isinstance(resource, dict):
        resource = {"id": final_id, **resource}
    return interactions.update_matching(request.resource_type, request.criteria, resource, request.if_match)


def _get(request: EntryRequest, interactions: FhirInteractions, base_url: str) -> Resource:
    if request.resource_id is None:
        parameters = parse_qsl(request.criteria, keep_blank_values=True)
        query, page = interactions.search(request.resource_type, parameters)
        return {"resource": searchset(query, page, base_url), "response": {"status": "200 OK"}}
    if request.version is not None:
        found = interactions.read_version(request.resource_type, request.resource_id, request.version)
    else:
        found = interactions.read(request.resource_type, request.resource_id)
    return {
        "fullUrl": f"{base_url}/{found.resource_type}/{found.resource_id}",
        "resource": found.resource,
        "response": _response_of("200 OK", found),
    }


def _delete(request: EntryRequest, interactions: FhirInteractions) -> Resource:
    if request.resource_id is None:
        found = interactions.delete_matching(request.resource_type, request.criteria)
    else:
        found = interactions.delete(request.resource_type, request.resource_id, request.if_match)
    return {"response": {"status": "204 No Content"} if found is None else _response_of("204 No Content", found)}


def _written(outcome: Outcome) -> Resource:
    status = "201 Created" if outcome.change == "created" else "200 OK"
    version = outcome.version
    location = f"{version.resource_type}/{version.resource_id}/_history/{version.version}"
    return {"response": {**_response_of(status, version), "location": location}}


def _response_of(status: str, version: Version) -> Resource:
    return {"status": status, "etag": f'W/"{version.version}"', "lastModified": version.last_updated}
