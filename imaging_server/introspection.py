"""Asking an EHR's authorization server whether a token is alive and what it allows.

Spec: RFC 7662; SMART App Launch 2.2 "Token introspection"; SMART Imaging Access A2, A3, F5, group 6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import requests

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from imaging_server.access import BearerToken

MAX_ANSWER_BYTES = 64 * 1024


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
                raise self._failure(f"answered {response.status_code}")
            return self._object(response)

    def _object(self, response: requests.Response) -> Mapping[str, Any]:
        body = bytearray()
        try:
            for chunk in response.iter_content(16 * 1024):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise self._failure("sent too much")
            answer = json.loads(bytes(body))
        except (requests.RequestException, ValueError, RecursionError) as exc:
            raise self._failure("sent no JSON") from exc
        if not isinstance(answer, dict) or "active" not in answer:
            raise self._failure("sent no introspection answer")
        return answer

    def _failure(self, what: str) -> UpstreamError:
        return UpstreamError("The authorization server could not check the token.", server=self.url, retryable=True, what=what)
