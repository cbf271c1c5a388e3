"""What can be wrong with the settings of one archive, in words: addresses, credentials, vendor headers.

Spec: RFC 9110 §5.1, §5.5 (header names and values), §7.6.1 (hop-by-hop); SMART Imaging Access group 20.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from fhir_imaging.settings import PacsSettings

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE = re.compile(r"[!-~](?:[ -~]{0,998}[!-~])?", re.ASCII)
_OURS = frozenset(
    (
        # Credentials have settings of their own, which are hidden when settings are printed.
        *("authorization", "proxy-authorization", "cookie"),
        # What the gateway says of each request itself; ``Forwarded`` would name callers, or be believed as a host.
        *("host", "accept", "accept-encoding", "range", "if-range", "user-agent", "forwarded", "via"),
        # Of the connection and the message, not of the request.
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("content-length", "content-type", "content-encoding", "proxy-connection"),
        # Conditions would turn answers into 304 and 412.
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    )
)


def archive_problems(archive: PacsSettings) -> list[str]:
    """Everything in the settings of an archive that cannot work."""
    found = (*_address_problems(archive), *_credential_problems(archive), *_header_problems(archive))
    return [f"PACS {archive.name}: {problem}" for problem in found]


def _address_problems(archive: PacsSettings) -> Iterator[str]:
    if not _is_plain(archive.dicomweb_root):
        yield "dicomweb_root must be an http(s) address without user, query or fragment."
    if archive.token_url is not None and not _is_plain(archive.token_url):
        yield "token_url must be an http(s) address without user, query or fragment."
    if archive.max_connections < 1:
        yield "max_connections must be at least 1."
    if not 1 <= archive.studies_per_search <= 100:
        yield "studies_per_search must be between 1 and 100."


def _credential_problems(archive: PacsSettings) -> Iterator[str]:
    ways = {"a bearer token": archive.bearer_token, "a user": archive.user, "token_url": archive.token_url}
    given = [way for way, value in ways.items() if value]
    if len(given) > 1:
        yield f"give either {' or '.join(given)}, not both."
    if archive.token_url and not (archive.client_id and (archive.client_secret or archive.client_key)):
        yield "token_url needs client_id and client_secret (or client_key)."
    if archive.client_secret and archive.client_key:
        yield "give either client_secret or client_key, not both."
    idle = ("client_id", "client_secret", "client_key", "token_scope", "token_audience")
    yield from (f"{name} says nothing without token_url." for name in idle if getattr(archive, name) and not archive.token_url)


def _header_problems(archive: PacsSettings) -> Iterator[str]:
    for name, value in archive.headers.items():
        lowered = name.lower()
        if not _NAME.fullmatch(name):
            yield f"headers: {name!r} is no header name."
        elif lowered in _OURS or lowered.startswith("x-forwarded-"):
            yield f"headers: {name} may not be set here."
        elif not _VALUE.fullmatch(value):
            yield f"headers: the value of {name} must be visible ASCII without line breaks."
    names = [name.lower() for name in archive.headers]
    yield from (f"headers: {name} is given more than once." for name in sorted({n for n in names if names.count(n) > 1}))


def _is_plain(url: str) -> bool:
    parts = urlsplit(url)
    usable = parts.scheme in ("http", "https") and parts.hostname
    return bool(usable) and not (parts.query or parts.fragment or parts.username)
