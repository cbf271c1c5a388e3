"""The HTTP manners of the chart: who may post, what a page may load, how a body is read.

The chart has no login: its user is the demo's general practitioner. What protects it is that only its own pages can post
to it, under its own name.
"""

import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Response, abort, request

MAX_BODY_BYTES = 16 * 1024


def content_security_policy(frame_origins: Iterable[str]) -> str:
    """Own scripts and styles only, nothing inline; frames for the registered apps.

    `frame-src` names the EHR too, because a launched app passes through its authorization server inside the frame.
    """
    frames = " ".join(sorted(set(frame_origins)))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self'; frame-src 'self' {frames}; base-uri 'none'; frame-ancestors 'none'"
    )


def refuse_foreign_requests(base_url: str) -> Response | None:
    """Turns away requests under another host name (DNS rebinding) and posts from other origins (CSRF).

    Spec: Fetch Metadata, `Sec-Fetch-Site`; RFC 6454 `Origin`.
    """
    own = urlsplit(base_url)
    if request.host != own.netloc:
        if request.method == "GET" and own.hostname in ("127.0.0.1", "localhost"):
            return Response(status=302, headers={"Location": f"{base_url}{request.path}"})
        abort(421)
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403)
    if request.headers.get("Origin", "") != f"{own.scheme}://{own.netloc}":
        abort(403)
    return None


def add_security_headers(response: Response, policy: str) -> Response:
    """Headers of every answer of the chart; nothing of it may be kept by the browser but its static files."""
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def read_json_object() -> dict[str, Any]:
    """The body of a post by the chart's own script; anything else is answered 400, 413 or 415."""
    if request.content_length is None or request.content_length > MAX_BODY_BYTES:
        abort(413)
    fields = request.get_json()
    if not isinstance(fields, dict):
        abort(400)
    return fields


def text_field(fields: dict[str, Any], name: str) -> str:
    """A text member; absent is empty, another type is answered 400."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        abort(400)
    return value


def texts_field(fields: dict[str, Any], name: str) -> frozenset[str] | None:
    """A list of texts; absent is None, anything else is answered 400."""
    value = fields.get(name)
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        abort(400)
    return None if value is None else frozenset(value)


def position_field(fields: dict[str, Any], name: str) -> int:
    """A whole number member, counted from 0; anything else is answered 400."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        abort(400)
    return value


def new_static_version() -> str:
    """A name for this process's static files, so that a browser never mixes two versions."""
    return secrets.token_hex(4)
