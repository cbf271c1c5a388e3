"""How the gateway shows itself to an archive: a fixed credential, or a token that it gets for itself.

Nothing of a caller ever stands in it: callers' tokens end at the gate.

Spec: RFC 6750 §2.1; SMART Imaging Access group 20.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import requests
from urllib3 import make_headers
from urllib3.util.ssl_ import create_urllib3_context

from fhir_imaging.clients.archive_token_requests import TokenRequest, token_requests
from fhir_imaging.clients.breaker import Breaker, BreakerSettings, Outcome
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.own_token import OwnTokenKeeper
from fhir_imaging.clients.token_answers import OwnToken, read_own_token
from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import PacsSettings, origin_of

_REFUSAL = "The gateway could not sign in at the archive. Please try again."


class ArchiveCredential(Protocol):
    """The headers that open one archive. Thread-safe."""

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """Before each server that is asked for a token."""

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

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """Nobody is asked."""
        return ()

    def headers(self) -> Mapping[str, str]:
        """Always the same."""
        return self.fixed

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Never: nobody else has another."""
        return None

    def close(self) -> None:
        """Nothing is open."""


class ClientCredentials:
    """One token of the gateway's own client for one archive, kept until 60 s before its end; many that want it ask once.

    ``request`` makes the requests for it, where they are not those that the settings describe; ``breaker`` guards the endpoint.
    """

    def __init__(
        self,
        settings: PacsSettings,
        token_url: str,
        *,
        request: Callable[[], TokenRequest] | None = None,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._request = request or token_requests(settings, token_url)
        self._session = OutboundSession(
            [token_url],
            timeout_s=settings.connect_timeout_s,
            pool=2,
            authorities={origin_of(token_url): settings.certificate_authority} if settings.certificate_authority else None,
        )
        # Who waits for an endpoint that is down holds one of the worker's threads.
        self._breaker = breaker or Breaker(token_server(settings), BreakerSettings(), monotonic=monotonic)
        self._keeper = OwnTokenKeeper(self._ask, monotonic=monotonic)

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """The one before the token endpoint."""
        return (self._breaker,)

    def headers(self) -> Mapping[str, str]:
        """``Authorization`` with the token."""
        return _bearer(self._keeper.current())

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """``Authorization`` with a newer token than the refused one, asked for once however many requests were refused."""
        fresh = self._keeper.renewed(refused.get("Authorization", "").removeprefix("Bearer "))
        return None if fresh is None else _bearer(fresh)

    def close(self) -> None:
        """Closes the connections to the token endpoint."""
        self._session.close()

    def _ask(self) -> OwnToken:
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
        return read_own_token(response, self._token_url, _REFUSAL)

    def _post(self) -> requests.Response:
        asked = self._request()
        return self._session.post(self._token_url, data=asked.form, headers=asked.headers, stream=True)


def token_server(settings: PacsSettings) -> str:
    """Under which name the archive's token endpoint stands among the servers that are asked."""
    return f"{settings.name}-token"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _outcome(answer: requests.Response | Exception) -> Outcome:
    """A refusal is an answer: only a server that is not there is left alone."""
    is_there = isinstance(answer, requests.Response) and answer.status_code < 500
    return Outcome.ANSWERED if is_there else Outcome.OUTAGE


def credential_of(settings: PacsSettings, make_breaker: Callable[[str], Breaker] | None = None) -> ArchiveCredential:
    """The credential that the settings of an archive name; the settings were checked before."""
    if settings.token_url:
        breaker = make_breaker(token_server(settings)) if make_breaker else None
        return ClientCredentials(settings, settings.token_url, breaker=breaker)
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
