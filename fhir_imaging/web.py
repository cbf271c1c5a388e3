"""What every HTTP component shares: a request's reference number, errors in the shape that their caller expects, CORS, logs.

Errors: CDS and FHIR callers get an OperationOutcome, DICOMweb callers problem+json (RFC 9457), people an HTML page. All of them
carry the reference number that the log has, and none a stack trace.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, render_template, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException

from fhir_imaging import errors, texts
from fhir_imaging.in_front import REQUEST_STARTED
from fhir_imaging.problems import Problem, operation_outcome, problem_json, problem_of

log = logging.getLogger("imaging_cds.request")

LOG_FIELDS = "fields"
"""The attribute of a log record that holds what a structured line says."""
NO_ROUTE = "(no route)"
"""Stands in place of a route's template where no route was met."""
OF_EVERY_ANSWER = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))
_OBSERVERS = "request_observers"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
ERROR_PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
# Neither a number (a patient's, a UID) nor the beginning of a JWT: it stands in the log.
_REFERENCE = re.compile(r"(?=[0-9._-]*[A-Za-z])(?!eyJ)[A-Za-z0-9._-]{8,64}", re.ASCII)


class ErrorShape(StrEnum):
    """How a component's callers expect to be told of an error."""

    OPERATION_OUTCOME = "operation-outcome"
    PROBLEM_JSON = "problem-json"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class ErrorSurface:
    """URL paths below ``prefix`` answer errors in ``shape``; ``decorate`` adds the component's headers (CORS) to them."""

    prefix: str
    shape: ErrorShape
    decorate: Callable[[Response], Response] | None = None


def request_reference() -> str:
    """The number under which this request stands in the log: the caller's X-Request-Id when it is plain, else a fresh one."""
    known: str | None = g.get("request_reference")
    if known is None:
        known = g.request_reference = reference_of(request.headers.get("X-Request-Id", ""))
    return known


def reference_of(sent: str) -> str:
    """A request's number: the one that was sent with it when that is plain, else a fresh one."""
    return sent if _REFERENCE.fullmatch(sent) else secrets.token_hex(8)


def note_for_log(**names: str) -> None:
    """What the access line says of this request beside its route: names out of the configuration, never what a caller sent."""
    g.setdefault("log_names", {}).update(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSummary:
    """One request as the log and the metrics know it: no path, no query, nobody's name.

    ``route`` is the route's template and ``endpoint`` the application's name for it, ``reason`` the code of the error that was
    answered, ``names`` what ``note_for_log`` said.
    ``duration_s`` ends with the answer's headers: a long body is still to come.
    """

    reference: str
    method: str
    route: str
    status: int
    duration_s: float
    reason: str | None
    names: Mapping[str, str]
    endpoint: str | None = None

    @property
    def fields(self) -> dict[str, object]:
        """For a line of structured log."""
        return {
            "request_id": self.reference,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "duration_ms": round(self.duration_s * 1000, 1),
            **self.names,
            **({"reason": self.reason} if self.reason else {}),
        }

    @property
    def line(self) -> str:
        """For a log that people read. The route's template, not the path: session ids and queries stay out of it."""
        names = "".join([f" {name}={value}" for name, value in self.names.items()])
        reason = f" reason={self.reason}" if self.reason else ""
        return f"{self.reference} {self.method} {self.route} {self.status} {self.duration_s * 1000:.1f}ms{names}{reason}"


def summary_of(response: Response) -> RequestSummary:
    """The present request with its answer."""
    now, method, rule = time.perf_counter(), request.method, request.url_rule
    return RequestSummary(
        reference=request_reference(),
        # A method is the caller's text too; routes know these.
        method=method if method in _METHODS else "other",
        route=rule.rule if rule else NO_ROUTE,
        status=response.status_code,
        duration_s=now - g.get("request_started", now),
        reason=g.get("error_code"),
        names=g.get("log_names", {}),
        endpoint=request.endpoint,
    )


def observe(app: Flask, observer: Callable[[RequestSummary], None]) -> None:
    """From now on ``observer`` is told of each request that the application answers."""
    app.extensions.setdefault(_OBSERVERS, []).append(observer)


def tell(app: Flask, one: RequestSummary) -> None:
    """Tells all observers of a request. Whatever answers in front of the application tells of it here too."""
    for observer in app.extensions.get(_OBSERVERS, ()):
        observer(one)


def install(
    app: Flask, surfaces: Collection[ErrorSurface], *, write_line: Callable[[RequestSummary], None] | None = None
) -> None:
    """Registers the one error handler and the access log. The longest matching prefix decides the shape; HTML otherwise.

    ``write_line`` writes the line of each request; None = the logger ``imaging_cds.request``.
    """
    app.ensure_sync = _as_it_is  # type: ignore[method-assign]
    texts.install(app.jinja_env)
    # A component that speaks another language says so in a handler of its own, which comes after this one.
    app.before_request(partial(texts.speak, texts.SOURCE_LANGUAGE, texts.catalogue(texts.SOURCE_LANGUAGE, Path())))
    ordered = sorted(surfaces, key=lambda surface: len(surface.prefix), reverse=True)

    def surface_of(path: str) -> ErrorSurface:
        fallback = ErrorSurface("/", ErrorShape.HTML)
        return next((s for s in ordered if path == s.prefix or path.startswith(s.prefix.rstrip("/") + "/")), fallback)

    def answer(error: errors.ImagingError) -> Response:
        surface = surface_of(request.path)
        response = _shaped(error, surface.shape)
        return surface.decorate(response) if surface.decorate else response

    @app.errorhandler(errors.ImagingError)
    def _explained(error: errors.ImagingError) -> Response:
        g.error_code = error.code
        level = logging.ERROR if problem_of(error).status >= 500 else logging.INFO
        log.log(level, "%s %s %s", request_reference(), error.code, _plain(error.context))
        return answer(error)

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        explained = _of_http(error)
        g.error_code = explained.code
        return answer(explained)

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        # The message may hold anything, so only its kind and place are logged; the trace goes to the log at DEBUG.
        g.error_code = "unexpected"
        log.error("%s unexpected %s", request_reference(), type(error).__name__)
        log.debug("%s", request_reference(), exc_info=error)
        return answer(
            errors.ImagingError("Something went wrong on our side. Please try again; if it persists, report the number.")
        )

    _install_access_log(app, write_line or _log_line)


def _as_it_is(func: Callable[..., Any]) -> Callable[..., Any]:
    """No view here is a coroutine; Flask asks each function that a request passes, each time, whether it is one."""
    return func


def allow_cors(
    response: Response, *, allowed_origins: Collection[str], methods: str, headers: str, expose: str = ""
) -> Response:
    """CORS for the listed browser origins ("*" = any, and then without credentials). Harmless for other callers.

    A page on a public https origin that calls this machine also asks by ``Access-Control-Request-Private-Network``.
    """
    origin = request.headers.get("Origin")
    response.vary.add("Origin")
    if origin is None or not may_read(origin, allowed_origins):
        return response
    response.headers["Access-Control-Allow-Origin"] = origin
    if expose:
        response.headers["Access-Control-Expose-Headers"] = expose
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Allow-Headers"] = headers
        response.headers["Access-Control-Max-Age"] = "600"
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


def may_read(origin: str, allowed_origins: Collection[str]) -> bool:
    """Whether a page of this origin may read answers. "null" stands for every page that hides where it is from."""
    return origin != "null" and ("*" in allowed_origins or origin in allowed_origins)


def _shaped(error: errors.ImagingError, shape: ErrorShape) -> Response:
    problem = problem_of(error)
    reference = request_reference()
    if shape is ErrorShape.HTML and request_ctx.url_adapter is None:
        # A Host that cannot be one: there are no addresses that a page could name.
        response = Response(f"{problem.title}. {error.detail} (reference {reference})\n", problem.status, mimetype="text/plain")
    elif shape is ErrorShape.HTML:
        page = render_template("error.html", title=problem.title, detail=error.detail, reference=reference)
        response = Response(page, problem.status, mimetype="text/html")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"
        )
    elif shape is ErrorShape.PROBLEM_JSON:
        body = problem_json(problem, error.code, error.detail, reference)
        response = Response(json.dumps(body), problem.status, mimetype="application/problem+json")
    else:
        outcome = operation_outcome(problem.issue_code, f"{error.detail} (reference {reference})")
        response = Response(json.dumps(outcome), problem.status, mimetype="application/fhir+json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Request-Id"] = reference
    _add_headers_of(error, problem, response)
    return response


def _add_headers_of(error: errors.ImagingError, problem: Problem, response: Response) -> None:
    if isinstance(error, errors.NotAuthenticated):
        challenge = f'Bearer error="{error.challenge}"' if error.challenge else "Bearer"
        response.headers["WWW-Authenticate"] = challenge
    if isinstance(error, errors.TooManyRequests | errors.Busy):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.UpstreamError) and problem.status == 503:
        response.headers["Retry-After"] = str(error.retry_after_s or 5)


def _of_http(error: HTTPException) -> errors.ImagingError:
    """Flask's and Werkzeug's own refusals in our words: their descriptions may echo what the caller sent."""
    status = error.code or 500
    if status == 404:
        return errors.NotFound("There is nothing at this address.")
    if status == 413:
        return errors.TooLarge("The request's body is too large.")
    if status in (405, 406, 415, 501):
        said = {405: "method", 406: "media type asked for", 415: "media type sent", 501: "interaction"}[status]
        return errors.NotSupported(f"The {said} is not offered at this address.", status=status)
    if status == 408:
        return errors.InvalidRequest("The rest of the request did not come.")
    if 400 <= status < 500:
        return errors.InvalidRequest("The request cannot be understood.")
    return errors.ImagingError("Something went wrong on our side.")


def _install_access_log(app: Flask, write_line: Callable[[RequestSummary], None]) -> None:
    observe(app, write_line)

    @app.before_request
    def _start() -> None:
        g.request_started = request.environ.get(REQUEST_STARTED) or time.perf_counter()
        request_reference()

    @app.after_request
    def _finish(response: Response) -> Response:
        one = summary_of(response)
        tell(app, one)
        _add_missing(response, ("X-Request-Id", one.reference), *OF_EVERY_ANSWER)
        return response


def _log_line(one: RequestSummary) -> None:
    if log.isEnabledFor(logging.INFO):
        log.info("%s", one.line, extra={LOG_FIELDS: one.fields})


def _add_missing(response: Response, *headers: tuple[str, str]) -> None:
    """Looked up in one go: Werkzeug raises and catches an error for each header that is not there."""
    present = {name.lower() for name, _ in response.headers}
    for name, value in headers:
        if name.lower() not in present:
            response.headers.add(name, value)


def _plain(context: dict[str, object]) -> str:
    """Context for one log line: no line breaks, no control characters, bounded."""
    joined = " ".join(f"{name}={value}" for name, value in sorted(context.items()))
    return "".join(mark if mark.isprintable() else "?" for mark in joined)[:500]
