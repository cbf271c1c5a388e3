"""What the server says of a request that it cannot read, or that the application could not answer at all.

gunicorn repeats the caller's words in its log and in its page: a query with a patient's name, a header with a token. Here both
say which kind of fault it was, and the number under which the log has it.

Spec: RFC 9110 §15; SMART Imaging Access P7, group 34.
"""

from __future__ import annotations

import ssl
from http.client import responses

from gunicorn.http import errors

from fhir_imaging.web import OF_EVERY_ANSWER

_REFUSED: tuple[tuple[type[Exception], int], ...] = (
    (errors.InvalidResponseHeader, 500),
    (errors.InvalidResponseHeaderName, 500),
    (errors.ConfigurationProblem, 500),
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.UnsupportedTransferCoding, 501),
    (errors.ExpectationFailed, 417),
    (errors.ForbiddenProxyRequest, 403),
    (ssl.SSLError, 403),
    (errors.ParseException, 400),
)


def status_of(fault: BaseException) -> int:
    """400 and the like for what a caller wrote, 500 for all else."""
    return next((status for kind, status in _REFUSED if isinstance(fault, kind)), 500)


def answer_of(status: int, reference: str) -> bytes:
    """The whole answer, after which the connection ends."""
    words = "Something went wrong on our side." if status == 500 else "The request cannot be read."
    body = f"{words} (reference {reference})\n".encode("ascii")
    lines = (
        f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *(f"{name}: {value}" for name, value in OF_EVERY_ANSWER),
        f"X-Request-Id: {reference}",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii") + body
