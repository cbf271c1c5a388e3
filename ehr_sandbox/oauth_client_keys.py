"""Public keys of `private_key_jwt` clients, from their registration or from their registered JWKS URL."""

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import jwt
import requests

from ehr_sandbox.oauth_faults import invalid_client
from ehr_sandbox.settings import RegisteredClient

FETCH_TIMEOUT_S = 5.0
MAX_JWKS_BYTES = 64 * 1024
DEFAULT_CACHE_S = 300
MAX_CACHE_S = 3600
REFETCH_COOLDOWN_S = 5.0
"""An unknown `kid` causes a new fetch, but not more often than this."""

_MAX_AGE = re.compile(r"max-age=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _CachedKeys:
    keys: list[dict[str, Any]]
    fetched_at: float
    fresh_until: float


class ClientKeys:
    """Fetches only registered URLs, follows no redirect, and honours the client's Cache-Control within bounds."""

    def __init__(self, *, refetch_cooldown_s: float = REFETCH_COOLDOWN_S) -> None:
        """Start with nothing cached."""
        self._refetch_cooldown_s = refetch_cooldown_s
        self._cache: dict[str, _CachedKeys] = {}
        self._lock = threading.Lock()

    def one_key(self, client: RegisteredClient, kid: object, key_type: str) -> Any:
        """The one public key of that `kid` and `kty`. Raises OAuthFault when there is none or more than one."""
        if not isinstance(kid, str):
            raise invalid_client("the assertion names no kid")
        found = _matching(self._keys(client, refetch=False), kid, key_type)
        if not found and client.jwks is None:
            found = _matching(self._keys(client, refetch=True), kid, key_type)
        if len(found) != 1:
            raise invalid_client(f"the client's JWKS holds {len(found)} keys of this kid and type; one is needed")
        try:
            return jwt.PyJWK.from_dict(found[0]).key
        except jwt.PyJWTError as error:
            raise invalid_client("the client's key cannot be used") from error

    def _keys(self, client: RegisteredClient, *, refetch: bool) -> list[dict[str, Any]]:
        if client.jwks is not None:
            return _keys_in(client.jwks)
        if client.jwks_url is None:
            raise invalid_client("the client registered no keys")
        now = time.monotonic()
        with self._lock:
            cached = self._cache.get(client.jwks_url)
            limit = None if cached is None else cached.fresh_until
            if cached is not None and refetch:
                limit = cached.fetched_at + self._refetch_cooldown_s
            if cached is not None and limit is not None and now < limit:
                return cached.keys
            fetched = _fetch(client.jwks_url, now)
            self._cache[client.jwks_url] = fetched
            return fetched.keys


def _fetch(url: str, now: float) -> _CachedKeys:
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(url, timeout=FETCH_TIMEOUT_S, allow_redirects=False, stream=True)
            with response:
                body = response.raw.read(MAX_JWKS_BYTES + 1, decode_content=True)
            if response.status_code != 200 or len(body) > MAX_JWKS_BYTES:
                raise invalid_client(f"the client's JWKS answered {response.status_code} or is too large")
            document = json.loads(body)
    except (requests.RequestException, ValueError) as error:
        raise invalid_client("the client's JWKS cannot be fetched") from error
    cache_control = response.headers.get("Cache-Control", "")
    match = _MAX_AGE.search(cache_control)
    age = min(int(match[1]), MAX_CACHE_S) if match else DEFAULT_CACHE_S
    if "no-store" in cache_control or "no-cache" in cache_control:
        age = 0
    return _CachedKeys(keys=_keys_in(document), fetched_at=now, fresh_until=now + age)


def _keys_in(document: Any) -> list[dict[str, Any]]:
    keys = document.get("keys") if isinstance(document, dict) else None
    return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []


def _matching(keys: list[dict[str, Any]], kid: str, key_type: str) -> list[dict[str, Any]]:
    return [key for key in keys if key.get("kid") == kid and key.get("kty") == key_type]
