"""SMART scopes: grammar of versions 1 and 2, and what a client may be granted.

Spec: SMART App Launch 2.2, section 3.0 (scopes and launch context).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from ehr_sandbox.faults import GrantedAs
from ehr_sandbox.fhir_faults import FhirFault
from ehr_sandbox.fhir_matching import parse_criterion
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS

_GRAMMAR = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>[A-Za-z]+|\*)\."
    r"(?:(?P<v1>read|write|\*)|(?P<v2>(?=[cruds])c?r?u?d?s?)(?:\?(?P<query>.+))?)"
)
_V1_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}

Level = Literal["patient", "user", "system"]

CONTEXT_SCOPES = ("launch", "launch/patient", "launch/encounter")
IDENTITY_SCOPES = ("openid", "fhirUser", "profile")
REFRESH_SCOPES = ("online_access", "offline_access")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceScope:
    """A scope on resources: `letters` out of `cruds`, and the granular parameters that a resource must satisfy."""

    level: Level
    resource_type: str
    letters: str
    criteria: tuple[tuple[str, str], ...] = ()

    def covers_type(self, letter: str, resource_type: str) -> bool:
        """Whether the scope speaks of that interaction on that type at all."""
        return letter in self.letters and self.resource_type in ("*", resource_type)

    def covers(self, other: "ResourceScope") -> bool:
        """Whether everything the other scope allows is allowed by this one."""
        return (
            self.level == other.level
            and self.resource_type in ("*", other.resource_type)
            and set(other.letters) <= set(self.letters)
            and set(self.criteria) <= set(other.criteria)
        )


_LEVELS: dict[str, Level] = {"patient": "patient", "user": "user", "system": "system"}


def parse_resource_scope(text: str) -> ResourceScope | None:
    """The scope; None when it is none on resources or breaks the grammar, e.g. letters out of order."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        return None
    letters = _V1_LETTERS[match["v1"]] if match["v1"] else match["v2"]
    criteria = tuple(parse_qsl(match["query"] or "", keep_blank_values=True))
    return ResourceScope(level=_LEVELS[match["level"]], resource_type=match["type"], letters=letters, criteria=criteria)


def resource_scopes(granted: Iterable[str]) -> tuple[ResourceScope, ...]:
    """The scopes on resources among those granted."""
    parsed = (parse_resource_scope(text) for text in granted)
    return tuple(scope for scope in parsed if scope is not None)


def is_supported(text: str) -> bool:
    """Whether a user could grant the scope: the server understands it and can enforce every granular parameter."""
    if text in (*CONTEXT_SCOPES, *IDENTITY_SCOPES, *REFRESH_SCOPES):
        return True
    scope = parse_resource_scope(text)
    # A user cannot give what is not of one person; a service gets it by its registration (grantable_to_service).
    return scope is not None and scope.level != "system" and _can_enforce(scope)


def _can_enforce(scope: ResourceScope) -> bool:
    if scope.resource_type == "*":
        return not scope.criteria
    return scope.resource_type in SEARCH_PARAMETERS and all(
        _is_enforceable(scope.resource_type, key, value) for key, value in scope.criteria
    )


def _is_enforceable(resource_type: str, key: str, value: str) -> bool:
    try:
        return parse_criterion(resource_type, key, value) is not None
    except FhirFault:
        return False


def grantable(requested: str, registered: tuple[str, ...], denied: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The requested scopes that the client may have, in their order and each once; the others are left out.

    `registered` holds `*` for everything; `denied` is a fault switch and wins.
    """
    wanted = dict.fromkeys(requested.split())
    return tuple(
        text
        for text in wanted
        if is_supported(text) and _is_registered(text, registered) and "*" not in denied and text not in denied
    )


def grantable_to_service(requested: str, registered: tuple[str, ...]) -> tuple[str, ...]:
    """The requested scopes on everybody's records that a service may have; `*` in its registration means none of them."""
    allowed = resource_scopes(registered)
    return tuple(text for text in dict.fromkeys(requested.split()) if _may_service(parse_resource_scope(text), allowed))


def _may_service(scope: ResourceScope | None, allowed: tuple[ResourceScope, ...]) -> bool:
    if scope is None or scope.level != "system" or not _can_enforce(scope):
        return False
    return any(one.covers(scope) for one in allowed)


def _is_registered(text: str, registered: tuple[str, ...]) -> bool:
    if "*" in registered or text in registered:
        return True
    scope = parse_resource_scope(text)
    return scope is not None and any(allowed.covers(scope) for allowed in resource_scopes(registered))


def in_other_words(granted: tuple[str, ...], granted_as: GrantedAs | None) -> tuple[str, ...]:
    """The granted scopes as servers that follow another habit write them; a fault switch (A17)."""
    if granted_as is None:
        return granted
    reworded = (word for text in granted for word in _reworded(text, granted_as))
    return tuple(dict.fromkeys(reworded))


def _reworded(text: str, granted_as: GrantedAs) -> tuple[str, ...]:
    scope = parse_resource_scope(text)
    if scope is None:
        return (text,)
    root = f"{scope.level}/{scope.resource_type}"
    match granted_as:
        case "identity":
            return ()
        case "wildcard":
            return (f"{scope.level}/*.rs",)
        case "v1":
            return (f"{root}.read",)
        case "split":
            query = text.partition("?")[1:]
            return tuple(f"{root}.{letter}{''.join(query)}" for letter in scope.letters)


def is_narrower(requested: Iterable[str], granted: Iterable[str]) -> bool:
    """Whether a refresh asks for no more than was granted."""
    granted = tuple(granted)
    return all(_is_registered(text, granted) for text in requested if text != "*")


def needs_patient(granted: Iterable[str]) -> bool:
    """Whether the grant forces a patient in context (S8)."""
    granted = tuple(granted)
    return "launch/patient" in granted or any(scope.level == "patient" for scope in resource_scopes(granted))
