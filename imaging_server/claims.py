"""Claims of access tokens: each has its check, and only checked claims become ``VerifiedClaims``.

Spec: RFC 7519, RFC 9068 (JWT access tokens), RFC 7662 (introspection), RFC 7800 (``cnf``), SMART App Launch 2.2 (``patient``,
``scope``), IHE IUA; SMART Imaging Access F5, A3, groups 2 to 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NewType

from fhir_imaging.audit import user_at
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import EhrSettings
from imaging_server.access import AccessGrant, read_patient_id
from imaging_server.iua import contradicts_patient, read_iua

VerifiedClaims = NewType("VerifiedClaims", Mapping[str, Any])

MAX_TIME = 253_402_300_800
"""UTC seconds of the year 10000: a later time is no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedToken:
    """What a token of one EHR must say. ``now`` in UTC seconds, ``leeway_s`` the accepted clock skew."""

    fhir_base: str
    issuers: frozenset[str]
    audiences: frozenset[str]
    now: int
    leeway_s: int


ClaimCheck = Callable[[Any, ExpectedToken], bool]


def _issuer(value: Any, expected: ExpectedToken) -> bool:
    return isinstance(value, str) and value in expected.issuers


def _audience(value: Any, expected: ExpectedToken) -> bool:
    return not expected.audiences.isdisjoint(_named_audiences(value))


def _named_audiences(value: Any) -> list[str]:
    """The audiences of a claim that is one text or a list of texts; none where it is anything else."""
    named = [value] if isinstance(value, str) else value
    return named if isinstance(named, list) and all(isinstance(one, str) for one in named) else []


def _not_ended(value: Any, expected: ExpectedToken) -> bool:
    return _is_time(value) and value + expected.leeway_s > expected.now


def _begun(value: Any, expected: ExpectedToken) -> bool:
    return _is_time(value) and value - expected.leeway_s <= expected.now


def _text(value: Any, _expected: ExpectedToken) -> bool:
    return isinstance(value, str) and bool(value)


def _any_text(value: Any, _expected: ExpectedToken) -> bool:
    """An empty scope is a token that may do nothing, which is not the same as no access token."""
    return isinstance(value, str)


def _bearer(value: Any, _expected: ExpectedToken) -> bool:
    return isinstance(value, str) and value.lower() == "bearer"


def _access(value: Any, _expected: ExpectedToken) -> bool:
    return value in ("access", "access_token")


def _never(_value: Any, _expected: ExpectedToken) -> bool:
    return False


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_TIME


# Claims that only id_tokens and logout tokens carry: such a token proves who signed in and gives no access (group 4).
_OTHER_KINDS: dict[str, ClaimCheck] = {"nonce": _never, "at_hash": _never, "c_hash": _never, "events": _never}

# What some servers say that the token is for: Keycloak ("Bearer", else "ID", "Refresh", "Offline"), Cognito, Hydra.
# A token that is bound to its holder's key (RFC 7800) is no bearer token: the binding cannot be checked here.
_SAID_KINDS: dict[str, ClaimCheck] = {"typ": _bearer, "token_use": _access, "cnf": _never}

_JWT_REQUIRED: dict[str, ClaimCheck] = {"iss": _issuer, "aud": _audience, "exp": _not_ended, "scope": _any_text}
_JWT_OPTIONAL: dict[str, ClaimCheck] = {
    "nbf": _begun,
    "iat": _begun,
    "sub": _text,
    "jti": _text,
    **_OTHER_KINDS,
    **_SAID_KINDS,
}

# An introspection answer comes from the one configured server over our own authenticated request, so issuer and audience
# may be absent there; where they stand they must be right.
_INTROSPECTED_REQUIRED: dict[str, ClaimCheck] = {"exp": _not_ended, "scope": _any_text}
_INTROSPECTED_OPTIONAL: dict[str, ClaimCheck] = {
    "iss": _issuer,
    "aud": _audience,
    "nbf": _begun,
    "iat": _begun,
    "token_type": _bearer,
    **_SAID_KINDS,
}

_CLIENT_CLAIMS = ("client_id", "azp")


def check_jwt_claims(unverified_claims: Mapping[str, Any], expected: ExpectedToken) -> VerifiedClaims | None:
    """The claims of a JWT whose signature holds, after all checks; None when one fails."""
    if not any(_text(unverified_claims.get(name), expected) for name in _CLIENT_CLAIMS):
        return None
    return _checked(unverified_claims, expected, _JWT_REQUIRED, _JWT_OPTIONAL)


def check_introspected_claims(unverified_claims: Mapping[str, Any], expected: ExpectedToken) -> VerifiedClaims | None:
    """The claims of an introspection answer; None unless ``active`` is the JSON value true and all checks hold."""
    if unverified_claims.get("active") is not True:
        return None
    return _checked(unverified_claims, expected, _INTROSPECTED_REQUIRED, _INTROSPECTED_OPTIONAL)


def tells_audience(claims: VerifiedClaims, own: frozenset[str], others: frozenset[str]) -> bool:
    """Whether the audience says that a token is of the EHR with ``own`` audiences, and not of one with ``others``.

    One that names what both accept, or what is each one's alone, says nothing: the patient is still one EHR's only.
    """
    named = frozenset(_named_audiences(claims.get("aud")))
    return not named.isdisjoint(own - others) and named.isdisjoint(others - own)


def issuer_excludes(claims: VerifiedClaims, issuer: str) -> bool:
    """Whether the token says that it is of somebody else than ``issuer``."""
    return "iss" in claims and claims["iss"] != issuer


def grant_of(claims: VerifiedClaims, ehr: EhrSettings, *, issuer: str, digest: str, token: str = "") -> AccessGrant:
    """What the verified claims open. ``digest`` refers to a token that has no ``jti``, or whose ``jti`` is part of its text:
    some servers name an opaque token by itself, and no record may hold one (P7).

    A user of this EHR is named relative to its FHIR base (``Practitioner/1``), as people ask the audit log.
    """

    def words(name: str) -> str | None:
        value = claims.get(name)
        return value if isinstance(value, str) and value else None

    jti = words("jti")
    return AccessGrant(
        ehr=ehr.name,
        issuer=words("iss") or issuer,
        patient_id=read_patient_id(claims.get("patient")),
        scopes=parse_scopes(str(claims["scope"])),
        user=user_at(words("fhirUser") or words("sub"), ehr.fhir_base),
        client_id=words("client_id") or words("azp"),
        expires_at=int(claims["exp"]),
        token_reference=jti if jti and jti not in token else digest,
        iua=read_iua(claims),
    )


def _checked(
    unverified_claims: Mapping[str, Any],
    expected: ExpectedToken,
    required: Mapping[str, ClaimCheck],
    optional: Mapping[str, ClaimCheck],
) -> VerifiedClaims | None:
    for name, check in required.items():
        if not check(unverified_claims.get(name), expected):
            return None
    for name, check in optional.items():
        if name in unverified_claims and not check(unverified_claims[name], expected):
            return None
    if contradicts_patient(unverified_claims, fhir_base=expected.fhir_base):
        return None
    return VerifiedClaims(unverified_claims)
