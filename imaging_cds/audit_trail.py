"""The audit trail of one installation, put together: which sinks, with which credentials, and how a record becomes an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fhir_imaging.audit import AuditRecord
from fhir_imaging.audit_delivery import AuditDelivery
from fhir_imaging.audit_settings import AuditSettings, OnFailure
from fhir_imaging.audit_sinks import FhirSink, FileSink, Sink
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.fhir_mapping.audit_event import AuditedServer, audit_event
from fhir_imaging.settings import PacsSettings, origin_of
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store
from imaging_cds.settings import ApplicationSettings
from imaging_server.archive_credentials import credential_of
from imaging_server.backend_client import JWT_BEARER
from imaging_server.decision_cache import DecisionCache
from imaging_server.token_answers import OwnToken, read_own_token
from smart_app.client_keys import ClientKeys

FHIR_TIMEOUT_S = 5.0
_SIGN_IN_FAILED = "The imaging server could not sign in at the audit server."


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


def sinks_of(settings: ApplicationSettings) -> list[Sink]:
    """The sinks beside the database, the order in which each look offers them their events."""
    audit = settings.audit
    sinks: list[Sink] = []
    if audit.file is not None:
        sinks.append(FileSink(audit.file, fsync=audit.file_fsync))
    if audit.fhir_base is not None:
        session = _session(audit, audit.fhir_base)
        sinks.append(FhirSink(audit.fhir_base, session, create=audit.fhir_create, headers=_credential(settings)))
    return sinks


def _session(audit: AuditSettings, url: str) -> OutboundSession:
    authority = audit.fhir_certificate_authority
    return OutboundSession(
        [url], timeout_s=FHIR_TIMEOUT_S, retries=0, pool=2, authorities={origin_of(url): authority} if authority else None
    )


def _credential(settings: ApplicationSettings) -> Callable[[], Mapping[str, str]]:
    audit = settings.audit
    if audit.fhir_token_url is not None and audit.fhir_client_secret is None:
        return _SignedClient(settings, audit.fhir_token_url).headers
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
    )
    return credential_of(alike).headers


class _SignedClient:
    """SMART Backend Services at the audit server, with the client keys that this installation publishes."""

    def __init__(self, settings: ApplicationSettings, token_url: str) -> None:
        self._audit = settings.audit
        self._algorithm = settings.smart_app.assertion_algorithm
        self._keys = ClientKeys.of(settings.state.state_dir)
        self._token_url = token_url
        self._session = _session(settings.audit, token_url)
        self._kept: DecisionCache[OwnToken] = DecisionCache(max_entries=2)

    def headers(self) -> Mapping[str, str]:
        """``Authorization`` with a token; UpstreamError when there is none to be had."""
        token = self._kept.get((self._token_url,), self._ask, seconds=lambda one: one.kept_s)
        return {"Authorization": f"Bearer {token.value}"}

    def _ask(self) -> OwnToken:
        client_id = self._audit.fhir_client_id or ""
        form = {
            "grant_type": "client_credentials",
            "scope": self._audit.fhir_scope,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": self._keys.assertion(
                self._algorithm, client_id=client_id, audience=self._token_url, now=int(time.time())
            ),
        }
        response = self._session.post(self._token_url, data=form, headers={"Accept": "application/json"}, stream=True)
        return read_own_token(response, self._token_url, _SIGN_IN_FAILED)
