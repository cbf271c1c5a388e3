"""Whether the EHR's sign-in page lets itself be shown where charts show the application: inside their frame.

In an embedded launch the frame goes on from our page to the sign-in, so the sign-in's ancestors are the chart's pages, as
``frame_ancestors`` names them. The page is asked for as a browser would, without a launch handle and with a PKCE challenge
whose verifier nobody keeps; nobody signs in.

Spec: CSP Level 3 §6.4.2 (frame-ancestors), RFC 7034 (X-Frame-Options); smart-launch.md §4 (frames).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import origin_of
from imaging_cds.check_context import CheckContext
from imaging_cds.check_probe import Answer
from imaging_cds.check_report import Area, Finding
from smart_app.launch import LaunchKind, LaunchRequest, scopes_for

AREA = Area("This installation's settings")
MOST_REDIRECTS = 4
DEFAULT_PORTS = {"http": 80, "https": 443}
REMEDY = (
    "Set sign_in_refuses_frames = true of this EHR: a launch inside a frame is then offered a new window before it is used up."
)


def check_frames(context: CheckContext, metadata: SmartMetadata) -> Iterator[Finding]:
    """What the sign-in page says of frames, against ``sign_in_refuses_frames``."""
    answer = _sign_in_page(context, metadata)
    is_set, parents = context.ehr.sign_in_refuses_frames, context.ehr.frame_ancestors or (context.app_origin,)
    is_seen = _is_page(answer)
    refusals = (framing_refusal(answer.headers, answer.url, parent) for parent in parents if is_seen)
    refusal = next(filter(None, refusals), None)
    if refusal is not None and is_set:
        yield AREA.ok(f"The sign-in page forbids frames ({refusal}), and sign_in_refuses_frames is set.")
    elif refusal is not None and not context.ehr.frame_ancestors:
        yield AREA.note(f"The sign-in page forbids frames ({refusal}).", f"If the EHR embeds applications: {REMEDY}")
    elif refusal is not None:
        yield AREA.warning(f"The sign-in page forbids frames of {', '.join(parents)} ({refusal}).", REMEDY)
    elif not is_seen:
        remedy = (
            ""
            if is_set
            else "Try a launch inside the EHR's frame; if the sign-in stays empty there, set sign_in_refuses_frames."
        )
        yield AREA.note(f"Whether the sign-in page forbids frames could not be seen ({_seen(answer)}).", remedy)
    elif is_set:
        yield AREA.note("sign_in_refuses_frames is set, and the sign-in page forbids no frame of the EHR.")
    else:
        yield AREA.ok(f"The sign-in page may stand in a frame of {', '.join(parents)}.")


def _is_page(answer: Answer) -> bool:
    """Whether it tells of frames: what a redirect says of them binds nobody, since browsers show the page behind it."""
    is_redirect = answer.status is not None and 300 <= answer.status < 400
    return answer.status == 200 or (says_of_frames(answer.headers) and not is_redirect)


def says_of_frames(headers: Mapping[str, str]) -> bool:
    """Whether an answer says anything of frames."""
    return "X-Frame-Options" in headers or bool(_ancestor_lists(headers))


def framing_refusal(headers: Mapping[str, str], url: str, parent: str) -> str | None:
    """The header by which a page at ``url`` forbids frames of the origin ``parent``; None where none does.

    Where a policy names frame-ancestors, X-Frame-Options is not looked at, as browsers do it.
    """
    own = origin_of(url)
    for sources in (lists := _ancestor_lists(headers)):
        if not any(_allows(source.lower(), own, origin_of(parent)) for source in sources):
            return f"Content-Security-Policy: frame-ancestors {' '.join(sources)}".strip()
    stated = headers.get("X-Frame-Options", "")
    options = {one.strip().lower() for one in stated.split(",")}
    if not lists and ("deny" in options or ("sameorigin" in options and own != origin_of(parent))):
        return f"X-Frame-Options: {stated}"
    return None


def _ancestor_lists(headers: Mapping[str, str]) -> list[list[str]]:
    """The frame-ancestors of each policy that the answer carries; the first of a policy counts."""
    found = []
    for policy in headers.get("Content-Security-Policy", "").split(","):
        directives = [words for one in policy.split(";") if (words := one.split())]
        found += [words[1:] for words in directives if words[0].lower() == "frame-ancestors"][:1]
    return found


def _allows(source: str, own: str, parent: str) -> bool:
    """Whether one source of frame-ancestors, in small letters, matches an ancestor's origin."""
    asked = urlsplit(parent)
    if source in ("'self'", "*"):
        return source == "*" or own == parent
    if source.endswith(":"):
        return _is_scheme(source[:-1], asked.scheme)
    scheme, _, rest = source.rpartition("://")
    host, _, port = rest.partition("/")[0].partition(":")
    default = DEFAULT_PORTS[asked.scheme]
    is_host = host in ("*", asked.hostname) or (host.startswith("*.") and (asked.hostname or "").endswith(host[1:]))
    is_port = port == "*" or (port or str(default)) == str(asked.port or default)
    return is_host and is_port and _is_scheme(scheme or urlsplit(own).scheme, asked.scheme)


def _is_scheme(allowed: str, asked: str) -> bool:
    """A source of http takes https too."""
    return asked == allowed or (allowed, asked) == ("http", "https")


def _sign_in_page(context: CheckContext, metadata: SmartMetadata) -> Answer:
    """What a browser would show first: redirects are gone after within the EHR's own origins, without any cookie."""
    endpoint = metadata.authorization_endpoint
    launch = LaunchRequest(ehr=context.ehr, iss=context.issuer, kind=LaunchKind.STANDALONE)
    asked = {
        "response_type": "code",
        "client_id": context.ehr.client_id,
        "redirect_uri": context.redirect_uri,
        "scope": scopes_for(launch, metadata.capabilities),
        "state": secrets.token_urlsafe(32),
        "aud": context.issuer,
        "code_challenge": create_s256_code_challenge(secrets.token_urlsafe(48)),
        "code_challenge_method": "S256",
    }
    answer = context.prober.page(endpoint, tuple(asked.items()))
    for _ in range(MOST_REDIRECTS):
        onward = answer.onward
        if onward is None or not (context.is_of_ehr(onward) or origin_of(onward) == origin_of(endpoint)):
            break
        answer = context.prober.page(onward)
    return answer


def _seen(answer: Answer) -> str:
    """What was seen in its place; of an onward address only where it leads, for its query may hold a code."""
    onward = answer.onward
    return answer.said if onward is None else f"{answer.said}, which leads on to {origin_of(onward)}"
