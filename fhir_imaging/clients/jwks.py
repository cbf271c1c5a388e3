"""Public keys of token issuers, by JWKS: cached, refetched once for an unknown key id, never emptied by an outage.

Spec: RFC 7517; SMART App Launch 2.2 (public launchers issue tokens without ``kid``: then every key of the type is tried).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError

MAX_JWKS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class JwksPolicy:
    """How long keys count. ``outage_ttl_s`` bounds how long old keys are trusted while their server does not answer."""

    fresh_s: float = 300.0
    outage_ttl_s: float = 3600.0
    refetch_cooldown_s: float = 10.0


class JwksClient:
    """The keys behind one JWKS URL. Thread-safe; holds no state that matters when a worker is lost."""

    def __init__(
        self,
        url: str,
        session: OutboundSession,
        *,
        policy: JwksPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._session = session
        self._policy = policy or JwksPolicy()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    def candidates(self, kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """Keys that may have signed: the one named by ``kid``, or all of the algorithm's key type where no ``kid`` came.

        A ``kid`` that two keys share names none. UpstreamError when no keys can be had: callers fail closed.
        """
        found = _matching(self._current(), kid, algorithm)
        if not found and self._may_refetch():
            found = _matching(self._fetch(seen=self._fetched_at), kid, algorithm)
        return found

    def _current(self) -> tuple[jwt.PyJWK, ...]:
        with self._lock:
            seen = self._fetched_at
            age = self._monotonic() - seen
            if age < self._policy.fresh_s:
                return self._keys
        try:
            return self._fetch(seen=seen)
        except UpstreamError:
            if age < self._policy.outage_ttl_s:
                return self._keys
            raise

    def _may_refetch(self) -> bool:
        return self._monotonic() - self._tried_at >= self._policy.refetch_cooldown_s

    def _fetch(self, *, seen: float) -> tuple[jwt.PyJWK, ...]:
        """Fetches once for all threads that saw the same old keys."""
        with self._lock:
            if self._fetched_at > seen:
                return self._keys
            self._tried_at = self._monotonic()
            response = self._session.get(self.url, headers={"Accept": "application/json"})
            if response.status_code != 200 or len(response.content) > MAX_JWKS_BYTES:
                raise UpstreamError("The key server did not give its keys.", server=self.url, status=response.status_code)
            self._keys = read_jwks(_json(response.content, self.url))
            self._fetched_at = self._monotonic()
            return self._keys


def read_jwks(document: Mapping[str, Any]) -> tuple[jwt.PyJWK, ...]:
    """The usable public signing keys of a JWKS; odd entries are left out, symmetric and private keys always."""
    keys: list[jwt.PyJWK] = []
    entries = document.get("keys")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC") or entry.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in entry.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
        try:
            keys.append(jwt.PyJWK(public, algorithm=entry.get("alg") or _default_algorithm(entry)))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return tuple(keys)


def _default_algorithm(entry: Mapping[str, Any]) -> str:
    return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(str(entry.get("crv")), "RS256")


def _matching(keys: tuple[jwt.PyJWK, ...], kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
    key_type = "RSA" if algorithm.startswith(("RS", "PS")) else "EC"
    of_type = tuple(key for key in keys if key.key_type == key_type)
    if kid is None:
        return of_type
    named = tuple(key for key in of_type if key.key_id == kid)
    return named if len(named) == 1 else ()


def _json(content: bytes, server: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as exc:
        raise UpstreamError("The key server's answer is not JSON.", server=server) from exc
    if not isinstance(document, dict):
        raise UpstreamError("The key server's answer is not a key set.", server=server)
    return document
