"""On which line of a TOML file a table or a key stands, so that a fault can be found where it was written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-\"'.]+)\s*=")
_LONG_STRING = re.compile(r'"""|\'\'\'')


class TomlLines:
    """Lines by path, such as ``("pack", 0, "row", 1, "statement")``; arrays of tables count from 0."""

    def __init__(self, toml: str) -> None:
        self._lines: dict[Path, int] = {}
        counts: Counter[Path] = Counter()
        latest: dict[Path, Path] = {}
        here: Path = ()
        for number, line in _outside_long_strings(toml):
            header, key = _HEADER.match(line), _KEY.match(line)
            if header:
                here = self._enter(header[2], header[1] == "[[", counts, latest)
                self._lines.setdefault(here, number)
            elif key:
                self._lines.setdefault((*here, key[1].strip("\"'")), number)

    def of(self, path: Path) -> int | None:
        """The line of the path, of its first entry where it is an array, or of the nearest table around it."""
        while path:
            found = self._lines.get(path) or self._lines.get((*path, 0))
            if found:
                return found
            path = path[:-1]
        return None

    @staticmethod
    def _enter(name: str, is_array: bool, counts: Counter[Path], latest: dict[Path, Path]) -> Path:
        plain: Path = ()
        here: Path = ()
        parts = [part.strip().strip("\"'") for part in name.split(".")]
        for position, part in enumerate(parts):
            plain, here = (*plain, part), (*here, part)
            if position < len(parts) - 1 and plain in latest:
                here = latest[plain]
        if is_array:
            parent = here[:-1]
            index = counts[(*parent, parts[-1])]
            counts[(*parent, parts[-1])] += 1
            here = (*here, index)
            latest[plain] = here
        return here


def _outside_long_strings(toml: str) -> Iterator[tuple[int, str]]:
    """The numbered lines that begin outside a string of several lines, whose text may look like a header."""
    inside = False
    # TOML knows two ends of a line and no others, unlike str.splitlines.
    for number, line in enumerate(toml.replace("\r\n", "\n").split("\n"), start=1):
        if not inside:
            yield number, line
        inside ^= len(_LONG_STRING.findall(line)) % 2 == 1
