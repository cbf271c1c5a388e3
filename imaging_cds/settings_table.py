"""Every setting in words, as Markdown: generated from the settings dataclasses, which are their only description.

A setting's meaning is the first sentence of the docstring below its attribute; a section's, that of its class.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from imaging_cds.settings import ApplicationSettings

# What `imaging_cds.settings` hands from the top of the file to each component that is not told otherwise.
HANDED_DOWN = ("public_base_url", "viewer_dir")
MUST_BE_GIVEN = "must be given"
NOT_SET = "not set"
TYPE_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedSetting:
    """One setting as an administrator reads it."""

    name: str
    """``section.field``; a part in braces is a name that the site chooses."""
    kind: str
    default: str
    meaning: str
    """One sentence; empty when the attribute has no docstring, which a test forbids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedSection:
    """One table of the TOML file: ``[state]``, or ``[[ehr]]`` where it may be given several times."""

    header: str
    """As it is written in the file; empty for what stands before the first table."""
    meaning: str
    settings: tuple[DescribedSetting, ...]


def describe(kind: type = ApplicationSettings) -> list[DescribedSection]:
    """The sections below a settings dataclass, itself first, in the order in which they are declared."""
    return list(_sections(kind, header="", prefix=""))


def as_markdown(sections: list[DescribedSection]) -> str:
    """One Markdown table per section, beneath the line that opens it in the file."""
    return "\n\n".join(_section_markdown(section) for section in sections) + "\n"


def _sections(kind: type, *, header: str, prefix: str) -> Iterator[DescribedSection]:
    hints, meanings = get_type_hints(kind), attribute_docstrings(kind)
    settings, inner = [], []
    for one in fields(kind):
        hint, name = _without_none(hints[one.name]), f"{prefix}{one.name}"
        section = _inner_section(hint, name)
        if section is None:
            meaning = _first_sentence(meanings.get(one.name, ""))
            settings.append(DescribedSetting(name=name, kind=_kind(hint, one), default=_default(one, prefix), meaning=meaning))
        else:
            inner.append(section)
    yield DescribedSection(header=header, meaning=_first_sentence(inspect.getdoc(kind) or ""), settings=tuple(settings))
    for section_kind, section_header, section_prefix in inner:
        yield from _sections(section_kind, header=section_header, prefix=section_prefix)


def _inner_section(hint: Any, name: str) -> tuple[type, str, str] | None:
    """The dataclass of a setting that is itself a table, the line that opens it, and what its settings' names begin with."""
    arguments = get_args(hint)
    if _is_settings(hint):
        return hint, f"[{name}]", f"{name}."
    if get_origin(hint) is tuple and _is_settings(arguments[0]):
        return arguments[0], f"[[{name}]]", f"{name}."
    if get_origin(hint) is Mapping and _is_settings(arguments[1]):
        return arguments[1], f"[{name}.{{ehr}}]", f"{name}.{{ehr}}."
    return None


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def attribute_docstrings(kind: type) -> dict[str, str]:
    """The docstring below each annotated attribute of a class, read from its source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    found = {}
    if isinstance(body, ast.ClassDef):
        for statement, following in zip(body.body, body.body[1:], strict=False):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(statement, ast.AnnAssign) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[ast.unparse(statement.target)] = inspect.cleandoc(text.value)
    return found


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0].replace("``", "`")
    return re.sub(r"(?<![\w-])None(?![\w-])", NOT_SET, sentence)  # None cannot be written in TOML


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(one for one in get_args(hint) if one is not type(None))
    return hint


def _kind(hint: Any, one: Field[Any]) -> str:
    return _words(hint) + ("" if one.repr else ", secret")


def _words(hint: Any) -> str:
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return f"list of {_words(arguments[0])}"
    if get_origin(hint) is Mapping:
        return f"table of {_words(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " or ".join(f"`{member.value}`" for member in hint)
    return TYPE_WORDS[hint]


def _default(one: Field[Any], prefix: str) -> str:
    if prefix and one.name in HANDED_DOWN:
        return f"the top-level `{one.name}`"
    if one.default is MISSING and one.default_factory is MISSING:
        return MUST_BE_GIVEN
    value = one.default if one.default_factory is MISSING else one.default_factory()
    if value is None:
        return NOT_SET
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"`{name} = {item}`" for name, item in value.items()) or "none"
    return "none" if value == "" else f"`{value}`"


def _section_markdown(section: DescribedSection) -> str:
    opening = f"`{section.header}`: {section.meaning}" if section.header else section.meaning
    lines = ["| setting | kind | default | meaning |", "|---|---|---|---|"]
    for one in section.settings:
        cells = (f"`{one.name}`", one.kind, one.default, one.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([opening, "", *lines])
