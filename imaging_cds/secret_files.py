"""Secrets out of files: what systemd (LoadCredential) and containers (mounted secrets) hand a service.

Beside each secret setting stands one of the same name with ``_file`` behind it, in TOML (``password_file``) and in the
environment (``IMAGING_CDS__PACS__MAIN__PASSWORD_FILE``). A secret is a setting that ``repr`` hides; nothing else is read so.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

ENVIRONMENT_PREFIX = "IMAGING_CDS__"
SUFFIX = "_file"
LARGEST_BYTES = 65_536
"""Far above any password or token; a file that was named by mistake is not read whole."""
_TELLS_A_SECRET = re.compile(r"key|token|secret|auth|password", re.IGNORECASE)
"""Names of an archive's headers whose values open it; a tenant's name does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSecret:
    """One secret as somebody gave it: its full name, and its text, headers, or (``is_file``) the path of its file."""

    name: str
    value: Any
    is_file: bool

    @property
    def variable(self) -> str:
        """The environment's variable that names a file with this secret."""
        return f"{ENVIRONMENT_PREFIX}{self.name.replace('-', '_').replace('.', '__')}{SUFFIX}".upper()


def secret_names(kind: type) -> frozenset[str]:
    """The secrets among a settings dataclass's fields."""
    return frozenset(one.name for one in fields(kind) if not one.repr)


def with_files_read(kind: type, table: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    """The table with the content of each secret's file in place of its path; what cannot be read is a problem by name."""
    read = dict(table)
    hints = get_type_hints(kind)
    for name in sorted(secret_names(kind)):
        file_name = f"{name}{SUFFIX}"
        if file_name not in table:
            continue
        path = read.pop(file_name)
        if name in table:
            problems.append(f"{where}{name}: is given twice, by {file_name} too; say one of them.")
            continue
        try:
            content = _content(path)
            read[name] = _headers(content) if get_origin(hints[name]) is Mapping else _one_line(content)
        except ValueError as exc:
            problems.append(f"{where}{file_name}: {exc}.")
    return read


def remarks(kind: type, own: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """What works and yet should not stay so. ``own``: the settings file's tables, ``whole``: with the environment over them."""
    for one in given_secrets(kind, own):
        if not one.is_file and _opens_something(one.value):
            yield (
                f"{one.name} stands in the settings file, so whoever reads the settings has it; "
                f"put it into a file and name that in {one.variable}."
            )
    for one in given_secrets(kind, whole):
        if one.is_file and _others_may_read(Path(one.value)):
            yield f"{one.name}{SUFFIX}: everybody on this machine may read {one.value}; make it 0400 and the service's own."


def given_secrets(kind: type, table: Any, where: str = "") -> Iterator[GivenSecret]:
    """Every secret in tables that were read without fault, named as an administrator names it (``pacs.main.password``)."""
    if not isinstance(table, Mapping):
        return
    secrets, hints = secret_names(kind), get_type_hints(kind)
    for key, value in table.items():
        if key in secrets:
            yield GivenSecret(name=f"{where}{key}", value=value, is_file=False)
        elif key.removesuffix(SUFFIX) in secrets:
            yield GivenSecret(name=f"{where}{key.removesuffix(SUFFIX)}", value=value, is_file=True)
        elif key in hints:
            for inner, name, content in _inner_tables(hints[key], key, value):
                yield from given_secrets(inner, content, f"{where}{name}.")


def _inner_tables(hint: Any, key: str, value: Any) -> Iterator[tuple[type, str, Any]]:
    """The tables below one setting, each with its dataclass and its name."""
    inner = next((one for one in (hint, *get_args(hint)) if isinstance(one, type) and is_dataclass(one)), None)
    if inner is None:
        return
    if isinstance(value, list):
        for number, one in enumerate(value):
            name = one.get("name", number) if isinstance(one, Mapping) else number
            yield inner, f"{key}.{name}", one
    elif get_origin(hint) is Mapping and isinstance(value, Mapping):
        yield from ((inner, f"{key}.{name}", one) for name, one in value.items())
    else:
        yield inner, key, value


def _content(path: Any) -> str:
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise ValueError("must be the whole path of a file, from / on")
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no path"
        raise ValueError(f"{path} cannot be read: {why}") from exc
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"{path} is larger than any secret ({LARGEST_BYTES} bytes)")
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as exc:
        raise ValueError(f"{path} is no text in UTF-8") from exc
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def _one_line(text: str) -> str:
    if any(ord(mark) < 32 or ord(mark) == 127 for mark in text):
        raise ValueError("the file must hold the secret alone, in one line")
    return text


def _headers(text: str) -> dict[str, str]:
    """``Name: value`` lines, as an HTTP message writes them."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"line {number} of the file must be a header, written as Name: value")
        found[name.strip()] = value.strip()
    return found


def _opens_something(value: Any) -> bool:
    """An address without a password opens nothing, and neither does a header that names a tenant."""
    if isinstance(value, Mapping):
        return any(_TELLS_A_SECRET.search(name) for name in value)
    try:
        return "://" not in str(value) or urlsplit(str(value)).password is not None
    except ValueError:
        return True


def _others_may_read(path: Path) -> bool:
    """By the mode alone: an ACL such as systemd's for credentials opens nothing to others."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
