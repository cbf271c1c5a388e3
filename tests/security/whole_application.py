"""The whole application, every component of it, on a socket between a live EHR and an archive, with a session that is open."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Flask

from fhir_imaging.store.engine import Store
from imaging_cds.app import close_app, create_app
from imaging_cds.settings import from_table
from imaging_cds.viewer_install import is_installed
from smart_app.browser_binding import COOKIE_NAME
from tests.conftest import VIEWER_DIR, free_port_number, serving
from tests.contract.smart_actors import APP, STUDY_A, Clinician, FakeEhr, SmartApp, demo_record
from tests.log_watch import is_secret
from tests.security.gateway_stubs import PACS_PASSWORD, StubPacs

METRICS_TOKEN = is_secret("the-token-of-those-who-read-metrics")
PATIENT_NUMBER = "DEMO-1001"


@dataclass(frozen=True, slots=True)
class Sent:
    """One answer, byte for byte."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def media_type(self) -> str:
        return str(self.headers.get_content_type()) if "Content-Type" in self.headers else ""


@dataclass(repr=False)
class WholeApplication:
    """``session`` and ``cookie`` are those of a launch that is still open; ``token`` is that launch's access token."""

    flask: Flask
    netloc: str
    ehr: FakeEhr
    pacs: StubPacs
    session: str = ""
    cookie: str = ""
    token: str = ""
    services: tuple[str, ...] = ()
    """Ids of the CDS services."""

    def launch(self) -> None:
        """Opens a session as a clinician does from a chart."""
        clinician = Clinician(cast(SmartApp, self))
        assert clinician.launches(self.ehr).status_code == 200
        self.session = clinician.session
        cookie = clinician.client.get_cookie(COOKIE_NAME)
        assert cookie is not None
        self.cookie = f"{COOKIE_NAME}={cookie.value}"
        self.token = str(clinician.post(f"/s/{self.session}/token").get_json()["access_token"])

    def is_open(self) -> bool:
        """Whether the session has not been ended meanwhile."""
        return self.send("GET", f"/s/{self.session}/state", {"Cookie": self.cookie}).status == 200

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Sent:
        """One request, its target sent exactly as given."""
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Sent(response.status, response.headers, response.read())
        finally:
            connection.close()


@contextmanager
def a_whole_application(directory: Path, **tables: dict[str, Any]) -> Iterator[WholeApplication]:
    """As ``imaging-cds serve`` composes it, with metrics on; its EHR knows patient A, whose study the archive has.

    ``tables`` are further settings.
    """
    with ExitStack() as stack:
        ehr, pacs = FakeEhr(fhir=demo_record()), StubPacs(persons={STUDY_A: (PATIENT_NUMBER, "DEMO")})
        ehr.base_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        pacs.base = stack.enter_context(serving(pacs.app(), free_port_number()))
        settings = from_table(
            {
                "public_base_url": APP,
                "state": {"state_dir": str(directory / "state")},
                # With the viewer where it is installed; without it the viewer's routes say so (503).
                **({"viewer_dir": str(VIEWER_DIR)} if is_installed(VIEWER_DIR) else {}),
                # Whoever calls is let in here, so that requests get as far as they can.
                "cds": {"client_authentication": "off"},
                "metrics": {"bearer_token": METRICS_TOKEN},
                "ehr": [{"name": "sandbox", "fhir_base": ehr.fhir_base, "opaque_tokens": True}],
                "pacs": [{"name": "demo", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}],
                # Refusals are what this is about; how many of them are too many is tried elsewhere.
                "imaging_server": {"rate_limit": {"requests_per_second": 0, "refusals_per_minute": 0}},
                **tables,
            }
        )
        store = Store.open(settings.state)
        store.migrate()
        store.close()
        app = create_app(settings)
        stack.callback(close_app, app)
        url = stack.enter_context(serving(app, free_port_number()))
        world = WholeApplication(app, urlsplit(url).netloc, ehr, pacs)
        listed = app.test_client().get("/cds-services").get_json()["services"]
        world.services = tuple(sorted(str(one["id"]) for one in listed))
        world.launch()
        yield world
