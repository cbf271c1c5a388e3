"""Small documents that servers publish (configurations, keys): read whole, within a time and a size.

A server that drips its answer, or never ends it, must cost neither a thread for long nor memory without bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from fhir_imaging.clients.http import OutboundSession, ran_out_of_time
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.settings import origin_of


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answered. ``body`` is None where it is larger than was asked for, or the status is none of success."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


def read_document(session: OutboundSession, url: str, *, accept: str, max_bytes: int) -> Document:
    """The answer to a GET, its last byte within the session's time limit. UpstreamError when there is none."""
    with session.ask(url, headers={"Accept": accept}) as response:
        body = _bounded(response, max_bytes) if response.status_code == 200 else None
        return Document(response.status_code, response.headers, body)


def _bounded(response: requests.Response, max_bytes: int) -> bytes | None:
    server = origin_of(response.url)
    body = bytearray()
    try:
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > max_bytes:
                return None
    except (requests.RequestException, ValueError) as exc:  # urllib3 lets a chunk of negative size through
        if ran_out_of_time(exc):
            raise UpstreamTimeout("The server did not answer in time.", server=server, retryable=True) from exc
        raise UpstreamError("The server broke off its answer.", server=server, retryable=True) from exc
    return bytes(body)
