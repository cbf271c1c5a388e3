"""What the SMART app works with, made once per process by the composition root."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.engine import Store
from imaging_findings.site_policy import SitePolicy, product_policy
from smart_app.identity import IdentityVerifier
from smart_app.noted_tokens import NotedTokens
from smart_app.patient_match import IdentifierSystem
from smart_app.sessions import ActiveSessions, OpenedStudies, PendingLaunches, WindowTickets
from smart_app.settings import SmartAppSettings
from smart_app.token_origins import outbound_origins
from smart_app.tokens import AppRegistration, TokenClient
from smart_app.used_launches import UsedLaunches


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartAppServices:
    """Settings, state and clients of the SMART app."""

    settings: SmartAppSettings
    ehrs: tuple[EhrSettings, ...]
    store: Store
    outbound: OutboundSession
    metadata: SmartMetadataClient
    identity: IdentityVerifier
    keys: ClientKeys
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    policy: SitePolicy = field(default_factory=product_policy)
    """The rules in force at this site: those of the cards."""
    identifier_systems: Mapping[str, IdentifierSystem] = field(default_factory=dict)
    """By EHR name: the identifier system whose numbers the archives' studies carry, for comparing persons."""

    @classmethod
    def assemble(
        cls,
        settings: SmartAppSettings,
        ehrs: tuple[EhrSettings, ...],
        store: Store,
        *,
        state_dir: Path,
        clock: Callable[[], datetime] = utc_now,
        policy: SitePolicy | None = None,
    ) -> SmartAppServices:
        """The services with real clients that may reach the configured EHRs and nobody else; ``policy`` as of the cards."""
        outbound = OutboundSession(outbound_origins(ehrs, settings.origin), authorities=certificate_authorities(ehrs))
        return cls(
            settings=settings,
            ehrs=ehrs,
            store=store,
            outbound=outbound,
            metadata=SmartMetadataClient(outbound),
            identity=IdentityVerifier(outbound),
            keys=ClientKeys.of(state_dir),
            clock=clock,
            policy=policy or product_policy(),
        )

    def now(self) -> int:
        """UTC seconds."""
        return int(self.clock().timestamp())

    def ehr(self, name: str) -> EhrSettings | None:
        """The configured EHR of that name."""
        return next((ehr for ehr in self.ehrs if ehr.name == name), None)

    def token_client(self, ehr: EhrSettings, metadata: SmartMetadata) -> TokenClient:
        """The OAuth client for one EHR as it describes itself."""
        registration = AppRegistration(
            redirect_uri=self.settings.redirect_uri,
            keys=self.keys,
            assertion_algorithm=self.settings.assertion_algorithm,
            now=self.now,
        )
        return TokenClient(ehr, metadata, self.outbound, registration)

    @property
    def pending(self) -> PendingLaunches:
        """Launches between authorize and callback."""
        return PendingLaunches(self.store)

    @property
    def used_launches(self) -> UsedLaunches:
        """Launches that have become a session."""
        return UsedLaunches(self.store)

    @property
    def sessions(self) -> ActiveSessions:
        """Sessions that hold a token."""
        return ActiveSessions(self.store)

    @property
    def noted_tokens(self) -> NotedTokens:
        """Tokens that the imaging server knows from here alone."""
        return NotedTokens(self.store, self.ehrs)

    @property
    def opened(self) -> OpenedStudies:
        """Studies checked for a session."""
        return OpenedStudies(self.store)

    @property
    def tickets(self) -> WindowTickets:
        """Tickets for new windows."""
        return WindowTickets(self.store)
