"""The demo as strangers meet it: its process, its command line, and curl."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from ehr_sandbox.pacs import create_pacs
from ehr_sandbox.patients import alma, build_demo
from imaging_cds.cli import main
from imaging_cds.demo_data import images_print
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.demo_seed import move_to_tape, store_dicom
from imaging_cds.sandbox_servers import pacs_settings
from tests.conftest import CHECKOUT, free_port_number, serving

START_TIMEOUT_S = 150.0
UP = "Who opened what"
"""Stands in what the demo prints once everything answers."""


def demo_images(config: pytest.Config) -> Path:
    """The demo's DICOM files of today, made once for all tests and kept between runs; also by ``-p no:cacheprovider``."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is None:
        folder = Path(tempfile.gettempdir()) / f"imaging-cds-demo-images-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = cache.mkdir("demo-images")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_demo(folder / "dicom", demo_day=datetime.now(UTC).date(), fhir_base="http://ehr")
        _store_once(folder)
    return folder / "dicom"


def _store_once(folder: Path) -> None:
    """What an archive keeps once these images were stored in it, so that not each test's demo has to store 240 MB."""
    options = DemoOptions(directory=folder, viewer_dir=folder, pacs_port=free_port_number())
    if options.stored_images.exists() and options.stored_images.read_text() == images_print(options.dicom_dir):
        return
    shutil.rmtree(options.pacs_dir, ignore_errors=True)
    with serving(create_pacs(pacs_settings(options)), options.pacs_port):
        store_dicom(options, sorted(options.dicom_dir.rglob("*.dcm")), lambda _step, _done, _total: None)
        move_to_tape(options, [alma.ON_TAPE.study_instance_uid])
    options.stored_images.write_text(images_print(options.dicom_dir))


def with_images(directory: Path, images: Path) -> Path:
    """A demo's directory that has its images already, in its archive too; files are linked, for each is only ever replaced."""
    directory.mkdir(parents=True)
    shutil.copytree(images, directory / "dicom", copy_function=_link_or_copy)
    for part in ("stored", "tape"):
        shutil.copytree(images.parent / "pacs" / part, directory / "pacs" / part, copy_function=_link_or_copy)
    shutil.copy2(images.parent / "stored-images", directory)
    return directory


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def curl(method: str, url: str, token: str | None = None, **more: Any) -> requests.Response:
    """One request as from a command line: no proxy, no cookies, no redirects."""
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, headers=headers, timeout=20, allow_redirects=False, **more)


@dataclass(slots=True)
class DemoProcess:
    """``imaging-cds demo`` as somebody started it in a terminal."""

    directory: Path
    viewer_dir: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, int, int] = field(default_factory=lambda: (free_port_number(), free_port_number(), free_port_number()))
    process: subprocess.Popen[bytes] | None = None
    start_s: float = 0.0

    @property
    def app_url(self) -> str:
        return f"http://localhost:{self.ports[0]}"

    @property
    def ehr_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def fhir(self) -> str:
        return f"{self.ehr_url}/fhir"

    @property
    def gateway(self) -> str:
        return f"{self.app_url}/imaging/sandbox/dicom-web/demo"

    @property
    def output(self) -> str:
        path = self._output_file
        return path.read_text() if path.exists() else ""

    @property
    def _output_file(self) -> Path:
        return self.directory.parent / f"{self.directory.name}.out"

    def start(self) -> None:
        """Returns at once."""
        app, ehr, pacs = map(str, self.ports)
        command = ["demo", "--directory", str(self.directory), "--viewer-dir", str(self.viewer_dir)]
        ports = ["--port", app, "--ehr-port", ehr, "--pacs-port", pacs]
        with self._output_file.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "imaging_cds", *command, *ports, *self.arguments],
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Wide enough that nothing which a test looks for is wrapped.
                env={**os.environ, "COLUMNS": "220", "PYTHONUNBUFFERED": "1", **self.environment},
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Returns when the demo says where to click; AssertionError with its output when it ended instead."""
        started = time.monotonic()
        while UP not in self.output:
            assert self.process is not None
            assert self.process.poll() is None, f"the demo ended: {self.output}"
            assert time.monotonic() - started < START_TIMEOUT_S, f"the demo did not come up: {self.output}"
            time.sleep(0.05)
        self.start_s = time.monotonic() - started

    def wait_until_ended(self, timeout_s: float = 40.0) -> int:
        """The exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait_until_ended()

    def interrupt_group(self) -> int:
        """Ctrl-C in a terminal: the whole foreground group gets it; the demo's servers are in sessions of their own."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.wait_until_ended()

    def children(self) -> list[int]:
        """Every living process that carries this demo's directory or settings in its command or environment."""
        mark = str(self.directory).encode()
        return [pid for pid in _living_processes() if mark in _told(pid) and pid != os.getpid()]

    def token(self, *arguments: str) -> str:
        """What ``imaging-cds token`` prints for this demo."""
        return cli("token", "--directory", str(self.directory), *arguments)[0].strip()

    def everything_written(self) -> bytes:
        """Every log line and state file of the application."""
        roots = (self.directory / "logs", self.directory / "app", self.directory / "app.toml")
        files = [path for root in roots for path in (root.rglob("*") if root.is_dir() else [root])]
        return b"".join(path.read_bytes() for path in files if path.is_file())


@contextmanager
def a_demo(directory: Path, viewer_dir: Path, *arguments: str, **more: Any) -> Iterator[DemoProcess]:
    """A running demo, stopped by Ctrl-C at the end of the block."""
    demo = DemoProcess(directory, viewer_dir, arguments, **more)
    demo.start()
    try:
        demo.wait_until_up()
        yield demo
    finally:
        code = demo.interrupt()
    assert code == 0, (code, demo.output)


def cli(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Output and error output of one ``imaging-cds`` command, run in this process because starting one takes a second."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            ended = main(arguments)
        except SystemExit as exit_by_argparse:
            ended = exit_by_argparse.code if isinstance(exit_by_argparse.code, int) else 1
    assert ended == code, (ended, output.getvalue(), errors.getvalue())
    return output.getvalue(), errors.getvalue()


def run_cli(*arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One ``imaging-cds`` command as a process of its own, which must end with this exit code."""
    completed = subprocess.run(
        [sys.executable, "-m", "imaging_cds", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "220", **(environment or {})},
    )
    assert completed.returncode == code, (completed.returncode, completed.stdout, completed.stderr)
    return completed


def _living_processes() -> list[int]:
    living = []
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError):  # it may end while this is read
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                living.append(int(entry.name))
    return living


def _told(pid: int) -> bytes:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return b""
        return Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def studies_of(fhir: str, token: str | None, patient: str) -> list[dict[str, Any]]:
    """The ImagingStudy resources that a FHIR server gives for a patient, newest first."""
    found = curl("GET", f"{fhir}/ImagingStudy?patient={patient}&_sort=-started", token)
    assert found.status_code == 200, found.text
    return [entry["resource"] for entry in found.json().get("entry", [])]


def study_uid(study: Mapping[str, Any]) -> str:
    """The Study Instance UID of an ImagingStudy."""
    values: Sequence[str] = [one["value"] for one in study["identifier"] if one["system"] == "urn:dicom:uid"]
    return values[0].removeprefix("urn:oid:")
