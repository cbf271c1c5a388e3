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
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def binding_of(request: Request, sealer: Sealer) -> str | None:
    """The digest of this browser's cookie; None when it sent none, or one that we did not make."""
    value = request.cookies.get(COOKIE_NAME, "")
    return sealer.digest("browser", value) if _VALUE.fullmatch(value) else None


def bind(response: Response, sealer: Sealer) -> str:
    """Gives this browser a fresh cookie and returns its digest."""
    value = secrets.token_urlsafe(32)
    response.set_cookie(COOKIE_NAME, value, secure=True, httponly=True, samesite="None", partitioned=True, path="/")
    return sealer.digest("browser", value)
