"""Whether a resource satisfies a search criterion; used by search, conditional requests and granular scopes alike."""

import re
from dataclasses import dataclass

from ehr_sandbox.fhir_dates import compare, parse_interval, split_prefix
from ehr_sandbox.fhir_faults import Resource, invalid, not_supported
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS, SearchParameter
from ehr_sandbox.fhir_values import Token, folded, interval_of, local_reference, reference_of, tokens_of, values_of

_MODIFIERS = {
    "token": {"not", "missing"},
    "reference": {"identifier", "missing"},
    "date": {"missing"},
    "string": {"exact", "contains", "missing"},
    "uri": {"missing"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchContext:
    """What a comparison needs besides the resource: this server's base URL and the present time in seconds."""

    base_url: str
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One search parameter with its alternatives: the values are OR-ed, criteria among themselves AND-ed."""

    parameter: SearchParameter
    modifier: str
    values: tuple[str, ...]


def parse_criterion(resource_type: str, key: str, raw_value: str) -> Criterion | None:
    """The criterion that `key=raw_value` states; None when the type has no such parameter.

    Raises FhirFault for a modifier or chain that is not supported and for a value that breaks the grammar.
    """
    name, _, modifier = key.partition(":")
    if name.startswith("_has") or "." in key:
        raise not_supported(f"chained search '{key}'")
    parameter = SEARCH_PARAMETERS[resource_type].get(name)
    if parameter is None:
        return None
    _check_modifier(parameter, modifier)
    values = tuple(split_unescaped(raw_value, ","))
    if modifier == "missing" and raw_value not in ("true", "false"):
        raise invalid(f"'{key}' takes true or false")
    if parameter.kind == "date" and not modifier:
        _check_dates(key, values)
    return Criterion(parameter=parameter, modifier=modifier, values=values)


def _check_modifier(parameter: SearchParameter, modifier: str) -> None:
    if not modifier or modifier in _MODIFIERS[parameter.kind]:
        return
    if parameter.kind == "reference" and modifier in SEARCH_PARAMETERS:
        return
    # FHIR R4 search: a server SHALL reject a modifier that it does not support, it may not ignore it.
    raise not_supported(f"modifier ':{modifier}' of search parameter '{parameter.name}'")


def _check_dates(key: str, values: tuple[str, ...]) -> None:
    for value in values:
        if parse_interval(split_prefix(value)[1]) is None:
            raise invalid(f"'{key}' has a value that is not a FHIR date")


def split_unescaped(text: str, separator: str) -> list[str]:
    r"""The parts between separators that are not escaped by a backslash; the escapes stay in the parts."""
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def unescaped(text: str) -> str:
    r"""The text with `\,`, `\|`, `\$` and `\\` resolved."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def matches(resource: Resource, criterion: Criterion, context: MatchContext) -> bool:
    """Whether the resource satisfies the criterion."""
    parameter = criterion.parameter
    if criterion.modifier == "missing":
        present = any(True for _ in values_of(resource, parameter.paths))
        return present == (criterion.values[0] == "false")
    match parameter.kind:
        case "token":
            found = any(_token_matches(resource, parameter, value) for value in criterion.values)
            return found != (criterion.modifier == "not")
        case "reference":
            return any(_reference_matches(resource, criterion, value, context) for value in criterion.values)
        case "date":
            return any(_date_matches(resource, parameter, value, context) for value in criterion.values)
        case "string":
            return any(_string_matches(resource, criterion, unescaped(value)) for value in criterion.values)
        case _:
            wanted = {unescaped(value) for value in criterion.values}
            return any(value in wanted for value in values_of(resource, parameter.paths))


def _token_matches(resource: Resource, parameter: SearchParameter, asked: str) -> bool:
    tokens = (token for value in values_of(resource, parameter.paths) for token in tokens_of(value))
    return any(_same_token(token, asked) for token in tokens)


def _same_token(token: Token, asked: str) -> bool:
    parts = [unescaped(part) for part in split_unescaped(asked, "|")]
    if len(parts) == 1:
        return token.value == parts[0]
    system, code = parts[0], parts[1]
    if (token.system or "") != system:
        return False
    return not code or token.value == code


def _reference_matches(resource: Resource, criterion: Criterion, asked: str, context: MatchContext) -> bool:
    values = list(values_of(resource, criterion.parameter.paths))
    if criterion.modifier == "identifier":
        identifiers = (value.get("identifier") for value in values if isinstance(value, dict))
        return any(_same_token(token, asked) for value in identifiers for token in tokens_of(value))
    wanted = local_reference(unescaped(asked), context.base_url)
    targets = (criterion.modifier,) if criterion.modifier else criterion.parameter.targets
    found = (reference_of(value, context.base_url) for value in values)
    return any(reference and _same_reference(reference, wanted, targets) for reference in found)


def _same_reference(reference: str, wanted: str, targets: tuple[str, ...]) -> bool:
    resource_type, _, resource_id = reference.rpartition("/")
    if targets and resource_type.rpartition("/")[2] not in targets:
        return False
    # A bare id means a resource of this server; an absolute reference must be asked for in full.
    return reference == wanted or ("/" not in resource_type and resource_type != "" and resource_id == wanted)


def _date_matches(resource: Resource, parameter: SearchParameter, asked: str, context: MatchContext) -> bool:
    prefix, text = split_prefix(asked)
    wanted = parse_interval(text)
    if wanted is None:
        return False
    intervals = (interval_of(value) for value in values_of(resource, parameter.paths))
    return any(found is not None and compare(prefix, found, wanted, context.now) for found in intervals)


def _string_matches(resource: Resource, criterion: Criterion, asked: str) -> bool:
    texts = (value for value in values_of(resource, criterion.parameter.paths) if isinstance(value, str))
    match criterion.modifier:
        case "exact":
            return any(text == asked for text in texts)
        case "contains":
            return any(folded(asked) in folded(text) for text in texts)
        case _:
            return any(folded(text).startswith(folded(asked)) for text in texts)
