"""A CDS Hooks request as values, parsed strictly where the specification is strict and tolerantly where clients are odd.

Spec: CDS Hooks 2.0 "Calling a CDS Service" (R15, R16, R23; cds-r-1, cds-r-2; ord-1).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.scopes import GrantedScopes, ScopeContext, parse_scopes
from fhir_imaging.tolerant import as_dict, as_list, text

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
# RFC 6750 b64token: what is no token must not become a header.
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
# An order set has tens of drafts. Each is compared with the chart and with the others: thousands would hold up everybody else.
MAX_PROPOSED = 250
CLINICIAN_ROLES = frozenset({"Practitioner", "PractitionerRole"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirAuthorization:
    """The bearer token for ``fhirServer``. Transient: never stored, logged or passed on (R17)."""

    access_token: str = field(repr=False)
    scope: str
    """As granted: SMART v2 (``patient/Observation.rs``) or v1 (``patient/Observation.read``), or both mixed."""
    subject: str
    """Under which client id the EHR issued the token to this service."""
    patient: str | None
    expires_in_s: int
    """Seconds, from the moment at which the client sent the request."""

    @property
    def scopes(self) -> GrantedScopes:
        """What the token may do."""
        return parse_scopes(self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookUser:
    """``context.userId``: type (None where the client left it out) and logical id."""

    resource_type: str | None
    resource_id: str
    server: str | None = None
    """The FHIR base of an absolute reference."""

    @property
    def is_nobody(self) -> bool:
        """Whether a system fired the hook by itself, where the hook allows that."""
        return not self.resource_id

    @property
    def is_patient_or_proxy(self) -> bool:
        """Whether clinician cards and unsigned AI results are none of this user's business.

        Any stated type that is no clinician's counts so; a user without a type is the clinician at the chart (R23).
        """
        return self.resource_type is not None and self.resource_type not in CLINICIAN_ROLES

    @property
    def reference(self) -> str | None:
        """``Type/id`` where the type is known."""
        return f"{self.resource_type}/{self.resource_id}" if self.resource_type else None


NOBODY = HookUser(resource_type=None, resource_id="")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRequest:
    """One call of one service for one patient."""

    hook: str
    hook_instance: str
    patient_id: str
    user: HookUser
    encounter_id: str | None
    fhir_server: str | None
    authorization: FhirAuthorization | None
    prefetch: Mapping[str, Any] = field(repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole context as sent: what the hook adds (``draftOrders``, ``selections``) is its service's to read."""
    warnings: tuple[str, ...] = ()
    """What the client got wrong without harm, by the id of the rule; no values, so that it can be logged."""

    @property
    def is_by_own_patient(self) -> bool:
        """Whether the user is the patient of this chart, or a related person to whom the EHR has opened it.

        The same logical id on another server, or another Patient's, is a stranger.
        """
        own_server = self.fhir_server.rstrip("/") if self.fhir_server else None
        if self.user.server not in (None, own_server):
            return False
        is_patient = self.user.resource_type == "Patient" and self.user.resource_id == self.patient_id
        return is_patient or self.user.resource_type == "RelatedPerson"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookShape:
    """What a service's hook is called, and which of the shared context fields it requires beside ``patientId``."""

    hook: str
    aliases: tuple[str, ...] = ()
    """Other names under which a request may state the hook."""
    needs_user: bool = True
    needs_encounter: bool = False


def parse_request(body: object, *, hook: str | HookShape) -> HookRequest:
    """The request in a parsed JSON body for a service of ``hook``; InvalidRequest names the member that is wrong.

    Unknown members and extensions are left alone (R3).
    """
    shape = hook if isinstance(hook, HookShape) else HookShape(hook=hook)
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    sent_hook = _string(body, "hook")
    if sent_hook not in (shape.hook, *shape.aliases):
        raise InvalidRequest(f"hook: this service answers {shape.hook}.")
    context = body.get("context")
    if not isinstance(context, dict):
        raise InvalidRequest("context: must be an object.")
    _check_size(context)
    patient_id = _logical_id(_string(context, "patientId", "context."), "Patient", "context.patientId")
    fhir_server, authorization = _access(body, patient_id)
    user = _user_of(context, shape)
    return HookRequest(
        hook=shape.hook,
        hook_instance=_hook_instance(_string(body, "hookInstance")),
        patient_id=patient_id,
        user=user,
        encounter_id=_encounter_of(context, shape),
        fhir_server=fhir_server,
        authorization=authorization,
        prefetch=_prefetch(body.get("prefetch")),
        context=context,
        warnings=tuple(_warnings(user, authorization)),
    )


def _check_size(context: Mapping[str, Any]) -> None:
    for name, proposed in context.items():
        if len(as_list(as_dict(proposed).get("entry"))) > MAX_PROPOSED:
            raise InvalidRequest(
                f"context.{name if name.isalnum() else '?'}: at most {MAX_PROPOSED} entries are taken at once."
            )


def _user_of(context: Mapping[str, Any], shape: HookShape) -> HookUser:
    # A user that is stated must be readable, also where nobody needs to be: who asks decides what may be told.
    if not shape.needs_user and context.get("userId") is None:
        return NOBODY
    return _user(_string(context, "userId", "context."))


def _encounter_of(context: Mapping[str, Any], shape: HookShape) -> str | None:
    stated = _string(context, "encounterId", "context.") if shape.needs_encounter else text(context.get("encounterId"))
    return _logical_id(stated, "Encounter", "context.encounterId") if stated else None


def _string(container: Mapping[str, Any], name: str, where: str = "") -> str:
    value = text(container.get(name))
    if value is None:
        raise InvalidRequest(f"{where}{name}: must be given, as a non-empty string.")
    return value


def _hook_instance(stated: str) -> str:
    try:
        return str(uuid.UUID(stated))
    except ValueError as exc:
        raise InvalidRequest("hookInstance: must be a UUID.") from exc


def _logical_id(stated: str, resource_type: str, where: str) -> str:
    # Public fixtures send Patient/x and Encounter/x where the bare id is meant (R23).
    bare = stated.removeprefix(f"{resource_type}/")
    if not FHIR_ID.fullmatch(bare):
        raise InvalidRequest(f"{where}: must be a FHIR id.")
    return bare


def _user(stated: str) -> HookUser:
    # "Patient/" is no clinician called Patient.
    segments = stated.split("/")
    resource_type = segments[-2] if len(segments) > 1 else None
    if not FHIR_ID.fullmatch(segments[-1]) or (resource_type is not None and not resource_type.isalpha()):
        raise InvalidRequest("context.userId: must be a reference such as Practitioner/1.")
    return HookUser(resource_type=resource_type, resource_id=segments[-1], server="/".join(segments[:-2]) or None)


def _access(body: Mapping[str, Any], patient_id: str) -> tuple[str | None, FhirAuthorization | None]:
    fhir_server = text(body.get("fhirServer"))
    stated = body.get("fhirAuthorization")
    if stated is None:
        return fhir_server, None
    if fhir_server is None:
        raise InvalidRequest("fhirServer: must be given when fhirAuthorization is (cds-r-1).")
    grant = as_dict(stated)
    token = _string(grant, "access_token", "fhirAuthorization.")
    if not _BEARER_TOKEN.fullmatch(token):
        raise InvalidRequest("fhirAuthorization.access_token: must be a bearer token.")
    if _string(grant, "token_type", "fhirAuthorization.").lower() != "bearer":
        raise InvalidRequest("fhirAuthorization.token_type: must be Bearer.")
    patient = text(grant.get("patient"))
    if patient and patient.removeprefix("Patient/") != patient_id:
        raise InvalidRequest("fhirAuthorization.patient: is another patient than context.patientId.")
    return fhir_server, FhirAuthorization(
        access_token=token,
        scope=_string(grant, "scope", "fhirAuthorization."),
        subject=_string(grant, "subject", "fhirAuthorization."),
        patient=patient,
        expires_in_s=_lifetime(grant.get("expires_in")),
    )


def _lifetime(stated: object) -> int:
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < 1:
        raise InvalidRequest("fhirAuthorization.expires_in: must be a positive whole number of seconds.")
    return stated


def _warnings(user: HookUser, authorization: FhirAuthorization | None) -> Iterator[str]:
    if user.resource_type is None and not user.is_nobody:
        yield "ord-1: context.userId is not of the form Type/id"
    if (
        authorization
        and authorization.patient is None
        and any(scope.context is ScopeContext.PATIENT for scope in authorization.scopes.clinical)
    ):
        yield "cds-r-2: fhirAuthorization has a patient/ scope and no patient"


def _prefetch(stated: object) -> Mapping[str, Any]:
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        raise InvalidRequest("prefetch: must be an object.")
    return stated
