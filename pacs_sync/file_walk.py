"""The regular files of folders at any depth, always in the same order; pipes, sockets and links to folders are no files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


def files_under(roots: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """Every file, in order, or why a folder has none."""
    for root in roots:
        if os.path.isfile(root):
            yield root, None
            continue
        troubles: list[OSError] = []
        for folder, names, files in os.walk(root, onerror=troubles.append):
            names.sort()
            for path in (Path(folder, name) for name in sorted(files)):
                try:
                    if stat.S_ISREG(path.stat().st_mode):
                        yield path, None
                except FileNotFoundError:
                    continue  # a link to nowhere
                except OSError as exc:
                    yield path, why_closed(exc)
        yield from ((Path(one.filename or root), why_closed(one)) for one in troubles)


def why_closed(exc: OSError) -> str:
    """The reason in words."""
    return f"cannot be opened ({type(exc).__name__})"
