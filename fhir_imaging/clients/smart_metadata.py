"""What an EHR says of its SMART endpoints, cached for a short while.

Spec: SMART App Launch 2.2 "Conformance" (``.well-known/smart-configuration``), SMART Imaging Access D1, D2, D5.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict, dicts, text, texts

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
ENDPOINTS = ("authorization_endpoint", "token_endpoint")
"""Without these two nobody can sign in."""
MAX_METADATA_BYTES = 2 * 1024 * 1024


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


class SmartMetadataClient:
    """Reads and caches SMART configurations of configured EHRs. Thread-safe."""

    def __init__(
        self, session: OutboundSession, *, fresh_s: float = 300.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._fresh_s = fresh_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, SmartMetadata]] = {}

    def of(self, fhir_base: str) -> SmartMetadata:
        """The configuration of ``fhir_base``, which must be allow-listed already.

        Falls back to the CapabilityStatement's ``oauth-uris`` (SMART App Launch 2.2 A3: deprecated, legacy servers only).
        UpstreamError names the exact address tried when neither can be had.
        """
        with self._lock:
            cached = self._cache.get(fhir_base)
        if cached and self._monotonic() - cached[0] < self._fresh_s:
            return cached[1]
        metadata = self._fetch(fhir_base)
        with self._lock:
            self._cache[fhir_base] = (self._monotonic(), metadata)
        return metadata

    def _fetch(self, fhir_base: str) -> SmartMetadata:
        url = fhir_base.rstrip("/") + "/.well-known/smart-configuration"
        document = self._document(url)
        if document is None:
            document = self._from_capability_statement(fhir_base)
        metadata = read_smart_configuration(document or {}, fhir_base)
        if metadata is None:
            named = [name for name in ENDPOINTS if text((document or {}).get(name)) is not None]
            words = "No SMART configuration could be read at {url}."
            if len(named) == len(ENDPOINTS):
                words = "An endpoint of the SMART configuration at {url} is no http(s) address."
            raise UpstreamError(words.format(url=url), server=url)
        return metadata

    def _document(self, url: str) -> Mapping[str, Any] | None:
        response = self._session.get(url, headers={"Accept": "application/json"})
        if response.status_code != 200 or len(response.content) > MAX_METADATA_BYTES:
            return None
        try:
            document = response.json()
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
