"""Pages of the authorization server and the signed-in user behind them.

The sandbox has synthetic users only and no passwords: signing in is choosing who to be.
"""

from typing import Any
from urllib.parse import urlsplit

from flask import Response, abort, make_response, render_template, request, session
from flask.typing import ResponseReturnValue

from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_values import FHIR_ID
from ehr_sandbox.oauth_context import PendingAuthorization
from ehr_sandbox.oauth_faults import PageFault
from ehr_sandbox.oauth_requests import Step, next_step
from ehr_sandbox.oauth_scopes import ResourceScope, parse_resource_scope
from ehr_sandbox.services import SandboxServices, sandbox
from ehr_sandbox.settings import origin_of

USER_KEY = "sandbox_user"
MAX_LISTED = 25

_LETTERS = {"c": "create", "r": "read", "u": "change", "d": "delete", "s": "search"}
_OTHER_SCOPES = {
    "openid": "Know that you signed in",
    "fhirUser": "Know who you are",
    "profile": "Know who you are",
    "launch": "Know which patient is open",
    "launch/patient": "Know which patient you choose",
    "launch/encounter": "Know the encounter",
    "online_access": "Stay connected while you are signed in",
    "offline_access": "Stay connected after you have left",
}


def secure_page(response: Response) -> Response:
    """Headers of every page here: nothing foreign loads, only this EHR may frame it, nothing is kept."""
    targets = " ".join(sorted(sandbox().settings.allowed_origins()))
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'self';"
        # Browsers hold the redirect that follows a form against form-action too, hence the apps' origins.
        f" form-action 'self' {targets}"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def refuse_stray_requests() -> ResponseReturnValue | None:
    """Answer only requests meant for these pages: under our own host name, and sent because a user goes there.

    A page that rebinds its DNS name to this machine comes under another name. A HEAD request or a prefetch would
    spend a launch that the user then finds used.
    """
    if request.host not in _own_hosts():
        return error_page("This EHR answers under its own address only.", 421)
    if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return Response(status=503)
    return None


def _own_hosts() -> set[str]:
    services = sandbox()
    own = (services.settings.base_url, services.authorization.faults.discovery.other_host)
    return {urlsplit(url).netloc for url in own if url}


def refuse_cross_site_post() -> None:
    """Only this server's own pages may post their forms (CSRF)."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403)
    # A page with Referrer-Policy no-referrer may send the opaque origin "null"; Sec-Fetch-Site then decides.
    if origin not in (None, "null") and origin != origin_of(sandbox().settings.base_url):
        abort(403)


def remembered_user(services: SandboxServices) -> str | None:
    """`Type/id` of the user of this browser, as long as the record exists."""
    user = session.get(USER_KEY)
    return user if isinstance(user, str) and user_exists(services, user) else None


def user_exists(services: SandboxServices, user: str) -> bool:
    """Whether `Type/id` names someone who can sign in here."""
    resource_type, _, resource_id = user.partition("/")
    if resource_type not in ("Practitioner", "Patient", "RelatedPerson") or not FHIR_ID.fullmatch(resource_id):
        return False
    return user == services.settings.default_user or services.store.read(resource_type, resource_id) is not None


def sign_in(services: SandboxServices, user: str) -> str:
    """Become that user in this browser. Raises PageFault for a user that does not exist."""
    if not user_exists(services, user):
        raise PageFault("There is no such user in this EHR.")
    session[USER_KEY] = user
    return user


def sign_out() -> None:
    """Forget the user of this browser."""
    session.pop(USER_KEY, None)


def error_page(description: str, status: int = 400) -> ResponseReturnValue:
    """What went wrong and what to do."""
    return render_template("auth/error.html", description=description), status


def page_for(
    services: SandboxServices, pending_id: str, pending: PendingAuthorization, search: str = ""
) -> ResponseReturnValue:
    """The page of the step that the request has reached."""
    client = services.settings.client(pending.client_id)
    common: dict[str, Any] = {
        "pending": pending_id,
        "client_name": client.name if client else pending.client_id,
        "user": user_label(services, pending.context.user),
        "may_change_user": not pending.is_ehr_launch,
    }
    match next_step(pending):
        case Step.SIGN_IN:
            page = render_template("auth/sign_in.html", **common, people=people(services))
        case Step.PICK_PATIENT:
            patients = find_patients(services, search)
            page = render_template("auth/patient.html", **common, patients=patients, search=search)
        case _:
            page = render_template("auth/consent.html", **common, **_consent(services, pending))
    return make_response(page)


def _consent(services: SandboxServices, pending: PendingAuthorization) -> dict[str, Any]:
    patient_id = pending.context.patient
    patient = services.store.read("Patient", patient_id) if patient_id else None
    return {
        "patient": patient_line(patient) if patient else None,
        "rights": scope_lines(pending.scope),
        "return_host": urlsplit(pending.redirect_uri).netloc,
    }


def scope_lines(scopes: tuple[str, ...]) -> list[dict[str, str]]:
    """The granted scopes in words, each with its technical name."""
    return [{"text": _scope_text(text), "scope": text} for text in scopes]


def _scope_text(text: str) -> str:
    scope = parse_resource_scope(text)
    return _OTHER_SCOPES.get(text, text) if scope is None else _resource_scope_text(scope)


def _resource_scope_text(scope: ResourceScope) -> str:
    verbs = [_LETTERS[letter] for letter in scope.letters]
    listed = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    what = "all records" if scope.resource_type == "*" else f"{scope.resource_type} records"
    whose = "of this patient" if scope.level == "patient" else "that you may see"
    only = f" (only where {', '.join('='.join(pair) for pair in scope.criteria)})" if scope.criteria else ""
    return f"{listed.capitalize()} {what} {whose}{only}"


def people(services: SandboxServices) -> dict[str, list[dict[str, str]]]:
    """Who can sign in: clinicians and patients."""
    practitioners = services.store.search("Practitioner", {"_count": str(MAX_LISTED), "_sort": "family"})
    clinicians = [{"user": f"Practitioner/{found['id']}", "name": human_name(found)} for found in practitioners]
    if not clinicians:
        clinicians = [{"user": services.settings.default_user, "name": services.settings.default_user}]
    patients = services.store.search("Patient", {"_count": str(MAX_LISTED), "_sort": "family"})
    return {
        "clinicians": clinicians,
        "patients": [{"user": f"Patient/{found['id']}", "name": human_name(found)} for found in patients],
    }


def find_patients(services: SandboxServices, search: str) -> list[dict[str, str]]:
    """Patients whose name begins like the text, or who have it as an identifier; the first ones without a text."""
    base = {"_count": str(MAX_LISTED), "_sort": "family"}
    escaped = search.strip().replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
    if not escaped:
        found = services.store.search("Patient", base)
    else:
        found = services.store.search("Patient", base | {"name:contains": escaped})
        found += services.store.search("Patient", base | {"identifier": escaped})
    unique = {patient["id"]: patient for patient in found}
    return [patient_line(patient) for patient in list(unique.values())[:MAX_LISTED]]


def patient_line(patient: Resource) -> dict[str, str]:
    """What tells one patient from another: name, birth date, sex, identifier."""
    identifiers = [entry.get("value", "") for entry in patient.get("identifier", [])]
    return {
        "id": patient["id"],
        "name": human_name(patient),
        "birth_date": patient.get("birthDate", "unknown"),
        "sex": patient.get("gender", "unknown"),
        "identifier": ", ".join(value for value in identifiers if value),
    }


def human_name(resource: Resource) -> str:
    """The first name of the resource, written out."""
    name: dict[str, Any] = next(iter(resource.get("name", [])), {})
    parts = [*name.get("prefix", []), *name.get("given", []), name.get("family", "")]
    return name.get("text") or " ".join(part for part in parts if part) or resource["id"]


def user_label(services: SandboxServices, user: str | None) -> str | None:
    """The signed-in user's name."""
    if user is None:
        return None
    resource_type, _, resource_id = user.partition("/")
    found = services.store.read(resource_type, resource_id)
    return human_name(found) if found else user
