"""Bundles that answer a search or a history request."""

import uuid
from urllib.parse import urlencode

from ehr_sandbox.fhir_faults import Resource, operation_outcome
from ehr_sandbox.fhir_query import SearchQuery
from ehr_sandbox.fhir_session import SearchPage, Version

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_ALWAYS_KEPT = ("resourceType", "id", "meta")


def searchset(query: SearchQuery, page: SearchPage, base_url: str, cursor: str | None = None) -> Resource:
    """The searchset Bundle of one page; parameters that were ignored are named in an OperationOutcome entry."""
    type_url = f"{base_url}/{query.resource_type}"
    parameters = [("_cursor", cursor)] if cursor else list(query.understood)
    links = [{"relation": "self", "url": f"{type_url}?{urlencode(parameters)}" if parameters else type_url}]
    if page.next_cursor:
        links.append({"relation": "next", "url": f"{type_url}?{urlencode({'_cursor': page.next_cursor})}"})
    entries = [_entry(_subset(resource, query.elements), "match", base_url) for resource in page.matches]
    entries += [_entry(resource, "include", base_url) for resource in page.included]
    if query.ignored:
        entries.append(_ignored_entry(query.ignored))
    bundle: Resource = {"resourceType": "Bundle", "id": str(uuid.uuid4()), "type": "searchset", "link": links}
    if page.total is not None:
        bundle["total"] = page.total
    if entries:
        bundle["entry"] = entries
    return bundle


def _entry(resource: Resource, mode: str, base_url: str) -> Resource:
    return {
        "fullUrl": f"{base_url}/{resource['resourceType']}/{resource['id']}",
        "resource": resource,
        "search": {"mode": mode},
    }


def _ignored_entry(names: tuple[str, ...]) -> Resource:
    texts = [f"search parameter '{name}' is not supported and was ignored" for name in names]
    outcome = operation_outcome("warning", "not-supported", *texts)
    outcome["id"] = str(uuid.uuid4())
    return {"fullUrl": f"urn:uuid:{outcome['id']}", "resource": outcome, "search": {"mode": "outcome"}}


def _subset(resource: Resource, elements: tuple[str, ...]) -> Resource:
    if not elements:
        return resource
    kept = {name: value for name, value in resource.items() if name in elements or name in _ALWAYS_KEPT}
    meta = kept.get("meta", {})
    return kept | {"meta": meta | {"tag": [*meta.get("tag", []), SUBSETTED]}}


def history_bundle(versions: list[Version], base_url: str, request_url: str) -> Resource:
    """The history Bundle of one resource, newest version first."""
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "history",
        "total": len(versions),
        "link": [{"relation": "self", "url": request_url}],
        "entry": [_history_entry(version, base_url) for version in versions],
    }


def _history_entry(version: Version, base_url: str) -> Resource:
    address = f"{version.resource_type}/{version.resource_id}"
    status = "204" if version.resource is None else "201" if version.version == "1" else "200"
    entry: Resource = {
        "fullUrl": f"{base_url}/{address}",
        "request": {
            "method": version.method,
            "url": version.resource_type if version.method == "POST" else address,
        },
        "response": {
            "status": status,
            "etag": f'W/"{version.version}"',
            "lastModified": version.last_updated,
        },
    }
    return entry if version.resource is None else entry | {"resource": version.resource}
