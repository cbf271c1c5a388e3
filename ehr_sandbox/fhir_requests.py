"""Reading a FHIR request over HTTP: who calls, which format is wanted, what the body holds."""

import json
from typing import Any
from urllib.parse import urlsplit

from flask import Request

from ehr_sandbox.faults import retry_headers
from ehr_sandbox.fhir_access import Access, full_access
from ehr_sandbox.fhir_faults import FhirFault, invalid
from ehr_sandbox.oauth_context import Grant
from ehr_sandbox.oauth_scopes import resource_scopes
from ehr_sandbox.services import SandboxServices
from ehr_sandbox.settings import is_loopback

JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir", "text/json")
_JSON_FORMATS = (*JSON_TYPES, "json")
MAX_BODY_BYTES = 32 * 1024 * 1024


def caller(request: Request, services: SandboxServices) -> Access:
    """The rights of whoever sent the request. Raises FhirFault 401."""
    header = request.headers.get("Authorization")
    if header is None:
        if services.settings.open_fhir:
            return _open_access(request, services)
        raise _unauthorized(services, "an access token is needed", None)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized(services, "the Authorization header is not a Bearer token", "invalid_request")
    found = services.authorization.grant_of_token(token.strip(), services.settings.fhir_base)
    if found is None:
        reason = "the access token is unknown, expired, revoked or meant for another server"
        raise _unauthorized(services, reason, "invalid_token")
    grant, claims = found
    _fail_deliberately(request, services, grant)
    return access_of_grant(grant, str(claims["scope"]), services)


def _fail_deliberately(request: Request, services: SandboxServices, grant: Grant) -> None:
    faults = grant.context.faults
    resource_type = str((request.view_args or {}).get("resource_type", ""))
    if services.authorization.faults.refuses(faults, grant.grant_id, resource_type):
        raise FhirFault(503, "transient", "the server is overloaded; come back later", retry_headers(faults))


def access_of_grant(grant: Grant, scope: str, services: SandboxServices) -> Access:
    """The rights that a token of the grant with that scope carries."""
    patient = None if grant.context.faults.missing_patient else grant.context.patient
    return Access(
        base_url=services.settings.fhir_base,
        scopes=resource_scopes(scope.split()),
        patient=patient,
        user_patient=_patient_of_user(grant),
        owner=f"{grant.client_id} {grant.user} {patient}",
        user=grant.user,
    )


def _patient_of_user(grant: Grant) -> str | None:
    """A patient sees the own record; someone related to one sees the record of the launch and no other."""
    resource_type, _, resource_id = grant.user.partition("/")
    if resource_type == "Patient":
        return resource_id
    if resource_type in ("RelatedPerson", "Person"):
        return grant.context.patient or "no-patient"
    return None


def _open_access(request: Request, services: SandboxServices) -> Access:
    # Without tokens the host name is all that keeps a page that rebinds its DNS name away from loopback.
    if request.host != urlsplit(services.settings.base_url).netloc or not is_loopback(services.settings.base_url):
        raise FhirFault(421, "security", "this server answers under its own address only")
    return full_access(services.settings.fhir_base)


def _unauthorized(services: SandboxServices, reason: str, error: str | None) -> FhirFault:
    challenge = f'Bearer realm="{services.settings.fhir_base}"'
    if error is not None:
        challenge += f', error="{error}", error_description="{reason}"'
    return FhirFault(401, "login" if error is None else "security", reason, {"WWW-Authenticate": challenge})


def check_format(request: Request) -> None:
    """Raise FhirFault 406 when the caller takes no JSON."""
    wanted = request.args.get("_format")
    if wanted is not None:
        # A plus sign that was not escaped arrives as a space: `application/fhir json`.
        if wanted.partition(";")[0].strip().replace(" ", "+") not in _JSON_FORMATS:
            raise FhirFault(406, "not-supported", "this server writes JSON only")
        return
    accepted = request.accept_mimetypes
    if accepted.provided and accepted.best_match(JSON_TYPES) is None:
        raise FhirFault(406, "not-supported", "this server writes JSON only")


def read_body(request: Request) -> Any:
    """The JSON of the request. Raises FhirFault 400, 413 or 415."""
    if request.mimetype not in JSON_TYPES:
        raise FhirFault(415, "not-supported", "send application/fhir+json")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise FhirFault(413, "too-long", "the request is too large")
    try:
        return json.loads(request.get_data(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("the body is not JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def search_parameters(request: Request) -> list[tuple[str, str]]:
    """The parameters of the query, and for POST `_search` those of the form as well, repeats kept."""
    parameters = list(request.args.items(multi=True))
    if request.method == "POST":
        if request.mimetype != "application/x-www-form-urlencoded":
            raise FhirFault(415, "not-supported", "_search takes application/x-www-form-urlencoded")
        parameters += list(request.form.items(multi=True))
    return parameters


def preferences(request: Request) -> dict[str, str]:
    """The `Prefer` header, e.g. `{"handling": "strict", "return": "minimal"}`."""
    parts = ",".join(request.headers.getlist("Prefer")).replace(";", ",").split(",")
    pairs = (part.strip().partition("=") for part in parts)
    return {name.lower(): value.strip('"') for name, _, value in pairs if name}
