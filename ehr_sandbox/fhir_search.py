"""Search over resources at hand: filtering, ordering and the resources to include; no storage and no HTTP."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_matching import Criterion, MatchContext, matches
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS, SearchParameter
from ehr_sandbox.fhir_query import Include, SearchQuery, SortKey
from ehr_sandbox.fhir_values import folded, interval_of, reference_of, tokens_of, values_of

MAX_INCLUDE_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """How includes reach other resources: by reference, and by type for the reverse direction."""

    fetch: Callable[[str, str], Resource | None]
    """Resource by type and id; None when missing or not to be seen."""
    all_of: Callable[[str], Iterable[Resource]]
    """Resources of a type that may be seen."""


def matching(candidates: Iterable[Resource], query: SearchQuery, context: MatchContext) -> list[Resource]:
    """The candidates that satisfy every criterion, in the order asked for."""
    found = [resource for resource in candidates if all(matches(resource, criterion, context) for criterion in query.criteria)]
    # Stable sorts from the least to the most significant key give the combined order.
    for key in reversed(query.sort):
        found = _sorted(found, key, context)
    return found


def _sorted(resources: list[Resource], key: SortKey, context: MatchContext) -> list[Resource]:
    keyed = [(_sort_value(resource, key.parameter, context, last=key.descending), resource) for resource in resources]
    present = [(value, resource) for value, resource in keyed if value is not None]
    absent = [resource for value, resource in keyed if value is None]
    present.sort(key=lambda pair: pair[0], reverse=key.descending)
    return [resource for _, resource in present] + absent


def _sort_value(
    resource: Resource, parameter: SearchParameter, context: MatchContext, *, last: bool
) -> tuple[float, str] | None:
    values = list(_comparable(resource, parameter, context))
    if not values:
        return None
    return max(values) if last else min(values)


def _comparable(resource: Resource, parameter: SearchParameter, context: MatchContext) -> Iterator[tuple[float, str]]:
    for value in values_of(resource, parameter.paths):
        match parameter.kind:
            case "date":
                interval = interval_of(value)
                if interval is not None:
                    yield (interval.low, "")
            case "token":
                yield from ((0.0, token.value) for token in tokens_of(value) if token.value)
            case "reference":
                reference = reference_of(value, context.base_url)
                if reference is not None:
                    yield (0.0, reference)
            case _:
                yield (0.0, folded(str(value)))


def included(matched: list[Resource], query: SearchQuery, shelf: Shelf, context: MatchContext) -> list[Resource]:
    """The resources that `_include` and `_revinclude` add to the matches, each once, without the matches."""
    seen = {_key(resource) for resource in matched}
    additions: list[Resource] = []

    def add(resources: Iterable[Resource]) -> list[Resource]:
        new = []
        for resource in resources:
            if _key(resource) not in seen:
                seen.add(_key(resource))
                new.append(resource)
        additions.extend(new)
        return new

    fresh = add(_forward(matched, query.includes, shelf, context))
    fresh += add(_backward(matched, query.revincludes, shelf, context))
    iterating = tuple(include for include in query.includes if include.iterate)
    for _ in range(MAX_INCLUDE_ROUNDS):
        if not fresh or not iterating:
            break
        fresh = add(_forward(fresh, iterating, shelf, context))
    return additions


def _key(resource: Resource) -> tuple[str, str]:
    return resource["resourceType"], resource["id"]


def _forward(sources: list[Resource], includes: tuple[Include, ...], shelf: Shelf, context: MatchContext) -> Iterator[Resource]:
    for include in includes:
        for source in sources:
            for resource_type, resource_id in _targets(source, include, context):
                resource = shelf.fetch(resource_type, resource_id)
                if resource is not None:
                    yield resource


def _targets(source: Resource, include: Include, context: MatchContext) -> Iterator[tuple[str, str]]:
    if include.source not in ("*", source["resourceType"]):
        return
    for parameter in SEARCH_PARAMETERS[source["resourceType"]].values():
        if parameter.kind != "reference" or include.parameter not in ("*", parameter.name):
            continue
        wanted = (include.target,) if include.target else parameter.targets
        for value in values_of(source, parameter.paths):
            resource_type, _, resource_id = (reference_of(value, context.base_url) or "").partition("/")
            if resource_type in SEARCH_PARAMETERS and (not wanted or resource_type in wanted):
                yield resource_type, resource_id


def _backward(
    targets: list[Resource], revincludes: tuple[Include, ...], shelf: Shelf, context: MatchContext
) -> Iterator[Resource]:
    if not targets:
        return
    references = tuple("/".join(_key(target)) for target in targets)
    for include in revincludes:
        parameter = SEARCH_PARAMETERS[include.source][include.parameter]
        criterion = Criterion(parameter=parameter, modifier="", values=references)
        for resource in shelf.all_of(include.source):
            if matches(resource, criterion, context):
                yield resource
