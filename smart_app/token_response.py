"""What a token endpoint answered, read tolerantly: the token itself and the launch context beside it.

Spec: SMART App Launch 2.2 "Response" and "Launch context" (A27-A32), CDS Hooks 2.0 ``appContext``, DESIGN §6 (links).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.tolerant import as_list, text
from fhir_imaging.uids import from_urn, is_uid
from smart_app.named_study import NamedStudy

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_RESOURCE_PATH = re.compile(
    r"/?studies/(?P<study>[0-9.]+)(?:/series/(?P<series>[0-9.]+)(?:/instances/(?P<instance>[0-9.]+))?)?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A usable token response. ``expires_in_s`` None where the server did not say; ``scope`` None where it sent none."""

    access_token: str
    refresh_token: str | None
    id_token: str | None
    expires_in_s: int | None
    scope: str | None
    patient: str | None
    encounter: str | None
    need_patient_banner: bool
    context: LaunchContext


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """What the launch points at, most specific first: ``appContext``, then ``fhirContext``."""

    studies: tuple[NamedStudy, ...] = ()


def read_token_response(body: Mapping[str, Any]) -> TokenResponse | None:
    """The token response in a JSON object; None without an access token of type Bearer (any case, A27)."""
    access_token = text(body.get("access_token"))
    token_type = text(body.get("token_type"))
    if access_token is None or token_type is None or token_type.lower() != "bearer":
        return None
    return TokenResponse(
        access_token=access_token,
        refresh_token=text(body.get("refresh_token")),
        id_token=text(body.get("id_token")),
        expires_in_s=_seconds(body.get("expires_in")),
        scope=body["scope"] if isinstance(body.get("scope"), str) else None,
        patient=_fhir_id(body.get("patient")),
        encounter=_fhir_id(body.get("encounter")),
        need_patient_banner=body.get("need_patient_banner") is not False,
        context=read_launch_context(body),
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
    """An ImagingStudy that was launched on: ``{"reference": …}``, a plain string (v2.0 servers), or an identifier."""
    if isinstance(entry, str):
        return _of_reference(entry)
    if not isinstance(entry, dict) or entry.get("role", "launch") != "launch":
        return None
    reference = text(entry.get("reference"))
    if reference is not None:
        return _of_reference(reference)
    identifier = entry.get("identifier")
    value = text(identifier.get("value")) if isinstance(identifier, dict) else None
    uid = from_urn(value) if value else None
    return NamedStudy(study_instance_uid=uid) if uid and entry.get("type") in (None, "ImagingStudy") else None


def _of_reference(reference: str) -> NamedStudy | None:
    """A relative ``ImagingStudy/id``; an absolute reference into another server names nothing here."""
    segments = reference.split("/")
    if len(segments) != 2 or segments[0] != "ImagingStudy":
        return None
    resource_id = _fhir_id(segments[1])
    return NamedStudy(resource_id=resource_id) if resource_id else None


def _fhir_id(value: object) -> str | None:
    words = text(value)
    words = words.removeprefix("Patient/").removeprefix("Encounter/") if words else None
    return words if words and _FHIR_ID.fullmatch(words) else None


def _seconds(value: object) -> int | None:
    """Some servers send the number as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
