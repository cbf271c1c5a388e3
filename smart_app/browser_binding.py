"""The one cookie: a random name for this browser, so that a session's address alone opens nothing.

``SameSite=None; Secure; Partitioned`` is the only variant that survives a cross-site EHR frame where third-party cookies are
blocked. It holds no token, no patient and no session; only its keyed digest is stored.

Spec: SMART App Launch 2.2 A10; smart-launch.md §4; DESIGN §7.
"""

from __future__ import annotations

import re
import secrets

from werkzeug.wrappers import Request, Response

from fhir_imaging.store.keys import Sealer

COOKIE_NAME = "imaging_cds_window"
_THIS_HOST_ONLY = "__Host-"
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def cookie_name(origin: str) -> str:
    """The cookie's name at this origin of ours.

    With the prefix browsers take it from this very host over TLS alone (RFC 6265bis §4.1.3.2). Without, a server under the same
    domain could plant a value of its own, and would have every session that is opened under it. Plain http, as of a demo on
    localhost, cannot have such cookies.
    """
    return f"{_THIS_HOST_ONLY}{COOKIE_NAME}" if origin.startswith("https://") else COOKIE_NAME


def binding_of(request: Request, sealer: Sealer, origin: str) -> str | None:
    """The digest of this browser's cookie; None when it sent none, or one of another make than ours."""
    value = request.cookies.get(cookie_name(origin), "")
    return sealer.digest("browser", value) if _VALUE.fullmatch(value) else None


def bind(response: Response, sealer: Sealer, origin: str) -> str:
    """Gives this browser a fresh cookie and returns its digest."""
    value = secrets.token_urlsafe(32)
    name = cookie_name(origin)
    response.set_cookie(name, value, secure=True, httponly=True, samesite="None", partitioned=True, path="/")
    return sealer.digest("browser", value)
