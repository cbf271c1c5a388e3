"""What the CDS service works with, made once per process by the composition root."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from cds_service.client_auth import CallingClient, ClientAuthenticator
from cds_service.client_keys import ClientKeys, key_origins
from cds_service.feedback_store import FeedbackStore
from cds_service.gather import Budgets
from cds_service.settings import CdsSettings
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.settings import EhrSettings, find_ehr_by_iss
from fhir_imaging.store.engine import Store
from fhir_imaging.store.replay import ReplayMemory
from imaging_findings.site_policy import SitePolicy, product_policy


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


def clock_in(zone: tzinfo, clock: Callable[[], datetime] = utc_now) -> Callable[[], datetime]:
    """The same clock, showing the time of a zone: its day is "today" there."""
    return lambda: clock().astimezone(zone)


def random_uuid() -> str:
    """Card and suggestion ids."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsServices:
    """Settings, state and clients of the CDS service. ``clock`` gives aware time; its zone is that of "today"."""

    settings: CdsSettings
    ehrs: tuple[EhrSettings, ...]
    authenticator: ClientAuthenticator
    feedback: FeedbackStore
    outbound: OutboundSession
    clock: Callable[[], datetime] = utc_now
    new_uuid: Callable[[], str] = random_uuid
    policy: SitePolicy = field(default_factory=product_policy)
    """The rules in force at this site."""

    @classmethod
    def assemble(
        cls,
        settings: CdsSettings,
        ehrs: tuple[EhrSettings, ...],
        store: Store,
        *,
        clock: Callable[[], datetime] = utc_now,
        policy: SitePolicy | None = None,
    ) -> CdsServices:
        """The services with real clients that may reach the configured key and FHIR servers and nobody else.

        ``policy`` None = the product's own rules. ConfigurationError when a client's key file cannot be read.
        """
        fhir_servers = [server for client in settings.trusted_clients for server in client.fhir_servers]
        # A GET is not repeated: the budgets are shorter than any sensible wait.
        origins = [*fhir_servers, *(ehr.fhir_base for ehr in ehrs)]
        authorities = certificate_authorities(ehrs)
        outbound = OutboundSession(origins, retries=0, pool=32, authorities=authorities)
        key_servers = OutboundSession(key_origins(settings.trusted_clients), timeout_s=3.0, authorities=authorities)
        keys = ClientKeys(settings.trusted_clients, key_servers)
        now = _seconds_of(clock)
        return cls(
            settings=settings,
            ehrs=ehrs,
            authenticator=ClientAuthenticator(settings, keys, ReplayMemory(store), now),
            feedback=FeedbackStore(store, retention_days=settings.feedback_retention_days),
            outbound=outbound,
            clock=clock_in(settings.zone, clock),
            policy=policy or product_policy(),
        )

    def now(self) -> int:
        """UTC seconds."""
        return int(self.clock().timestamp())

    def allowed_fhir_servers(self, caller: CallingClient) -> tuple[str, ...]:
        """FHIR servers that this caller's requests may name; with authentication off, the configured EHRs' own."""
        return caller.client.fhir_servers if caller.client else tuple(ehr.fhir_base for ehr in self.ehrs)

    def ehr_name(self, fhir_server: str | None) -> str | None:
        """The configured EHR behind a request's ``fhirServer``."""
        if fhir_server is None:
            return None
        ehr = find_ehr_by_iss(self.ehrs, fhir_server) or find_ehr_by_iss(self.ehrs, fhir_server.rstrip("/"))
        return ehr.name if ehr else None

    @property
    def budgets(self) -> Budgets:
        """Times for gathering."""
        return Budgets(
            soft_ms=self.settings.soft_budget_ms, hard_ms=self.settings.hard_budget_ms, max_pages=self.settings.max_pages
        )


def _seconds_of(clock: Callable[[], datetime]) -> Callable[[], int]:
    return lambda: int(clock().timestamp())
