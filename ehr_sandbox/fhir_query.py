"""A search request, parsed: criteria, order, page size, includes, and what had to be ignored."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ehr_sandbox.fhir_faults import invalid, not_supported
from ehr_sandbox.fhir_matching import Criterion, parse_criterion
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS, SearchParameter

DEFAULT_COUNT = 50
MAX_COUNT = 500

Parameters = Iterable[tuple[str, str]]

_UNSUPPORTED = frozenset({"_filter", "_content", "_text", "_query", "_list", "_contained", "_containedType"})
_IGNORED_QUIETLY = frozenset({"_format", "_pretty"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One parameter that orders the matches."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """`_include` or `_revinclude`: a reference parameter (or `*`) of a source type, and the type it should reach."""

    source: str
    parameter: str
    target: str | None
    iterate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What one search asks for."""

    resource_type: str
    criteria: tuple[Criterion, ...] = ()
    sort: tuple[SortKey, ...] = ()
    count: int = DEFAULT_COUNT
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    elements: tuple[str, ...] = ()
    only_count: bool = False
    total: Literal["none", "accurate"] = "accurate"
    ignored: tuple[str, ...] = ()
    """Parameters that the caller sent and this server does not know, in their order."""
    understood: tuple[tuple[str, str], ...] = ()
    """Parameters as sent, without the ignored ones: what the `self` link repeats."""


def parse_query(resource_type: str, parameters: Parameters, *, strict: bool = False) -> SearchQuery:
    """The query that these parameters state.

    `strict` is `Prefer: handling=strict`: an unknown parameter is then a fault instead of being ignored.
    Raises FhirFault when the request breaks the grammar or asks for what this server does not do.
    """
    reader = _QueryReader(resource_type)
    for key, value in parameters:
        reader.take(key, value)
    if strict and reader.ignored:
        raise not_supported(f"search parameter '{reader.ignored[0]}' of {resource_type}")
    return reader.query()


class _QueryReader:
    """Collects the parameters of one request one by one."""

    def __init__(self, resource_type: str) -> None:
        self.resource_type = resource_type
        self.criteria: list[Criterion] = []
        self.sort: list[SortKey] = []
        self.includes: list[Include] = []
        self.revincludes: list[Include] = []
        self.elements: list[str] = []
        self.count = DEFAULT_COUNT
        self.only_count = False
        self.total: Literal["none", "accurate"] = "accurate"
        self.ignored: list[str] = []
        self.understood: list[tuple[str, str]] = []

    def take(self, key: str, value: str) -> None:
        """Read one `key=value`; an empty value states nothing."""
        name, _, modifier = key.partition(":")
        if name in _UNSUPPORTED:
            raise not_supported(f"search parameter '{name}'")
        if value == "" or name in _IGNORED_QUIETLY:
            return
        if self._take_control(name, modifier, value):
            self.understood.append((key, value))
            return
        criterion = parse_criterion(self.resource_type, key, value)
        if criterion is None:
            self.ignored.append(key)
        else:
            self.criteria.append(criterion)
            self.understood.append((key, value))

    def _take_control(self, name: str, modifier: str, value: str) -> bool:
        match name:
            case "_count":
                self._take_count(value)
            case "_sort":
                return self._take_sort(value)
            case "_include":
                self.includes.append(_include(value, iterate=modifier in ("iterate", "recurse")))
            case "_revinclude":
                self.revincludes.append(_revinclude(value, self.resource_type))
            case "_elements":
                self.elements.extend(value.split(","))
            case "_total":
                self._take_total(value)
            case "_summary":
                self._take_summary(value)
            case _:
                return False
        return True

    def _take_count(self, value: str) -> None:
        if not value.isdecimal():
            raise invalid("_count must be a number that is not negative")
        self.count = min(int(value), MAX_COUNT)
        self.only_count = self.only_count or self.count == 0

    def _take_sort(self, value: str) -> bool:
        known = SEARCH_PARAMETERS[self.resource_type]
        names = value.split(",")
        if any(name.removeprefix("-") not in known for name in names):
            self.ignored.append("_sort")
            return False
        self.sort.extend(SortKey(parameter=known[name.removeprefix("-")], descending=name.startswith("-")) for name in names)
        return True

    def _take_total(self, value: str) -> None:
        if value not in ("none", "estimate", "accurate"):
            raise invalid("_total must be none, estimate or accurate")
        self.total = "none" if value == "none" else "accurate"

    def _take_summary(self, value: str) -> None:
        # A server may return more than the summary; only `count` changes the answer here.
        if value not in ("true", "false", "text", "data", "count"):
            raise invalid("_summary must be true, false, text, data or count")
        self.only_count = self.only_count or value == "count"

    def query(self) -> SearchQuery:
        """What was collected."""
        return SearchQuery(
            resource_type=self.resource_type,
            criteria=tuple(self.criteria),
            sort=tuple(self.sort),
            count=self.count,
            includes=tuple(self.includes),
            revincludes=tuple(self.revincludes),
            elements=tuple(self.elements),
            only_count=self.only_count,
            total=self.total,
            ignored=tuple(self.ignored),
            understood=tuple(self.understood),
        )


def _include(value: str, *, iterate: bool) -> Include:
    if value == "*":
        return Include(source="*", parameter="*", target=None, iterate=iterate)
    source, _, rest = value.partition(":")
    parameter, _, target = rest.partition(":")
    known = SEARCH_PARAMETERS.get(source, {})
    if parameter != "*" and (parameter not in known or known[parameter].kind != "reference"):
        raise not_supported(f"_include or _revinclude of '{value}'")
    return Include(source=source, parameter=parameter, target=target or None, iterate=iterate)


def _revinclude(value: str, resource_type: str) -> Include:
    include = _include(value, iterate=False)
    if include.parameter == "*":
        raise not_supported(f"_revinclude of '{value}': name the parameter")
    if include.target not in (None, resource_type):
        raise invalid(f"_revinclude of '{value}' does not point to {resource_type}")
    return include
