"""The audit trail of one installation, put together: which sinks, with which credentials, and how a record becomes an event."""

from __future__ import annotations

import time
from collections.abc import Callable

from fhir_imaging.audit import AuditRecord
from fhir_imaging.audit_delivery import AuditDelivery
from fhir_imaging.audit_file import FileSink
from fhir_imaging.audit_settings import AuditSettings, OnFailure
from fhir_imaging.audit_sinks import FhirSink, Sink
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.archive_credentials import ArchiveCredential, ClientCredentials, credential_of
from fhir_imaging.clients.archive_token_requests import TokenRequest, backend_services_request
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.fhir_mapping.audit_event import AuditedServer, audit_event
from fhir_imaging.settings import PacsSettings, origin_of
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store
from imaging_cds.settings import ApplicationSettings

FHIR_TIMEOUT_S = 5.0


def open_store(settings: ApplicationSettings) -> Store:
    """The store whose audit records go to this installation's sinks too."""
    audit = settings.audit
    rules = OutboxRules(
        sinks=audit.sinks,
        max_pending=audit.max_pending,
        refuses_when_full=audit.on_failure is OnFailure.REFUSE,
        waits_for_disk=audit.wait_for_disk,
    )
    return Store.open(settings.state, rules)


def delivery_of(settings: ApplicationSettings, store: Store) -> AuditDelivery:
    """One worker's part of the delivery, not started yet."""
    return AuditDelivery(store, sinks_of(settings), event_maker(settings), keep_days=settings.audit.keep_days)


def event_maker(settings: ApplicationSettings) -> Callable[[AuditRecord, str | None], dict[str, object]]:
    """Makes the AuditEvent of a record, under an id where there is one."""
    servers = {
        ehr.name: AuditedServer(base_url=settings.imaging_server.base_of(ehr.name), fhir_base=ehr.fhir_base)
        for ehr in settings.ehr
    }

    def as_event(record: AuditRecord, key: str | None) -> dict[str, object]:
        # An EHR that is configured no more still has its records.
        base = settings.imaging_server.base_of(record.ehr)
        server = servers.get(record.ehr) or AuditedServer(base_url=base, fhir_base=f"{base}/fhir")
        return audit_event(record, server, event_id=key)

    return as_event


def sinks_of(settings: ApplicationSettings, *, monotonic: Callable[[], float] = time.monotonic) -> list[Sink]:
    """The sinks beside the database, the order in which each look offers them their events."""
    audit = settings.audit
    sinks: list[Sink] = []
    if audit.file is not None:
        sinks.append(FileSink(audit.file, fsync=audit.file_fsync))
    if audit.fhir_base is not None:
        session = _session(audit, audit.fhir_base)
        sinks.append(FhirSink(audit.fhir_base, session, create=audit.fhir_create, credential=_credential(settings, monotonic)))
    return sinks


def _session(audit: AuditSettings, url: str) -> OutboundSession:
    authority = audit.fhir_certificate_authority
    return OutboundSession(
        [url], timeout_s=FHIR_TIMEOUT_S, retries=0, pool=2, authorities={origin_of(url): authority} if authority else None
    )


def _credential(settings: ApplicationSettings, monotonic: Callable[[], float]) -> ArchiveCredential:
    audit = settings.audit
    # What archives in clouds want, a FHIR server there wants too.
    alike = PacsSettings(
        name="audit",
        dicomweb_root=audit.fhir_base or "",
        user=audit.fhir_user,
        password=audit.fhir_password,
        bearer_token=audit.fhir_bearer_token,
        token_url=audit.fhir_token_url,
        client_id=audit.fhir_client_id,
        client_secret=audit.fhir_client_secret,
        token_scope=audit.fhir_scope,
        certificate_authority=audit.fhir_certificate_authority,
        connect_timeout_s=FHIR_TIMEOUT_S,
    )
    if audit.fhir_token_url is None:
        return credential_of(alike)
    signed = None if audit.fhir_client_secret is not None else _signed_requests(settings, audit.fhir_token_url)
    return ClientCredentials(alike, audit.fhir_token_url, request=signed, monotonic=monotonic)


def _signed_requests(settings: ApplicationSettings, token_url: str) -> Callable[[], TokenRequest]:
    """SMART Backend Services at the audit server, with the client keys that this installation publishes."""
    keys = ClientKeys.of(settings.state.state_dir)
    algorithm = settings.smart_app.assertion_algorithm
    client_id, scope = settings.audit.fhir_client_id or "", settings.audit.fhir_scope

    def request() -> TokenRequest:
        assertion = keys.assertion(algorithm, client_id=client_id, audience=token_url, now=int(time.time()))
        return backend_services_request(scope, assertion)

    return request
