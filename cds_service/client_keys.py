"""Public keys of the CDS clients that may call: by JWKS URL, by a file exchanged out of band, or by an allowed ``jku``.

Spec: CDS Hooks 2.0 R37. A ``jku`` is fetched only below a configured prefix, whole path segments, and never redirected.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt

from cds_service.settings import TrustedCdsClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient, read_jwks
from fhir_imaging.errors import ConfigurationError

_MAX_JKU_PER_CLIENT = 16


class KeySource(Protocol):
    """Where public keys come from."""

    def candidates(self, kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """Keys that may have signed."""


class JwksFile:
    """A JWKS, or one bare JWK, in a file; read again when the file's time or size changes. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._current()

    def candidates(self, kid: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """The keys named ``kid``; a key in the file without a name fits every ``kid``, since somebody put it there by hand."""
        family = "RSA" if algorithm.startswith("RS") else "EC"
        usable = tuple(key for key in self._current() if key.key_type == family)
        named = tuple(key for key in usable if key.key_id is not None and key.key_id == kid)
        return named or tuple(key for key in usable if key.key_id is None)

    def _current(self) -> tuple[jwt.PyJWK, ...]:
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                if stamp != self._stamp:
                    self._keys, self._stamp = _read_file(self._path), stamp
            except OSError as exc:
                if self._stamp is None:
                    raise ConfigurationError([f"{self._path} cannot be read: {exc.strerror}."]) from exc
            return self._keys


class ClientKeys:
    """The keys of all trusted clients; one ``JwksClient`` per address and process."""

    def __init__(self, clients: Iterable[TrustedCdsClient], session: OutboundSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._files = {client.iss: JwksFile(client.jwks_file) for client in clients if client.jwks_file}
        self._by_url: dict[tuple[str, str], JwksClient] = {}

    def source(self, client: TrustedCdsClient, jku: str | None) -> KeySource | None:
        """Where this client's keys are, for a JWT whose header names ``jku``; None when that address is not trusted."""
        if jku is not None and jku != client.jwks_url and not any(_is_below(jku, prefix) for prefix in client.jku_prefixes):
            # A client with pinned keys may still name its public address; the pinned keys count and nothing is fetched.
            return self._files.get(client.iss)
        if client.iss in self._files:
            return self._files[client.iss]
        url = client.jwks_url or jku
        return self._client(client.iss, url) if url else None

    def _client(self, iss: str, url: str) -> JwksClient | None:
        with self._lock:
            known = self._by_url.get((iss, url))
            if known is None and sum(1 for owner, _ in self._by_url if owner == iss) < _MAX_JKU_PER_CLIENT:
                known = self._by_url[(iss, url)] = JwksClient(url, self._session)
            return known


def key_origins(clients: Iterable[TrustedCdsClient]) -> list[str]:
    """Every address from which keys may be fetched."""
    return [url for client in clients for url in (client.jwks_url, *client.jku_prefixes) if url]


def _is_below(url: str, prefix: str) -> bool:
    parts = urlsplit(url)
    plain = not parts.query and not parts.fragment and "%" not in parts.path and ".." not in parts.path.split("/")
    return plain and (url == prefix or url.startswith(prefix.rstrip("/") + "/"))


def _read_file(path: Path) -> tuple[jwt.PyJWK, ...]:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as exc:
        raise ConfigurationError([f"{path} is not JSON."]) from exc
    keys = read_jwks(_as_jwks(document))
    if not keys:
        raise ConfigurationError([f"{path} holds no public RSA or EC key."])
    return keys


def _as_jwks(document: object) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        return {}
    return document if "keys" in document else {"keys": [document]}
