"""The whole application behind nginx over TLS, before an archive over TLS: pages, addresses of callers, certificates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from cryptography import x509

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.store.engine import Store
from imaging_cds.app import close_app, create_app
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from imaging_server.handover import handover_key
from tests.conftest import free_port_number, serving
from tests.contract.tls_actors import TestAuthority, serving_tls
from tests.nginx_actors import OCTETS, Nginx, me, running_nginx
from tests.security.gateway_stubs import FRAME, PACS_PASSWORD, STUDY_A, STUDY_B, StubEhr, StubPacs

ROOT = "/imaging/north/dicom-web/main"


@dataclass
class Site:
    """One installation; ``ca`` signs what nginx shows."""

    url: str
    ca: Path
    nginx: Nginx
    ehr: StubEhr
    pacs: StubPacs
    store: Store

    def get(self, path: str, **headers: str) -> requests.Response:
        with requests.Session() as session:
            return session.get(self.url + path, headers=headers, verify=str(self.ca), timeout=20, allow_redirects=False)

    def frame(self, **headers: str) -> requests.Response:
        return self.get(ROOT + FRAME, Authorization=f"Bearer {self.ehr.token()}", Accept=OCTETS, **headers)


@contextmanager
def a_site(directory: Path, mode: Mode, *, other_authority: bool = False) -> Iterator[Site]:
    """``other_authority``: nginx is told another authority for the archive than the one that signed its certificate."""
    directory.mkdir(exist_ok=True)
    front_ca, archive_ca, stranger = (TestAuthority.in_folder(directory / name) for name in ("front", "archive", "stranger"))
    chain = archive_ca.chain(of=x509.DNSName("localhost"))
    certificate = directory / "nginx.pem"
    shutil.copy(front_ca.chain(), certificate)
    with ExitStack() as stack:
        ehr, pacs = StubEhr("north"), StubPacs()
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        pacs.base = stack.enter_context(serving_tls(pacs.app(), free_port_number(), chain)).replace("127.0.0.1", "localhost")
        ehr.studies.update({STUDY_A: "pat-a", STUDY_B: "pat-b"})
        pacs.persons.update({STUDY_A: ("MRN-A", None), STUDY_B: ("MRN-B", None)})
        listen = f"127.0.0.1:{free_port_number()}"
        archive = {"name": "main", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}
        table = {
            "public_base_url": f"https://{listen}",
            "state": {"state_dir": str(directory / "state")},
            "server": {"trusted_proxies": 1},
            "ehr": [
                {"name": "north", "fhir_base": ehr.fhir_base, "token_issuer": ehr.issuer, "jwks_url": f"{ehr.issuer}/jwks"}
            ],
            "imaging_server": {"handed_decision_s": 10},
            "pacs": [
                {**archive, "hand_over": "frames", "keeps_hierarchy": True, "certificate_authority": str(archive_ca.file)}
            ],
        }
        settings = from_table(table)
        store = Store.open(settings.state)
        stack.callback(store.close)
        store.migrate()
        app = create_app(settings)
        stack.callback(close_app, app)
        port = free_port_number()
        stack.enter_context(serving(app, port))
        if other_authority:
            table["pacs"][0]["certificate_authority"] = str(stranger.file)
        options = NginxOptions(
            mode=mode, listen=listen, apps=(f"127.0.0.1:{port}",), certificate=certificate, key=certificate, user=me()
        )
        nginx = stack.enter_context(running_nginx(from_table(table), options, handover_key(store.sealer), directory / "nginx"))
        yield Site(f"https://{listen}", front_ca.file, nginx, ehr, pacs, store)


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site"), request.param) as running:
        yield running


def test_frames_come_over_tls_from_end_to_end(site: Site) -> None:
    answer = site.frame()

    assert answer.status_code == 200, answer.text
    assert b"pixels of" in answer.content
    # Without 502 in between: the archive's certificate was taken.
    assert set(site.nginx.upstream_statuses(answer.headers["X-Request-Id"])) == {"200"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/static/app.css", "/.well-known/jwks.json"])
def test_pages_of_the_application_pass(site: Site, path: str) -> None:
    assert site.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/_handed/main/studies/1.2", f"/_handed/main{FRAME}", "/_decide/main/series", "/@application", "/healthz/"],
)
def test_inner_addresses_are_not_there(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_nobody_says_of_himself_where_he_comes_from(site: Site) -> None:
    """Forwarded headers are overwritten, not added to: limits and audit records have the caller's own address."""
    lies = {"X-Forwarded-For": "203.0.113.66", "X-Real-IP": "203.0.113.66", "Forwarded": "for=203.0.113.66;host=evil.example"}

    answer = site.frame(**lies, **{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/e"})

    (record, *_) = AuditLog(site.store).find(AuditFilter())
    assert record.client_address == "127.0.0.1"
    assert b"evil" not in answer.content
    assert site.get("/", Host="evil.example").status_code == 200
    assert b"evil.example" not in site.get("/", Host="evil.example", **lies).content


def test_archive_with_another_authoritys_certificate_gets_no_credential_of_nginx(tmp_path: Path) -> None:
    """Group 20: nginx breaks off before it sends anything; the application, which knows the authority, fetches it."""
    with a_site(tmp_path / "site", Mode.ACCEL, other_authority=True) as site:
        answer = site.frame()

        assert (answer.status_code, b"pixels of" in answer.content) == (200, True)
        assert site.nginx.upstream_statuses(answer.headers["X-Request-Id"])[-1] == "200"
        assert "502" in site.nginx.upstream_statuses(answer.headers["X-Request-Id"])
        assert len(site.pacs.retrievals()) == 1
