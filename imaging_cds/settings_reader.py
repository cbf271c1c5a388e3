"""Turns TOML tables and environment variables into settings dataclasses, and lists every fault instead of the first.

The dataclasses are the only description of the settings: names, types, defaults and which must be given are read from them.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from imaging_cds.secret_files import ENVIRONMENT_PREFIX, SUFFIX, with_files_read

Settings = TypeVar("Settings")


def build(kind: type[Settings], table: Mapping[str, Any], where: str, problems: list[str]) -> Settings | None:
    """A settings dataclass from one table; None (and entries in ``problems``) where keys are unknown, missing or wrong."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    before = len(problems)
    table = with_files_read(kind, table, where, problems)
    problems.extend(f"{where}{key}: there is no such setting." for key in table if key not in known)
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], f"{where}{name}", problems)
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{where}{name}: must be given.")
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ValueError as exc:
        problems.append(f"{where.rstrip('.')}: {exc}")
        return None


def overlay(table: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The tables with the environment's ``IMAGING_CDS__…`` values over them.

    Two underscores part the levels; an entry of a list of tables is found by its ``name``:
    ``IMAGING_CDS__EHR__SANDBOX__CLIENT_SECRET`` sets ``client_secret`` of the ``[[ehr]]`` named ``sandbox``. A secret goes over
    the file's own by whichever of its two names it is given (``client_secret``, ``client_secret_file``).
    """
    merged: dict[str, Any] = _copied(table)
    given = [
        (_place(merged, variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")), value)
        for variable, value in sorted(environment.items())
        if variable.startswith(ENVIRONMENT_PREFIX)
    ]
    for place, _ in given:
        if place is not None:
            target, name = place
            target.pop(name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else f"{name}{SUFFIX}", None)
    for place, value in given:
        if place is not None:
            target, name = place
            target[name] = value
    return merged


def variables_without_place(table: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Variables that name an entry which the file does not have; they count for nothing."""
    copy = _copied(table)
    names = [name for name in sorted(environment) if name.startswith(ENVIRONMENT_PREFIX)]
    return [name for name in names if _place(copy, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")) is None]


def _place(target: dict[str, Any], path: list[str]) -> tuple[dict[str, Any], str] | None:
    """The table that a variable's name leads to, made where there is none, and the name in it."""
    head, *rest = path
    if not rest:
        return target, head
    inner = target.setdefault(head, {})
    if isinstance(inner, list):
        inner = next((e for e in inner if str(e.get("name", "")).replace("-", "_").lower() == rest[0]), None)
        rest = rest[1:]
    return _place(inner, rest) if isinstance(inner, dict) and rest else None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _value(hint: Any, given: Any, where: str, problems: list[str]) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(next(one for one in arguments if one is not type(None)), given, where, problems)
    if origin in (dict, Mapping):
        return _mapping(arguments[1], given, where, problems)
    if origin in (tuple, frozenset):
        return _many(origin, arguments[0], given, where, problems)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(given, Mapping):
            return build(hint, given, f"{where}.", problems)
        problems.append(f"{where}: must be a table.")
        return None
    return _scalar(hint, given, where, problems)


def _mapping(item: Any, given: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(given, Mapping):
        problems.append(f"{where}: must be a table.")
        return {}
    return {key: _value(item, value, f"{where}.{key}", problems) for key, value in given.items()}


def _many(origin: Any, item: Any, given: Any, where: str, problems: list[str]) -> Any:
    if isinstance(given, str) and item is str:
        given = [part.strip() for part in given.split(",") if part.strip()]
    if not isinstance(given, list | tuple):
        problems.append(f"{where}: must be a list.")
        return origin()
    return origin(_value(item, one, f"{where}[{number}]", problems) for number, one in enumerate(given))


def _scalar(hint: Any, given: Any, where: str, problems: list[str]) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if given in [member.value for member in hint]:
            return hint(given)
        problems.append(f"{where}: must be one of {', '.join(member.value for member in hint)}.")
        return None
    if hint is Path and isinstance(given, str):
        return Path(given)
    if hint is bool and isinstance(given, str) and given.lower() in ("true", "false"):
        return given.lower() == "true"
    if hint in (int, float) and isinstance(given, str | int | float) and not isinstance(given, bool):
        try:
            number = hint(given)
        except (ValueError, OverflowError):
            problems.append(f"{where}: must be a number.")
            return None
        if isinstance(given, float) and number != given:
            problems.append(f"{where}: must be {_word(hint)}.")
        return number
    if isinstance(given, hint):
        return given
    problems.append(f"{where}: must be {_word(hint)}.")
    return None


def _word(hint: Any) -> str:
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number"}.get(hint, str(hint))
