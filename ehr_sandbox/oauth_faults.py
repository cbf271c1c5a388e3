"""Refusals of the authorization server in the words of OAuth 2.0 (RFC 6749, sections 4.1.2.1 and 5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class OAuthFault(Exception):
    """An error answered as JSON by the token, introspection and revocation endpoints."""

    error: str
    description: str
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class RedirectFault(Exception):
    """An authorization request by a known client that is refused: the browser goes back to the client."""

    error: str
    description: str
    uri: str | None = None


@dataclass(eq=False)
class PageFault(Exception):
    """An authorization request that must not be redirected, because nobody knows whose it is."""

    description: str


def invalid_client(description: str) -> OAuthFault:
    """The client is unknown or did not prove who it is."""
    return OAuthFault("invalid_client", description, 401, {"WWW-Authenticate": 'Basic realm="sandbox EHR"'})


def invalid_grant(description: str) -> OAuthFault:
    """The code or refresh token is not good, or not this client's."""
    return OAuthFault("invalid_grant", description)


def unavailable(headers: Mapping[str, str]) -> OAuthFault:
    """The token endpoint is down for the moment; nothing was used up."""
    return OAuthFault("temporarily_unavailable", "the authorization server is overloaded", 503, headers)


def invalid_request(description: str) -> OAuthFault:
    """The request itself is malformed."""
    return OAuthFault("invalid_request", description)
