"""Asking an EHR's authorization server whether a token is alive and what it allows.

Spec: RFC 7662; SMART App Launch 2.2 "Token introspection"; SMART Imaging Access A2, A3, F5, group 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.token_answers import json_object
from fhir_imaging.errors import UpstreamError
from fhir_imaging.retry_after import seconds_to_wait
from imaging_server.access import BearerToken


class IntrospectionClient:
    """One introspection endpoint with our own credential there."""

    def __init__(self, url: str, session: OutboundSession, *, client_id: str, client_secret: str) -> None:
        self.url = url
        self._session = session
        # RFC 6749 §2.3.1: both halves are form-encoded before they are joined for Basic.
        self._credential = (quote_plus(client_id), quote_plus(client_secret))

    def unverified_claims(self, token: BearerToken) -> Mapping[str, Any]:
        """What the server says of the token, still to be checked. UpstreamError when it says nothing usable."""
        response = self._session.post(
            self.url,
            data={"token": token.value, "token_type_hint": "access_token"},
            headers={"Accept": "application/json"},
            auth=self._credential,
            stream=True,
        )
        with response:
            if response.status_code != 200:
                raise self._failure(f"answered {response.status_code}", seconds_to_wait(response.headers))
            answer = json_object(response, self._failure)
        if "active" not in answer:
            raise self._failure("sent no introspection answer")
        return answer

    def _failure(self, what: str, retry_after_s: int | None = None) -> UpstreamError:
        return UpstreamError(
            "The authorization server could not check the token.",
            server=self.url,
            retryable=True,
            retry_after_s=retry_after_s,
            what=what,
        )
