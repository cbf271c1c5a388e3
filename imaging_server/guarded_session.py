"""The way to EHRs: an outbound session with a breaker before each FHIR server and each authorization server.

Spec: SMART Imaging Access F8 and group 6 (fail closed when the authorization server is down).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import requests

from fhir_imaging.clients.breaker import Breaker, Outcome
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.settings import EhrSettings, origin_of

OUTAGES = frozenset({502, 503, 504})
"""What an EHR answers when it is not there. 500 may be about one resource only, and a 4xx is an answer."""
MakeBreaker = Callable[[str], Breaker]


class GuardedSession(OutboundSession):
    """An ``OutboundSession`` to the given EHRs that leaves a server alone which does not answer. Thread-safe."""

    def __init__(
        self, ehrs: Iterable[EhrSettings], allowed: Iterable[str], make_breaker: MakeBreaker, *, timeout_s: float
    ) -> None:
        ehrs = tuple(ehrs)
        super().__init__(allowed, timeout_s=timeout_s, authorities=certificate_authorities(ehrs))
        self._fhir = {base.rstrip("/") + "/": make_breaker(name) for one in ehrs for name, base in _bases(one).items()}
        self._authorization: dict[str, Breaker] = {}
        for one in ehrs:
            breaker = make_breaker(f"{one.name}-authorization")
            for url in authorization_servers(one):
                self._authorization.setdefault(origin_of(url), breaker)

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self._fhir.values(), *self._authorization.values())))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As in requests; UpstreamError (503) at once while the server is left alone."""
        fhir, breaker = self._breakers(request.url or "")
        if breaker is None:
            return super().send(request, **kwargs)
        send = super().send
        return breaker.call(lambda: send(request, **kwargs), _outcome, about=_asked_about(request) if fhir else frozenset())

    def _breakers(self, url: str) -> tuple[bool, Breaker | None]:
        """Whether it is a FHIR server's, and the breaker."""
        plain = urlsplit(url)._replace(query="", fragment="").geturl() + "/"
        at_fhir = [base for base in self._fhir if plain.startswith(base)]
        if at_fhir:
            return True, self._fhir[max(at_fhir, key=len)]
        return False, self._authorization.get(origin_of(url))


def _bases(ehr: EhrSettings) -> dict[str, str]:
    own = {f"{ehr.name}-fhir": ehr.fhir_base}
    return own if ehr.imaging_base in (None, ehr.fhir_base) else {**own, f"{ehr.name}-imaging": ehr.imaging_base or ""}


def authorization_servers(ehr: EhrSettings) -> list[str]:
    """Where tokens are checked, most certain first; discovery may name others on the EHR's own origins."""
    named = (ehr.introspection_url, ehr.jwks_url, ehr.backend_token_url, ehr.fhir_base, *ehr.server_origins)
    return [url for url in named if url]


def _asked_about(request: requests.PreparedRequest) -> frozenset[str]:
    """What a read may take too long for: one patient with a long record. A digest, since it names patients."""
    if request.method != "GET":
        return frozenset()  # the address does not say what is asked
    return frozenset({hashlib.sha256(request.path_url.encode()).hexdigest()})


def _outcome(answer: requests.Response | Exception) -> Outcome:
    if isinstance(answer, requests.Response):
        return Outcome.OUTAGE if answer.status_code in OUTAGES else Outcome.ANSWERED
    if isinstance(answer, requests.ReadTimeout):
        return Outcome.UNANSWERED
    return Outcome.OUTAGE if isinstance(answer, requests.RequestException) else Outcome.UNKNOWN
