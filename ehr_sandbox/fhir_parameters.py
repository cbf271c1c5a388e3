"""Which resource types the store holds and by which search parameters each is found."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ParameterKind = Literal["token", "reference", "date", "string", "uri"]

_KINDS: dict[str, ParameterKind] = {
    "token": "token",
    "reference": "reference",
    "date": "date",
    "string": "string",
    "uri": "uri",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParameter:
    """One search parameter of one resource type."""

    name: str
    kind: ParameterKind
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()


def _parameter(name: str, entry: str) -> SearchParameter:
    kind, paths, *targets = entry.split()
    return SearchParameter(name=name, kind=_KINDS[kind], paths=tuple(paths.split(",")), targets=tuple(targets))


def _load() -> dict[str, dict[str, SearchParameter]]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    common = tables.pop("common")
    return {
        resource_type: {name: _parameter(name, entry) for name, entry in (common | table).items()}
        for resource_type, table in tables.items()
    }


SEARCH_PARAMETERS: Mapping[str, Mapping[str, SearchParameter]] = _load()
"""Resource type → name → search parameter; its keys are the types that the store holds."""
