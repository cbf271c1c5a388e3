"""An installation of two servers with two workers each, on one PostgreSQL, behind nginx; and who reads there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import tomli_w

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import SandboxServices
from ehr_sandbox.settings import demo_settings
from fhir_imaging.audit import AuditFilter, AuditLog, AuditRecord
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from imaging_server.handover import handover_key
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.contract.sandbox_client import a_record
from tests.interop.foreign_parties import HandBrowser
from tests.interop.outsiders import curl
from tests.nginx_actors import OCTETS, Nginx, me, running_nginx
from tests.pacs_actors import Slice, a_running_pacs

STUDY = "2.25.4"
"""Of patient demo-a, in the sandbox's record."""
IMAGE = Slice(study_uid=STUDY)
DECISION_S = 4.0
"""How long the imaging server may reuse a decision."""
START_TIMEOUT_S = 60.0
GRACE_S = 10


@dataclass(slots=True)
class Served:
    """One ``imaging-cds serve``."""

    config: Path
    url: str
    log_file: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when a worker of it is ready."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "imaging_cds", "serve", "--config", str(self.config)],
                cwd=CHECKOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("IMAGING_CDS")},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return curl("GET", f"{self.url}/readyz").ok
        except requests.RequestException:
            return False

    def stop(self) -> int:
        """As systemd does; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(GRACE_S + 20)

    def end(self) -> None:
        """At the end of a test, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)

    def workers(self) -> list[int]:
        """Process ids."""
        assert self.process is not None
        return [int(one) for one in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]


@dataclass(slots=True)
class Site:
    """Two servers behind nginx, whose address is the public one, between a sandbox EHR and a sandbox PACS."""

    nginx: Nginx
    apps: tuple[Served, Served]
    ehr: SandboxServices
    state: StateSettings

    @property
    def url(self) -> str:
        return self.nginx.url

    def launch_address(self) -> str:
        """Where the EHR opens the app for patient demo-a."""
        launch = self.ehr.authorization.issue_launch(
            "imaging-cds", LaunchContext(patient="demo-a", user="Practitioner/demo-gp")
        )
        return f"{self.url}/launch?iss={quote(self.ehr.settings.fhir_base, safe='')}&launch={launch}"

    def audited(self) -> list[AuditRecord]:
        """The whole audit log."""
        store = Store.open(self.state)
        try:
            return list(AuditLog(store).find(AuditFilter(limit=None)))
        finally:
            store.close()

    @contextmanager
    def only(self, app: Served, worker: int) -> Iterator[None]:
        """All other workers of both servers are frozen meanwhile, so that nobody else can have answered."""
        frozen = [one for each in self.apps for one in each.workers() if one != worker]
        assert worker in app.workers()
        for one in frozen:
            os.kill(one, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in frozen:
                os.kill(one, signal.SIGCONT)


@contextmanager
def a_site(directory: Path, database_url: str, viewer_dir: Path, mode: Mode = Mode.ACCEL) -> Iterator[Site]:
    """Both servers are up, and nginx before them."""
    listen, ehr_port = f"127.0.0.1:{free_port_number()}", free_port_number()
    public, state_dir = f"http://{listen}", directory / "state"
    IMAGE.write(directory / "images")
    with ExitStack() as stack:
        pacs = stack.enter_context(a_running_pacs(directory / "pacs", directory / "images"))
        ehr_app = create_ehr(
            demo_settings(base_url=f"http://127.0.0.1:{ehr_port}", app_url=public, state_dir=directory / "ehr")
        )
        ehr: SandboxServices = ehr_app.extensions["ehr_sandbox"]
        for resource in a_record():
            ehr.store.put({**resource, **_address(resource, public)})
        stack.enter_context(serving(ehr_app, ehr_port))
        table = _settings(public, ehr, pacs.url, viewer_dir) | {
            "state": {"state_dir": str(state_dir), "database_url": database_url}
        }
        apps = tuple(_app(directory, table, number) for number in (1, 2))
        for app in apps:
            stack.callback(app.end)
            app.start()
        settings = from_table(table)
        store = Store.open(settings.state)
        key = handover_key(store.sealer)
        store.close()
        options = NginxOptions(mode=mode, listen=listen, apps=tuple(urlsplit(one.url).netloc for one in apps), user=me())
        nginx = stack.enter_context(running_nginx(settings, options, key, directory / "nginx"))
        yield Site(nginx, (apps[0], apps[1]), ehr, settings.state)


def _address(resource: dict[str, Any], public: str) -> dict[str, Any]:
    return {"address": f"{public}/imaging/sandbox/dicom-web/demo"} if resource["resourceType"] == "Endpoint" else {}


def _settings(public: str, ehr: SandboxServices, pacs_url: str, viewer_dir: Path) -> dict[str, Any]:
    known = {
        "name": "sandbox",
        "fhir_base": ehr.settings.fhir_base,
        "token_issuer": ehr.settings.issuer,
        "jwks_url": f"{ehr.settings.issuer}/jwks",
        "client_id": "imaging-cds",
    }
    return {
        "public_base_url": public,
        "viewer_dir": str(viewer_dir),
        "imaging_server": {"decision_cache_s": DECISION_S, "handed_decision_s": DECISION_S / 2},
        "cds": {"client_authentication": "off"},
        "ehr": [known],
        "pacs": [{"name": "demo", "dicomweb_root": pacs_url, "hand_over": "frames", "keeps_hierarchy": True}],
        "server": {"host": "127.0.0.1", "workers": 2, "threads": 6, "graceful_timeout_s": GRACE_S, "trusted_proxies": 1},
    }


def _app(directory: Path, table: dict[str, Any], number: int) -> Served:
    port, config = free_port_number(), directory / f"app-{number}.toml"
    config.write_text(tomli_w.dumps({**table, "server": {**table["server"], "port": port}}))
    return Served(config, f"http://127.0.0.1:{port}", directory / f"app-{number}.log")


@dataclass(slots=True)
class ReadingSession:
    """A clinician whose launch is over, and what the pages of her session ask."""

    site: Site
    browser: HandBrowser
    session: str
    """Its address, without a host."""

    @staticmethod
    def begun(site: Site) -> ReadingSession:
        """Launched through nginx."""
        browser = HandBrowser()
        page = browser.opens(site.launch_address())
        assert page.status_code == 200, page.text
        return ReadingSession(site, browser, session_in(browser.addresses[-1]))

    def state(self, base: str) -> requests.Response:
        return self.browser.request("GET", f"{base}{self.session}/state")

    def token(self, base: str) -> requests.Response:
        """The script of the viewer's page asks for it: a POST, which nobody may send twice."""
        public = self.site.url
        return self.browser.request("POST", f"{base}{self.session}/token", json={}, headers={"Origin": public})


def session_in(address: str) -> str:
    """``/s/…`` of a page's address."""
    found = re.match(r"/s/[^/]+", urlsplit(address).path)
    assert found, address
    return found[0]


def frame(base: str, token: str) -> requests.Response:
    """The only frame of the study."""
    path = f"studies/{STUDY}/series/{IMAGE.series_uid}/instances/{IMAGE.sop_uid}/frames/1"
    return curl("GET", f"{base}/imaging/sandbox/dicom-web/demo/{path}", token, headers={"Accept": OCTETS})


@dataclass(slots=True)
class Asking:
    """Asks for the same thing on and on, in threads, until its end."""

    what: dict[str, Callable[[], requests.Response]]
    answers: list[tuple[str, int | str, float]] = field(default_factory=list)
    """What was asked for, the status or what went wrong, and the seconds."""
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Asking:
        self._threads = [threading.Thread(target=self._on_and_on, args=each) for each in self.what.items()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _on_and_on(self, name: str, ask: Callable[[], requests.Response]) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            try:
                told: int | str = ask().status_code
            except requests.RequestException as error:
                told = repr(error)
            self.answers.append((name, told, time.monotonic() - began))
            self._is_over.wait(0.03)

    def so_far(self) -> int:
        return len(self.answers)

    def more(self, number: int) -> None:
        """Returns when so many further answers came."""
        wanted, deadline = self.so_far() + number, time.monotonic() + 60
        while self.so_far() < wanted:
            assert time.monotonic() < deadline, "no answers"
            time.sleep(0.02)

    def wrong(self) -> list[tuple[str, int | str, float]]:
        """All but 200."""
        return [one for one in self.answers if one[1] != 200]
