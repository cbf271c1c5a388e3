"""How a deliberately faulty imaging server reads tokens: rightly, unless one of its faults is switched on."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Set
from typing import Any

import jwt

from fhir_imaging.scopes import ScopeContext, parse_scopes

ISSUER, AUDIENCE = "https://ehr.example/auth", "https://imaging.example"
SCOPE = "openid patient/ImagingStudy.rs patient/Patient.r"
KEY = "a key of the tests that is long enough for HS256"
_FIXED_SCOPES = {"patient/ImagingStudy.rs", "patient/*.rs"}
_PATIENT, _SYSTEM = (ScopeContext.PATIENT,), (ScopeContext.SYSTEM,)


class Refusal(Exception):
    """A status, RFC 6750's error code (None = no credentials came) and nothing else."""

    def __init__(self, status: int, error: str | None = None) -> None:
        super().__init__(status, error)
        self.status, self.error = status, error


def a_token(patient: str | None = "pat-a", scope: str = SCOPE, **changes: Any) -> str:
    """An access token of the server's own authorization server; None takes a claim away."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 600, "iat": now, "scope": scope, "patient": patient}
    made = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(made, KEY, algorithm="HS256", headers={"typ": "at+jwt"})


def capability_of(token: str) -> str:
    """What the address of a token's images is sealed with."""
    return hmac.new(KEY.encode(), token.encode(), hashlib.sha256).hexdigest()


def claims_of(token: str | None, faults: Set[str], *, images: bool) -> dict[str, Any]:
    """The claims to believe. Refusal (401) for a token that nobody should believe."""
    side, anybody = ("W3" if images else "F5"), {"patient": "pat-a", "scope": SCOPE}
    if token is None:
        if f"{side}:no-token" in faults:
            return anybody
        raise Refusal(401)
    forged = "M9" in faults or (images and "W3:forged" in faults)
    try:
        if forged:
            return dict(jwt.decode(token, options={"verify_signature": False}))
        ends = f"{side}:ended" not in faults
        checks = {"verify_exp": ends, "verify_aud": f"{side}:foreign" not in faults}
        return dict(jwt.decode(token, KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER, options=checks))
    except jwt.PyJWTError as exc:
        if f"{side}:unknown-token" in faults and token.count(".") != 2:
            return anybody
        raise Refusal(401, "invalid_token") from exc


def patient_of(claims: dict[str, Any], faults: Set[str], *, images: bool, backend: bool, named: str | None) -> str:
    """The one patient whose studies the claims open. Refusal (403) where they open nobody's."""
    side = "W3" if images else "F5"
    scope = str(claims.get("scope", ""))
    if f"{side}:scope" in faults:
        return str(claims.get("patient"))
    letter = "r" if images else "s"
    granted = parse_scopes(scope)
    if "M12:wide" in faults and not _FIXED_SCOPES & set(scope.split()):
        raise Refusal(403, "insufficient_scope")
    if granted.granting("ImagingStudy", letter, contexts=_PATIENT):
        return _in_context(claims, faults, images=images, named=named)
    if granted.granting("ImagingStudy", letter, contexts=_SYSTEM):
        if claims.get("patient") and "F9:mixed" in faults:
            return str(claims["patient"])
        if backend and (named == "pat-a" or "F7:backend" in faults):
            return str(named)
        if "F8:system" in faults and not claims.get("patient"):
            return str(named)
    raise Refusal(403, "insufficient_scope")


def _in_context(claims: dict[str, Any], faults: Set[str], *, images: bool, named: str | None) -> str:
    patient = claims.get("patient")
    if isinstance(patient, str):
        return patient
    if ("W3:no-patient" if images else "F8:no-patient") in faults:
        return named or "pat-a"
    raise Refusal(403, "access_denied")


def modality_filter(claims: dict[str, Any], faults: Set[str]) -> str | None:
    """The modality that a filtered scope narrows to."""
    scopes = parse_scopes(str(claims.get("scope", ""))).clinical
    filters = [dict(one.filters).get("modality") for one in scopes if one.covers("ImagingStudy")]
    return None if "M12:filtered" in faults or None in filters else next(iter(filters), None)
