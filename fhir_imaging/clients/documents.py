"""Small documents that servers publish (configurations, keys): read whole, within a time and a size.

A server that drips its answer, or never ends it, must cost neither a thread for long nor memory without bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.http import OutboundSession


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answered. ``body`` is None where it is larger than was asked for, or the status is none of success."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


def read_document(session: OutboundSession, url: str, *, accept: str, max_bytes: int) -> Document:
    """The answer to a GET, its last byte within the session's time limit. UpstreamError when there is none."""
    with session.ask(url, headers={"Accept": accept}) as response:
        body = whole_body(response, at_most=max_bytes, of="The server") if response.status_code == 200 else None
        return Document(response.status_code, response.headers, body)
