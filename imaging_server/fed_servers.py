"""The way to FHIR servers that ``pacs_sync`` feeds: each with our own access, behind a breaker of its own.

Spec: SMART App Launch 2.2 "Backend Services"; SMART Imaging Access C3 (a caller's token never goes there).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from fhir_imaging.clients.backend_client import BackendServices, SignAssertion
from fhir_imaging.clients.breaker import Breaker
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.errors import ConfigurationError, UpstreamRefused
from fhir_imaging.settings import EhrSettings, StudiesServerSettings, SubjectBy, is_web_address
from imaging_server.guarded_session import GuardedSession

T = TypeVar("T")
BY_NUMBER = frozenset({SubjectBy.IDENTIFIER, SubjectBy.PATIENT_IDENTIFIER})
"""Ways that need to know the patient's numbers."""


class FedServers:
    """Thread-safe; ``close`` it at the end. ``make_breaker`` makes one by the name of a server.

    ``timeout_s`` is how long a server may be silent, ``answer_s`` the longest that one page of its answer may take.
    """

    def __init__(
        self,
        ehrs: Iterable[EhrSettings],
        sign: SignAssertion | None,
        make_breaker: Callable[[str], Breaker],
        *,
        timeout_s: float,
        answer_s: float,
    ) -> None:
        self._answer_s = answer_s
        # A server that is fed has what an EHR has: a FHIR base, and perhaps a place to sign in.
        self._servers = {ehr.name: _as_ehr(ehr, ehr.studies_server) for ehr in ehrs if ehr.studies_server is not None}
        addresses = {url for one in self._servers.values() for url in (one.fhir_base, one.backend_token_url) if url}
        self._session = GuardedSession(self._servers.values(), addresses, make_breaker, timeout_s=timeout_s)
        metadata = SmartMetadataClient(self._session)
        self._backend = None if sign is None else BackendServices(self._session, metadata, sign)

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """One before each server."""
        return self._session.breakers

    def ask(self, ehr: EhrSettings, question: Callable[[FhirClient], T]) -> T:
        """What the EHR's server says, in our own name; once more with a fresh token where it refuses the old one."""
        server = self._servers[ehr.name]
        fixed = None if ehr.studies_server is None else ehr.studies_server.bearer_token
        own = None if self._backend is None else self._backend.token_of(server)
        token = fixed or own
        try:
            return question(self._client(server, token))
        except UpstreamRefused as refusal:
            if refusal.status != 401 or own is None or self._backend is None:
                raise
            fresh = self._backend.renewed(server, own)
            if fresh is None:
                raise
            return question(self._client(server, fresh))

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _client(self, server: EhrSettings, token: str | None) -> FhirClient:
        return FhirClient(server.fhir_base, self._session, access_token=token, answer_s=self._answer_s)


def check_fed_servers(ehrs: Iterable[EhrSettings], public_base_url: str, numbered: Collection[str] = ()) -> None:
    """ConfigurationError that lists what cannot work in the settings of such servers.

    ``numbered`` are the EHRs whose patients' numbers the site has named.
    """
    problems = []
    for ehr in ehrs:
        server, where = ehr.studies_server, f"EHR {ehr.name}: studies_server"
        if server is None:
            continue
        if not is_web_address(server.fhir_base):
            problems.append(f"{where}.fhir_base must be an http(s) address.")
        elif f"{server.fhir_base.rstrip('/')}/".startswith(f"{public_base_url.rstrip('/')}/imaging/"):
            problems.append(f"{where}.fhir_base is this imaging server itself.")
        if not server.subjects:
            problems.append(f"{where}.subjects must name at least one way.")
        elif ehr.name not in numbered and set(server.subjects) <= BY_NUMBER:
            problems.append(f"{where}.subjects goes by numbers alone: imaging_server.patient_identifiers must say whose.")
        if server.bearer_token and server.backend_client_id:
            problems.append(f"{where} has a fixed bearer_token and a backend_client_id: give one of them.")
    if problems:
        raise ConfigurationError(problems)


def _as_ehr(ehr: EhrSettings, server: StudiesServerSettings) -> EhrSettings:
    return EhrSettings(
        name=f"{ehr.name}-studies",
        fhir_base=server.fhir_base.rstrip("/"),
        backend_client_id=server.backend_client_id,
        backend_scopes=server.backend_scopes,
        backend_token_url=server.backend_token_url,
        certificate_authority=server.certificate_authority,
    )
