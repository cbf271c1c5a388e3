"""The files of an nginx configuration, printed from templates: two that anybody may read, and one of secrets."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fhir_imaging.errors import ImagingError, TooManyRequests, UpstreamTimeout
from fhir_imaging.problems import Problem, operation_outcome, problem_json, problem_of
from fhir_imaging.uids import UID_PATTERN
from imaging_cds.nginx_plan import HandedRoute, NginxPlan
from imaging_server.gateway_headers import EXPOSED_HEADERS
from imaging_server.handover import ACCEPT_HEADER, AUTHORIZATION_HEADER, INTERNAL_PREFIX, KEY_HEADER, vendor_header
from imaging_server.rate_limit import RateLimitSettings

MAIN_FILE, HTTP_FILE, SECRETS_FILE = "nginx.conf", "imaging-cds.conf", "imaging-cds-secrets.conf"
_CLOSED, _PASSABLE = 0o700, 0o711
_TOO_MANY_STATUS = 598
"""How nginx names, to itself, a request that came too early, or beside too many others."""
_ADDRESS_REQUESTS = 512
"""Requests of one address that are under way at once."""

# Whatever says something of the archive, of its keeping or of a browser's behaviour. What a gateway tells is added anew.
_HIDDEN = (
    *("Content-Type", "Content-Location", "Content-Disposition", "Location", "Link", "Refresh", "Alt-Svc", "Via", "Warning"),
    *("Server", "Date", "Set-Cookie", "Set-Cookie2", "WWW-Authenticate", "Proxy-Authenticate", "Authorization"),
    *("Authentication-Info", "Cache-Control", "Expires", "Pragma", "Age", "ETag", "Last-Modified", "Vary", "Clear-Site-Data"),
    *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"),
    *("Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"),
    *("Content-Security-Policy", "Content-Security-Policy-Report-Only", "Strict-Transport-Security", "Permissions-Policy"),
    *("Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy", "Cross-Origin-Resource-Policy", "Referrer-Policy"),
    *("X-Content-Type-Options", "X-Frame-Options", "X-XSS-Protection", "X-Powered-By", "X-Request-Id", "X-Correlation-Id"),
    *("X-AspNet-Version", "X-AspNetMvc-Version", "X-Runtime", "X-Backend-Server", "X-Served-By", "X-Cache", "X-Debug"),
    *("Report-To", "NEL", "Reporting-Endpoints", "Server-Timing", "Timing-Allow-Origin", "SourceMap", "Service-Worker-Allowed"),
    *("X-Ms-Request-Id", "X-Ms-Correlation-Id", "X-Amzn-RequestId", "X-Amz-Id-2", "X-Amz-Request-Id", "X-Goog-Trace"),
    *("X-Cloud-Trace-Context", "Traceparent", "Tracestate", "Trailer", "Public-Key-Pins", "P3P"),
)
_PICTURES = r"image/(?:jpeg|jp2|jpx|jls|jphc|png|gif|dicom-rle)|video/(?:mpeg|mp4|h265)"
_BYTES = rf"application/octet-stream|{_PICTURES}"
_PARTS = rf"application/dicom|{_BYTES}"
_BOUNDARY = r"[0-9A-Za-z'()+_,./:=?-]{1,200}"
_QUOTED_BOUNDARY = r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]"
_MULTIPART = r"~*^multipart/related"


def _without(name: str) -> str:
    """Any parameters but this one, whatever stands within their quotes."""
    return rf'(?:\s*;\s*(?!{name}\s*=)[^\s;="]+=(?:"[^"]*"|[^\s;"]*))*+'


def _parameter(name: str, value: str, *, start: str = _MULTIPART) -> str:
    """A Content-Type of ``start`` with this parameter, the first of its name, wherever it stands."""
    return rf"{start}{_without(name)}\s*;\s*{name}=(?:{value})\s*(?:;|\z)"


# Each parameter by itself, in any order and among any others, which stay behind. Without a type it is what PS3.18 takes it for.
_MULTIPART_TYPES = (
    (
        _parameter("type", rf'(?P<imaging_bare>{_PARTS})|"\s*(?P<imaging_part>{_PARTS})\s*(?:;[^"]*)?"'),
        'multipart/related; type="$imaging_bare$imaging_part"',
    ),
    (rf"{_MULTIPART}{_without('type')}\s*;?\s*\z", "multipart/related"),
)
_BOUNDARIES = (
    (
        _parameter("boundary", rf'(?P<imaging_bare_boundary>{_BOUNDARY})|"(?P<imaging_boundary>{_QUOTED_BOUNDARY})"'),
        '; boundary="$imaging_bare_boundary$imaging_boundary"',
    ),
)
_SYNTAXES = (
    (
        _parameter("transfer-syntax", rf'"?(?P<imaging_syntax_told>{UID_PATTERN})"?', start=r"~*^[a-z0-9./+-]+"),
        "; transfer-syntax=$imaging_syntax_told",
    ),
)
_WHOLE_TYPES = ((rf"~*^(?P<imaging_whole>{_PARTS})\s*(?:;|\z)", "$imaging_whole$imaging_told_syntax"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxFiles:
    """The files' contents. ``public`` by name, in the order in which they are read best; ``secrets`` is never printed, and is
    empty where nginx needs none."""

    public: Mapping[str, str]
    secrets: str = field(repr=False)


def files_of(plan: NginxPlan, key: str) -> NginxFiles:
    """The files for a plan. ``key`` is the one by which the application knows nginx, where it fetches anything itself."""
    templates = Environment(
        loader=PackageLoader("imaging_cds", "nginx_templates"),
        undefined=StrictUndefined,
        autoescape=False,  # nosec B701 # noqa: S701 - these are no pages
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"quoted": _quoted, "secret": _secret}
    said = {"plan": plan, "key": key, "digest_key": _digest_key(key), "secrets_file": SECRETS_FILE, **_words(plan)}

    def rendered(template: str, **more: object) -> str:
        return templates.get_template(f"{template}.j2").render(said | more)

    public = {name: rendered(name) for name in (MAIN_FILE, HTTP_FILE)}
    public |= {f"imaging-cds-{part}.conf": rendered(f"{part}.conf") for part in ("application", "answer")}
    for archive in plan.archives:
        public[f"imaging-cds-archive-{archive.name}.conf"] = rendered("archive.conf", archive=archive)
    return NginxFiles(public=public, secrets=rendered("secrets.conf") if plan.archives else "")


def write(files: NginxFiles, directory: Path) -> None:
    """Writes them below ``directory``, each at once: nginx never reads half a file.

    The directory may be passed through by everybody, but not listed: nginx's workers have their own places below it, and are
    another user where root starts nginx. What is secret is closed by itself.
    """
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(_PASSABLE)
    elif (directory / SECRETS_FILE).exists() and stat.S_IMODE(directory.stat().st_mode) == _CLOSED:
        directory.chmod(_PASSABLE)
    secrets = {SECRETS_FILE: files.secrets} if files.secrets else {}
    for name, content in {**secrets, **files.public}.items():
        mode = 0o600 if name == SECRETS_FILE else 0o644
        written = directory / f".{name}.new"
        written.unlink(missing_ok=True)
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        written.replace(directory / name)
    if not secrets:  # one of an earlier configuration would be a secret that nobody needs
        (directory / SECRETS_FILE).unlink(missing_ok=True)


def _words(plan: NginxPlan) -> dict[str, object]:
    """What the templates say beside the plan."""
    private = [ACCEPT_HEADER, AUTHORIZATION_HEADER]
    private += [vendor_header(number) for number in range(max((len(one.header_names) for one in plan.archives), default=0))]
    limits = plan.settings.imaging_server.rate_limit
    return {
        "names": {"key": KEY_HEADER},
        "internal": INTERNAL_PREFIX,
        "private": private,
        "hidden": _HIDDEN,
        "statuses": [status for status in range(300, 600) if status not in (499, _TOO_MANY_STATUS)],
        "origins": sorted(plan.settings.imaging_server.browser_origins),
        "exposed": EXPOSED_HEADERS,
        "told_types": {"multipart": _MULTIPART_TYPES, "boundary": _BOUNDARIES, "syntax": _SYNTAXES, "whole": _WHOLE_TYPES},
        "accepted": {"frames": _accepted(_BYTES), "objects": _accepted("application/dicom")},
        "routes": _all_routes(plan),
        "rate": _rate(limits),
        "too_many_status": _TOO_MANY_STATUS,
        "address_requests": _ADDRESS_REQUESTS,
        "burst": limits.request_burst,
        "too_many": _worded(TooManyRequests("These are too many requests; please slow down.", retry_after_s=1)),
        "too_late": _worded(UpstreamTimeout("The archive did not answer in time.", server="archive")),
        "away": _away(),
    }


def _accepted(types: str) -> list[tuple[str, str]]:
    """Accept values of one form, with and without a transfer syntax."""
    multipart = rf'~*^multipart/related; ?type="?(?P<imaging_asked>{types})"?'
    told = 'multipart/related; type="$imaging_asked"'
    syntax = rf'; ?transfer-syntax="?(?P<imaging_syntax>\*|{UID_PATTERN})"?'
    return [(rf"{multipart}\z", told), (rf"{multipart}{syntax}\z", f"{told}; transfer-syntax=$imaging_syntax")]


def _all_routes(plan: NginxPlan) -> list[HandedRoute]:
    """Each once, as the log knows them."""
    return list({route.loose: route for archive in plan.archives for route in archive.routes}.values())


def _rate(limits: RateLimitSettings) -> str | None:
    """As nginx writes it: whole numbers, per second or, below ten, per minute."""
    if not limits.requests_per_second:
        return None
    if limits.requests_per_second >= 10:
        return f"{int(limits.requests_per_second)}r/s"
    return f"{max(1, int(limits.requests_per_second * 60))}r/m"


def _worded(error: ImagingError) -> str:
    """As the application words it."""
    return json.dumps(problem_json(problem_of(error), error.code, error.detail, "$imaging_reference"))


def _away() -> list[tuple[str, str, str]]:
    """What callers are told while the application is not there: the place in the configuration, the form, the words."""
    words = "The server is not available at the moment. Please try again."
    problem = problem_json(Problem(503, "Not available", "transient"), "not-available", words, "$imaging_reference")
    outcome = operation_outcome("transient", f"{words} (reference $imaging_reference)")
    return [
        ("@away", "application/problem+json", json.dumps(problem)),
        ("@away_fhir", "application/fhir+json", json.dumps(outcome)),
    ]


def _digest_key(key: str) -> str:
    """Of its own, so that what nginx writes to disk says nothing of the key that it shows."""
    return hmac.new(key.encode(), b"imaging-cds nginx decisions v1", hashlib.sha256).hexdigest()


def _quoted(text: str) -> str:
    """A string of nginx's configuration in which variables still count."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _secret(text: str) -> str:
    """A string in which nothing counts: nginx has no way to write a dollar but a variable that holds one."""
    return _quoted(text).replace("$", "${imaging_dollar}")
