"""What nginx writes down: no token, no credential, no query, no patient's number, no UID (groups 20 and 34)."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from imaging_server.handover import handover_key
from tests.nginx_actors import FILES, OCTETS, Front, a_front
from tests.security.gateway_stubs import FRAME, PACS_PASSWORD, STUDY_A, STUDY_B, only_for

ARCHIVES_CREDENTIAL = "Basic Z2F0ZXdheTphcmNoaXZlLXBhc3N3b3JkLW9mLXRoZS1nYXRld2F5"


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param) as running:
        yield running


def used(front: Front) -> list[str]:
    """Everything that was done with nginx, good and bad; returns the tokens."""
    world = front.world
    world.start_anew()
    tokens = [world.north.token("pat-a"), world.north.token("pat-b"), "no+token/of-anybody"]
    for token in tokens:
        world.get(FRAME, token, Accept=OCTETS)
        world.get(FRAME.replace(STUDY_A, STUDY_B), token, Accept=OCTETS)
        world.get(f"/studies/{STUDY_A}", token, Accept=FILES, X_Request_Id=token)
        world.get(f"/studies?PatientID=MRN-A&access_token={token}", token)
        world.get(f"{FRAME}?PatientID=MRN-A", token, Accept=OCTETS)
        world.send("GET", f"/callback?code={token}&state=MRN-A", {"Cookie": f"session={token}"})
        world.send("MRN-A", world.root + FRAME, {"User-Agent": f"MRN-A {token}", "Referer": f"https://x.example/?{token}"})
    world.pacs.answer = only_for("/frames/1", lambda: Response("MRN-A at pacs.internal", 500))
    world.get(FRAME, tokens[0], Accept=OCTETS)
    return tokens


def test_nothing_that_nginx_writes_holds_a_secret(front: Front) -> None:
    tokens = used(front)

    written = front.nginx.written()
    assert b"imaging_application" in written
    assert front.nginx.access_lines()
    secrets = [*tokens, PACS_PASSWORD, ARCHIVES_CREDENTIAL, "MRN-A", handover_key(front.world.store.sealer)]
    assert not [secret for secret in secrets if secret.encode() in written]


def test_logs_and_kept_decisions_name_no_study(front: Front) -> None:
    used(front)

    kept = b"".join(path.read_bytes() for path in front.nginx.decisions())
    assert bool(kept) is (front.mode is Mode.AUTH_REQUEST)
    logs = b"".join((front.nginx.directory / name).read_bytes() for name in ("access.log", "error.log", "stderr"))
    for uid in (STUDY_A, STUDY_B):
        assert uid.encode() not in kept + logs
    assert b"pat-a" not in kept + logs
    assert b"/studies/<study>" in logs


def test_archives_credential_stands_in_a_file_only_where_nginx_must_have_it(front: Front) -> None:
    secrets = front.nginx.directory / "imaging-cds-secrets.conf"

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert (ARCHIVES_CREDENTIAL in secrets.read_text()) is (front.mode is Mode.AUTH_REQUEST)


def test_kept_decisions_are_their_owners_alone(front: Front) -> None:
    used(front)

    for path in (front.nginx.directory / "decisions").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_only_yes_is_kept(front: Front) -> None:
    """A refusal is decided again each time: a patient who is admitted a moment later is not locked out."""
    used(front)

    for path in front.nginx.decisions():
        assert b"HTTP/1.1 204" in path.read_bytes()


SITES_OWN = """
worker_processes auto;
pid nginx.pid;
error_log site-error.log;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    ssl_prefer_server_ciphers on;
    access_log site-access.log;
    gzip on;
    client_body_temp_path temp-body;
    proxy_temp_path temp-proxy;
    fastcgi_temp_path temp-fastcgi;
    uwsgi_temp_path temp-uwsgi;
    scgi_temp_path temp-scgi;
    include imaging-cds.conf;
}
"""
"""As Debian has it."""


def in_a_sites_own(text: str) -> str:
    """The user of nginx's workers stays as it is."""
    user = next((line for line in text.splitlines() if line.startswith("user ")), "")
    return user + SITES_OWN if "\n    include imaging-cds.conf;" in text else text


def test_logs_of_a_sites_own_nginx_hold_nothing_either(tmp_path: Path) -> None:
    """Its access log has whole addresses, its error log whole requests."""
    with a_front(tmp_path, Mode.ACCEL, changed=in_a_sites_own) as front:
        tokens = used(front)
        assert front.world.get(FRAME, tokens[1], Accept=OCTETS).status == 403
        time.sleep(0.3)

        logs = b"".join(path.read_bytes() for path in front.nginx.directory.glob("*.log"))
        assert {"site-access.log", "site-error.log"} <= {path.name for path in front.nginx.directory.glob("*.log")}
        for secret in (*tokens, "MRN-A", STUDY_A, STUDY_B):
            assert secret.encode() not in logs
        assert b"/studies/<study>" in logs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts workers of another user")
def test_workers_of_another_user_work_and_read_no_secret() -> None:
    """As the manual says: root starts nginx, and its workers are nobody's who could read the archives' credentials."""
    # Below a directory that others may pass through, which those of the tests' own are not.
    with TemporaryDirectory() as place:
        directory = Path(place)
        directory.chmod(0o711)
        with a_front(directory, Mode.AUTH_REQUEST, user="daemon") as front:
            token = front.world.north.token()
            for _ in range(2):
                assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
            sent = {"Content-Type": "text/plain", "Authorization": f"Bearer {token}"}
            large = front.world.send("POST", "/imaging/north/fhir/ImagingStudy/_search", sent, 900_000 * b"x")

            assert front.nginx.decisions(), "its workers could not keep any"
            assert large.status < 500, "its workers could not put the body down"
            assert {path.owner() for path in front.nginx.decisions()} == {"daemon"}
            assert stat.S_IMODE(front.nginx.directory.stat().st_mode) == 0o711
            assert stat.S_IMODE((front.nginx.directory / "imaging-cds-secrets.conf").stat().st_mode) == 0o600
