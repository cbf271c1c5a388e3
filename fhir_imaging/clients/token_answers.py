"""What a token endpoint answers to a client's own request: a bearer token and how long it lives.

Spec: RFC 6749 §5.1 (answer), §4.4 (client credentials); SMART App Launch 2.2 "Backend Services".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from fhir_imaging.clients.http import ran_out_of_time
from fhir_imaging.errors import UpstreamError
from fhir_imaging.retry_after import seconds_to_wait

MAX_ANSWER_BYTES = 64 * 1024
RENEW_BEFORE_S = 60
UNSTATED_LIFETIME_S = 300
"""The longest life that Backend Services recommend, and what counts where the server states none."""


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token of our own client; ``lifetime_s`` counts from when it was issued."""

    value: str = field(repr=False)
    lifetime_s: float

    @property
    def kept_s(self) -> float:
        """How long it may be used: until 60 s before its end, or half of a life that is shorter than two minutes."""
        return self.lifetime_s - min(RENEW_BEFORE_S, self.lifetime_s / 2)


class TokenRefused(UpstreamError):
    """The endpoint is there, and gave no token: asking again at once would change nothing."""

    def again(self) -> TokenRefused:
        """The same for another request."""
        return TokenRefused(
            self.detail,
            server=self.server,
            status=self.status,
            retryable=True,
            retry_after_s=self.retry_after_s,
            **self.context,
        )


def read_own_token(response: requests.Response, token_url: str, refusal: str) -> OwnToken:
    """The token in an answer that was asked for with ``stream=True``.

    UpstreamError (503, in the words of ``refusal``) for any other status, for what is no JSON, too much or no bearer token;
    TokenRefused unless the endpoint failed (5xx).
    """

    def failure(what: str, retry_after_s: int | None = None) -> UpstreamError:
        kind = UpstreamError if response.status_code >= 500 else TokenRefused
        return kind(refusal, server=token_url, retryable=True, retry_after_s=retry_after_s, what=what)

    with response:
        if response.status_code != 200:
            raise failure(f"answered {response.status_code}", seconds_to_wait(response.headers))
        answer = json_object(response, failure)
    value, kind, lifetime = answer.get("access_token"), answer.get("token_type"), answer.get("expires_in", UNSTATED_LIFETIME_S)
    if not isinstance(value, str) or not _is_sendable(value) or not isinstance(kind, str) or kind.lower() != "bearer":
        raise failure("sent no bearer token")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 86_400:
        lifetime = UNSTATED_LIFETIME_S
    return OwnToken(value, float(lifetime))


def _is_sendable(value: str) -> bool:
    """Whether the value can stand in a header: visible ASCII, not empty."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


def json_object(response: requests.Response, failure: Callable[[str], UpstreamError]) -> Mapping[str, Any]:
    """The JSON object in an answer that was asked for with ``stream=True``; ``failure`` makes the error for what is none."""
    body = bytearray()
    try:
        for chunk in response.iter_content(16 * 1024):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise failure("sent too much")
        answer = json.loads(bytes(body))
    except requests.RequestException as exc:
        raise failure("did not end its answer in time" if ran_out_of_time(exc) else "broke off its answer") from exc
    except (ValueError, RecursionError) as exc:
        raise failure("sent no JSON") from exc
    if not isinstance(answer, dict):
        raise failure("sent no JSON object")
    return answer
