"""IHE's BALP profiles for FHIR R4, as far as our events claim them: each rule of the published definitions, checked.

Written after the text of the profiles (IHE ITI Basic Audit Log Patterns 1.1.4: PatientRead with its parent Read, PatientQuery
with its parent Query, OAUTHaccessTokenUse.Minimal); IHE's validator itself needs a FHIR package server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
PATIENT_READ, PATIENT_QUERY, TOKEN_MINIMAL = (
    BALP + name for name in ("PatientRead", "PatientQuery", "OAUTHaccessTokenUse.Minimal")
)
DCM = "http://dicom.nema.org/resources/ontology/DCM"
DESTINATION, SOURCE = (DCM, "110152"), (DCM, "110153")
RECIPIENT = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
TOKEN_AGENT = ("https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes", "UserOauthAgent")
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
TRANSACTION = ("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId")
INTERACTION = "http://hl7.org/fhir/restful-interaction"
REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
DATA_ROLES = {(ENTITY_ROLE, code) for code in ("3", "4", "20")}
JTI = "urn:ietf:params:oauth:jti:"
Code = tuple[str, str]
Element = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where an element's slices are told apart, and what they have to be."""

    name: str
    found: Sequence[Element]

    def count(self, least: int, most: int) -> Iterator[str]:
        if not least <= len(self.found) <= most:
            yield f"{self.name}: {len(self.found)} found, {least} to {most} allowed"

    def has(self, *names: str) -> Iterator[str]:
        for one in self.found:
            yield from (f"{self.name}.{name} is missing" for name in names if one.get(name) in (None, "", [], {}))

    def has_no(self, *names: str) -> Iterator[str]:
        for one in self.found:
            yield from (f"{self.name}.{name} is not allowed" for name in names if name in one)

    def every(self, what: str, holds: Callable[[Element], bool]) -> Iterator[str]:
        yield from (f"{self.name}: {what}" for one in self.found if not holds(one))


def codes(concept: Any) -> set[Code]:
    """Of a Coding, or of a CodeableConcept."""
    codings = concept.get("coding", [concept]) if isinstance(concept, Mapping) else []
    return {(one.get("system", ""), one.get("code", "")) for one in codings}


def faults(event: Element) -> list[str]:
    """Every rule that the event breaks of the profiles it claims; it has to claim one, and only known ones."""
    claimed = event.get("meta", {}).get("profile", [])
    checks = {PATIENT_READ: _read, PATIENT_QUERY: _query, TOKEN_MINIMAL: _token_minimal}
    found = [f"{one} is unknown" for one in claimed if one not in checks]
    if len({PATIENT_READ, PATIENT_QUERY} & set(claimed)) != 1:
        found.append("claims neither PatientRead nor PatientQuery, or both")
    return found + [fault for one in claimed if one in checks for fault in checks[one](event)]


def _read(event: Element) -> Iterator[str]:
    yield from _successful(event, "R", {(INTERACTION, "read"), (INTERACTION, "vread")})
    yield from _agents(event, client=DESTINATION, server=SOURCE)
    yield from _entities(event)
    data = _entity(event, (ENTITY_TYPE, "2"), "entity[data]")
    yield from data.count(1, 1)
    yield from data.has("what")
    yield from data.every("role is not among RestObjectRoles", lambda one: bool(codes(one.get("role")) & DATA_ROLES))


def _query(event: Element) -> Iterator[str]:
    searches = {(INTERACTION, code) for code in ("search", "search-type", "search-system")}
    yield from _successful(event, "E", searches)
    yield from _agents(event, client=SOURCE, server=DESTINATION)
    yield from _entities(event)
    query = _entity(event, (ENTITY_TYPE, "2"), "entity[query]")
    yield from query.count(1, 1)
    yield from query.has("query")
    yield from query.has_no("what", "lifecycle", "detail")
    yield from query.every("role is not Query", lambda one: (ENTITY_ROLE, "24") in codes(one.get("role")))


def _successful(event: Element, action: str, subtypes: set[Code]) -> Iterator[str]:
    if codes(event.get("type")) != {REST}:
        yield "type is not rest"
    if not any(codes(one) & subtypes for one in event.get("subtype", [])):
        yield "subtype is of another interaction"
    if event.get("action") != action:
        yield f"action is not {action}"
    if not event.get("recorded"):
        yield "recorded is missing"
    if event.get("outcome") != "0":
        yield "outcome is no success"


def _agents(event: Element, *, client: Code, server: Code) -> Iterator[str]:
    yield from _Parts("agent", event.get("agent", [])).count(2, 99)
    for name, role in (("client", client), ("server", server)):
        machine = _agent(event, role, f"agent[{name}]")
        yield from machine.count(1, 1)
        yield from machine.has("who", "network")
        yield from machine.has_no("media")
    user = _agent(event, RECIPIENT, "agent[user]")
    yield from user.count(0, 1)
    yield from user.has("who")
    yield from user.has_no("media", "network")
    yield from user.every("is not the requestor", lambda one: one.get("requestor") is True)


def _entities(event: Element) -> Iterator[str]:
    transaction = _entity(event, TRANSACTION, "entity[transaction]")
    yield from transaction.count(0, 1)
    yield from transaction.every(
        "has no what.identifier.value", lambda one: bool(one.get("what", {}).get("identifier", {}).get("value"))
    )
    patient = _entity(event, (ENTITY_TYPE, "1"), "entity[patient]")
    yield from patient.count(1, 1)
    yield from patient.every("role is not Patient", lambda one: (ENTITY_ROLE, "1") in codes(one.get("role")))
    yield from patient.every("what is no Patient", lambda one: "/Patient/" in one.get("what", {}).get("reference", ""))


def _token_minimal(event: Element) -> Iterator[str]:
    user = _agent(event, TOKEN_AGENT, "agent[oUser]")
    yield from user.count(1, 99)
    yield from user.every("is not the requestor", lambda one: one.get("requestor") is True)
    yield from user.has("policy")
    yield from user.every("policy is no jti", lambda one: all(text.startswith(JTI) for text in one.get("policy", [])))


def _agent(event: Element, kind: Code, name: str) -> _Parts:
    return _Parts(name, [one for one in event.get("agent", []) if kind in codes(one.get("type"))])


def _entity(event: Element, kind: Code, name: str) -> _Parts:
    return _Parts(name, [one for one in event.get("entity", []) if kind in codes(one.get("type"))])
