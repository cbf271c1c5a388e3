"""The token, introspection and revocation endpoints over HTTP."""

import time

from flask import Blueprint, Response, jsonify, request

from ehr_sandbox.cors import allow_registered_origin
from ehr_sandbox.oauth_backend import issue_to_service
from ehr_sandbox.oauth_clients import ClientAuthenticator
from ehr_sandbox.oauth_context import Grant, LaunchContext
from ehr_sandbox.oauth_discovery import style_url
from ehr_sandbox.oauth_exchange import exchange_code, exchange_refresh_token
from ehr_sandbox.oauth_faults import OAuthFault, invalid_client, invalid_request
from ehr_sandbox.oauth_tokens import patient_context
from ehr_sandbox.services import SandboxServices, sandbox
from ehr_sandbox.settings import RegisteredClient

blueprint = Blueprint("tokens", __name__, url_prefix="/auth")


@blueprint.errorhandler(OAuthFault)
def answer_fault(fault: OAuthFault) -> Response:
    """RFC 6749 section 5.2."""
    response = jsonify({"error": fault.error, "error_description": fault.description})
    response.status_code = fault.status
    response.headers.update(fault.headers)
    return response


@blueprint.before_request
def answer_preflight() -> Response | None:
    """CORS preflight."""
    return Response(status=204) if request.method == "OPTIONS" else None


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """Tokens are never cached, and only pages of registered origins may read them."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return allow_registered_origin(request, response, sandbox().settings.allowed_origins())


@blueprint.post("/token")
def token() -> Response:
    """Exchange a code or a refresh token, or give a service its own."""
    services = sandbox()
    _check_form()
    client = _client(services)
    match request.form.get("grant_type"):
        case "authorization_code":
            grant, issued = exchange_code(services.authorization, client, request.form)
        case "refresh_token":
            grant, issued = exchange_refresh_token(services.authorization, client, request.form)
        case "client_credentials":
            grant, issued = issue_to_service(services.authorization, client, request.form)
        case None:
            raise invalid_request("grant_type is missing")
        case _:
            raise OAuthFault("unsupported_grant_type", "use authorization_code, refresh_token or client_credentials")
    body: dict[str, object] = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        **({} if grant.context.faults.no_expires_in else {"expires_in": issued.expires_in}),
        "scope": issued.scope,
        **launch_parameters(services, grant),
    }
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    if issued.id_token is not None:
        body["id_token"] = issued.id_token
    return jsonify(body)


def launch_parameters(services: SandboxServices, grant: Grant) -> dict[str, object]:
    """The launch context as it stands beside the tokens (A28 to A32)."""
    context = grant.context
    optional: dict[str, object | None] = {
        "need_patient_banner": context.need_patient_banner,
        "smart_style_url": style_url(services.settings, context.faults.style) if context.smart_style else None,
        "fhirContext": _fhir_context(context) or None,
        "appContext": context.app_context,
        "intent": context.intent,
        "tenant": context.tenant,
        "smart_messaging_origin": context.smart_messaging_origin,
    }
    present = {name: value for name, value in optional.items() if value is not None}
    return {**patient_context(grant), **present}


def _fhir_context(context: LaunchContext) -> list[object]:
    if context.faults.fhir_context_as_text:
        return [item["reference"] for item in context.fhir_context if "reference" in item]
    return list(context.fhir_context)


@blueprint.post("/introspect")
def introspect() -> Response:
    """RFC 7662: for resource servers, and for a client about its own tokens."""
    services = sandbox()
    _check_form()
    asking = _introspecting_client(services)
    found = services.authorization.grant_of_token(request.form.get("token", ""), None)
    if found is None:
        return jsonify({"active": False})
    grant, claims = found
    if not asking.may_introspect and asking.client_id != grant.client_id:
        return jsonify({"active": False})
    return jsonify({"active": True, "token_type": "Bearer", **claims, **launch_parameters(services, grant)})


@blueprint.post("/revoke")
def revoke() -> Response:
    """RFC 7009: a refresh token ends the whole grant, an access token only itself."""
    services = sandbox()
    _check_form()
    client = _client(services)
    records, presented, now = services.authorization.records, request.form.get("token", ""), time.time()
    refresh = records.read_refresh_token(presented)
    if refresh is not None:
        grant = records.live_grant(refresh.grant_id)
        if grant is not None and grant.client_id == client.client_id:
            records.revoke_grant(grant.grant_id, now)
        return Response(status=200)
    found = services.authorization.grant_of_token(presented, None)
    if found is not None and found[0].client_id == client.client_id:
        records.revoke_access_token(str(found[1]["jti"]), now)
    return Response(status=200)


def _check_form() -> None:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise invalid_request("send application/x-www-form-urlencoded")
    if request.args:
        raise invalid_request("parameters belong in the body, never in the URL")
    repeated = [name for name, values in request.form.lists() if len(values) > 1]
    if repeated:
        raise invalid_request(f"'{repeated[0]}' is repeated")


def _client(services: SandboxServices) -> RegisteredClient:
    authenticator = ClientAuthenticator(
        settings=services.settings,
        records=services.authorization.records,
        keys=services.client_keys,
    )
    return authenticator.authenticate(request.headers.get("Authorization"), request.form)


def _introspecting_client(services: SandboxServices) -> RegisteredClient:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found = services.authorization.grant_of_token(bearer.strip(), None)
        client = services.settings.client(found[0].client_id) if found else None
        if client is None:
            raise OAuthFault("invalid_token", "the access token is not good", 401, {"WWW-Authenticate": "Bearer"})
        return client
    client = _client(services)
    if client.auth_method == "none":
        raise invalid_client("introspection is for authenticated callers")
    return client
