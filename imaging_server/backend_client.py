"""The imaging server's own access at an EHR, by SMART Backend Services: for questions that a caller's token may not ask.

Spec: SMART App Launch 2.2 "Backend Services" (client_credentials, private_key_jwt, tokens of at most 300 s); F11.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import EhrSettings
from imaging_server.decision_cache import DecisionCache

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ANSWER_BYTES = 64 * 1024
RENEW_BEFORE_S = 60
LIFETIME_S = 300
"""The longest life that Backend Services recommend, and what counts where the server states none."""

SignAssertion: TypeAlias = Callable[[EhrSettings, SmartMetadata, str], str]
"""A client assertion of ``ehr.backend_client_id`` for one token endpoint, signed with the installation's client keys."""


@dataclass(frozen=True, slots=True)
class _OwnToken:
    value: str = field(repr=False)
    lifetime_s: float


class BackendServices:
    """Gets and keeps one token for each EHR; many that want it ask once. Thread-safe."""

    def __init__(
        self,
        session: OutboundSession,
        metadata: SmartMetadataClient,
        sign: SignAssertion,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._metadata = metadata
        self._sign = sign
        self._tokens: DecisionCache[_OwnToken] = DecisionCache(monotonic=monotonic)

    def token_of(self, ehr: EhrSettings) -> str | None:
        """As ``BackendTokens.token_of``."""
        if ehr.backend_client_id is None:
            return None
        kept = self._tokens.get(
            (ehr.name,),
            lambda: self._ask(ehr),
            seconds=lambda token: token.lifetime_s - min(RENEW_BEFORE_S, token.lifetime_s / 2),
        )
        return kept.value

    def _ask(self, ehr: EhrSettings) -> _OwnToken:
        metadata = self._metadata.of(ehr.fhir_base)
        token_url = ehr.backend_token_url or metadata.token_endpoint
        form = {
            "grant_type": "client_credentials",
            "scope": ehr.backend_scopes,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": self._sign(ehr, metadata, token_url),
        }
        response = self._session.post(token_url, data=form, headers={"Accept": "application/json"}, stream=True)
        with response:
            if response.status_code != 200:
                raise _failure(token_url, f"answered {response.status_code}")
            return _read(_object(response, token_url), token_url)


def _read(answer: Mapping[str, Any], token_url: str) -> _OwnToken:
    value, kind, lifetime = answer.get("access_token"), answer.get("token_type"), answer.get("expires_in", LIFETIME_S)
    if not isinstance(value, str) or not value or not isinstance(kind, str) or kind.lower() != "bearer":
        raise _failure(token_url, "sent no bearer token")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 86_400:
        lifetime = LIFETIME_S
    return _OwnToken(value, float(lifetime))


def _object(response: requests.Response, token_url: str) -> Mapping[str, Any]:
    body = bytearray()
    try:
        for chunk in response.iter_content(16 * 1024):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise _failure(token_url, "sent too much")
        answer = json.loads(bytes(body))
    except (requests.RequestException, ValueError, RecursionError) as exc:
        raise _failure(token_url, "sent no JSON") from exc
    if not isinstance(answer, dict):
        raise _failure(token_url, "sent no token answer")
    return answer


def _failure(token_url: str, what: str) -> UpstreamError:
    return UpstreamError("The imaging server could not sign in at the EHR.", server=token_url, retryable=True, what=what)
