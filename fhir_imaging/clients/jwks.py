"""Public keys of token issuers, by JWKS: cached, refetched once for an unknown key id, never emptied by an outage.

Spec: RFC 7517, RFC 8725 §3.1; SMART App Launch 2.2 (public launchers issue tokens without ``kid``: then every key that serves
the algorithm is tried); SMART Imaging Access group 5.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header

from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError

MAX_JWKS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class JwksPolicy:
    """How long keys count. ``outage_ttl_s`` bounds how long old keys are trusted while their server does not answer.

    ``fresh_s`` is the longest that a removed key counts; a shorter ``Cache-Control`` of the server is kept, down to the
    cool-down. ``retry_s`` spares a server that does not answer, and everybody who waits for it.
    """

    fresh_s: float = 300.0
    outage_ttl_s: float = 3600.0
    refetch_cooldown_s: float = 10.0
    retry_s: float = 2.0


class PublishedKey(jwt.PyJWK):
    """A public key with the one algorithm that its publisher gave it, if it gave one (RFC 8725 §3.1)."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.stated_algorithm = entry.get("alg")
        super().__init__(entry, algorithm=self.stated_algorithm or _default_algorithm(entry))

    def serves(self, algorithm: str) -> bool:
        """Whether signatures of this algorithm may be checked with this key; a curve has one algorithm only."""
        if self.key_type == "EC" or self.stated_algorithm:
            return self.algorithm_name == algorithm
        return algorithm.startswith(("RS", "PS"))


@dataclass(frozen=True, slots=True)
class _Held:
    """The keys as fetched at ``at`` (by ``monotonic``), to be used without asking for ``fresh_s``."""

    keys: tuple[PublishedKey, ...] = ()
    at: float = float("-inf")
    fresh_s: float = 0.0


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
        self._fetching = threading.Lock()
        self._held = _Held()
        self._tried_at = float("-inf")
        self._failure: UpstreamError | None = None

    def candidates(self, kid: str | None, algorithm: str) -> tuple[PublishedKey, ...]:
        """Keys that may have signed: the one named by ``kid``, or all that serve the algorithm where no ``kid`` came.

        A ``kid`` that two keys share names none. UpstreamError when no keys can be had: callers fail closed.
        """
        held = self._current()
        found = _matching(held.keys, kid, algorithm)
        if found:
            return found
        # Rotated, perhaps: whoever comes while the keys are fetched waits for them instead of being refused.
        return _matching(self._fetched(seen=held.at, pause_s=self._policy.refetch_cooldown_s).keys, kid, algorithm)

    def _current(self) -> _Held:
        held = self._held
        age = self._monotonic() - held.at
        if age < held.fresh_s:
            return held
        if age >= self._policy.outage_ttl_s:
            return self._fetched(seen=held.at, pause_s=self._policy.retry_s)
        if self._fetching.locked():
            return held  # somebody is asking already, and what we hold still counts
        try:
            return self._fetched(seen=held.at, pause_s=self._policy.refetch_cooldown_s)
        except UpstreamError:
            return held

    def _fetched(self, *, seen: float, pause_s: float) -> _Held:
        """What is fetched once for all that saw the same old keys; within ``pause_s`` of a try, what that try brought."""
        with self._fetching:
            if self._held.at > seen:
                return self._held
            if self._monotonic() - self._tried_at < pause_s:
                if self._failure is not None:
                    raise self._failure.with_traceback(None)
                return self._held
            self._tried_at = self._monotonic()
            try:
                self._held = self._ask()
            except UpstreamError as failure:
                self._failure = failure
                raise
            self._failure = None
            return self._held

    def _ask(self) -> _Held:
        answer = read_document(self._session, self.url, accept="application/json", max_bytes=MAX_JWKS_BYTES)
        if answer.body is None:
            raise UpstreamError("The key server did not give its keys.", server=self.url, status=answer.status)
        keys = read_jwks(_json(answer.body, self.url))
        return _Held(keys, self._monotonic(), self._fresh_s(answer.headers.get("Cache-Control")))

    def _fresh_s(self, cache_control: str | None) -> float:
        """The policy's time, or the server's where that is shorter; never so short that each token costs a question."""
        stated = parse_cache_control_header(cache_control, cls=ResponseCacheControl)
        if stated.no_store or stated.no_cache:
            return self._policy.refetch_cooldown_s
        allowed = self._policy.fresh_s if stated.max_age is None else min(stated.max_age, self._policy.fresh_s)
        return max(allowed, self._policy.refetch_cooldown_s)


def read_jwks(document: Mapping[str, Any]) -> tuple[PublishedKey, ...]:
    """The usable public signing keys of a JWKS; odd entries are left out, symmetric and private keys always."""
    entries = document.get("keys")
    read = (_published(entry) for entry in (entries if isinstance(entries, list) else []) if isinstance(entry, dict))
    return tuple(key for key in read if key is not None)


def _published(entry: Mapping[str, Any]) -> PublishedKey | None:
    """The public half of an entry that is there for signatures; None for every other."""
    if entry.get("kty") not in ("RSA", "EC") or entry.get("use", "sig") != "sig" or not _may_verify(entry.get("key_ops")):
        return None
    stated = entry.get("alg") or _default_algorithm(entry)
    fits = stated == _default_algorithm(entry) if entry["kty"] == "EC" else str(stated).startswith(("RS", "PS"))
    if not fits:
        return None
    public = {name: value for name, value in entry.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
    try:
        return PublishedKey(public)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _may_verify(operations: object) -> bool:
    """RFC 7517 §4.3: a key for signatures, or one that does not say. A private key published by mistake says "sign"."""
    return operations is None or (isinstance(operations, list) and ("verify" in operations or "sign" in operations))


def _default_algorithm(entry: Mapping[str, Any]) -> str:
    return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(str(entry.get("crv")), "RS256")


def _matching(keys: tuple[PublishedKey, ...], kid: str | None, algorithm: str) -> tuple[PublishedKey, ...]:
    if kid is None:
        return tuple(key for key in keys if key.serves(algorithm))
    named = tuple(key for key in keys if key.key_id == kid)
    return named if len(named) == 1 and named[0].serves(algorithm) else ()


def _json(content: bytes, server: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise UpstreamError("The key server's answer is not JSON.", server=server) from exc
    if not isinstance(document, dict):
        raise UpstreamError("The key server's answer is not a key set.", server=server)
    return document
