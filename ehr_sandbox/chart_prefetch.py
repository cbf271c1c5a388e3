"""Prefetch templates as this EHR honours them: plain CDS Hooks 2.0 tokens, instance reads and type-level searches.

Spec: CDS Hooks 2.0, "Prefetch Template" (R10, R11, R14, R18). A template that cannot be resolved or whose query fails is
left out, so that the service fetches the data itself; a query that found nothing is sent as `null`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote

_TOKEN = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_RESOURCE_TYPE = r"[A-Z][A-Za-z]{1,63}"
_INSTANCE = re.compile(rf"({_RESOURCE_TYPE})/([A-Za-z0-9\-.]{{1,64}})")
_SEARCH = re.compile(rf"({_RESOURCE_TYPE})\?(.+)", re.DOTALL)
_USER_TOKENS = {
    "Practitioner": "userPractitionerId",
    "PractitionerRole": "userPractitionerRoleId",
    "Patient": "userPatientId",
    "RelatedPerson": "userRelatedPersonId",
}


class UnresolvedTemplate(Exception):
    """A template that this EHR cannot turn into a FHIR query; the message says why, for the developer panel."""


class QueryFailed(Exception):
    """The FHIR server refused a query or broke down over it; the message says why, for the developer panel."""


@dataclass(frozen=True, slots=True)
class InstanceRead:
    resource_type: str
    resource_id: str


@dataclass(frozen=True, slots=True)
class TypeSearch:
    resource_type: str
    parameters: tuple[tuple[str, str], ...]


class PrefetchSource(Protocol):
    """The chart's records as the user may see them. Both methods raise QueryFailed."""

    def read(self, resource_type: str, resource_id: str) -> dict[str, Any] | None: ...

    def search(self, resource_type: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """The prefetch member of a hook request, and why keys of the service are missing from it."""

    values: Mapping[str, Any]
    omitted: Mapping[str, str]


def prefetch_tokens(context: Mapping[str, Any]) -> dict[str, str]:
    """The tokens that a hook's context allows: its primitive root members, and the user's id under the user's type."""
    tokens = {f"context.{name}": value for name, value in context.items() if isinstance(value, str) and value}
    user_type, _, user_id = str(context.get("userId", "")).partition("/")
    if user_id and user_type in _USER_TOKENS:
        tokens[_USER_TOKENS[user_type]] = user_id
    return tokens


def resolve_template(template: str, tokens: Mapping[str, str]) -> InstanceRead | TypeSearch:
    """The FHIR query that a template means. Raises UnresolvedTemplate."""

    def value_of(match: re.Match[str]) -> str:
        token = match.group(1)
        if token not in tokens:
            raise UnresolvedTemplate(f"nothing known for {{{{{token}}}}}")
        return quote(tokens[token], safe="")

    query = _TOKEN.sub(value_of, template)
    if instance := _INSTANCE.fullmatch(query):
        return InstanceRead(instance.group(1), instance.group(2))
    if search := _SEARCH.fullmatch(query):
        parameters = parse_qsl(search.group(2), keep_blank_values=True)
        if parameters:
            return TypeSearch(search.group(1), tuple(parameters))
    raise UnresolvedTemplate("neither an instance read nor a type-level search")


def gather_prefetch(templates: Mapping[str, str], tokens: Mapping[str, str], source: PrefetchSource) -> Prefetched:
    """Runs a service's templates against the chart's records."""
    values: dict[str, Any] = {}
    omitted: dict[str, str] = {}
    for key, template in templates.items():
        try:
            values[key] = _run(resolve_template(template, tokens), source)
        except (UnresolvedTemplate, QueryFailed) as refusal:
            omitted[key] = str(refusal)
    return Prefetched(values=values, omitted=omitted)


def resource_types(templates: Mapping[str, str]) -> frozenset[str]:
    """The resource types that templates speak of, whether or not their tokens resolve."""
    heads = (re.match(_RESOURCE_TYPE, template) for template in templates.values())
    return frozenset(head.group(0) for head in heads if head)


def _run(query: InstanceRead | TypeSearch, source: PrefetchSource) -> dict[str, Any] | None:
    if isinstance(query, InstanceRead):
        return source.read(query.resource_type, query.resource_id)
    bundle = source.search(query.resource_type, query.parameters)
    return bundle if bundle.get("entry") else None
