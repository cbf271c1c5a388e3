"""Peers, each installed on first use from hashed pins: HealthChain's CDS endpoint, and dicom2fhir.

HealthChain is served by uvicorn with uvloop and two workers, in three applications: a fixed card, its documented way to read
the prefetch, and our work in its handler.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imaging_cds.processes import ProcessSpec

CHECKOUT = Path(__file__).parent.parent.parent
ENVIRONMENT = CHECKOUT / "build" / "bench" / "peers" / "venv"
CONVERTER_ENVIRONMENT = ENVIRONMENT.with_name("venv-dicom2fhir")
HERE = Path(__file__).parent / "peers"
PINS = HERE / "healthchain.txt"
INSTALL_TIMEOUT_S = 150
MODE = "uvicorn with uvloop and httptools, 2 workers, no access log"
PATH = "/cds/cds-services/imaging-findings"
FIXED = "HealthChain, fixed card"
READING = "HealthChain as documented: reads the prefetch, fixed card"
SAME_WORK = "HealthChain with our rules, validator and notes in its handler"
APPLICATIONS = {FIXED: "healthchain_app", READING: "healthchain_documented", SAME_WORK: "healthchain_rules"}
"""By the name of its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An installed peer, or why it is not there."""

    python: Path | None
    remark: str


def healthchain(environment: Path = ENVIRONMENT) -> Peer:
    """HealthChain in an environment of its own."""
    return _installed(PINS, environment, f"{_pinned(PINS, 'healthchain')}, {MODE}, each of its three applications alone")


def dicom2fhir(environment: Path = CONVERTER_ENVIRONMENT) -> Peer:
    """dicom2fhir in an environment of its own, with the fhir.resources that it works with."""
    pins = HERE / "dicom2fhir.txt"
    return _installed(pins, environment, f"{_pinned(pins, 'dicom2fhir')} with {_pinned(pins, 'fhir-resources')}")


def _installed(pins: Path, environment: Path, remark: str) -> Peer:
    """Installs what the pins say unless that is installed already. Where it cannot be installed, it is skipped and says so."""
    python = environment / "bin" / "python"
    stamp = environment / "pins.sha256"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        try:
            _run(sys.executable, "-m", "venv", "--clear", str(environment))
            pip = ("-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--require-hashes", "--no-deps")
            _run(str(python), *pip, "-r", str(pins))
        except (OSError, subprocess.SubprocessError) as failure:
            return Peer(python=None, remark=f"not measured, it could not be installed here ({type(failure).__name__})")
        stamp.write_text(wanted)
    return Peer(python=python, remark=remark)


def _pinned(pins: Path, name: str) -> str:
    line = next(line for line in pins.read_text().splitlines() if line.startswith(f"{name}=="))
    return line.split()[0].replace("==", " ")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)


def healthchain_spec(python: Path, name: str, port: int, directory: Path) -> ProcessSpec:
    """How one is started. Its command line lets uvicorn choose; here the faster of its choices is said out loud."""
    application = APPLICATIONS[name]
    uvicorn = ("-m", "uvicorn", "--app-dir", str(HERE), f"{application}:app", "--host", "127.0.0.1", "--port", str(port))
    mode = ("--workers", "2", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log")
    return ProcessSpec(
        title=name,
        command=[str(python), *uvicorn, *mode],
        ready_url=f"http://127.0.0.1:{port}/health",
        log_file=directory / "logs" / f"{application}.log",
        environment=our_work(directory) if name == SAME_WORK else {},
    )


def our_work(directory: Path) -> Mapping[str, str]:
    """Where its handler finds our packages and what they import, and a database of its own."""
    state = directory / "healthchain-state"
    state.mkdir(mode=0o700, exist_ok=True)
    paths = os.pathsep.join([str(CHECKOUT), sysconfig.get_path("purelib")])
    return {"BENCH_PATHS": paths, "BENCH_STATE": str(state.absolute())}
