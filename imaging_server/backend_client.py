"""The imaging server's own access at an EHR, by SMART Backend Services: for questions that a caller's token may not ask.

Spec: SMART App Launch 2.2 "Backend Services" (client_credentials, private_key_jwt, tokens of at most 300 s); F11.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.settings import EhrSettings
from imaging_server.decision_cache import DecisionCache
from imaging_server.token_answers import OwnToken, read_own_token

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

SignAssertion: TypeAlias = Callable[[EhrSettings, SmartMetadata, str], str]
"""A client assertion of ``ehr.backend_client_id`` for one token endpoint, signed with the installation's client keys."""


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
        self._tokens: DecisionCache[OwnToken] = DecisionCache(monotonic=monotonic)

    def token_of(self, ehr: EhrSettings) -> str | None:
        """As ``BackendTokens.token_of``."""
        if ehr.backend_client_id is None:
            return None
        kept = self._tokens.get(
            (ehr.name,),
            lambda: self._ask(ehr),
            seconds=lambda token: token.kept_s,
        )
        return kept.value

    def _ask(self, ehr: EhrSettings) -> OwnToken:
        metadata = self._metadata.of(ehr.fhir_base)
        token_url = ehr.backend_token_url or metadata.token_endpoint
        form = {
            "grant_type": "client_credentials",
            "scope": ehr.backend_scopes,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": self._sign(ehr, metadata, token_url),
        }
        response = self._session.post(token_url, data=form, headers={"Accept": "application/json"}, stream=True)
        return read_own_token(response, token_url, "The imaging server could not sign in at the EHR.")
