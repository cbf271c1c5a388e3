"""Archives' credentials on their way to nginx: those that change are told with each answer and stand in no file (group 20)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from fhir_imaging.settings import PacsSettings
from imaging_cds.nginx_plan import Mode
from tests.conftest import free_port_number, serving
from tests.nginx_actors import OCTETS, a_front
from tests.security.gateway_stubs import FRAME, Asked, StubPacs


@dataclass
class TokenServer:
    """Issues numbered tokens (RFC 6749 §4.4)."""

    issued: list[str] = field(default_factory=list)

    def app(self) -> Flask:
        app = Flask("token-server", static_folder=None)

        @app.post("/token")
        def _token() -> dict[str, object]:
            token = f"archive-token-{len(self.issued) + 1}"
            self.issued.append(token)
            return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

        return app


@dataclass
class TokenPacs(StubPacs):
    """An archive in a cloud: no user, no password."""

    def settings(self, **changes: Any) -> PacsSettings:
        return super().settings(**{"user": None, "password": None, **changes})


@pytest.fixture
def server() -> Iterator[tuple[TokenServer, str]]:
    server = TokenServer()
    with serving(server.app(), free_port_number()) as url:
        yield server, f"{url}/token"


def test_oauth_token_of_the_archive_is_told_with_each_answer(server: tuple[TokenServer, str], tmp_path: Path) -> None:
    tokens, url = server
    pacs = TokenPacs()
    client = {"token_url": url, "client_id": "gateway", "client_secret": "client-secret"}
    with a_front(tmp_path, Mode.ACCEL, pacs=pacs, archive=client) as front:
        token = front.world.north.token()
        for _ in range(3):
            answer = front.world.get(FRAME, token, Accept=OCTETS)
            assert (answer.status, b"pixels" in answer.body) == (200, True)

        retrieved = [one.headers["Authorization"] for one in front.world.pacs.retrievals()]
        statuses = front.nginx.upstream_statuses(answer.headers["X-Request-Id"] or "")
        everything = b"".join(path.read_bytes() for path in front.nginx.directory.rglob("*") if path.is_file())

    assert retrieved == ["Bearer archive-token-1"] * 3
    assert statuses == ["200", "200"], "nginx did not fetch it"
    assert len(tokens.issued) == 1
    assert b"archive-token" not in everything
    assert b"client-secret" not in everything


def test_refusal_of_the_archives_token_is_no_challenge_to_a_caller(server: tuple[TokenServer, str], tmp_path: Path) -> None:
    """The archive's 401 goes to nobody: the application asks again, and says in its own words what is wrong."""
    tokens, url = server

    def newest(asked: Asked) -> Response | None:
        fits = asked.headers.get("Authorization") == "Bearer archive-token-2"
        return None if fits or not asked.path.endswith("/frames/1") else Response("", 401, {"WWW-Authenticate": "Bearer"})

    client = {"token_url": url, "client_id": "gateway", "client_secret": "client-secret"}
    with a_front(tmp_path, Mode.ACCEL, pacs=TokenPacs(), archive=client) as front:
        token = front.world.north.token()
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        tokens_before = list(tokens.issued)
        front.world.pacs.answer = newest

        answer = front.world.get(FRAME, token, Accept=OCTETS)

    assert tokens_before == ["archive-token-1"]
    assert answer.headers.get_all("WWW-Authenticate") is None
    # A token that is younger than ten seconds is not renewed: the archive is told to be at fault.
    assert (answer.status, answer.problem) == (502, "upstream-failed")
