"""Our own pages: rendered with one strict Content-Security-Policy, never cached, framed only by the EHR that is configured."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC

from flask import Response, render_template, request

from fhir_imaging import texts
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.web import request_reference
from smart_app.explanations import EXPLANATIONS, RELAUNCH, ExplainedRefusal, Reason
from smart_app.services import SmartAppServices

_ONCE_ONLY = frozenset({"smart_app.callback"})
"""Pages whose address counts once: loading it again finds the same end."""


def page(
    services: SmartAppServices,
    template: str,
    *,
    ehr: EhrSettings | None = None,
    status: int = 200,
    leaves_by_form: bool = False,
    connects_to: Iterable[str] = (),
    **values: object,
) -> Response:
    """One page. ``ehr`` is the one that may frame it, None = any configured.

    ``leaves_by_form``: the page's form leads to a sign-in elsewhere. ``connects_to``: origins that its scripts may ask besides
    our own, such as an archive that holds the thumbnails.
    """
    ehrs = (ehr,) if ehr is not None else services.ehrs
    ancestors = dict.fromkeys(origin for one in ehrs for origin in one.frame_ancestors)
    html = render_template(template, services=services, ehr=ehr, support=_support(services), **values)
    # JSON carries half characters, and one of them in a record must not take the page away.
    response = Response(html.encode(errors="replace"), status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = content_policy(
        ancestors, leaves_by_form=leaves_by_form, connects_to=map(origin_of, connects_to)
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def content_policy(frame_ancestors: Iterable[str], *, leaves_by_form: bool = False, connects_to: Iterable[str] = ()) -> str:
    """No inline script, nothing from elsewhere but what ``connects_to`` names; the viewer's frame is our own origin.

    Pictures may be ``blob:`` because a thumbnail is fetched with the token in a header and shown from memory.
    Browsers apply ``form-action`` to every redirect after the form, and where an EHR's sign-in redirects to is its own affair.
    """
    directives = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        " ".join(dict.fromkeys(("connect-src 'self'", *connects_to))),
        "frame-src 'self'",
        "base-uri 'none'",
        " ".join(("frame-ancestors 'self'", *frame_ancestors)),
    ]
    return "; ".join(directives if leaves_by_form else [*directives, "form-action 'self'"])


def _support(services: SmartAppServices) -> dict[str, str]:
    """By what somebody finds this request again in the log."""
    return {
        "reference": request_reference(),
        "time": f"{services.clock().astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }


def refusal_page(services: SmartAppServices, refusal: ExplainedRefusal) -> Response:
    """The page that explains why something ended. "Try again" loads the same address, where that repeats nothing."""
    explanation = EXPLANATIONS[refusal.reason].in_words()
    can_retry = explanation.can_retry and request.method == "GET" and request.endpoint not in _ONCE_ONLY
    facts = {
        **refusal.facts,
        "reason": refusal.reason.value,
    }
    wait_s = refusal.retry_after_s if can_retry else None
    response = page(
        services,
        "smart/refusal.html",
        status=explanation.status,
        explanation=explanation,
        advice=texts.gettext(RELAUNCH) if explanation.can_retry and not can_retry else explanation.advice,
        can_retry=can_retry,
        wait_s=wait_s,
        facts=facts,
        more=refusal.more,
        anew=refusal.anew,
    )
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


def explained(error: UpstreamError, **facts: str) -> ExplainedRefusal:
    """A failure of an outside server as a page of its own."""
    if isinstance(error, UpstreamRefused) and error.status is None:
        return ExplainedRefusal(Reason.EHR_SERVER_REFUSED, facts={**facts, "origin": error.server})
    if "smart-configuration" in error.server:
        return ExplainedRefusal(Reason.NO_CONFIGURATION, facts={**facts, "address tried": error.server})
    if error.retryable:
        return ExplainedRefusal(
            Reason.EHR_UNAVAILABLE, facts={**facts, "server": error.server}, retry_after_s=error.retry_after_s
        )
    more = {"answer": f"HTTP {error.status}"} if error.status is not None else {}
    return ExplainedRefusal(Reason.TOKEN_UNREADABLE, facts={**facts, "server": error.server, "fault": error.detail, **more})
