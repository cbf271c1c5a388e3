"""nginx before several servers of one installation: who is asked where one is not there, and what is never sent twice."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask, request
from werkzeug.wrappers import Response

from imaging_cds.cli import main
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from tests.conftest import free_port_number, serving
from tests.contract.test_cli_nginx import settings_file
from tests.interop.outsiders import curl
from tests.nginx_actors import NGINX_HINT, Nginx, me, nginx_program, running_nginx


@dataclass
class Server:
    """A server of the installation that tells who it is, and remembers what it was asked."""

    port: int = field(default_factory=free_port_number)
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def up(self) -> Iterator[None]:
        app = Flask("server", static_folder=None)

        @app.before_request
        def _answer() -> Response:
            self.asked.append(f"{request.method} {request.path}")
            return Response(str(self.port))

        with serving(app, self.port):
            yield

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Takes each request and ends the connection without a word, as a process that is killed does."""
        with socket.create_server(("127.0.0.1", self.port)) as listener:
            thread = threading.Thread(target=self._break_off, args=(listener,), daemon=True)
            thread.start()
            yield
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)

    def _break_off(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(65536).split(b" HTTP")[0].decode())


@dataclass
class Front:
    """nginx before two servers."""

    nginx: Nginx
    servers: tuple[Server, Server]

    def told(self, method: str, path: str = "/healthz") -> tuple[int, str]:
        answer = curl(method, f"{self.nginx.url}{path}")
        return answer.status_code, answer.text

    def asked(self) -> list[str]:
        return [one for server in self.servers for one in server.asked]


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    servers = (Server(), Server())
    archive = {"name": "main", "dicomweb_root": "http://127.0.0.1:9/dicom-web", "hand_over": "frames"}
    table = {
        "public_base_url": "http://127.0.0.1",
        "state": {"state_dir": str(tmp_path / "state")},
        "ehr": [{"name": "north", "fhir_base": "https://ehr.example/fhir"}],
        "pacs": [archive],
    }
    listen = f"127.0.0.1:{free_port_number()}"
    apps = tuple(f"127.0.0.1:{server.port}" for server in servers)
    options = NginxOptions(mode=Mode.ACCEL, listen=listen, apps=apps, user=me())
    with running_nginx(from_table(table), options, "key", tmp_path / "nginx") as nginx:
        yield Front(nginx, servers)


def test_each_server_has_its_turn(front: Front) -> None:
    first, second = front.servers
    with first.up(), second.up():
        answers = {front.told("GET") for _ in range(8)}

    assert answers == {(200, str(first.port)), (200, str(second.port))}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_is_not_there_is_passed_over(front: Front, method: str) -> None:
    _, second = front.servers
    with second.up():
        answers = [front.told(method) for _ in range(12)]

    assert answers == [(200, str(second.port))] * 12


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_question_that_is_broken_off_is_asked_elsewhere(front: Front, method: str) -> None:
    first, second = front.servers
    with first.breaking_off(), second.up():
        answers = [front.told(method) for _ in range(6)]

    assert {status for status, _ in answers} == {200}
    assert first.asked, "it was asked first"


def test_a_post_that_is_broken_off_is_sent_to_nobody_else(front: Front) -> None:
    """Its work may have been done: whoever sent it decides."""
    first, second = front.servers
    with first.breaking_off(), second.up():
        answers = [front.told("POST", f"/cds-services/number-{number}") for number in range(6)]

    assert {status for status, _ in answers} == {200, 503}
    assert sorted(front.asked()) == [f"POST /cds-services/number-{number}" for number in range(6)], "each once"


def test_the_first_of_two_is_found_as_soon_as_it_is_back(front: Front) -> None:
    """One after the other is restarted within the ten seconds for which the first is left alone."""
    first, second = front.servers
    with second.up():
        assert {front.told("GET") for _ in range(6)} == {(200, str(second.port))}
    with first.up():
        assert [front.told("POST") for _ in range(6)] == [(200, str(first.port))] * 6


def test_while_none_is_there_callers_are_told_to_come_again(front: Front) -> None:
    answer = curl("GET", f"{front.nginx.url}/cds-services")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("mode", ["accel", "auth-request"])
def test_nginx_takes_what_is_written_for_several_servers(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = nginx_program()
    if program is None:
        pytest.skip(NGINX_HINT)
    out, several = tmp_path / "nginx", ("--app", "127.0.0.1:8001", "--app", "[::1]:8002")

    code = main(["nginx", "--config", str(settings_file(tmp_path)), "--mode", mode, "--out", str(out), *several])

    assert (code, capsys.readouterr().err) == (0, "")
    command = [program, "-t", "-q", "-p", f"{out}/", "-c", "nginx.conf"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_server_on_another_machine_is_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = ("--app", "127.0.0.1:8001", "--app", "app-2.hospital.example:8000")

    assert main(["nginx", "--config", str(settings_file(tmp_path)), "--mode", "accel", *several]) == 0

    assert "one machine" in capsys.readouterr().err
