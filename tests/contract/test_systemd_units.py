"""docs/examples/systemd: the units are what systemd understands, shut off what they can, and fit what the server does.

No machine here has systemd running: the units are read by ``systemd-analyze``, and what they ask of the server (to say that it
is ready, to do without writable and executable memory, to end in time) is tried on the server itself.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from imaging_cds.server import ServerSettings
from imaging_cds.settings import load
from imaging_cds.worker import ENDING_S
from tests.conftest import CHECKOUT, free_port_number

UNITS = CHECKOUT / "docs" / "examples" / "systemd"
NAMES = sorted(path.name for path in UNITS.glob("*.service"))
WORST_EXPOSURE = 15
"""Tenths of systemd's own figure between 0 (nothing is open) and 10; an ordinary service has 9.6."""
NO_EXECUTABLE_MEMORY = (
    "import ctypes, os, sys;"
    "ctypes.CDLL(None).prctl(65, 1, 0, 0, 0);"  # PR_SET_MDWE; kernels before 6.3 do not know it
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def text_of(name: str) -> str:
    return (UNITS / name).read_text(encoding="utf-8")


def values(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text_of(name), re.MULTILINE)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copies whose programs are there, since systemd-analyze looks for them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    program = tmp_path / "imaging-cds"
    program.symlink_to(shutil.which("true") or "")
    for name in NAMES:
        (tmp_path / name).write_text(text_of(name).replace("/opt/imaging-cds/bin/imaging-cds", str(program)))
    return tmp_path


def analysed(*arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_every_line(units: Path) -> None:
    """A misspelt key is a mere warning, so nothing at all may be said."""
    assert analysed("verify", "--man=no", *(str(units / name) for name in NAMES)) == ""


@pytest.mark.parametrize("name", NAMES)
def test_little_is_left_open(name: str, units: Path) -> None:
    analysed("security", "--offline=true", "--no-pager", f"--threshold={WORST_EXPOSURE}", str(units / name))


def test_the_three_units_are_hardened_alike_and_hold_the_same_secrets() -> None:
    def hardening(name: str) -> list[str]:
        return re.findall(r"^(?:Protect|Private|Restrict|System|Capab|Memory|NoNew|Lock|UMask|User).*$", text_of(name), re.M)

    assert NAMES == ["imaging-cds-migrate.service", "imaging-cds-sync.service", "imaging-cds.service"]
    for name in NAMES:
        assert hardening(name) == hardening(NAMES[-1])
        assert values(name, "LoadCredential") == values(NAMES[-1], "LoadCredential")
        assert values(name, "Environment") == values(NAMES[-1], "Environment")


def test_each_secret_that_is_lent_is_named_to_the_service_as_the_clinics_settings_want_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-synthetic-secret")
    credentials = {one.partition(":")[0] for one in values("imaging-cds.service", "LoadCredential")}
    environment = dict(one.split("=", 1) for one in values("imaging-cds.service", "Environment"))
    files = {name: value.removeprefix("%d/") for name, value in environment.items() if name.endswith("_FILE")}
    example = (CHECKOUT / "docs" / "examples" / "sites" / "clinic.toml").read_text(encoding="utf-8")

    assert set(files.values()) == credentials
    assert set(files) == set(re.findall(r"IMAGING_CDS__\w+_FILE", example))
    settings = load(CHECKOUT / "docs" / "examples" / "sites" / "clinic.toml", dict.fromkeys(files, str(secret)))
    assert settings.pacs[0].password == "a-synthetic-secret"
    assert settings.ehr[0].client_secret == "a-synthetic-secret"


def test_the_service_may_take_longer_to_end_than_its_requests() -> None:
    (seconds,) = values("imaging-cds.service", "TimeoutStopSec")

    assert int(seconds) > ServerSettings().graceful_timeout_s + ENDING_S


def test_the_server_tells_systemd_when_it_is_ready_and_needs_no_executable_memory(tmp_path: Path) -> None:
    config = tmp_path / "app.toml"
    config.write_text(
        tomli_w.dumps(
            {
                "public_base_url": "https://imaging.example",
                "state": {"state_dir": str(tmp_path / "state")},
                "server": {"port": free_port_number(), "workers": 1},
                "ehr": [{"name": "a", "fhir_base": "https://ehr.example/fhir"}],
            }
        )
    )
    # The address of a socket has few characters, and a test's directory may have many.
    name = f"\0imaging-cds-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-c", NO_EXECUTABLE_MEMORY, "-m", "imaging_cds", "serve", "--config", str(config)],
            env={**os.environ, "NOTIFY_SOCKET": name.replace("\0", "@")},
            cwd=CHECKOUT,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert manager.recv(4096).startswith(b"READY=1")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
