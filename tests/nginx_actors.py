"""A real nginx with the configuration that ``imaging-cds nginx`` writes, in front of a gateway under test."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_imaging.settings import HandOver
from imaging_cds.nginx_files import files_of, write
from imaging_cds.nginx_plan import Mode, NginxOptions, plan_of
from imaging_cds.settings import ApplicationSettings, from_table
from imaging_server.handover import handover_key
from tests.conftest import free_port_number
from tests.security.gateway_actors import VIEWER_ORIGIN, World, a_world
from tests.security.gateway_stubs import PACS_PASSWORD

NGINX_HINT = "nginx is not installed. On Debian: apt-get install nginx-light libnginx-mod-http-set-misc"
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
Change = Callable[[str], str]
KEPT_S = 3.0
"""How long nginx keeps a decision in tests; the application keeps its own as long."""


@dataclass(frozen=True)
class Nginx:
    """One running nginx. ``directory`` holds everything that it ever writes."""

    url: str
    directory: Path
    pid: int

    def written(self) -> bytes:
        """Logs, kept decisions, configuration and whatever else lies there, but for the file of secrets."""
        files = (path for path in sorted(self.directory.rglob("*")) if path.is_file() and "secrets" not in path.name)
        return b"\n".join(path.read_bytes() for path in files)

    def decisions(self) -> list[Path]:
        """The files of kept decisions."""
        return [path for path in (self.directory / "decisions").rglob("*") if path.is_file()]

    def access_lines(self) -> list[str]:
        return (self.directory / "access.log").read_text().splitlines()

    def upstream_statuses(self, reference: str) -> list[str]:
        """Which statuses nginx was given for the request with this X-Request-Id, in turn; the log has it a moment later."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for line in self.access_lines():
                if f" {reference} " in line:
                    words = line.split()[7:]
                    return words[: (len(words) + 1) // 2 : 2]
            time.sleep(0.01)
        raise AssertionError(f"no line of {reference}")

    def resident_kb(self) -> int:
        """Memory of its largest worker."""
        return max(_resident_kb(pid) for pid in _children(self.pid))


@dataclass
class Front:
    """The gateway as callers meet it: through nginx."""

    world: World
    """``url`` is nginx's."""
    nginx: Nginx
    behind: str
    """The application's own address."""
    mode: Mode

    def past_nginx(self) -> World:
        """The same gateway, met without nginx."""
        return replace(self.world, url=self.behind)


def as_written(text: str) -> str:
    """No change."""
    return text


def without_room(text: str) -> str:
    """An nginx whose connections are soon used up."""
    return re.sub(r"worker_connections \d+;", "worker_connections 32;", text).replace("processes auto", "processes 1")


def nginx_program() -> str | None:
    """Also where root's programs are not on the path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_nginx(
    settings: ApplicationSettings, options: NginxOptions, key: str, directory: Path, changed: Change = as_written
) -> Iterator[Nginx]:
    """nginx with the configuration of these settings, below ``directory``. Skips where there is none.

    ``changed`` makes the circumstances of a test out of each file.
    """
    program = nginx_program()
    if program is None:
        pytest.skip(NGINX_HINT)
    if options.mode is Mode.AUTH_REQUEST and not (options.modules / "ngx_http_set_misc_module.so").exists():
        pytest.skip(NGINX_HINT)
    write(files_of(plan_of(settings, options), key), directory)
    for path in directory.glob("*.conf"):
        path.write_text(changed(path.read_text()))
    command = [program, "-p", f"{directory}/", "-c", "nginx.conf", "-g", "daemon off;"]
    with (directory / "stderr").open("wb") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            _wait_until_up(options.listen, process, directory)
            yield Nginx(f"http://{options.listen}", directory, process.pid)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def a_front(
    directory: Path,
    mode: Mode,
    *,
    hand_over: str = "retrievals",
    changed: Change = as_written,
    user: str | None = None,
    **world: Any,
) -> Iterator[Front]:
    """The gateway of ``a_world`` behind nginx; ``server``, ``north``, ``archive`` and ``pacs`` as there.

    ``user``: whose nginx's workers are, where it is not whoever runs the tests.
    """
    listen = f"127.0.0.1:{free_port_number()}"
    kept = {"decision_cache_s": 2 * KEPT_S, "handed_decision_s": KEPT_S} if mode is Mode.AUTH_REQUEST else {}
    told = {"public_base_url": f"http://{listen}", **kept, **world.pop("server", {})}
    handed = {"hand_over": HandOver(hand_over), "keeps_hierarchy": mode is Mode.AUTH_REQUEST, **world.pop("archive", {})}
    with a_world(directory / "state", server=told, archive=handed, **world) as behind:
        settings = as_application(behind, directory / "state", told, handed)
        options = NginxOptions(mode=mode, listen=listen, apps=(urlsplit(behind.url).netloc,), user=user or me())
        with running_nginx(settings, options, handover_key(behind.store.sealer), directory / "nginx", changed) as nginx:
            yield Front(replace(behind, url=nginx.url), nginx, behind.url, mode)


def as_application(world: World, state_dir: Path, server: dict[str, Any], archive: dict[str, Any]) -> ApplicationSettings:
    """The installation's settings for a world."""
    pacs: dict[str, Any] = {"name": "main", "dicomweb_root": world.pacs.root, "connect_timeout_s": 2.0, "read_timeout_s": 2.0}
    if not {"bearer_token", "token_url"} & archive.keys():
        pacs |= {"user": "gateway", "password": PACS_PASSWORD}
    ehrs = [{"name": one.name, "fhir_base": one.fhir_base} for one in (world.north, world.south)]
    gateway = {"allowed_origins": [VIEWER_ORIGIN], **server}
    public = gateway.pop("public_base_url")
    gateway |= {name: asdict(gateway[name]) for name in ("rate_limit", "breaker") if name in gateway}
    return from_table(
        {
            "public_base_url": public,
            "state": {"state_dir": str(state_dir)},
            "imaging_server": gateway,
            "ehr": ehrs,
            "pacs": [{**pacs, **archive, "hand_over": archive["hand_over"].value}],
        }
    )


def me() -> str | None:
    """The user whose files these are, where nginx would give its rights up to another."""
    return pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() == 0 else None


def _wait_until_up(listen: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    host, _, port = listen.rpartition(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, (directory / "stderr").read_text()
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError((directory / "stderr").read_text())


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
