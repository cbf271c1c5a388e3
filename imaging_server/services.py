"""Everything the imaging server works with, made once for each process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from fhir_imaging.audit import AuditLog
from fhir_imaging.clients.archive_credentials import credential_of
from fhir_imaging.clients.backend_client import BackendServices, SignAssertion
from fhir_imaging.clients.breaker import Breaker, Watch
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.ehr_servers import origins_of
from fhir_imaging.settings import EhrSettings, PacsSettings
from fhir_imaging.store.engine import Store
from imaging_server.answers import AnswerLimits
from imaging_server.archive_answers import TAKES
from imaging_server.auditing import AccessAudit
from imaging_server.decisions import Counterparts, build_decisions
from imaging_server.door import Door
from imaging_server.fhir_services import FhirParts, FhirServices, build_fhir_services, fed_servers
from imaging_server.gate import Gate
from imaging_server.guarded_session import GuardedSession
from imaging_server.handover import AccessesOnly, Handover
from imaging_server.open_downloads import OpenDownloads
from imaging_server.passes import FramePasses
from imaging_server.payloads import GatewayAddresses
from imaging_server.rate_limit import RequestLimits
from imaging_server.settings import ImagingServerSettings, check_settings
from imaging_server.upstream import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingServerServices:
    """What the views need. Holds connections: make it after the fork, ``close`` it at the end."""

    settings: ImagingServerSettings
    ehrs: Mapping[str, EhrSettings]
    archives: Mapping[str, Archive]
    gate: Gate
    handed_gate: Gate
    """The same gate for the decisions that nginx keeps: it leaves the record of a refusal to the ordinary route."""
    handover: Handover
    audits: tuple[AccessAudit, ...]
    """Where both gates write what was let through and what was not."""
    downloads: OpenDownloads
    fhir: FhirServices
    session: OutboundSession
    """The way to the EHRs."""
    breakers: tuple[Breaker, ...] = ()
    """One before each server that this one asks."""

    @property
    def limits(self) -> AnswerLimits:
        """How much of an answer may be held in memory."""
        return AnswerLimits(small_body=self.settings.small_body_bytes, json_body=self.settings.max_json_bytes)

    def addresses(self, ehr: str, archive: Archive) -> GatewayAddresses:
        """The translation of an archive's addresses for callers of one EHR."""
        return GatewayAddresses(archive_root=archive.root, gateway_root=self.settings.dicomweb_root(ehr, archive.name))

    def watched_by(self, watch: Watch) -> None:
        """From now on ``watch`` is told of each question to another server."""
        for breaker in self.breakers:
            breaker.watch = watch

    def close(self) -> None:
        """Writes what was counted only, closes the connections to archives and EHRs, and lets the threads go that ask them."""
        for audit in self.audits:
            audit.close()
        self.fhir.close()
        self.session.close()
        for archive in self.archives.values():
            archive.close()


def build_services(
    settings: ImagingServerSettings,
    ehrs: tuple[EhrSettings, ...],
    archives: tuple[PacsSettings, ...],
    *,
    store: Store,
    sign_assertion: SignAssertion | None = None,
    clock: Callable[[], float] = time.time,
) -> ImagingServerServices:
    """The services of a configuration; ConfigurationError when it cannot work.

    ``sign_assertion`` signs for the imaging server's own client at EHRs that registered one (Backend Services).
    """
    check_settings(settings, ehrs, archives)
    public, settings = settings, settings.kept_here()

    def breaker(server: str) -> Breaker:
        return Breaker(server, settings.breaker)

    allowed = frozenset[str]().union(*map(origins_of, ehrs))
    session = GuardedSession(ehrs, allowed, breaker, timeout_s=settings.ehr_timeout_s)
    metadata = SmartMetadataClient(session)
    backend = BackendServices(session, metadata, sign_assertion) if sign_assertion else None
    asked = Counterparts(ehrs=ehrs, session=session, metadata=metadata, backend=backend)
    decisions = build_decisions(settings, store, asked, clock=clock)
    log, limits = AuditLog(store), RequestLimits(settings.rate_limit)

    def gate_with(audit: AccessAudit) -> Gate:
        door = Door(decisions.tokens, limits, audit)
        return Gate(
            door=door,
            sources=decisions.sources,
            audit=audit,
            passes=FramePasses(door, decisions.sources.contents, seconds=public.pass_s, clock=clock),
            leeway_s=settings.token_leeway_s,
            clock=clock,
        )

    audit = AccessAudit(log, window_s=settings.audit_window_s, clock=clock)
    accesses = AccessesOnly(log, window_s=settings.audit_window_s, clock=clock)
    gate = gate_with(audit)
    patient = {one.name: settings.breaker.with_answers_of(TAKES * one.read_timeout_s) for one in archives}
    guards = {name: Breaker(f"{name}-archive", one) for name, one in patient.items()}
    credentials = {archive.name: credential_of(archive, breaker) for archive in archives}
    fed = fed_servers(settings, ehrs, sign_assertion, breaker)
    parts = FhirParts(store=store, gate=gate, smart=metadata, numbers=decisions.numbers, servers=fed, clock=clock)
    return ImagingServerServices(
        settings=public,
        ehrs={ehr.name: ehr for ehr in ehrs},
        archives={
            archive.name: Archive(archive, credentials[archive.name], breaker=guards[archive.name]) for archive in archives
        },
        gate=gate,
        handed_gate=gate_with(accesses),
        handover=Handover.of(archives, credentials, store.sealer),
        audits=(audit, accesses),
        downloads=OpenDownloads(settings.rate_limit, archives, audit),
        fhir=build_fhir_services(settings, parts),
        session=session,
        breakers=(
            *(*session.breakers, *fed.breakers, *guards.values()),
            *chain.from_iterable(one.breakers for one in credentials.values()),
        ),
    )
