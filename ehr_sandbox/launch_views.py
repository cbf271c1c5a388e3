"""Launch registration: what a CDS Hooks client calls to get a `launch` for a smart link.

`POST {fhir}/_services/smart/Launch` with `{"launchUrl": …, "parameters": {"patient": …, "appContext": …,
"smart_messaging_origin": …}}` answers `{"launch_id": …}`; hook clients also send `encounter` and `intent`. It may be
called by

- the chart of this EHR, from its own origin;
- the bearer of an access token who may read that patient: who may see the patient may open an app on it;
- anyone in open mode, which exists on loopback only.
"""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from ehr_sandbox.authorization import UnknownClient
from ehr_sandbox.cors import allow_registered_origin
from ehr_sandbox.fhir_faults import FhirFault, invalid, not_found
from ehr_sandbox.fhir_requests import caller, read_body
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import SandboxServices, sandbox
from ehr_sandbox.settings import origin_of

blueprint = Blueprint("launch", __name__, url_prefix="/fhir/_services/smart")


@blueprint.after_request
def add_cors(response: Response) -> Response:
    """Hook clients are pages of registered origins."""
    response.headers["Cache-Control"] = "no-store"
    return allow_registered_origin(request, response, sandbox().settings.allowed_origins())


@blueprint.route("/Launch", methods=["OPTIONS"], provide_automatic_options=False)
def preflight() -> Response:
    """CORS preflight for the JSON body."""
    return Response(status=204)


@blueprint.post("/Launch")
def register_launch() -> Response:
    """Keep the launch's parameters and answer with its handle."""
    services = sandbox()
    body = read_body(request)
    if not isinstance(body, dict) or not isinstance(body.get("launchUrl"), str):
        raise invalid("launchUrl is missing")
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise invalid("parameters must be an object")
    context = _context(services, parameters)
    try:
        client = services.authorization.client_of_launch_url(body["launchUrl"])
    except UnknownClient as error:
        raise FhirFault(403, "forbidden", "no app is registered with this launchUrl") from error
    return jsonify({"launch_id": services.authorization.issue_launch(client.client_id, context)})


def _context(services: SandboxServices, parameters: dict[str, Any]) -> LaunchContext:
    patient_id = _text(parameters, "patient")
    user = _authorized_user(services, patient_id)
    return LaunchContext(
        patient=patient_id,
        encounter=_text(parameters, "encounter"),
        user=user,
        app_context=_text(parameters, "appContext"),
        intent=_text(parameters, "intent"),
        smart_messaging_origin=_text(parameters, "smart_messaging_origin"),
    )


def _text(parameters: dict[str, Any], name: str) -> str | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"parameters.{name} must be text")
    return value or None


def _authorized_user(services: SandboxServices, patient_id: str | None) -> str:
    patient = services.store.read("Patient", patient_id) if patient_id else None
    if _is_own_page(services):
        if patient_id and patient is None:
            raise not_found("Patient", patient_id)
        return services.settings.default_user
    access = caller(request, services)
    if patient_id is None and not access.everything:
        raise invalid("parameters.patient is missing")
    access.require("r", "Patient")
    if patient_id and patient is None:
        raise not_found("Patient", patient_id)
    if patient is not None:
        access.check("r", patient)
    return access.user or services.settings.default_user


def _is_own_page(services: SandboxServices) -> bool:
    """A browser sets these headers itself and lets no page change them; all must say that it is our own page."""
    own = origin_of(services.settings.base_url)
    is_same_origin = request.headers.get("Sec-Fetch-Site") == "same-origin"
    return is_same_origin and request.headers.get("Origin") == own and origin_of(request.host_url) == own
