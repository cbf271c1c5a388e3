"""Signed JWT access tokens: header and signature, against the configured keys and algorithms only.

Spec: RFC 7515, RFC 8725 (JWT best current practice), RFC 9068; SMART Imaging Access groups 3 to 5.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import jwt
from jwt.utils import base64url_decode, base64url_encode

from fhir_imaging.clients.jwks import JwksClient
from imaging_server.access import BearerToken

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
TOKEN_TYPES = ("at+jwt", "application/at+jwt", "jwt")
"""``typ`` of access tokens, lower case. Plain JWT is common (Keycloak, launchers); the claims then tell an id_token apart."""
MAX_TOKEN_LENGTH = 16 * 1024


def named_part(token: str) -> str:
    """What a record may know a token by: of a JWT what is signed of it, since the signature can be written in several ways.

    Whoever has a token of ES256 can compute another signature of it that holds (r, n-s). Never what a check is kept by.
    """
    try:
        is_jwt = token.count(".") == 2 and "alg" in jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return token
    return token.rpartition(".")[0] if is_jwt else token


def signed_claims(token: BearerToken, keys: JwksClient) -> Mapping[str, Any] | None:
    """The claims of a token that one of the EHR's keys has signed, still to be checked; None when no key has.

    UpstreamError when the keys cannot be had: the caller fails closed.
    """
    unverified_header = _unverified_header(token)
    if unverified_header is None:
        return None
    algorithm = unverified_header["alg"]
    for key in keys.candidates(unverified_header.get("kid"), algorithm):
        try:
            # Claims have their own checks in claims.py; every option is written out so that no default decides.
            return jwt.decode(
                token.value,
                key=key.key,
                algorithms=[algorithm],
                options={
                    "verify_signature": True,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                    "require": [],
                    "strict_aud": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            continue
    return None


def _unverified_header(token: BearerToken) -> Mapping[str, Any] | None:
    """The header when it is one that an access token of ours may have; nothing in it is believed yet."""
    if len(token.value) > MAX_TOKEN_LENGTH or token.value.count(".") != 2 or not all(map(_is_plain, token.value.split("."))):
        return None
    try:
        header = jwt.get_unverified_header(token.value)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    if header.get("alg") not in ALGORITHMS or "crit" in header or header.get("b64", True) is not True:
        return None
    kid, kind = header.get("kid"), header.get("typ", "JWT")
    if not (kid is None or isinstance(kid, str)) or not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
        return None
    return header


def _is_plain(piece: str) -> bool:
    """Whether it is base64url as RFC 7515 §2 writes it: no padding, no other letters, no bits that count for nothing."""
    try:
        return base64url_encode(base64url_decode(piece)).decode("ascii") == piece
    except (binascii.Error, ValueError):
        return False
