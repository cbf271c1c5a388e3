"""Discovery documents of the authorization server, and the public keys."""

from flask import Blueprint, Response, jsonify

from ehr_sandbox.cors import allow_any_origin
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


def style_url(settings: SandboxSettings) -> str:
    """Where the style stands; another style gets another URL, since the URL is the cache version."""
    return f"{settings.issuer}/style/{STYLE_VERSION}.json"


@blueprint.after_request
def add_cors(response: Response) -> Response:
    """All of this is public."""
    response.headers["Cache-Control"] = f"public, max-age={CACHE_S}"
    return allow_any_origin(response)


@blueprint.get("/fhir/.well-known/smart-configuration")
def smart_configuration() -> Response:
    """SMART App Launch 2.2 discovery; JSON whatever Accept says."""
    settings = sandbox().settings
    imaging = IMAGING_CAPABILITIES if settings.serves_imaging else ()
    document = {
        **_endpoints(settings),
        "grant_types_supported": ["authorization_code"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "scopes_supported": _scopes(),
        "capabilities": [*CAPABILITIES, *imaging],
        "management_endpoint": f"{settings.issuer}/manage",
    }
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
            "grant_types_supported": ["authorization_code", "refresh_token"],
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


def _endpoints(settings: SandboxSettings) -> dict[str, object]:
    issuer = settings.issuer
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks",
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
    }


def _scopes() -> list[str]:
    resources = [f"{level}/*.{letters}" for level in ("patient", "user") for letters in ("rs", "cruds", "read", "*")]
    return [*CONTEXT_SCOPES, *IDENTITY_SCOPES, *REFRESH_SCOPES, *resources]
