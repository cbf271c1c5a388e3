"""The one table from an error's class to what an HTTP caller is told: status, FHIR issue code and problem type.

Spec: FHIR R4 OperationOutcome (issue-type), RFC 9457 (problem+json), RFC 6750 (WWW-Authenticate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_imaging import errors


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told: HTTP status, a short title and the FHIR issue code."""

    status: int
    title: str
    issue_code: str


_TABLE: tuple[tuple[type[errors.ImagingError], Problem], ...] = (
    (errors.TooLarge, Problem(413, "Request too large", "too-long")),
    (errors.InvalidRequest, Problem(400, "Request not understood", "invalid")),
    (errors.NotAuthenticated, Problem(401, "Not signed in", "login")),
    (errors.NotPermitted, Problem(403, "Not permitted", "forbidden")),
    (errors.NotFound, Problem(404, "Not found", "not-found")),
    (errors.TooManyRequests, Problem(429, "Too many requests", "throttled")),
    (errors.Busy, Problem(503, "Too much under way", "throttled")),
    (errors.NotSupported, Problem(405, "Not supported", "not-supported")),
    (errors.PrefetchUnavailable, Problem(412, "Required data unavailable", "processing")),
    (errors.UpstreamTimeout, Problem(504, "An outside server did not answer in time", "timeout")),
    (errors.UpstreamError, Problem(502, "An outside server failed", "transient")),
    (errors.ConfigurationError, Problem(500, "The server is not configured correctly", "exception")),
    (errors.ImagingError, Problem(500, "Something went wrong", "exception")),
)


def problem_of(error: errors.ImagingError) -> Problem:
    """The entry of the table for this error; an upstream that is only busy (503) stays 503, so that clients wait and retry."""
    if isinstance(error, errors.NotSupported):
        return Problem(error.status, "Not supported", "not-supported")
    if isinstance(error, errors.UpstreamError) and error.retryable and not isinstance(error, errors.UpstreamTimeout):
        return Problem(503, "An outside server is not ready", "transient")
    return next(problem for kind, problem in _TABLE if isinstance(error, kind))


def operation_outcome(issue_code: str, diagnostics: str, *, severity: str = "error") -> dict[str, Any]:
    """A FHIR R4 OperationOutcome with one issue."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": issue_code, "diagnostics": diagnostics}],
    }


def problem_json(problem: Problem, code: str, detail: str, reference: str) -> dict[str, Any]:
    """An RFC 9457 problem document; ``reference`` is the number that the server's log has too."""
    return {
        "type": f"urn:imaging-cds:problem:{code}",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": f"urn:imaging-cds:request:{reference}",
    }
