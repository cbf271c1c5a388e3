"""An audit record as a FHIR R4 AuditEvent by IHE BALP.

A successful access claims the BALP profile (PatientRead or PatientQuery), whose definition fixes success, and that of the token
where this has a ``jti``; a refusal is an event of its own without a profile, outcome 4 (refused) or 8 (could not be decided),
with the reason. A refused server is a security alert: an EHR pointed to a node that this site does not trust.

Spec: IHE ITI BALP (``IHE.BasicAudit.PatientRead``, ``.PatientQuery``, ``.OAUTHaccessTokenUse.Minimal``; not ``.Opaque``, which
asks for the last 32 characters of the token: P7);
FHIR R4 AuditEvent; DICOM PS3.16 CID 400, 403; SMART Imaging Access P7, P8, group 35.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fhirclient.models.auditevent import AuditEvent

from fhir_imaging.audit import (
    AUDIT_BACKLOG,
    ORIGIN_NOT_ALLOWED,
    TOKEN_DIGEST_PREFIX,
    AuditAction,
    AuditOutcome,
    AuditRecord,
)
from fhir_imaging.uids import DICOM_UID_SYSTEM, to_urn

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
DESTINATION_ROLE, SOURCE_ROLE = "110152", "110153"
OAUTH_AGENT = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"
UNDECIDED_REASONS = frozenset({"authorization-unavailable", AUDIT_BACKLOG})
"""Reasons that are the fault of a server and not a refusal: outcome 8, serious failure."""

_DISPLAY = {DESTINATION_ROLE: "Destination Role ID", SOURCE_ROLE: "Source Role ID"}
_LESS_THAN_IMAGES = {
    AuditAction.STUDY_DESCRIBED: "description of the study, no images",
    AuditAction.STUDY_PREVIEWED: "preview picture",
}
"""What of a study was disclosed that nobody had opened."""
_READS = frozenset({AuditAction.STUDY_OPENED, *_LESS_THAN_IMAGES})
_REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "Restful Operation")
_EXPORT = (DCM, "110106", "Export")
_SECURITY_ALERT = (DCM, "110113", "Security Alert")
_ATTRIBUTES_CHANGED = (DCM, "110137", "User Security Attributes Changed")
_NODE_AUTHENTICATION = (DCM, "110126", "Node Authentication")
_URIS = "urn:ietf:rfc:3986"
"""Identifier system of what is identified by a URI."""
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]|\A\s+|\s+\Z")
_INTERACTIONS = {"POST": ("create", "C"), "PUT": ("update", "U"), "PATCH": ("patch", "U"), "DELETE": ("delete", "D")}
"""By refused HTTP method, the FHIR interaction that is nearest to it, and the AuditEvent's action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedServer:
    """Who served: ``base_url`` of the imaging server, and the FHIR base of the EHR whose patient and users are meant."""

    base_url: str
    fhir_base: str
    name: str = "imaging-cds imaging server"


def audit_event(record: AuditRecord, server: AuditedServer, *, event_id: str | None = None) -> dict[str, Any]:
    """The AuditEvent of one record, valid R4; ``FHIRValidationError`` would be a mistake of this module."""
    record = _printable(record)
    kind, subtype, action = _what_happened(record)
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        **({"id": event_id} if event_id else {}),
        **({"meta": {"profile": profiles}} if (profiles := _profiles(record)) else {}),
        "type": _coding(*kind),
        "subtype": [_coding(*subtype)],
        "action": action,
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


_Code = tuple[str, str] | tuple[str, str, str]


def _what_happened(record: AuditRecord) -> tuple[_Code, _Code, str]:
    """Type, subtype and action."""
    interaction = "http://hl7.org/fhir/restful-interaction"
    if record.action is AuditAction.ENDPOINT_REFUSED:
        return _SECURITY_ALERT, _NODE_AUTHENTICATION, "E"
    if record.action is AuditAction.ACCESS_ENDED:
        return _SECURITY_ALERT, _ATTRIBUTES_CHANGED, "E"
    if record.action is AuditAction.STUDY_ASSIGNED:
        return _REST, (interaction, "update"), "U"
    if record.action is AuditAction.STUDY_EXPORTED:
        return _EXPORT, (interaction, "read"), "R"
    if record.action is AuditAction.METHOD_REFUSED:
        name, action = _INTERACTIONS.get(record.method or "", ("operation", "E"))
        return _REST, (interaction, name), action
    if record.action is AuditAction.SEARCHED:
        return _REST, (interaction, "search"), "E"
    return _REST, (interaction, "read"), "R"


def _printable(record: AuditRecord) -> AuditRecord:
    """The record with nothing in it that FHIR's ``string`` excludes; what callers and EHRs send may be anything."""
    changes: dict[str, Any] = {}
    for name in ("subject_role", "purpose_of_use"):
        codes = getattr(record, name)
        changes[name] = tuple(_plain(code) for code in codes if code) if codes else None
    for name in ("reason", "patient_id", "user", "client_id", "issuer", "client_address", "request_id", "token_reference"):
        text = getattr(record, name)
        changes[name] = _plain(text) if text else text
    return replace(record, **changes)


def _plain(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text.encode("utf-8", "replace").decode())


def _profiles(record: AuditRecord) -> list[str]:
    """Those whose every element the event has; they are for successes only, and about one patient."""
    if record.outcome is not AuditOutcome.ALLOWED or not record.patient_id:
        return []
    if record.action is AuditAction.SEARCHED:
        names = ["PatientQuery"] if record.query else []
    else:
        names = ["PatientRead"] if record.action in _READS and record.study_instance_uid else []
    reference = record.token_reference
    if names and record.user and reference and not reference.startswith(TOKEN_DIGEST_PREFIX):
        names.append("OAUTHaccessTokenUse.Minimal")
    return [f"{BALP}/IHE.BasicAudit.{name}" for name in names]


def _outcome(record: AuditRecord) -> str:
    if record.outcome is AuditOutcome.ALLOWED:
        return "0"
    return "8" if (record.reason or "").partition(":")[0] in UNDECIDED_REASONS else "4"


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
        **({} if record.user else _token_use(record)),
    }
    ours = {
        "type": _role(server_role),
        "who": _reference(server.base_url, server.name),
        "requestor": False,
        "network": {"address": server.base_url, "type": "5"},
    }
    return [client, ours, *([_user(record, record.user, server)] if record.user else [])]


def _user(record: AuditRecord, user: str, server: AuditedServer) -> dict[str, Any]:
    """The person at the viewer, as whom the token spoke."""
    kinds = [_coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")]
    if record.token_reference and record.action is not AuditAction.ACCESS_ENDED:
        kinds.append(_coding(OAUTH_AGENT, "UserOauthAgent", "User OAuth Agent participant"))
    is_reference = "/" in user
    absolute = user if "://" in user else f"{server.fhir_base.rstrip('/')}/{user}"
    who = {"reference": absolute} if is_reference else _identified(user, record.issuer)
    return {"type": {"coding": kinds}, "who": who, "requestor": True, **_token_use(record)}


def _token_use(record: AuditRecord) -> dict[str, Any]:
    """The token by its id, never by its text (P7), and what it states of its user's role and purpose (IUA)."""
    use: dict[str, Any] = {}
    if record.token_reference and record.action is not AuditAction.ACCESS_ENDED:
        use["policy"] = [_token_policy(record.token_reference)]
    for name, codes in (("role", record.subject_role), ("purposeOfUse", record.purpose_of_use)):
        if codes:
            use[name] = [_stated_code(code) for code in codes]
    return use


def _stated_code(stated: str) -> dict[str, Any]:
    """``system|code`` as a coding, anything else as text; FHIR codes have no white space."""
    system, _, code = stated.rpartition("|")
    if not code or code.split() != [code] or (system and not _URI.fullmatch(system)):
        return {"text": stated}
    return {"coding": [{**({"system": system} if system else {}), "code": code}]}


def _token_policy(token_reference: str) -> str:
    if token_reference.startswith(TOKEN_DIGEST_PREFIX):
        return f"urn:imaging-cds:token-digest:{token_reference.removeprefix(TOKEN_DIGEST_PREFIX)}"
    return f"urn:ietf:params:oauth:jti:{quote(token_reference, safe='-._~:')}"


def _entities(record: AuditRecord, server: AuditedServer) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if record.patient_id:
        what = {"reference": f"{server.fhir_base.rstrip('/')}/Patient/{record.patient_id}", "type": "Patient"}
        entities.append({"what": what, **_entity_kind("1", "Person", "1", "Patient")})
    if record.action is AuditAction.ENDPOINT_REFUSED:
        entities.append({"what": _refused_node(record), **_entity_kind("2", "System Object", "17", "Data Repository")})
    elif record.action is AuditAction.SEARCHED:
        query = base64.b64encode((record.query or "").encode()).decode("ascii")
        entities.append({**_entity_kind("2", "System Object", "24", "Query"), **({"query": query} if query else {})})
    elif record.study_instance_uid:
        identifier = {"system": DICOM_UID_SYSTEM, "value": to_urn(record.study_instance_uid)}
        what_study = {"type": "ImagingStudy", "identifier": identifier}
        less = _LESS_THAN_IMAGES.get(record.action)
        detail = {"detail": [{"type": "disclosed", "valueString": less}]} if less else {}
        entities.append({"what": what_study, **_entity_kind("2", "System Object", "4", "Domain Resource"), **detail})
    if record.action is AuditAction.ACCESS_ENDED and record.token_reference:
        ended = {"identifier": {"value": _token_policy(record.token_reference)}, "display": "token whose access was ended"}
        entities.append({"what": ended, **_entity_kind("2", "System Object", "13", "Security Resource")})
    if record.request_id:
        transaction = _coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId")
        entities.append({"what": {"identifier": {"value": record.request_id}}, "type": transaction})
    return entities


def _refused_node(record: AuditRecord) -> dict[str, Any]:
    """By its origin; an address that names none is told in words, and words are no URI."""
    origin = (record.reason or "").removeprefix(f"{ORIGIN_NOT_ALLOWED}: ")
    node = _identified(origin, _URIS if _URI.fullmatch(origin) else None) if origin else {}
    return {**node, "display": "server that is not allowed"}


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
    return {"identifier": {"system": _URIS, "value": url}, "display": name}


def _role(code: str) -> dict[str, Any]:
    return {"coding": [_coding(DCM, code, _DISPLAY[code])]}


def _coding(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"system": system, "code": code, **({"display": display} if display else {})}
