"""Debian's nginx before two servers with the configuration of ``imaging-cds nginx``, where no archive is handed over: it ends
TLS, says who asks, bounds what is asked and takes slow callers upon itself (docs/operations.md).

Needs ``apt-get install nginx-light``.
"""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import tomli_w

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.store.engine import Store
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import ApplicationSettings, from_table
from tests.conftest import free_port_number, serving
from tests.contract.tls_actors import TestAuthority
from tests.interop.outsiders import curl
from tests.interop.two_application_actors import Served
from tests.nginx_actors import NGINX_HINT, OCTETS, Nginx, me, nginx_program, running_nginx
from tests.security.gateway_stubs import FRAME, PACS_PASSWORD, STUDY_A, StubEhr, StubPacs

pytestmark = pytest.mark.interop

THREADS = 2
"""Of each server: fewer than there are slow callers."""
SLOW_CALLERS = 24
LARGEST_BODY = 4096
HALF_A_HOOK = (
    b"POST /cds-services/imaging-findings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
)


@dataclass
class Site:
    """Two servers behind nginx; ``ca`` signs what it shows."""

    ca: Path
    nginx: Nginx
    apps: tuple[Served, Served]
    ehr: StubEhr
    pacs: StubPacs
    settings: ApplicationSettings

    @property
    def url(self) -> str:
        return self.nginx.url.replace("http:", "https:")

    def asked(self, method: str, path: str, *, data: bytes = b"", **headers: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, data=data, headers=headers, verify=str(self.ca), timeout=10)

    def frame(self, **headers: str) -> requests.Response:
        token = f"Bearer {self.ehr.token()}"
        return self.asked("GET", f"/imaging/north/dicom-web/main{FRAME}", Authorization=token, Accept=OCTETS, **headers)

    def connected(self, url: str) -> socket.socket:
        """A caller's connection, over TLS where it is nginx's."""
        where = urlsplit(url)
        plain = socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=10)
        if where.scheme == "http":
            return plain
        return ssl.create_default_context(cafile=str(self.ca)).wrap_socket(plain, server_hostname=where.hostname)

    @contextmanager
    def slow_callers(self, url: str) -> Iterator[None]:
        """They have begun a hook and never end it."""
        with ExitStack() as stack:
            for _ in range(SLOW_CALLERS):
                stack.enter_context(self.connected(url)).sendall(HALF_A_HOOK)
            yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if nginx_program() is None:
        pytest.skip(NGINX_HINT)
    directory = tmp_path_factory.mktemp("front")
    authority = TestAuthority.in_folder(directory / "authority")
    certificate = directory / "nginx.pem"
    shutil.copy(authority.chain(), certificate)
    with ExitStack() as stack:
        ehr, pacs = StubEhr("north"), StubPacs()
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        pacs.base = stack.enter_context(serving(pacs.app(), free_port_number()))
        ehr.studies[STUDY_A], pacs.persons[STUDY_A] = "pat-a", ("MRN-A", None)
        listen = f"127.0.0.1:{free_port_number()}"
        table = _settings(directory, listen, ehr, pacs)
        first, second = (_served(directory, table, number) for number in (1, 2))
        for app in (first, second):
            stack.callback(app.end)
            app.start()
        options = NginxOptions(
            mode=Mode.ACCEL,
            listen=listen,
            apps=tuple(urlsplit(app.url).netloc for app in (first, second)),
            certificate=certificate,
            key=certificate,
            user=me(),
        )
        settings = from_table(table)
        nginx = stack.enter_context(running_nginx(settings, options, "", directory / "nginx"))
        yield Site(authority.file, nginx, (first, second), ehr, pacs, settings)


def _settings(directory: Path, listen: str, ehr: StubEhr, pacs: StubPacs) -> dict[str, Any]:
    return {
        "public_base_url": f"https://{listen}",
        "state": {"state_dir": str(directory / "state")},
        "server": {"host": "127.0.0.1", "workers": 1, "threads": THREADS, "trusted_proxies": 1},
        "cds": {"client_authentication": "off", "max_body_bytes": LARGEST_BODY},
        "ehr": [{"name": "north", "fhir_base": ehr.fhir_base, "token_issuer": ehr.issuer, "jwks_url": f"{ehr.issuer}/jwks"}],
        "pacs": [{"name": "main", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}],
    }


def _served(directory: Path, table: dict[str, Any], number: int) -> Served:
    port, config = free_port_number(), directory / f"app-{number}.toml"
    config.write_text(tomli_w.dumps({**table, "server": {**table["server"], "port": port}}))
    return Served(config, f"http://127.0.0.1:{port}", directory / f"app-{number}.log")


def test_images_pass_through_over_tls_and_nginx_holds_no_secret(site: Site) -> None:
    answer = site.frame()

    assert (answer.status_code, b"pixels of" in answer.content) == (200, True), answer.text
    assert site.nginx.upstream_statuses(answer.headers["X-Request-Id"]) == ["200"]
    assert not list(site.nginx.directory.glob("*secrets*"))


def test_nobody_says_of_himself_where_he_comes_from(site: Site) -> None:
    lies = {"X-Forwarded-For": "203.0.113.66", "X-Real-IP": "203.0.113.66", "Forwarded": "for=203.0.113.66;host=evil.example"}

    answer = site.frame(
        **lies, **{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Imaging-Handover": "key"}
    )

    assert answer.status_code == 200
    store = Store.open(site.settings.state)
    try:
        assert {record.client_address for record in AuditLog(store).find(AuditFilter())} == {"127.0.0.1"}
    finally:
        store.close()
    assert b"evil.example" not in site.asked("GET", "/", Host="evil.example", **lies).content


def test_callers_who_never_end_a_request_hold_up_nobody(site: Site) -> None:
    """Two servers of two threads, and twenty-four that say half of what they mean to say."""
    with site.slow_callers(site.url):
        answers = [site.asked("GET", path).status_code for path in ("/readyz", "/cds-services") * 4]

    assert answers == [200] * 8


def test_without_nginx_they_would(site: Site) -> None:
    """What the test above would show if nginx did not take requests in first."""
    first = site.apps[0]
    with site.slow_callers(first.url), site.connected(first.url) as caller:
        caller.sendall(b"GET /cds-services HTTP/1.1\r\nHost: x\r\n\r\n")
        caller.settimeout(1.5)

        with pytest.raises(TimeoutError):
            caller.recv(1)


def test_a_request_that_is_too_large_is_refused_before_the_application_hears_of_it(site: Site) -> None:
    name = "caller-of-a-large-hook"

    answer = site.asked("POST", "/cds-services/imaging-findings", data=b" " * (LARGEST_BODY + 1), **{"X-Request-Id": name})

    assert answer.status_code == 413
    assert site.nginx.upstream_statuses(name) == ["-"]


def test_one_of_two_servers_may_go_and_come_back(site: Site) -> None:
    first, _ = site.apps
    assert first.stop() == 0
    without = [site.asked("GET", "/cds-services").status_code for _ in range(8)]
    first.start()

    assert without == [200] * 8
    assert curl("GET", f"{first.url}/readyz").status_code == 200
    assert [site.frame().status_code for _ in range(4)] == [200] * 4
