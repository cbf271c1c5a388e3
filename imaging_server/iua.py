"""What IHE IUA adds to an access token: who the user is and why the record is opened, for the audit trail alone.

Nothing here widens or chooses access. A ``person_id`` is never the patient: it may only contradict the ``patient`` claim.

Spec: IHE ITI IUA, ITI-71 "JSON Web Token Option" (``extensions.ihe_iua``); HL7 v2 CX (``id^^^authority``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 256
MAX_CODINGS = 16


@dataclass(frozen=True, slots=True)
class Coding:
    """A role or purpose; ``system`` is None where the token names a bare code."""

    system: str | None
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IuaClaims:
    """The user as the authorization server describes them; what is missing or unreadable is None or empty."""

    subject_name: str | None = None
    subject_organization: str | None = None
    subject_organization_id: str | None = None
    subject_role: tuple[Coding, ...] = ()
    purpose_of_use: tuple[Coding, ...] = ()


def read_iua(claims: Mapping[str, Any]) -> IuaClaims:
    """The IUA claims of a token; empty where it has none."""
    stated = _stated(claims)
    return IuaClaims(
        subject_name=_text(stated.get("subject_name")),
        subject_organization=_text(stated.get("subject_organization")),
        subject_organization_id=_text(stated.get("subject_organization_id")),
        subject_role=_codings(stated.get("subject_role")),
        purpose_of_use=_codings(stated.get("purpose_of_use")),
    )


def contradicts_patient(claims: Mapping[str, Any], *, fhir_base: str) -> bool:
    """Whether ``person_id`` names somebody else than the ``patient`` claim, or is in no shape that can be compared.

    A bare id and a reference into this FHIR server are ids like ``patient``. A number with its assigning authority, or a
    reference elsewhere, is of another register: it says nothing about a FHIR id, and opens nothing.
    """
    person = _stated(claims).get("person_id")
    if person is None:
        return False
    if _text(person) is None:
        return True
    named = _local_id(str(person), fhir_base)
    return named is not None and named != claims.get("patient")


def _local_id(person: str, fhir_base: str) -> str | None:
    """The FHIR id that a ``person_id`` means; None where it is of another register."""
    components = person.split("^")
    if len(components) > 1:
        authority = components[3].strip("&") if len(components) > 3 else ""
        return None if authority else components[0]
    if "://" in person and not person.startswith(fhir_base.rstrip("/") + "/Patient/"):
        return None
    return person.rpartition("Patient/")[2]


def _stated(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = claims.get("extensions")
    stated = extensions.get("ihe_iua") if isinstance(extensions, dict) else None
    return stated if isinstance(stated, dict) else {}


def _codings(value: object) -> tuple[Coding, ...]:
    """One coding or several, each an object or a bare code: all shapes are seen in the field."""
    stated = value if isinstance(value, list) else [value]
    return tuple(_read_codings(stated[:MAX_CODINGS]))


def _read_codings(stated: Iterable[object]) -> Iterable[Coding]:
    for one in stated:
        system, code = (one.get("system"), one.get("code")) if isinstance(one, dict) else (None, one)
        readable = _text(code)
        if readable is not None:
            yield Coding(_text(system), readable)


def _text(value: object) -> str | None:
    """A text that may stand in an audit record: bounded, and without what could steer a terminal or begin a line."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable() else None
