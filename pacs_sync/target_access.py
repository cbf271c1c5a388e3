"""The way to the FHIR server that is written: its address alone, and our own access to it.

Spec: SMART App Launch 2.2 "Backend Services"; RFC 7617 (Basic); RFC 6750 §2.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from urllib3 import make_headers

from fhir_imaging.clients.backend_client import BackendServices, SignAssertion
from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.fhir import FHIR_JSON, FhirClient
from fhir_imaging.clients.fhir_writing import FhirWriter
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.retry_after import seconds_to_wait
from fhir_imaging.settings import EhrSettings, origin_of
from fhir_imaging.tolerant import as_dict
from pacs_sync.settings import SyncSettings

MAX_CAPABILITIES_BYTES = 32 * 1024 * 1024
"""HAPI's statement of a whole release has some megabytes."""
T = TypeVar("T")


class TargetAccess:
    """Thread-safe; ``close`` it at the end. ``sign`` makes the client assertions of Backend Services."""

    def __init__(self, settings: SyncSettings, sign: SignAssertion | None) -> None:
        target = settings.target
        addresses = [url for url in (target.fhir_base, target.backend_token_url) if url]
        authority = target.certificate_authority
        self._session = OutboundSession(
            addresses,
            timeout_s=target.timeout_s,
            pool=settings.pace.workers + 1,
            authorities={origin_of(url): authority for url in addresses} if authority else None,
        )
        # HAPI answers a search again as it did a minute ago: a study made since would be made twice, or never be found.
        self._session.headers["Cache-Control"] = "no-cache"
        if target.user is not None:
            login = make_headers(basic_auth=f"{target.user}:{target.password or ''}")
            self._session.headers.update({"Authorization": login["authorization"]})
        self.base_url = target.fhir_base.rstrip("/")
        self._fixed = target.bearer_token
        self._server = EhrSettings(
            name=f"sync-{settings.name}",
            fhir_base=self.base_url,
            backend_client_id=target.backend_client_id,
            backend_scopes=target.backend_scopes,
            backend_token_url=target.backend_token_url,
            certificate_authority=authority,
        )
        self._backend = None if sign is None else BackendServices(self._session, SmartMetadataClient(self._session), sign)

    def read(self, question: Callable[[FhirClient], T]) -> T:
        """What the server says; once more with a fresh token where it refuses the old one."""
        return self._with_token(lambda token: question(FhirClient(self.base_url, self._session, access_token=token)))

    def write(self, act: Callable[[FhirWriter], T]) -> T:
        """What it made of a write; a write that was refused for its token was not done, so it is sent again."""
        return self._with_token(lambda token: act(FhirWriter(self.base_url, self._session, access_token=token)))

    def capabilities(self) -> Mapping[str, Any]:
        """Its CapabilityStatement, which everybody may read. UpstreamError where there is none."""
        url = f"{self.base_url}/metadata"
        answer = read_document(self._session, url, accept=FHIR_JSON, max_bytes=MAX_CAPABILITIES_BYTES)
        if answer.status != 200:
            raise UpstreamError(
                "The FHIR server gave no CapabilityStatement.",
                server=origin_of(url),
                status=answer.status,
                retryable=answer.status in (429, 500, 502, 503, 504),
                retry_after_s=seconds_to_wait(answer.headers),
            )
        try:
            statement = as_dict(json.loads(answer.body or b""))
        except (ValueError, RecursionError):
            statement = {}
        if statement.get("resourceType") != "CapabilityStatement":
            raise UpstreamError("What the FHIR server has at /metadata is no CapabilityStatement.", server=origin_of(url))
        return statement

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _with_token(self, act: Callable[[str | None], T]) -> T:
        own = None if self._backend is None else self._backend.token_of(self._server)
        try:
            return act(self._fixed or own)
        except UpstreamRefused as refusal:
            if refusal.status != 401 or own is None or self._backend is None:
                raise
            fresh = self._backend.renewed(self._server, own)
            if fresh is None:
                raise
            return act(fresh)
