"""Who may use the archive: an optional bearer token or password of its own, and optional CORS.

Spec: PS3.18 §8.9 (security), RFC 6750 §3, RFC 7617, Fetch standard (CORS protocol).
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import Flask, Response, json, request

from ehr_sandbox.pacs_tokens import SmartTokens, keep_to

EXPOSED_HEADERS = "Content-Type, Content-Length, Content-Range, Accept-Ranges, Warning, WWW-Authenticate, Retry-After"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What a request has to carry; nothing when neither credential is set. CORS is off without origins."""

    bearer_token: str | None = field(default=None, repr=False)
    basic_credential: tuple[str, str] | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    smart_tokens: SmartTokens | None = None
    """The EHR whose tokens count too, each for its own patient's images."""

    @property
    def challenges(self) -> Sequence[str]:
        """The WWW-Authenticate values of the credentials that would be accepted."""
        realm = 'realm="sandbox PACS"'
        bearer = [f"Bearer {realm}"] if self.bearer_token is not None or self.smart_tokens is not None else []
        basic = [f'Basic {realm}, charset="UTF-8"'] if self.basic_credential is not None else []
        return bearer + basic

    def admits(self, authorization: str | None) -> bool:
        """Whether the Authorization header is a credential of this archive; compared in constant time."""
        if not self.challenges:
            return True  # an open archive, as in the demo
        scheme, _, credential = (authorization or "").strip().partition(" ")
        presented = credential.strip().encode("utf-8", "replace")
        if scheme.lower() == "bearer" and self.bearer_token is not None:
            return hmac.compare_digest(presented, self.bearer_token.encode())
        if scheme.lower() == "basic" and self.basic_credential is not None:
            expected = base64.b64encode(":".join(self.basic_credential).encode())
            return hmac.compare_digest(presented, expected)
        return False

    def patient_of(self, authorization: str | None) -> str | None:
        """The PatientID that a SMART token of the header is limited to; None without such a token."""
        scheme, _, credential = (authorization or "").strip().partition(" ")
        if self.smart_tokens is None or scheme.lower() != "bearer":
            return None
        return self.smart_tokens.patient_of(credential.strip())

    def allowed_origin(self, origin: str | None) -> str | None:
        """The origin to answer in Access-Control-Allow-Origin, or None for no CORS."""
        if origin is None:
            return None
        return origin if origin in self.cors_origins or "*" in self.cors_origins else None


def guard(app: Flask, rules: AccessRules) -> None:
    """Applies the rules to every request of the application, before any of its views."""

    @app.before_request
    def admit() -> Response | None:
        # A preflight never carries a credential (Fetch §4.8), so it is answered before the check.
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if is_preflight and rules.allowed_origin(request.headers.get("Origin")) is not None:
            return Response(status=204)
        return _refusal(rules, request.headers.get("Authorization"))

    @app.after_request
    def keep_private(response: Response) -> Response:
        # Images of a patient belong in no cache, and one address has as many answers as Accept headers.
        response.headers["Cache-Control"] = "private, no-store"
        response.vary.add("Accept")
        return response

    @app.after_request
    def allow_origin(response: Response) -> Response:
        if not rules.cors_origins:
            return response
        response.vary.add("Origin")
        origin = rules.allowed_origin(request.headers.get("Origin"))
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
                response.headers["Access-Control-Allow-Headers"] = "Authorization, Accept, Content-Type, Range"
                response.headers["Access-Control-Max-Age"] = "600"
        return response


def _refusal(rules: AccessRules, authorization: str | None) -> Response | None:
    """None for whoever may pass; 401 without a credential that holds, 403 (raised) for another patient's images."""
    if rules.admits(authorization):
        return None
    patient_id = rules.patient_of(authorization)
    if patient_id is not None:
        keep_to(patient_id)
        return None
    refused = problem_response(401, "Unauthorized", "The archive asks for a credential of its own.")
    for challenge in rules.challenges:
        refused.headers.add("WWW-Authenticate", challenge)
    return refused


def problem_response(status: int, title: str, detail: str) -> Response:
    """An error as problem details (RFC 9457)."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(document), status=status, content_type="application/problem+json")
