"""Query of a QIDO-RS search: matching keys, included fields, paging.

Spec: PS3.18 §8.3.4 and §10.6.1.2. Unknown parameters are ignored, as PS3.18 §8.3.2 says and servers do:
a misspelt or differently cased key silently filters nothing. What is understood is strict: a value that
cannot be read, or the same attribute twice, is a 400 and never a wider answer.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword
from werkzeug.exceptions import BadRequest

from ehr_sandbox.dicomweb_json import tag_text
from ehr_sandbox.dicomweb_match import MatchingKey

ALL_FIELDS = "all"

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_NOT_ATTRIBUTES = frozenset({"includefield", "limit", "offset", "fuzzymatching", "accept", "charset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What a search asks for. `include` holds tags; `limit` None means all."""

    keys: tuple[MatchingKey, ...] = ()
    include: frozenset[str] = frozenset()
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy_matching: bool = False


def attribute_path(name: str) -> tuple[str, ...] | None:
    """Tags from the outermost sequence to the attribute, from ``00400275.00401001`` or keywords; else None."""
    tags = []
    for piece in name.split("."):
        if _TAG.fullmatch(piece):
            tags.append(piece.upper())
            continue
        tag = tag_for_keyword(piece)
        if tag is None:
            return None
        tags.append(tag_text(tag))
    return tuple(tags)


def parse_search(arguments: Iterable[tuple[str, str]]) -> SearchQuery:
    """Reads the query parameters in the order given; 400 names what cannot be understood."""
    pairs = list(arguments)
    keys = _matching_keys(pairs)
    fields = [name for value in _values(pairs, "includefield") for name in value.split(",")]
    paths = [path for name in fields if (path := attribute_path(name.strip())) is not None]
    return SearchQuery(
        keys=keys,
        include=frozenset(path[0] for path in paths),
        include_all=ALL_FIELDS in fields,
        limit=_number(pairs, "limit"),
        offset=_number(pairs, "offset") or 0,
        fuzzy_matching=_flag(pairs, "fuzzymatching"),
    )


def _matching_keys(pairs: list[tuple[str, str]]) -> tuple[MatchingKey, ...]:
    keys: dict[tuple[str, ...], MatchingKey] = {}
    for name, value in pairs:
        path = None if name in _NOT_ATTRIBUTES else attribute_path(name)
        if path is None:
            continue
        if path in keys:
            raise BadRequest(f"The attribute {name} is given more than once.")
        try:
            keys[path] = MatchingKey(path=path, value=value)
        except ValueError as error:
            raise BadRequest(f"The value of {name} cannot be matched: {error}.") from error
    return tuple(keys.values())


def _values(pairs: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in pairs if key == name]


def _one_value(pairs: list[tuple[str, str]], name: str) -> str | None:
    values = _values(pairs, name)
    if len(values) > 1:
        raise BadRequest(f"The parameter {name} is given more than once.")
    return values[0] if values else None


def _number(pairs: list[tuple[str, str]], name: str) -> int | None:
    value = _one_value(pairs, name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise BadRequest(f"The parameter {name} is not a whole number.")
    return int(value)


def _flag(pairs: list[tuple[str, str]], name: str) -> bool:
    value = (_one_value(pairs, name) or "false").lower()
    if value not in ("true", "false"):
        raise BadRequest(f"The parameter {name} is neither true nor false.")
    return value == "true"
