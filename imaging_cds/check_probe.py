"""One question to an outside server and everything about its answer that a diagnosis needs, failures included."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.structures import CaseInsensitiveDict

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.settings import origin_of
from imaging_cds.check_tls import explain_tls, standing

MAX_BODY_BYTES = 8 * 1024 * 1024
TIMEOUT_S = 10.0
_CAUSES = {
    "ConnectionError": "it could not be reached (name, port or firewall)",
    "ProxyError": "a proxy stood in the way",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said; ``failure`` in words where it said nothing, with its ``remedy`` where the failure tells one."""

    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    body: bytes = b""
    failure: str | None = None
    remedy: str = ""
    elapsed_ms: float = 0.0

    @property
    def is_json(self) -> bool:
        """Whether it calls itself JSON."""
        return "json" in self.headers.get("Content-Type", "").lower()

    def document(self) -> dict[str, Any] | None:
        """Its JSON object; None when it is none."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, dict) else None

    def skew_s(self, now: datetime) -> float | None:
        """How far the server's clock is ahead of ours, by its Date header; None where it sent none."""
        try:
            stated = parsedate_to_datetime(self.headers.get("Date", ""))
        except ValueError:
            return None
        return ((stated if stated.tzinfo else stated.replace(tzinfo=UTC)) - now).total_seconds()

    @property
    def said(self) -> str:
        """The outcome in a few words."""
        astray = ", which leads on to an address that cannot be read" if self.is_redirect and self.onward is None else ""
        return self.failure or f"HTTP {self.status}{astray}"

    @property
    def is_redirect(self) -> bool:
        """Whether it names another address in place of an answer."""
        return self.status in (301, 302, 303, 307, 308) and bool(self.headers.get("Location"))

    @property
    def onward(self) -> str | None:
        """Where a redirect leads, absolute; None where there is none, or it names no http(s) address."""
        try:
            onward = urljoin(self.url, self.headers["Location"]) if self.is_redirect else None
            return onward if onward and origin_of(onward) else None
        except ValueError:
            return None


class Prober:
    """Asks servers as a browser page of ``app_origin`` or this application would; follows no redirect, repeats nothing.

    ``authorities`` are files with the EHR's own certificate authorities, by the origin where each counts.
    """

    def __init__(
        self, app_origin: str, *, clock: Callable[[], datetime], authorities: Mapping[str, Path] | None = None
    ) -> None:
        self.app_origin = app_origin
        self.clock = clock
        self._authorities = dict(authorities or {})

    def get(self, url: str, params: Sequence[tuple[str, str]] = (), *, token: str | None = None, accept: str) -> Answer:
        """A GET with ``Origin``, so that the CORS answer shows. The caller decides whether the token may go there."""
        headers = {"Accept": accept, "Origin": self.app_origin}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self._ask("GET", url, params, headers)

    def page(self, url: str, params: Sequence[tuple[str, str]] = ()) -> Answer:
        """A page as a browser goes there by a link or a redirect."""
        return self._ask("GET", url, params, {"Accept": "text/html,application/xhtml+xml"})

    def preflight(self, url: str) -> Answer:
        """What a browser asks before our viewer's page may send the token there."""
        headers = {
            "Origin": self.app_origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        return self._ask("OPTIONS", url, (), headers)

    def _ask(self, method: str, url: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        begun = time.perf_counter()
        try:
            origin_of(url)
        except ValueError:
            return Answer(url=url, failure="it is no http(s) address")
        known = {origin: path for origin, path in self._authorities.items() if origin == origin_of(url)}
        try:
            with OutboundSession([url], timeout_s=TIMEOUT_S, retries=0, authorities=known) as session:
                response = session.request(method, url, params=list(params), headers=dict(headers), stream=True)
                return _read(url, response, begun)
        except UpstreamTimeout:
            return Answer(url=url, failure=f"it did not answer within {TIMEOUT_S:.0f} seconds")
        except UpstreamRefused:
            return Answer(url=url, failure="its address holds a user's name, so it is not asked")
        except UpstreamError as error:
            return self._unreached(url, error)

    def _unreached(self, url: str, error: UpstreamError) -> Answer:
        cause = str(error.context.get("cause", ""))
        if cause == "SSLError":
            tls = explain_tls(error, url, standing(self._authorities, url))
            return Answer(url=url, failure=tls.what, remedy=tls.remedy)
        return Answer(url=url, failure=_CAUSES.get(cause, "it could not be reached"))


def _read(url: str, response: requests.Response, begun: float) -> Answer:
    body = bytearray()
    with response:
        try:
            for chunk in response.iter_content(64 * 1024):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return Answer(url=url, failure=f"its answer is larger than {MAX_BODY_BYTES // 1024 // 1024} MB")
        except requests.RequestException:
            return Answer(url=url, failure="it broke off its answer")
    elapsed_ms = (time.perf_counter() - begun) * 1000
    return Answer(url=url, status=response.status_code, headers=response.headers, body=bytes(body), elapsed_ms=elapsed_ms)
