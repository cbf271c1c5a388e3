"""Reading a rule pack's TOML strictly: every key is known, of its type and present, and all faults are told at once."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from imaging_findings.toml_lines import Path, TomlLines

Value = TypeVar("Value")
_LARGEST = 1_000_000


class PackError(ValueError):
    """A rule pack that cannot be used; ``problems`` lists every fault found, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_toml(toml: str, name: str) -> dict[str, Any]:
    """The content of the file ``name``; PackError with its line where it is no TOML."""
    try:
        return tomllib.loads(toml)
    except RecursionError as exc:
        raise PackError([f"line 1: {name} is nested too deeply"]) from exc
    except ValueError as exc:  # beside TOMLDecodeError: a number of thousands of digits
        stated = re.search(r"line (\d+)", str(exc))
        line = stated[1] if stated else toml.count("\n") + 1
        raise PackError([f"line {line}: {name}: {exc}"]) from exc


class TomlTable:
    """One table of a pack. What is missing or wrong is noted in ``problems`` and stands as the type's empty value."""

    def __init__(
        self,
        content: Mapping[str, Any],
        place: str,
        problems: list[str],
        *,
        lines: TomlLines | None = None,
        path: Path = (),
    ) -> None:
        self._lines = lines
        self._path = path
        self._content = content
        self._place = place
        self._read: set[str] = set()
        self.problems = problems

    def string(self, key: str, default: str | None = None) -> str:
        """A non-empty string; required unless a default is given."""
        value = self._take(key, str, default, "")
        if value == "" and default is None and key in self._content:
            self._fault(key, "must not be empty")
        return value

    def number(self, key: str, default: float | None = None) -> float | None:
        """A number (bounds are optional everywhere)."""
        value = self._content.get(key, default)
        self._read.add(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._fault(key, "must be a number")
            return None
        if not (math.isfinite(value) and abs(value) <= _LARGEST):
            self._fault(key, f"must be a number up to {_LARGEST}")
            return None
        return float(value)

    def integer(self, key: str, default: int | None = None, within: tuple[int, int] | None = None) -> int:
        """A whole number, within its bounds; required unless a default is given."""
        value = self._take(key, int, default, 1)
        if isinstance(value, bool):
            self._fault(key, "must be a whole number")
            return 1
        if within is not None and key in self._content and not within[0] <= value <= within[1]:
            self._fault(key, f"is {value}, which is not {within[0]} to {within[1]}")
            return within[0]
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false, with a default."""
        return self.boolean(key) if key in self._content else default

    def boolean(self, key: str) -> bool:
        """True or false; required."""
        return self._take(key, bool, None, False)

    def strings(self, key: str) -> tuple[str, ...]:
        """An array of strings; empty when absent."""
        value = self._take(key, list, [], [])
        if not all(isinstance(item, str) for item in value):
            self._fault(key, "must be an array of strings")
            return ()
        return tuple(value)

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of the allowed words."""
        value = self.string(key, default)
        if value not in allowed and key in self._content:
            self._fault(key, f"must be one of {', '.join(allowed)}")
            return allowed[0]
        return value or allowed[0]

    def table(self, key: str) -> TomlTable | None:
        """A nested table; None when absent."""
        value = self._content.get(key)
        self._read.add(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._fault(key, "must be a table")
            return None
        return TomlTable(value, f"{self._place}.{key}", self.problems, lines=self._lines, path=(*self._path, key))

    def tables(self, key: str) -> list[TomlTable]:
        """An array of tables, each placed by its id or code."""
        found: list[TomlTable] = []
        for position, item in enumerate(self._take(key, list, [], [])):
            if not isinstance(item, dict):
                self._fault(key, "must be an array of tables")
                continue
            named = [item[one] for one in ("id", "code") if isinstance(item.get(one), str) and item[one]]
            name = named[0] if named else position
            place, path = f"{self._place}.{key}[{name}]", (*self._path, key, position)
            found.append(TomlTable(item, place, self.problems, lines=self._lines, path=path))
        return found

    def names(self) -> tuple[str, ...]:
        """All keys, in the order of the file."""
        return tuple(self._content)

    def close(self) -> None:
        """Notes every key that nobody asked for: a misspelt key must not be a silent default."""
        for key in sorted(set(self._content) - self._read):
            self._fault(key, "is not known")

    def fault(self, message: str, key: str | None = None) -> None:
        """Notes a fault of the whole table, or of one of its keys."""
        place = f"{self._place}.{key}" if key else self._place
        self.problems.append(f"{self._line(key)}{place} {message}")

    def _take(self, key: str, kind: type[Value], default: Value | None, empty: Value) -> Value:
        self._read.add(key)
        if key not in self._content:
            if default is None:
                self._fault(key, "is missing")
                return empty
            return default
        value = self._content[key]
        if not isinstance(value, kind):
            self._fault(key, f"must be a {kind.__name__}")
            return empty
        return value

    def _fault(self, key: str, message: str) -> None:
        self.fault(message, key)

    def _line(self, key: str | None) -> str:
        """``line 12: `` where the lines are known (a site's own file), so that the fault is found where it was written."""
        path = (*self._path, key) if key else self._path
        line = self._lines.of(path) if self._lines else None
        return f"line {line or 1}: " if self._lines else ""
