"""Discovery documents of the authorization server, and the public keys."""

import time
from collections.abc import Mapping

from flask import Blueprint, Response, abort, jsonify

from ehr_sandbox.cors import allow_any_origin
from ehr_sandbox.faults import DiscoveryFaults, StyleFault
from ehr_sandbox.oauth_clients import ASSERTION_ALGORITHMS
from ehr_sandbox.oauth_scopes import CONTEXT_SCOPES, IDENTITY_SCOPES, REFRESH_SCOPES
from ehr_sandbox.services import sandbox
from ehr_sandbox.settings import SandboxSettings

blueprint = Blueprint("discovery", __name__)

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-patient",
    "permission-user",
    "permission-offline",
    "permission-online",
    "permission-v1",
    "permission-v2",
)
IMAGING_CAPABILITIES = (
    "smart-imaging-access",
    "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch",
)
CACHE_S = 60

STYLE = {
    "color_background": "#ffffff",
    "color_error": "#b42318",
    "color_highlight": "#0b5c8a",
    "color_modal_backdrop": "#101828",
    "color_success": "#067647",
    "color_text": "#1b2733",
    "dim_border_radius": "6px",
    "dim_font_size": "15px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
STYLE_VERSION = "1"
STYLE_FAULTS: Mapping[str, Mapping[str, str]] = {
    # Values that would break out of a style sheet, load something or cover the page if an app pasted them in.
    "hostile": {
        "color_background": "#fff;} body{display:none} /*",
        "color_error": "url(https://attacker.example/collect)",
        "color_highlight": "expression(alert(1))",
        "color_text": "red</style><script>alert(1)</script>",
        "dim_border_radius": "calc(1px * 99999)",
        "dim_font_size": "900px",
        "dim_spacing_size": "-50px",
        "font_family_body": "x'; background: url(//attacker.example)",
        "font_family_heading": "@import 'https://attacker.example/a.css'",
    },
    "low-contrast": {**STYLE, "color_background": "#ffffff", "color_text": "#e6e6e6", "color_highlight": "#f4f4f4"},
}


def style_url(settings: SandboxSettings, fault: StyleFault | None = None) -> str:
    """Where the style stands; another style gets another URL, since the URL is the cache version."""
    name = STYLE_VERSION if fault is None else f"{STYLE_VERSION}-{fault}"
    return f"{settings.issuer}/style/{name}.json"


@blueprint.after_request
def add_cors(response: Response) -> Response:
    """All of this is public."""
    response.headers["Cache-Control"] = f"public, max-age={CACHE_S}"
    return allow_any_origin(response)


@blueprint.get("/fhir/.well-known/smart-configuration")
def smart_configuration() -> Response:
    """SMART App Launch 2.2 discovery; JSON whatever Accept says."""
    settings, faults = sandbox().settings, sandbox().authorization.faults.discovery
    time.sleep(faults.delay_s)
    if faults.no_configuration:
        abort(404)
    document: dict[str, object] = {
        **_endpoints(settings),
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "scopes_supported": _scopes(),
        "capabilities": _capabilities(settings, faults),
        "management_endpoint": f"{settings.issuer}/manage",
    }
    if faults.no_pkce_list:
        del document["code_challenge_methods_supported"]
    if settings.associated_endpoints:
        document["associated_endpoints"] = [{"url": url, "capabilities": []} for url in settings.associated_endpoints]
    return jsonify(document)


@blueprint.get("/auth/.well-known/openid-configuration")
def openid_configuration() -> Response:
    """OpenID Connect discovery of the issuer."""
    settings = sandbox().settings
    return jsonify(
        {
            **_endpoints(settings),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": _scopes(),
            "claims_supported": ["sub", "fhirUser"],
        }
    )


@blueprint.get("/auth/jwks")
def jwks() -> Response:
    """The public keys that verify access tokens and id_tokens."""
    return jsonify(sandbox().authorization.signer.key.jwks())


@blueprint.get(f"/auth/style/{STYLE_VERSION}.json")
def style() -> Response:
    """The style of this EHR, for apps that want to look alike (smart_style_url)."""
    return jsonify(STYLE)


@blueprint.get(f"/auth/style/{STYLE_VERSION}-<fault>.json")
def faulty_style(fault: str) -> Response:
    """A style that an app must not follow blindly."""
    if fault not in STYLE_FAULTS:
        abort(404)
    return jsonify(STYLE_FAULTS[fault])


def _capabilities(settings: SandboxSettings, faults: DiscoveryFaults) -> list[str]:
    missing = {"context-standalone-patient"} if faults.no_standalone_picker else set()
    if faults.only_v1:
        missing.add("permission-v2")
    imaging = IMAGING_CAPABILITIES if settings.serves_imaging else ()
    return [name for name in (*CAPABILITIES, *imaging) if name not in missing]


def _endpoints(settings: SandboxSettings) -> dict[str, object]:
    faults = sandbox().authorization.faults.discovery
    issuer = f"{faults.other_host}/auth" if faults.other_host else settings.issuer
    return {
        "issuer": faults.issuer or issuer,
        "jwks_uri": f"{issuer}/jwks",
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
    }


def _scopes() -> list[str]:
    resources = [f"{level}/*.{letters}" for level in ("patient", "user") for letters in ("rs", "cruds", "read", "*")]
    return [*CONTEXT_SCOPES, *IDENTITY_SCOPES, *REFRESH_SCOPES, *resources]
