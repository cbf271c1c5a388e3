"""The viewer behind a site's proxy, and on a machine without any network (issue 7): fetched by npm itself from a registry whose
name the proxy alone can find, or installed from a file.

Needs ``apt-get install npm``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from imaging_cds.cli import main
from imaging_cds.viewer_fetch import npm_command
from imaging_cds.viewer_install import install_viewer, is_installed
from smart_app.ohif_release import OHIF_VERSION
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.contract.tls_actors import TestAuthority, serving_tls
from tests.interop.forward_proxy import REGISTRY_NAME, ForwardProxy, registry_of
from tests.unit.test_viewer_install import tarball

pytestmark = pytest.mark.interop

PACKAGE = "@ohif/app"
NAME, PASSWORD = "reader", "p%40ss-of-the-proxy"  # as it stands in an address
SIGN_IN = "reader:p@ss-of-the-proxy"
Commanded = Callable[..., tuple[int, str]]
NO_NETWORK = """
import sys

def deny(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork"):
        raise RuntimeError(f"there is neither network nor npm: {event}")

sys.addaudithook(deny)
"""


@dataclass
class Hospital:
    """Whose machines reach the registry through its proxy alone."""

    proxy: ForwardProxy
    integrity: str
    settings: dict[str, str]
    """npm's, but for the proxy."""

    def proxied(self, sign_in: str = f"{NAME}:{PASSWORD}@", at: str = "") -> dict[str, str]:
        address = f"http://{sign_in}{at or self.proxy.address}"
        return {**self.settings, "https_proxy": address, "http_proxy": address}


@pytest.fixture(scope="module", params=["http", "https"])
def hospital(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """With a registry of plain http (asked for in absolute form) or of TLS (through a tunnel)."""
    if npm_command() is None:
        pytest.skip("npm is not installed. On Debian: apt-get install npm")
    directory = tmp_path_factory.mktemp("hospital")
    package, integrity = tarball(directory)
    base = f"{request.param}://{REGISTRY_NAME}"
    app, port = registry_of(PACKAGE, OHIF_VERSION, package.read_bytes(), base), free_port_number()
    (directory / "none").touch()
    settings = {"npm_config_registry": f"{base}/", "npm_config_userconfig": str(directory / "none")}
    settings["npm_config_fetch_retries"] = "0"
    with ExitStack() as stack:
        if request.param == "https":
            authority = TestAuthority.in_folder(directory / "authority")
            stack.enter_context(serving_tls(app, port, authority.chain(of=x509.DNSName(REGISTRY_NAME))))
            settings["npm_config_cafile"] = str(authority.file)
        else:
            stack.enter_context(serving(app, port))
        proxy = stack.enter_context(ForwardProxy({REGISTRY_NAME: port}, SIGN_IN).up(free_port_number()))
        yield Hospital(proxy, integrity, settings)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Of a process with these settings of npm and no others."""
    theirs = ("npm_config_", "http_proxy", "https_proxy", "no_proxy", "proxy", "all_proxy", "node_extra_ca_certs")
    return {name: value for name, value in os.environ.items() if not name.lower().startswith(theirs)} | settings


def in_this_environment(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    wanted = environment(settings)
    for name in os.environ.keys() - wanted.keys():
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def commanded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commanded:
    """``imaging-cds viewer`` in an environment: its exit status and all that it prints."""

    def run(settings: dict[str, str], *arguments: str) -> tuple[int, str]:
        in_this_environment(monkeypatch, settings)
        code = main(["viewer", *arguments])
        told = capsys.readouterr()
        return code, " ".join((told.out + told.err).split())

    return run


def test_the_viewer_comes_through_the_proxy(hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_environment(monkeypatch, hospital.proxied())
    hospital.proxy.asked.clear()

    install_viewer(tmp_path / "viewer", integrity=hospital.integrity)

    assert is_installed(tmp_path / "viewer")
    method = "CONNECT" if hospital.settings["npm_config_registry"].startswith("https:") else "GET"
    assert {line.partition(" ")[0] for line in hospital.proxy.asked} == {method}
    assert all(REGISTRY_NAME in line for line in hospital.proxy.asked)


def test_the_proxy_may_stand_in_the_settings_of_npm(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sudo takes the environment away."""
    address = f"http://{NAME}:{PASSWORD}@{hospital.proxy.address}"
    (tmp_path / "npmrc").write_text(f"https-proxy={address}\nproxy={address}\n")
    in_this_environment(monkeypatch, {**hospital.settings, "npm_config_userconfig": str(tmp_path / "npmrc")})

    install_viewer(tmp_path / "viewer", integrity=hospital.integrity)

    assert is_installed(tmp_path / "viewer")


def test_without_the_proxy_nothing_comes_and_it_is_said_what_to_set(
    hospital: Hospital, tmp_path: Path, commanded: Commanded
) -> None:
    hospital.proxy.asked.clear()

    code, told = commanded(hospital.settings, "--dir", str(tmp_path / "viewer"))

    assert code == 1
    assert "ENOTFOUND" in told
    assert "https_proxy=http://HOST:PORT" in told
    assert "--from-file" in told
    assert hospital.proxy.asked == []


def test_another_package_than_the_pinned_one_is_refused_whoever_sent_it(
    hospital: Hospital, tmp_path: Path, commanded: Commanded
) -> None:
    """The registry and the proxy are not believed: the checksum is ours. This is the command itself, through the proxy."""
    hospital.proxy.asked.clear()

    code, told = commanded(hospital.proxied(), "--dir", str(tmp_path / "viewer"))

    assert code == 1
    assert "is not the pinned" in told
    assert hospital.proxy.asked
    assert not is_installed(tmp_path / "viewer")


@pytest.mark.parametrize("hospital", ["https"], indirect=True)
@pytest.mark.parametrize(
    ("sign_in", "at", "words"),
    [
        ("", "", ["asks for a name and a password", "https_proxy=http://NAME:PASSWORD@HOST:PORT"]),
        ("reader:another-secret@", "", ["asks for a name and a password"]),
        ("reader:another-secret@", "127.0.0.1:9", ["ECONNREFUSED", "through the proxy '127.0.0.1:9'", "unset"]),
        ("reader:another-secret@", "proxy.hospital.invalid:3128", ["through the proxy 'proxy.hospital.invalid:3128'"]),
        ("reader:another-secret@", "127.0.0.1:portless", ["through the proxy '127.0.0.1:portless'"]),
    ],
    ids=["no-sign-in", "wrong-sign-in", "nobody-there", "no-such-name", "no-address"],
)
def test_a_wrong_proxy_is_told_with_the_fix_and_without_its_password(
    sign_in: str, at: str, words: list[str], hospital: Hospital, tmp_path: Path, commanded: Commanded
) -> None:
    code, told = commanded(hospital.proxied(sign_in, at), "--dir", str(tmp_path / "viewer"))

    assert code == 1
    for one in words:
        assert one in told
    assert "another-secret" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("hospital", ["http"], indirect=True)
def test_a_sign_in_is_asked_for_by_a_proxy_of_plain_http_too(hospital: Hospital, tmp_path: Path, commanded: Commanded) -> None:
    code, told = commanded(hospital.proxied(""), "--dir", str(tmp_path / "viewer"))

    assert (code, "asks for a name and a password" in told) == (1, True), told


@pytest.mark.parametrize("hospital", ["http"], indirect=True)
def test_nobody_waits_a_minute_for_it(hospital: Hospital, tmp_path: Path, commanded: Commanded) -> None:
    """npm tries three times, and by itself waits seventy seconds between."""
    settings = {**hospital.proxied(at="127.0.0.1:9"), "npm_config_fetch_retries": "2"}
    began = time.monotonic()

    assert commanded(settings, "--dir", str(tmp_path / "viewer"))[0] == 1
    assert time.monotonic() - began < 30


def test_a_proxy_that_does_not_know_the_registry_is_named(hospital: Hospital, tmp_path: Path, commanded: Commanded) -> None:
    elsewhere = {**hospital.proxied(), "npm_config_registry": "https://other.hospital.invalid/"}

    code, told = commanded(elsewhere, "--dir", str(tmp_path / "viewer"))

    assert code == 1
    assert f"through the proxy '{hospital.proxy.address}'" in told
    assert "ss-of-the-proxy" not in told


@pytest.mark.parametrize("hospital", ["https"], indirect=True)
def test_a_registry_whose_authority_npm_does_not_know_is_told_with_the_fix(
    hospital: Hospital, tmp_path: Path, commanded: Commanded
) -> None:
    (tmp_path / "empty").touch()
    settings = {name: value for name, value in hospital.proxied().items() if name != "npm_config_cafile"}

    code, told = commanded({**settings, "npm_config_globalconfig": str(tmp_path / "empty")}, "--dir", str(tmp_path / "viewer"))

    assert code == 1
    assert "NODE_EXTRA_CA_CERTS=" in told
    assert "ss-of-the-proxy" not in told


def test_a_file_is_checked_and_installed_without_npm_and_without_network(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)
    install = f"from imaging_cds.viewer_install import *; install_viewer(Path({str(tmp_path / 'viewer')!r}), "

    def ran(more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", NO_NETWORK + install + more]
        nowhere = {"PATH": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
        return subprocess.run(command, cwd=CHECKOUT, env=environment(nowhere), capture_output=True, text=True, check=False)

    assert "neither network nor npm" in ran(")").stderr, "the guard guards"
    refused = ran(f"from_file=Path({str(package)!r}))")
    assert "is not the pinned" in refused.stderr
    assert not is_installed(tmp_path / "viewer")
    installed = ran(f"from_file=Path({str(package)!r}), integrity={integrity!r})")
    assert (installed.returncode, installed.stderr) == (0, "")
    assert is_installed(tmp_path / "viewer")


def test_the_command_takes_the_file(tmp_path: Path, commanded: Commanded) -> None:
    code, told = commanded({}, "--dir", str(tmp_path / "viewer"), "--from-file", str(tarball(tmp_path)[0]))

    assert (code, "is not the pinned" in told) == (1, True)
    code, told = commanded({}, "--dir", str(tmp_path / "viewer"), "--from-file", str(tmp_path / "missing.tgz"))
    assert (code, "missing.tgz cannot be read" in told) == (1, True)
