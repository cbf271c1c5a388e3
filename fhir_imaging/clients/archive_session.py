"""Questions for JSON to one archive, whichever of its interfaces answers: its credential, its certificate, times and sizes.

Spec: RFC 9110 §15 (statuses), §10.2.3 (Retry-After); RFC 6750 §3 (a refused token is renewed once).
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from fhir_imaging.clients.archive_credentials import ArchiveCredential, credential_of
from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.retry_after import seconds_to_wait
from fhir_imaging.settings import PacsSettings, origin_of

MAX_BODY_BYTES = 64 * 1024 * 1024
ANSWER_TIMES = 10
"""A whole answer may take so many times of ``read_timeout_s``, which is how long the archive may be silent."""
_GONE = frozenset({404, 410})
# 202: still fetching from its own store; 500: archives say it of a full disk and of a busy database as well.
_LATER = frozenset({202, 408, 429, 500, 502, 503, 504})

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAnswer:
    """What an archive answered: parsed JSON; ``content`` is None for an answer without content (204)."""

    content: Any
    status: int
    headers: Mapping[str, str]


class ArchiveSession:
    """One archive at one or more of its own addresses. Thread-safe.

    ``credential`` is the one that the settings name, unless another is given; ``close`` closes it in either case.
    """

    def __init__(
        self,
        settings: PacsSettings,
        *,
        roots: Sequence[str] = (),
        credential: ArchiveCredential | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """``roots`` are further addresses of the same archive, opened by the same credential."""
        addresses = (settings.dicomweb_root, *roots)
        authority = settings.certificate_authority
        self.name = settings.name
        self.max_connections = settings.max_connections
        self._credential = credential or credential_of(settings)
        self._headers = dict(settings.headers)
        self._times = (settings.connect_timeout_s, settings.read_timeout_s)
        self._max_body_bytes = max_body_bytes
        # How many connections an archive takes is the site's decision; further questions wait.
        self._places = threading.BoundedSemaphore(settings.max_connections)
        self._session = OutboundSession(
            addresses,
            timeout_s=settings.read_timeout_s,
            pool=settings.max_connections,
            authorities={origin_of(one): authority for one in addresses if one.startswith("https:")} if authority else None,
        )

    def ask(self, address: str, query: Query = (), *, accept: str) -> ArchiveAnswer | None:
        """The answer to a GET; None when nothing is there (404, 410).

        UpstreamError for anything else that is no JSON; ``retryable`` says whether the same question may be answered later.
        """
        with self._places, self._answered(address, query, accept) as response:
            if response.status_code in _GONE:
                return None
            _raise_for_status(response)
            content = None if response.status_code == 204 else _parsed(self._body(response), response)
            return ArchiveAnswer(content=content, status=response.status_code, headers=response.headers)

    def fetch(self, address: str, *, accept: str) -> tuple[bytes, str] | None:
        """The bytes of a GET's answer and their Content-Type; None when nothing is there. UpstreamError as ``ask``."""
        with self._places, self._answered(address, (), accept) as response:
            if response.status_code in _GONE:
                return None
            _raise_for_status(response)
            return self._body(response), response.headers.get("Content-Type", "")

    def close(self) -> None:
        """Closes all connections."""
        self._session.close()
        self._credential.close()

    def _answered(self, address: str, query: Query, accept: str) -> requests.Response:
        credential = self._credential.headers()
        response = self._sent(address, query, {**self._headers, "Accept": accept, **credential})
        if response.status_code != 401:
            return response
        fresh = self._credential.renewed(credential)
        if fresh is None:
            return response
        response.close()
        return self._sent(address, query, {**self._headers, "Accept": accept, **fresh})

    def _sent(self, address: str, query: Query, headers: Mapping[str, str]) -> requests.Response:
        try:
            return self._get(address, query, headers)
        except (UpstreamTimeout, UpstreamRefused):
            raise
        except UpstreamError:  # a kept connection that the archive has closed meanwhile fails like this
            return self._get(address, query, headers)

    def _get(self, address: str, query: Query, headers: Mapping[str, str]) -> requests.Response:
        answer_s = self._times[1] * ANSWER_TIMES
        return self._session.request(
            "GET", address, params=list(query), headers=headers, timeout=self._times, answer_s=answer_s, stream=True
        )

    def _body(self, response: requests.Response) -> bytes:
        status = response.status_code
        body = whole_body(response, at_most=self._max_body_bytes, of="The archive", status=status)
        if body is None:
            raise UpstreamError("The archive's answer is too large.", server=origin_of(response.url), status=status)
        return body


def _raise_for_status(response: requests.Response) -> None:
    status, server = response.status_code, origin_of(response.url)
    if status in (200, 204, 206):
        return
    if status in _LATER:
        wait = seconds_to_wait(response.headers)
        raise UpstreamError(
            f"The archive is not ready (HTTP {status}).", server=server, status=status, retryable=True, retry_after_s=wait
        )
    if 300 <= status < 500:
        raise UpstreamRefused(f"The archive refused the question (HTTP {status}).", server=server, status=status)
    raise UpstreamError(f"The archive cannot answer (HTTP {status}).", server=server, status=status)


def _parsed(body: bytes, response: requests.Response) -> Any:
    try:
        return json.loads(body, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        server = origin_of(response.url)
        raise UpstreamError("The archive did not answer in JSON.", server=server, status=response.status_code) from exc


def _finite(written: str) -> float | None:
    """Nothing for a number too large: one odd number hides neither the others nor the study, and is written nowhere."""
    number = float(written)
    return number if math.isfinite(number) else None
