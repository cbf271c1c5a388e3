"""What an EHR says of its SMART endpoints: asked once for all that want it, and kept, longer while it is in trouble.

Spec: SMART App Launch 2.2 "Conformance" (``.well-known/smart-configuration``), SMART Imaging Access D1, D2, D5.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

from fhir_imaging.clients.deadlines import without
from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.retry_after import seconds_to_wait
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict, dicts, text, texts

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
ENDPOINTS = ("authorization_endpoint", "token_endpoint")
"""Without these two nobody can sign in."""
MAX_METADATA_BYTES = 2 * 1024 * 1024
_IN_TROUBLE = frozenset({408, 425, 429, 500})
"""And whatever is above 501: such an answer says nothing of what the server has."""


@dataclass(frozen=True, slots=True)
class AssociatedEndpoint:
    """A further FHIR base that shares this EHR's authorization (experimental in SMART 2.2)."""

    url: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartMetadata:
    """The SMART configuration of one FHIR base.

    The addresses of endpoints and keys are absolute http(s) addresses, absent and odd ones None; ``issuer`` and the URLs of
    ``associated_endpoints`` stand as stated, since they are compared (the latter without a final slash).
    """

    authorization_endpoint: str
    token_endpoint: str
    issuer: str | None = None
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    states_issuer: bool = False
    """Whether every answer of the authorization endpoint carries ``iss`` (RFC 9207); one without it is then forged."""
    token_auth_methods: tuple[str, ...] = ()
    token_signing_algorithms: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    associated_endpoints: tuple[AssociatedEndpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataPolicy:
    """How long a configuration counts.

    ``outage_ttl_s`` bounds how long an old one is used while its server has none to give; ``retry_s`` spares that server, and
    everybody who waits for it. What only a CapabilityStatement said names no keys, so it is asked about sooner again.
    """

    fresh_s: float = 300.0
    fallback_fresh_s: float = 30.0
    outage_ttl_s: float = 3600.0
    retry_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A configuration as read at ``at``, to be used without asking until ``until`` (both by ``monotonic``)."""

    metadata: SmartMetadata
    at: float
    until: float
    is_fallback: bool


class SmartMetadataClient:
    """Reads and caches SMART configurations of configured EHRs. Thread-safe."""

    def __init__(
        self,
        session: OutboundSession,
        *,
        policy: MetadataPolicy | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._policy = policy or MetadataPolicy()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._flights: dict[str, Future[SmartMetadata]] = {}

    def of(self, fhir_base: str) -> SmartMetadata:
        """The configuration of ``fhir_base``, which must be allow-listed already.

        Falls back to the CapabilityStatement's ``oauth-uris`` (SMART App Launch 2.2 A3: deprecated, legacy servers only) where
        the EHR says that it has no configuration, never because it is in trouble. UpstreamError names the exact address tried
        when neither can be had, and is ``retryable`` when the EHR is down or too busy to say.
        """
        with self._lock:
            held, now = self._held.get(fhir_base), self._monotonic()
            if held is not None and now < held.until:
                return held.metadata
            flight = self._flights.get(fhir_base)
            if flight is None:
                mine = self._flights[fhir_base] = Future()
        if flight is None:
            return self._fly(fhir_base, held, mine)
        if held is not None and self._still_counts(held):
            return held.metadata  # somebody is asking already
        return flight.result()

    def known(self, fhir_base: str) -> SmartMetadata | None:
        """What ``of`` would say without asking or waiting for anybody; None where it would have to."""
        with self._lock:
            held = self._held.get(fhir_base)
            is_asked = fhir_base in self._flights
        if held is None:
            return None
        counts = self._monotonic() < held.until or (is_asked and self._still_counts(held))
        return held.metadata if counts else None

    def forget(self) -> None:
        """Asks every EHR anew."""
        with self._lock:
            self._held.clear()

    def _fly(self, fhir_base: str, held: _Held | None, flight: Future[SmartMetadata]) -> SmartMetadata:
        """What this one question brings to all who wait for it."""
        try:
            with without():  # also those wait for it who have more time
                found = self._renewed(fhir_base, held)
        except BaseException as exc:
            self._land(fhir_base, None)
            flight.set_exception(exc)
            raise
        self._land(fhir_base, found)
        flight.set_result(found.metadata)
        return found.metadata

    def _land(self, fhir_base: str, found: _Held | None) -> None:
        with self._lock:
            del self._flights[fhir_base]
            if found is not None:
                self._held[fhir_base] = found

    def _renewed(self, fhir_base: str, held: _Held | None) -> _Held:
        """What the EHR says now, or for a while what it said last: one that loses its configuration is being repaired."""
        try:
            metadata, is_fallback = self._fetch(fhir_base)
        except UpstreamError:
            if held is None or not self._still_counts(held):
                raise
            return self._longer(held)
        if is_fallback and held is not None and not held.is_fallback and self._still_counts(held):
            return self._longer(held)
        at = self._monotonic()
        return _Held(metadata, at, at + (self._policy.fallback_fresh_s if is_fallback else self._policy.fresh_s), is_fallback)

    def _still_counts(self, held: _Held) -> bool:
        return self._monotonic() - held.at < self._policy.outage_ttl_s

    def _longer(self, held: _Held) -> _Held:
        return replace(held, until=self._monotonic() + self._policy.retry_s)

    def _fetch(self, fhir_base: str) -> tuple[SmartMetadata, bool]:
        """The configuration, and whether only the CapabilityStatement said it."""
        url = fhir_base.rstrip("/") + "/.well-known/smart-configuration"
        document = self._document(url)
        is_fallback = document is None
        if document is None:
            document = self._from_capability_statement(fhir_base)
        metadata = read_smart_configuration(document or {}, fhir_base)
        if metadata is None:
            named = [name for name in ENDPOINTS if text((document or {}).get(name)) is not None]
            words = "No SMART configuration could be read at {url}."
            if len(named) == len(ENDPOINTS):
                words = "An endpoint of the SMART configuration at {url} is no http(s) address."
            raise UpstreamError(words.format(url=url), server=url)
        return metadata, is_fallback

    def _document(self, url: str) -> Mapping[str, Any] | None:
        """The document; None when there is none there. UpstreamError (``retryable``) when that cannot be told just now."""
        answer = read_document(self._session, url, accept="application/json", max_bytes=MAX_METADATA_BYTES)
        if answer.status in _IN_TROUBLE or answer.status > 501:
            raise UpstreamError(
                "The EHR could not give its SMART configuration just now.",
                server=origin_of(url),
                status=answer.status,
                retryable=True,
                retry_after_s=seconds_to_wait(answer.headers),
            )
        try:
            document = json.loads(answer.body or b"")
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def _from_capability_statement(self, fhir_base: str) -> Mapping[str, Any] | None:
        statement = self._document(fhir_base.rstrip("/") + "/metadata?_format=json")
        uris: dict[str, str] = {}
        for rest in dicts((statement or {}).get("rest")):
            for extension in dicts(as_dict(rest.get("security")).get("extension")):
                if extension.get("url") == OAUTH_URIS:
                    uris |= {str(one.get("url")): str(one.get("valueUri")) for one in dicts(extension.get("extension"))}
        if "authorize" not in uris or "token" not in uris:
            return None
        return {"authorization_endpoint": uris["authorize"], "token_endpoint": uris["token"]}


def web_address(stated: object, fhir_base: str) -> str | None:
    """An address of a configuration, absolute; None where none is stated, or one that is no http(s) address."""
    value = text(stated)
    if value is None:
        return None
    try:
        address = urljoin(fhir_base.rstrip("/") + "/", value)
        origin_of(address)
    except ValueError:
        return None
    return address


def read_smart_configuration(document: Mapping[str, Any], fhir_base: str) -> SmartMetadata | None:
    """The configuration in a document; None without authorize and token endpoints. Relative URLs are resolved (A2)."""

    def url(name: str) -> str | None:
        return web_address(document.get(name), fhir_base)

    authorize, token = (url(name) for name in ENDPOINTS)
    if authorize is None or token is None:
        return None
    return SmartMetadata(
        authorization_endpoint=authorize,
        token_endpoint=token,
        issuer=text(document.get("issuer")),
        jwks_uri=url("jwks_uri"),
        introspection_endpoint=url("introspection_endpoint"),
        revocation_endpoint=url("revocation_endpoint"),
        states_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        token_auth_methods=texts(document.get("token_endpoint_auth_methods_supported")),
        token_signing_algorithms=texts(document.get("token_endpoint_auth_signing_alg_values_supported")),
        capabilities=texts(document.get("capabilities")),
        associated_endpoints=tuple(
            AssociatedEndpoint(str(one["url"]).rstrip("/"), texts(one.get("capabilities")))
            for one in dicts(document.get("associated_endpoints"))
            if isinstance(one.get("url"), str)
        ),
    )
