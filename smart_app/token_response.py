"""What a token endpoint answered, read tolerantly: the token itself and the launch context beside it.

Spec: SMART App Launch 2.2 "Response" and "Launch context" (A27-A32), CDS Hooks 2.0 ``appContext``, DESIGN §6 (links).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.tolerant import as_dict, as_list, dicts, text
from fhir_imaging.uids import is_uid
from smart_app.named_study import FHIR_ID, NamedStudy, from_identifier, from_reference

_MAX_LABEL = 200
_MAX_ADDRESS = 2000
_RESOURCE_PATH = re.compile(
    r"/?studies/(?P<study>[0-9.]+)(?:/series/(?P<series>[0-9.]+)(?:/instances/(?P<instance>[0-9.]+))?)?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A usable token response. ``expires_in_s`` None where the server did not say; ``scope`` None where it sent none.

    ``encounter`` and ``intent`` are not read: the pages are the patient's, and no intent is known here (A30).
    """

    access_token: str
    refresh_token: str | None
    id_token: str | None
    expires_in_s: int | None
    scope: str | None
    patient: str | None
    need_patient_banner: bool
    context: LaunchContext
    tenant: str | None = None
    """The organisation within the EHR, opaque; noted for the log only."""
    further_patients: tuple[FurtherPatient, ...] = ()
    style_url: str | None = None
    """Where the EHR's style for its apps stands (A31); its address is its version."""

    def contradicts(self, patient: str, bases: Collection[str]) -> bool:
        """Whether the grant names another patient for one of these FHIR bases (A32); without final slashes."""
        others = (one for one in self.further_patients if one.patient != patient)
        return any(location.rstrip("/") in bases for one in others for location in one.locations)


@dataclass(frozen=True, slots=True)
class FurtherPatient:
    """The patient that one entry of ``authorization_details`` names for FHIR bases of its own (RFC 9396, experimental)."""

    locations: tuple[str, ...]
    patient: str


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """What the launch points at, most specific first: ``appContext``, then ``fhirContext``."""

    studies: tuple[NamedStudy, ...] = ()


def read_token_response(body: Mapping[str, Any]) -> TokenResponse | None:
    """The token response in a JSON object; None without an access token of type Bearer (any case, A27) that can be sent."""
    access_token = _credential(body.get("access_token"))
    token_type = text(body.get("token_type"))
    if access_token is None or token_type is None or token_type.lower() != "bearer":
        return None
    return TokenResponse(
        access_token=access_token,
        refresh_token=_credential(body.get("refresh_token")),
        id_token=text(body.get("id_token")),
        expires_in_s=lifetime_s(body),
        scope=body["scope"] if isinstance(body.get("scope"), str) else None,
        patient=_fhir_id(body.get("patient")),
        need_patient_banner=body.get("need_patient_banner") is not False,
        context=read_launch_context(body),
        tenant=_label(body.get("tenant")),
        further_patients=tuple(_further_patients(body)),
        style_url=_address(body.get("smart_style_url")),
    )


def read_launch_context(body: Mapping[str, Any]) -> LaunchContext:
    """The studies that ``appContext`` and ``fhirContext`` name. UIDs and ids only; anything else is left out."""
    named = [read_app_context(body.get("appContext")), *map(_of_fhir_context, as_list(body.get("fhirContext")))]
    return LaunchContext(tuple(dict.fromkeys(one for one in named if one)))


def read_app_context(value: object) -> NamedStudy | None:
    """The study in an appContext: a bare Study Instance UID, or the PS3.18 path of a study, series or instance."""
    words = text(value)
    if words is None:
        return None
    if is_uid(words):
        return NamedStudy(study_instance_uid=words)
    match = _RESOURCE_PATH.fullmatch(words)
    if match is None or not all(is_uid(uid) for uid in match.groups() if uid is not None):
        return None
    return NamedStudy(
        study_instance_uid=match["study"], series_instance_uid=match["series"], sop_instance_uid=match["instance"]
    )


def _of_fhir_context(entry: object) -> NamedStudy | None:
    """What was launched on: ``{"reference": …}``, a plain string (v2.0 servers), or an identifier with its ``type``."""
    if isinstance(entry, str):
        return from_reference(entry)
    if not isinstance(entry, dict) or entry.get("role", "launch") != "launch":
        return None
    reference = text(entry.get("reference"))
    if reference is not None:
        return from_reference(reference)
    return from_identifier(as_dict(entry.get("identifier")), text(entry.get("type")))


def _further_patients(body: Mapping[str, Any]) -> Iterator[FurtherPatient]:
    for entry in dicts(body.get("authorization_details")):
        patient = _fhir_id(entry.get("patient"))
        if entry.get("type") == "smart_on_fhir" and patient is not None:
            yield FurtherPatient(tuple(text(one) or "" for one in as_list(entry.get("locations"))), patient)


def _credential(value: object) -> str | None:
    """A token of visible ASCII and blanks (RFC 6749 §A.12): no header holds another, and its failure would quote it."""
    words = text(value)
    return words if words and words.isascii() and words.isprintable() else None


def _label(value: object) -> str | None:
    """A short opaque word of the EHR's."""
    words = text(value)
    return words if words and len(words) <= _MAX_LABEL and words.isprintable() else None


def _address(value: object) -> str | None:
    """A web address as it stands; who may be asked is decided where it is asked."""
    words = text(value)
    return words if words and len(words) <= _MAX_ADDRESS and words.isprintable() else None


def _fhir_id(value: object) -> str | None:
    words = text(value)
    words = words.removeprefix("Patient/") if words else None
    return words if words and FHIR_ID.fullmatch(words) else None


def lifetime_s(body: Mapping[str, Any]) -> int | None:
    """``expires_in`` of a token response in whole seconds, a string of digits included; None where it is no such number."""
    value = body.get("expires_in")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
