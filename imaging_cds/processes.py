"""The child processes of the demo: started in order, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

STOP_GRACE_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One server of the demo: its command, where it answers when it is up (None: it only works), and where its output goes."""

    title: str
    command: Sequence[str]
    ready_url: str | None
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)


class ProcessFailed(Exception):
    """A server ended or did not come up; the message says which, and where its log is."""


class ProcessGroup:
    """Runs the servers as children of this process, each in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self) -> None:
        self._running: list[tuple[ProcessSpec, subprocess.Popen[bytes]]] = []

    def start(self, spec: ProcessSpec) -> None:
        """Starts one server; returns at once."""
        spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        with spec.log_file.open("ab") as log:
            child = subprocess.Popen(  # nosec B603 # noqa: S603 - our own command line, built in demo_plan
                list(spec.command),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **spec.environment},
                start_new_session=True,
            )
        self._running.append((spec, child))

    def wait_ready(
        self, timeout_s: float, *, titles: Collection[str] | None = None, is_given_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Returns when these servers (None: all) answer or nobody waits any more.

        ProcessFailed when one ended or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        awaited = [spec for spec, _ in self._running if titles is None or spec.title in titles]
        with requests.Session() as session:
            session.trust_env = False
            for spec in awaited:
                while not is_given_up() and spec.ready_url is not None and not _answers(session, spec.ready_url):
                    self.check()
                    if time.monotonic() > deadline:
                        raise ProcessFailed(f"{spec.title} did not come up in {timeout_s:.0f} s. Its log: {spec.log_file}")
                    time.sleep(0.1)

    def has(self, title: str) -> bool:
        """Whether a server of that title was started here."""
        return any(spec.title == title for spec, _ in self._running)

    def process_id(self, title: str) -> int:
        """The first process of the server of that title, which is also its session; KeyError when there is none."""
        return {spec.title: child.pid for spec, child in self._running}[title]

    def check(self) -> None:
        """ProcessFailed when a server has ended."""
        for spec, child in self._running:
            code = child.poll()
            if code is not None:
                raise ProcessFailed(f"{spec.title} ended by itself (exit code {code}). Its log: {spec.log_file}")

    def stop(self) -> None:
        """Asks all servers to end, in reverse order, and ends those that do not."""
        for _, child in reversed(self._running):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for _, child in reversed(self._running):
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)
                child.wait()
        self._running.clear()


def python_command(*arguments: str) -> list[str]:
    """This application's command line with this interpreter."""
    return [sys.executable, "-m", "imaging_cds", *arguments]


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return


def _answers(session: requests.Session, url: str) -> bool:
    # "localhost" may resolve to ::1 first; where only IPv4 listens, requests falls back by itself.
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"not a URL: {url}")
    try:
        return session.get(url, timeout=2, allow_redirects=False).status_code < 500
    except requests.RequestException:
        return False
