"""How the gateway shows itself to an archive: a fixed credential, or a token that it gets for itself.

Nothing of a caller ever stands in it: callers' tokens end at the gate.

Spec: RFC 6750 §2.1; SMART Imaging Access group 20.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import requests
from urllib3 import make_headers
from urllib3.util.ssl_ import create_urllib3_context

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import PacsSettings, origin_of
from imaging_server.archive_token_requests import token_requests
from imaging_server.breaker import Breaker, BreakerSettings, Outcome
from imaging_server.decision_cache import DecisionCache
from imaging_server.token_answers import OwnToken, read_own_token

LEAST_AGE_TO_RENEW_S = 10.0
"""An archive that refuses a token younger than this refuses the client, not the token: asking again would change nothing."""
_REFUSAL = "The gateway could not sign in at the archive. Please try again."


class ArchiveCredential(Protocol):
    """The headers that open one archive. Thread-safe."""

    def headers(self) -> Mapping[str, str]:
        """For the next request; UpstreamError (503) when there is no token to be had."""

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Other headers, after the archive answered 401 to ``refused``; None when there are none worth trying."""

    def close(self) -> None:
        """Closes what was opened to get a token."""


@dataclass(frozen=True, slots=True)
class FixedCredential:
    """A user and password, a bearer token of the configuration, or nothing."""

    fixed: Mapping[str, str] = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        """Always the same."""
        return self.fixed

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Never: nobody else has another."""
        return None

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class _Issued:
    token: OwnToken
    at: float


class ClientCredentials:
    """One token of the gateway's own client for one archive, kept until 60 s before its end; many that want it ask once."""

    def __init__(self, settings: PacsSettings, token_url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._token_url = token_url
        self._request = token_requests(settings, token_url)
        self._session = OutboundSession(
            [token_url],
            timeout_s=settings.connect_timeout_s,
            pool=2,
            authorities={origin_of(token_url): settings.certificate_authority} if settings.certificate_authority else None,
        )
        self._monotonic = monotonic
        # Who waits for an endpoint that is down holds one of the worker's threads.
        self._breaker = Breaker(f"{settings.name}-token", BreakerSettings(), monotonic=monotonic)
        self._kept: DecisionCache[_Issued] = DecisionCache(monotonic=monotonic, max_entries=2)
        self._lock = threading.Lock()
        self._refused: str | None = None
        self._generation = 0

    def headers(self) -> Mapping[str, str]:
        """``Authorization`` with the token."""
        return {"Authorization": f"Bearer {self._issued().token.value}"}

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """``Authorization`` with a newer token than the refused one, asked for once however many requests were refused."""
        issued = self._issued()
        with self._lock:
            is_current = refused.get("Authorization") == f"Bearer {issued.token.value}"
            if is_current and self._monotonic() - issued.at < LEAST_AGE_TO_RENEW_S:
                return None
            if is_current and self._refused != issued.token.value:
                self._refused = issued.token.value
                self._generation += 1
        return self.headers()

    def close(self) -> None:
        """Closes the connections to the token endpoint."""
        self._session.close()

    def _issued(self) -> _Issued:
        # A refused token belongs to a generation that nobody asks for any more.
        return self._kept.get((str(self._generation),), self._ask, seconds=lambda issued: issued.token.kept_s)

    def _ask(self) -> _Issued:
        try:
            response = self._breaker.call(self._post, _outcome)
        except UpstreamError as outage:
            # Also a timeout is a reason to come back later: it is not the archive that was too slow.
            raise UpstreamError(
                _REFUSAL,
                server=self._token_url,
                retryable=True,
                retry_after_s=outage.retry_after_s,
                cause=outage.code,
            ) from outage
        return _Issued(read_own_token(response, self._token_url, _REFUSAL), self._monotonic())

    def _post(self) -> requests.Response:
        asked = self._request()
        return self._session.post(self._token_url, data=asked.form, headers=asked.headers, stream=True)


def _outcome(answer: requests.Response | Exception) -> Outcome:
    """A refusal is an answer: only a server that is not there is left alone."""
    is_there = isinstance(answer, requests.Response) and answer.status_code < 500
    return Outcome.ANSWERED if is_there else Outcome.OUTAGE


def credential_of(settings: PacsSettings) -> ArchiveCredential:
    """The credential that the settings of an archive name; the settings were checked before."""
    if settings.token_url:
        return ClientCredentials(settings, settings.token_url)
    if settings.bearer_token:
        return FixedCredential({"Authorization": f"Bearer {settings.bearer_token}"})
    if settings.user is not None:
        login = f"{settings.user}:{settings.password or ''}"
        return FixedCredential({name.title(): value for name, value in make_headers(basic_auth=login).items()})
    return FixedCredential({})


def trust_of(settings: PacsSettings) -> dict[str, ssl.SSLContext]:
    """How the archive's certificate is checked, where an authority of the site's own signs it beside the public ones."""
    if settings.certificate_authority is None or not settings.dicomweb_root.startswith("https:"):
        return {}
    context = create_urllib3_context()
    try:
        context.load_default_certs()
        context.load_verify_locations(cafile=settings.certificate_authority)
    except (OSError, ssl.SSLError) as exc:
        where = f"PACS {settings.name}: certificate_authority"
        raise ConfigurationError([f"{where}: {settings.certificate_authority} cannot be read as PEM certificates."]) from exc
    return {"ssl_context": context}
