"""A running gateway between EHRs and an archive that record what they are asked, and what people do with it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask

from fhir_imaging.audit import AuditFilter, AuditLog, AuditRecord
from fhir_imaging.clients.backend_client import SignAssertion
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import ImagingServerServices, build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.security.gateway_stubs import EC_KEY, PRIOR_A, RSA_KEY, STUDY_A, STUDY_B, StubEhr, StubPacs, as_jwk

VIEWER_ORIGIN = "https://viewer.example"


@dataclass
class Answer:
    """What the gateway said, byte for byte."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The code of a problem document."""
        return str(self.json()["type"]).rpartition(":")[2]


@dataclass
class World:
    """The gateway with two EHRs (north by signed tokens, south by introspection) and one PACS."""

    url: str
    north: StubEhr
    south: StubEhr
    pacs: StubPacs
    services: ImagingServerServices
    store: Store

    @property
    def root(self) -> str:
        return "/imaging/north/dicom-web/main"

    def send(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        """One request, its target sent exactly as given."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, token: str | None = None, **headers: str) -> Answer:
        """GET below the gateway's root of EHR north; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return self.send("GET", self.root + path, sent)

    def is_refused(self, answer: Answer) -> bool:
        """Whether it is a 401 by RFC 6750, recorded, and the archive was not asked."""
        challenged = answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        return answer.status == 401 and challenged and self.pacs.asked == [] and self.audit()[0].outcome == "denied"

    def audit(self) -> list[AuditRecord]:
        """Everything recorded, newest first."""
        return list(AuditLog(self.store).find(AuditFilter()))

    def found(self, path: str, token: str) -> list[str]:
        """The studies of a search's matches."""
        answer = self.get(path, token)
        assert answer.status == 200, answer.body
        return [one["0020000D"]["Value"][0] for one in answer.json()]

    def start_anew(self) -> None:
        """Forgets what was asked and puts both counterparts back to the truth."""
        for ehr in (self.north, self.south):
            ehr.asked.clear()
            ehr.answers.clear()
            ehr.introspected.clear()
            ehr.identifiers.clear()
            ehr.modalities.clear()
            ehr.keys[:] = [as_jwk(RSA_KEY, "k1"), as_jwk(EC_KEY, "e1")]
            ehr.studies.clear()
            ehr.studies.update({STUDY_A: "pat-a", PRIOR_A: "pat-a", STUDY_B: "pat-b"})
        self.pacs.asked.clear()
        self.pacs.answer = lambda asked: None
        self.pacs.persons.clear()
        self.pacs.persons.update({STUDY_A: ("MRN-A", "NORTH"), PRIOR_A: ("MRN-A", "NORTH"), STUDY_B: ("MRN-B", "NORTH")})


@contextmanager
def a_world(  # noqa: PLR0913 - one for each party that a test may bend
    state_dir: Path,
    *,
    server: dict[str, Any] | None = None,
    north: dict[str, Any] | None = None,
    south: Callable[[StubEhr], dict[str, Any]] | None = None,
    pacs: StubPacs | None = None,
    archive: dict[str, Any] | None = None,
    sign: SignAssertion | None = None,
) -> Iterator[World]:
    """A running gateway; ``server``, ``north`` and ``archive`` change its settings, ``pacs`` replaces the usual archive.

    ``south`` changes those of EHR south, by what EHR north is.
    ``sign`` signs for the gateway's own client at the EHRs.
    """
    with ExitStack() as stack:
        north_ehr, south_ehr, pacs = StubEhr("north"), StubEhr("south"), pacs or StubPacs()
        for counterpart in (north_ehr, south_ehr, pacs):
            counterpart.base = stack.enter_context(serving(counterpart.app(), free_port_number()))
        introspection = {
            "jwks_url": None,
            "introspection_url": f"{south_ehr.issuer}/introspect",
            "introspection_client_id": "imaging-server",
            "introspection_client_secret": "introspection-secret",
        }
        port = free_port_number()
        settings = ImagingServerSettings(
            **{"public_base_url": f"http://127.0.0.1:{port}", "allowed_origins": (VIEWER_ORIGIN,), **(server or {})}
        )
        store = Store.open(StateSettings(state_dir=state_dir))
        stack.callback(store.close)
        store.migrate()
        ehrs = (north_ehr.settings(**(north or {})), south_ehr.settings(**introspection | (south(north_ehr) if south else {})))
        archives = (pacs.settings(**(archive or {})), *pacs.beside)
        services = build_services(settings, ehrs, archives, store=store, sign_assertion=sign)
        stack.callback(services.close)
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        url = stack.enter_context(serving(app, port))
        world = World(url, north_ehr, south_ehr, pacs, services, store)
        world.start_anew()
        yield world
