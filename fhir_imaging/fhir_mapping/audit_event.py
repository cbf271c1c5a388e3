"""An audit record as a FHIR R4 AuditEvent by IHE BALP.

A successful access claims the BALP profile (PatientRead or PatientQuery), whose definition fixes success; a refusal is an event
of its own without a profile, outcome 4 (refused) or 8 (could not be decided), with the reason.

Spec: IHE ITI BALP (``IHE.BasicAudit.PatientRead``, ``IHE.BasicAudit.PatientQuery``); FHIR R4 AuditEvent;
SMART Imaging Access P7, P8, group 35.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fhirclient.models.auditevent import AuditEvent

from fhir_imaging.audit import TOKEN_DIGEST_PREFIX, AuditAction, AuditOutcome, AuditRecord
from fhir_imaging.uids import DICOM_UID_SYSTEM, to_urn

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
DESTINATION_ROLE, SOURCE_ROLE = "110152", "110153"
UNDECIDED_REASONS = frozenset({"authorization-unavailable"})
"""Reasons that are the fault of a server and not a refusal: outcome 8, serious failure."""

_DISPLAY = {DESTINATION_ROLE: "Destination Role ID", SOURCE_ROLE: "Source Role ID"}
_LESS_THAN_IMAGES = {
    AuditAction.STUDY_DESCRIBED: "description of the study, no images",
    AuditAction.STUDY_PREVIEWED: "preview picture",
}
"""What of a study was disclosed that nobody had opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedServer:
    """Who served: ``base_url`` of the imaging server, and the FHIR base of the EHR whose patient and users are meant."""

    base_url: str
    fhir_base: str
    name: str = "imaging-cds imaging server"


def audit_event(record: AuditRecord, server: AuditedServer) -> dict[str, Any]:
    """The AuditEvent of one record, valid R4; ``FHIRValidationError`` would be a mistake of this module."""
    is_search = record.action is AuditAction.SEARCHED
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        **({"meta": {"profile": [_profile(record)]}} if record.outcome is AuditOutcome.ALLOWED else {}),
        "type": _coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "Restful Operation"),
        "subtype": [_coding("http://hl7.org/fhir/restful-interaction", "search" if is_search else "read")],
        "action": "E" if is_search else "R",
        "recorded": datetime.fromtimestamp(record.recorded_at, UTC).isoformat().replace("+00:00", "Z"),
        "outcome": _outcome(record),
        **({"outcomeDesc": record.reason} if record.reason else {}),
        "agent": _agents(record, server),
        "source": {"observer": _reference(server.base_url, server.name)},
        "entity": _entities(record, server),
    }
    if not resource["entity"]:
        del resource["entity"]
    return dict(AuditEvent(resource).as_json())


def _profile(record: AuditRecord) -> str:
    name = "PatientQuery" if record.action is AuditAction.SEARCHED else "PatientRead"
    return f"{BALP}/IHE.BasicAudit.{name}"


def _outcome(record: AuditRecord) -> str:
    if record.outcome is AuditOutcome.ALLOWED:
        return "0"
    return "8" if record.reason in UNDECIDED_REASONS else "4"


def _agents(record: AuditRecord, server: AuditedServer) -> list[dict[str, Any]]:
    """Client, server and user. In a read the client is where data goes; in a query it is where the question comes from."""
    client_role, server_role = DESTINATION_ROLE, SOURCE_ROLE
    if record.action is AuditAction.SEARCHED:
        client_role, server_role = server_role, client_role
    client = {
        "type": _role(client_role),
        "who": _identified(record.client_id, record.issuer) if record.client_id else {"display": "unknown client"},
        "requestor": record.user is None,
        "network": _network(record.client_address),
    }
    ours = {
        "type": _role(server_role),
        "who": _reference(server.base_url, server.name),
        "requestor": False,
        "network": {"address": server.base_url, "type": "5"},
    }
    return [client, ours, *([_user(record, record.user, server)] if record.user else [])]


def _user(record: AuditRecord, user: str, server: AuditedServer) -> dict[str, Any]:
    """The person at the viewer, with the token that spoke for them by its id, never by its text (P7)."""
    participation = _coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")
    is_reference = "/" in user
    absolute = user if "://" in user else f"{server.fhir_base.rstrip('/')}/{user}"
    who = {"reference": absolute} if is_reference else _identified(user, record.issuer)
    policy = {"policy": [_token_policy(record.token_reference)]} if record.token_reference else {}
    return {"type": {"coding": [participation]}, "who": who, "requestor": True, **policy}


def _token_policy(token_reference: str) -> str:
    if token_reference.startswith(TOKEN_DIGEST_PREFIX):
        return f"urn:imaging-cds:token-digest:{token_reference.removeprefix(TOKEN_DIGEST_PREFIX)}"
    return f"urn:ietf:params:oauth:jti:{quote(token_reference, safe='-._~:')}"


def _entities(record: AuditRecord, server: AuditedServer) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if record.patient_id:
        what = {"reference": f"{server.fhir_base.rstrip('/')}/Patient/{record.patient_id}", "type": "Patient"}
        entities.append({"what": what, **_entity_kind("1", "Person", "1", "Patient")})
    if record.action is AuditAction.SEARCHED:
        query = base64.b64encode((record.query or "").encode()).decode("ascii")
        entities.append({**_entity_kind("2", "System Object", "24", "Query"), **({"query": query} if query else {})})
    elif record.study_instance_uid:
        identifier = {"system": DICOM_UID_SYSTEM, "value": to_urn(record.study_instance_uid)}
        what_study = {"type": "ImagingStudy", "identifier": identifier}
        less = _LESS_THAN_IMAGES.get(record.action)
        detail = {"detail": [{"type": "disclosed", "valueString": less}]} if less else {}
        entities.append({"what": what_study, **_entity_kind("2", "System Object", "4", "Domain Resource"), **detail})
    if record.request_id:
        transaction = _coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId")
        entities.append({"what": {"identifier": {"value": record.request_id}}, "type": transaction})
    return entities


def _entity_kind(kind: str, kind_display: str, role: str, role_display: str) -> dict[str, Any]:
    return {
        "type": _coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", kind, kind_display),
        "role": _coding("http://terminology.hl7.org/CodeSystem/object-role", role, role_display),
    }


def _network(address: str | None) -> dict[str, Any]:
    """An IP address as such; BALP wants an address always, so one that nobody knows says so."""
    if address is None:
        return {"address": "unknown", "type": "1"}
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return {"address": address, "type": "1"}
    return {"address": address, "type": "2"}


def _identified(value: str, system: str | None) -> dict[str, Any]:
    return {"identifier": {**({"system": system} if system else {}), "value": value}}


def _reference(url: str, name: str) -> dict[str, Any]:
    return {"identifier": {"system": "urn:ietf:rfc:3986", "value": url}, "display": name}


def _role(code: str) -> dict[str, Any]:
    return {"coding": [_coding(DCM, code, _DISPLAY[code])]}


def _coding(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"system": system, "code": code, **({"display": display} if display else {})}
