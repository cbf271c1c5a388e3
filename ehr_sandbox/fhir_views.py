"""The FHIR R4 REST API over HTTP, below `/fhir`."""

import json
from datetime import datetime
from email.utils import format_datetime

from flask import Blueprint, Response, request

from ehr_sandbox.cors import allow_any_origin, allow_registered_origin
from ehr_sandbox.fhir_bundles import process_bundle
from ehr_sandbox.fhir_capability import capability_statement
from ehr_sandbox.fhir_faults import FhirFault, Resource, not_supported, operation_outcome
from ehr_sandbox.fhir_interactions import FhirInteractions, Outcome
from ehr_sandbox.fhir_requests import caller, check_format, preferences, read_body, search_parameters
from ehr_sandbox.fhir_results import history_bundle, searchset
from ehr_sandbox.fhir_session import Version
from ehr_sandbox.services import sandbox

blueprint = Blueprint("fhir", __name__, url_prefix="/fhir")

FHIR_JSON = "application/fhir+json"


def fhir_response(resource: Resource | None, status: int = 200) -> Response:
    """The resource as FHIR JSON; clinical data is never kept by a cache."""
    body = b"" if resource is None else json.dumps(resource, ensure_ascii=False).encode()
    response = Response(body, status=status, content_type=f"{FHIR_JSON}; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.app_errorhandler(FhirFault)
def answer_fault(fault: FhirFault) -> Response:
    """Every fault is an OperationOutcome."""
    response = fhir_response(fault.outcome(), fault.status)
    response.headers.update(fault.headers)
    return response


@blueprint.before_request
def answer_preflight() -> Response | None:
    """CORS preflight carries no token; everything else must want JSON."""
    if request.method == "OPTIONS":
        return Response(status=204)
    check_format(request)
    return None


@blueprint.after_request
def add_cors(response: Response) -> Response:
    """The CapabilityStatement is public; the rest is for pages of registered origins."""
    if request.endpoint == "fhir.metadata":
        return allow_any_origin(response)
    return allow_registered_origin(request, response, sandbox().settings.allowed_origins())


@blueprint.get("/metadata")
def metadata() -> Response:
    """The CapabilityStatement, without a token."""
    faults = sandbox().authorization.faults.discovery
    return fhir_response(capability_statement(sandbox().settings, with_oauth_uris=not faults.no_oauth_uris))


@blueprint.post("/")
@blueprint.post("", strict_slashes=False)
def bundle() -> Response:
    """A batch or transaction."""
    services = sandbox()
    access = caller(request, services)
    return fhir_response(process_bundle(read_body(request), services.store.backend, access))


@blueprint.get("/<resource_type>")
def search(resource_type: str) -> Response:
    """Search by GET, and the later pages of any search."""
    return _search(resource_type)


@blueprint.post("/<resource_type>/_search")
def search_by_post(resource_type: str) -> Response:
    """Search with the parameters in a form, so that they stand in no URL."""
    return _search(resource_type)


def _search(resource_type: str) -> Response:
    services = sandbox()
    access = caller(request, services)
    parameters = search_parameters(request)
    cursor = dict(parameters).get("_cursor")
    with services.store.backend.reading() as session:
        interactions = FhirInteractions(session=session, access=access)
        if cursor is not None:
            query, page = interactions.next_page(resource_type, cursor)
        else:
            strict = preferences(request).get("handling") == "strict"
            query, page = interactions.search(resource_type, parameters, strict=strict)
    return fhir_response(searchset(query, page, services.settings.fhir_base, cursor))


@blueprint.post("/<resource_type>")
def create(resource_type: str) -> Response:
    """Create, conditionally with If-None-Exist."""
    services = sandbox()
    access = caller(request, services)
    body = read_body(request)
    with services.store.backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        outcome = interactions.create(resource_type, body, request.headers.get("If-None-Exist"))
    return _written(outcome)


@blueprint.put("/<resource_type>")
def update_matching(resource_type: str) -> Response:
    """Conditional update."""
    services = sandbox()
    access = caller(request, services)
    body = read_body(request)
    with services.store.backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        outcome = interactions.update_matching(
            resource_type, request.query_string.decode(), body, request.headers.get("If-Match")
        )
    return _written(outcome)


@blueprint.delete("/<resource_type>")
def delete_matching(resource_type: str) -> Response:
    """Conditional delete of at most one match."""
    services = sandbox()
    access = caller(request, services)
    with services.store.backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        interactions.delete_matching(resource_type, request.query_string.decode())
    return Response(status=204)


@blueprint.get("/<resource_type>/<resource_id>")
def read(resource_type: str, resource_id: str) -> Response:
    """The current version; 304 when the caller has it already."""
    services = sandbox()
    access = caller(request, services)
    with services.store.backend.reading() as session:
        found = FhirInteractions(session=session, access=access).read(resource_type, resource_id)
    return _conditional(found)


@blueprint.put("/<resource_type>/<resource_id>")
def update(resource_type: str, resource_id: str) -> Response:
    """Update, or create under an id that the client chose."""
    services = sandbox()
    access = caller(request, services)
    body = read_body(request)
    with services.store.backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        outcome = interactions.update(resource_type, resource_id, body, request.headers.get("If-Match"))
    return _written(outcome)


@blueprint.delete("/<resource_type>/<resource_id>")
def delete(resource_type: str, resource_id: str) -> Response:
    """Delete; done already counts as done."""
    services = sandbox()
    access = caller(request, services)
    with services.store.backend.writing() as session:
        interactions = FhirInteractions(session=session, access=access)
        version = interactions.delete(resource_type, resource_id, request.headers.get("If-Match"))
    response = Response(status=204)
    if version is not None:
        response.headers["ETag"] = f'W/"{version.version}"'
    return response


@blueprint.get("/<resource_type>/<resource_id>/_history")
def history(resource_type: str, resource_id: str) -> Response:
    """All versions of one resource."""
    services = sandbox()
    access = caller(request, services)
    with services.store.backend.reading() as session:
        versions = FhirInteractions(session=session, access=access).history(resource_type, resource_id)
    base = services.settings.fhir_base
    return fhir_response(history_bundle(versions, base, f"{base}/{resource_type}/{resource_id}/_history"))


@blueprint.get("/<resource_type>/<resource_id>/_history/<version>")
def read_version(resource_type: str, resource_id: str, version: str) -> Response:
    """One version of one resource."""
    services = sandbox()
    access = caller(request, services)
    with services.store.backend.reading() as session:
        found = FhirInteractions(session=session, access=access).read_version(resource_type, resource_id, version)
    return _versioned(fhir_response(found.resource), found)


@blueprint.route("/", methods=["GET"])
@blueprint.get("/_history")
@blueprint.get("/<resource_type>/_history")
@blueprint.patch("/<resource_type>/<resource_id>")
def unsupported(resource_type: str = "", resource_id: str = "") -> Response:
    """Interactions of FHIR that this server says no to: search and history over everything, and patch."""
    caller(request, sandbox())
    raise not_supported("this interaction")


def _conditional(found: Version) -> Response:
    response = _versioned(fhir_response(found.resource), found)
    known = request.headers.get("If-None-Match")
    if known is not None and f'"{found.version}"' in known:
        response.status_code = 304
        response.set_data(b"")
    return response


def _versioned(response: Response, version: Version) -> Response:
    moment = datetime.fromisoformat(version.last_updated)
    response.headers["ETag"] = f'W/"{version.version}"'
    response.headers["Last-Modified"] = format_datetime(moment, usegmt=True)
    return response


def _written(outcome: Outcome) -> Response:
    version = outcome.version
    status = 201 if outcome.change == "created" else 200
    match preferences(request).get("return", "representation"):
        case "minimal":
            response = fhir_response(None, status)
        case "OperationOutcome":
            response = fhir_response(operation_outcome("information", "informational", outcome.change), status)
        case _:
            response = fhir_response(version.resource, status)
    base = sandbox().settings.fhir_base
    address = f"{base}/{version.resource_type}/{version.resource_id}/_history/{version.version}"
    response.headers["Location"] = address
    return _versioned(response, version)
