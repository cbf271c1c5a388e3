"""Copies of the repository in which code is broken and tests are run. The working tree is only ever read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CHECKOUT
from tests.mutants.guard import COPY_VARIABLE
from tests.mutants.table import Mutation

_TIMEOUT_S = 600
_RED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pytest run: its exit status, the red tests, and the end of what it said."""

    status: int
    red: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the repository's files. One process at a time works in it."""

    root: Path

    @contextmanager
    def broken_by(self, mutation: Mutation) -> Iterator[None]:
        """The copy with one mutation, and whole again afterwards."""
        path = self.root / mutation.file
        whole = path.read_text()
        path.write_text(mutation.applied_to(whole))
        try:
            yield
        finally:
            path.write_text(whole)

    def run(self, tests: Sequence[str]) -> Run:
        """Runs tests (node ids below ``tests/``) with this interpreter and the code of this copy."""
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "--maxfail=3", "-p", "tests.mutants.guard"]
        command += ["-p", "no:cacheprovider", "-p", "no:xdist", *(f"tests/{test}" for test in tests)]
        try:
            done = subprocess.run(
                command, cwd=self.root, env=self._environment(), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return Run(status=-1, red=(), said=f"no end within {_TIMEOUT_S} s")
        said = done.stdout + done.stderr
        return Run(status=done.returncode, red=tuple(dict.fromkeys(_RED.findall(said))), said=said[-1500:])

    def _environment(self) -> dict[str, str]:
        # Without bytecode written, no run can meet that of another mutation of the same second and size.
        ours = {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", COPY_VARIABLE: str(self.root)}
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | ours


def make_copy(root: Path, checkout: Path = CHECKOUT) -> Copy:
    """The files of the working tree that git tracks or would track, as they are, with bytecode that goes by content."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True, timeout=60)
    for name in filter(None, listed.stdout.split("\0")):
        if (checkout / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / name, root / name)
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "."]
    subprocess.run(compile_all, cwd=root, check=True, capture_output=True, timeout=_TIMEOUT_S)
    return Copy(root)
