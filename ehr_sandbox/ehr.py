"""The sandbox EHR as one Flask application: FHIR API, authorization server and chart."""

import secrets

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ehr_sandbox import (
    fhir_views,
    launch_views,
    oauth_authorize_views,
    oauth_discovery,
    oauth_manage_views,
    oauth_token_views,
)
from ehr_sandbox.chart import create_chart_blueprint
from ehr_sandbox.cors import allow_registered_origin
from ehr_sandbox.fhir_faults import FhirFault
from ehr_sandbox.fhir_requests import MAX_BODY_BYTES
from ehr_sandbox.oauth_keys import read_or_create
from ehr_sandbox.services import attach, make_services, sandbox
from ehr_sandbox.settings import SandboxSettings


def create_ehr(settings: SandboxSettings) -> Flask:
    """The application. Opens or creates keys and databases in the state directory."""
    services = make_services(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["SESSION_COOKIE_NAME"] = "sandbox_ehr"
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.secret_key = read_or_create(settings.state_dir / "session-key", _new_session_key)
    attach(app, services)
    # Discovery comes before the FHIR API, whose routes would take `.well-known` for a resource type.
    app.register_blueprint(oauth_discovery.blueprint)
    app.register_blueprint(launch_views.blueprint)
    app.register_blueprint(fhir_views.blueprint)
    app.register_blueprint(oauth_token_views.blueprint)
    app.register_blueprint(oauth_authorize_views.blueprint)
    app.register_blueprint(oauth_manage_views.blueprint)
    app.register_blueprint(create_chart_blueprint(services))
    app.register_error_handler(HTTPException, _answer_http_error)
    return app


def _new_session_key() -> bytes:
    return secrets.token_bytes(32)


def _answer_http_error(error: HTTPException) -> Response | HTTPException:
    """Below the FHIR base even a wrong path or method, and a crash, is answered with an OperationOutcome."""
    if not request.path.startswith("/fhir"):
        return error
    code = {404: "not-found", 405: "not-supported", 413: "too-long"}.get(error.code or 500, "exception")
    fault = FhirFault(error.code or 500, code, error.name)
    response = fhir_views.answer_fault(fault)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return allow_registered_origin(request, response, sandbox().settings.allowed_origins())
