"""The demo's three servers and what they are measured against, each a process of its own, and a browser's way to a page."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import tomli_w
from rich.console import Console

from ehr_sandbox.authorization import Authorization, TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import SandboxServices, make_services
from imaging_cds import demo_data
from imaging_cds.demo import bring_up, process_specs
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.processes import ProcessGroup, ProcessSpec
from imaging_cds.sandbox_servers import ehr_settings
from tests.benchmarks.load import Client, Request
from tests.benchmarks.servers import STUDIES
from tests.cds_actors import SigningEhr
from tests.conftest import VIEWER_DIR, free_port_number
from tests.interop.outsiders import with_images

CALLER = "https://bench.example.org"
PATIENT = "demo-a"
READY_TIMEOUT_S = 90.0


@dataclass(slots=True)
class Stack:
    """Addresses and keys of everything that runs."""

    options: DemoOptions
    caller: SigningEhr
    static_url: str
    fake_ehr_urls: dict[int, str]
    """EHRs of one patient each, by how many studies the patient has."""
    slow_fhir_port: int
    group: ProcessGroup
    authorization: Authorization
    services: SandboxServices

    @property
    def app_url(self) -> str:
        return self.options.app_url

    @property
    def pacs_url(self) -> str:
        return f"http://127.0.0.1:{self.options.pacs_port}"

    @property
    def fhir_base(self) -> str:
        return f"{self.options.ehr_url}/fhir"

    @property
    def slow_fhir_base(self) -> str:
        """Where a FHIR server may be started that the application asks when the benchmarks' CDS client names it."""
        return f"http://127.0.0.1:{self.slow_fhir_port}/fhir"

    def token(self, scope: str, lifetime_s: int = 900) -> str:
        """An access token of the sandbox for patient A."""
        context = LaunchContext(patient=PATIENT)
        return self.authorization.issue_token("imaging-cds", scope, context, TokenOptions(lifetime_s=lifetime_s)).access_token

    def launch_path(self) -> str:
        """The launch URL of a fresh launch from patient A's chart."""
        context = LaunchContext(patient=PATIENT, user="Practitioner/demo-gp", smart_style=False)
        handle = self.authorization.issue_launch("imaging-cds", context)
        return f"/launch?{urlencode({'iss': self.fhir_base, 'launch': handle})}"

    def crowded_launch_path(self, studies: int) -> str:
        """A launch at the EHR whose patient has so many studies."""
        return f"/launch?{urlencode({'iss': f'{self.fake_ehr_urls[studies]}/fhir', 'launch': 'any'})}"


@contextmanager
def a_stack(directory: Path, images: Path, archives: Sequence[Mapping[str, object]] = ()) -> Iterator[Stack]:
    """Everything running, until the block ends; ``archives`` are further ones in the application's settings."""
    ports = {name: free_port_number() for name in ("port", "ehr_port", "pacs_port", "static", "slow")}
    fake_ports = {studies: free_port_number() for studies in STUDIES}
    options = DemoOptions(
        directory=with_images(directory, images),
        viewer_dir=VIEWER_DIR,
        port=ports["port"],
        ehr_port=ports["ehr_port"],
        pacs_port=ports["pacs_port"],
    )
    prepared = demo_data.prepare(options, Console(quiet=True))
    services = make_services(ehr_settings(options))
    caller = SigningEhr(iss=CALLER)
    fake_urls = {studies: f"http://127.0.0.1:{port}" for studies, port in fake_ports.items()}
    write_configuration(options, caller, fake_urls, ports["slow"], archives)
    beside = [
        beside_spec(options, "static", ports["static"], "--length", "4000"),
        *(
            beside_spec(options, f"fake-ehr {studies}", port, "--app-url", options.app_url, "--studies", str(studies))
            for studies, port in fake_ports.items()
        ),
    ]
    group = ProcessGroup()
    try:
        for spec in (*process_specs(options), *beside):
            group.start(spec)
        group.wait_ready(READY_TIMEOUT_S)
        bring_up(options, prepared, group, Console(quiet=True))
        yield Stack(
            options=options,
            caller=caller,
            static_url=f"http://127.0.0.1:{ports['static']}",
            fake_ehr_urls=fake_urls,
            slow_fhir_port=ports["slow"],
            group=group,
            authorization=services.authorization,
            services=services,
        )
        group.check()
    finally:
        group.stop()


def beside_spec(options: DemoOptions, title: str, port: int, *told: str) -> ProcessSpec:
    """One of the servers that the product is measured against; its title begins with its kind."""
    kind = title.partition(" ")[0]
    return ProcessSpec(
        title=title,
        command=[sys.executable, "-m", "tests.benchmarks.servers", kind, "--port", str(port), *told],
        ready_url=f"http://127.0.0.1:{port}/",
        log_file=options.logs / f"{kind}-{port}.log",
    )


def write_configuration(
    options: DemoOptions,
    caller: SigningEhr,
    fake_ehr_urls: dict[int, str],
    slow_fhir_port: int,
    archives: Sequence[Mapping[str, object]],
) -> None:
    """The demo's settings, with a further CDS client, further EHRs and archives."""
    keys = options.directory / "caller.jwks.json"
    keys.write_text(json.dumps(caller.jwks()))
    table = app_table(options)
    fhir_servers = [f"{options.ehr_url}/fhir", f"http://127.0.0.1:{slow_fhir_port}/fhir"]
    table["cds"]["trusted_clients"].append({"iss": CALLER, "jwks_file": str(keys.absolute()), "fhir_servers": fhir_servers})
    table["pacs"] += archives
    for studies, url in fake_ehr_urls.items():
        table["ehr"].append(
            {
                "name": f"crowded-{studies}",
                "fhir_base": f"{url}/fhir",
                "token_issuer": f"{url}/auth",
                "jwks_url": f"{url}/auth/jwks",
                "client_id": "imaging-cds",
            }
        )
    options.app_config.write_text(tomli_w.dumps(table))


class Browser:
    """The cookies of one browser and its way along redirects, each hop timed by the server that answered it."""

    def __init__(self, app_url: str) -> None:
        self._app_url = app_url
        self._cookies: dict[str, str] = {}
        self._clients: dict[str, Client] = {}
        self.spent_s: dict[str, float] = {}
        """Seconds by origin."""
        self.path = ""
        """Where the last page was."""

    def opens(self, address: str) -> bytes:
        """The page at the end of all redirects."""
        self.spent_s = {}
        for _ in range(12):
            origin, path = self._split(address)
            client = self._clients.setdefault(origin, Client(origin))
            began = time.perf_counter()
            answer = client.send_any(Request(path=path, headers=self.headers() if origin == self._app_url else {}))
            self.spent_s[origin] = self.spent_s.get(origin, 0.0) + time.perf_counter() - began
            if origin == self._app_url:
                self._keep(answer.headers)
            if answer.status == 200:
                self.path = path
                return answer.body
            location = dict(answer.headers).get("Location")
            assert answer.status in (302, 303), (path.partition("?")[0], answer.status, answer.body[:300])
            assert location
            address = location if "://" in location else f"{origin}{location}"
        raise AssertionError("the redirects have no end")

    def headers(self) -> dict[str, str]:
        """What this browser sends to the app: its cookies, which are Secure and here go over loopback all the same."""
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())} if self._cookies else {}

    def close(self) -> None:
        """Closes its connections."""
        for client in self._clients.values():
            client.close()

    def _split(self, address: str) -> tuple[str, str]:
        if address.startswith("/"):
            return self._app_url, address
        scheme, _, rest = address.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host}", slash + path

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name.lower() == "set-cookie":
                pair = value.partition(";")[0]
                self._cookies[pair.partition("=")[0]] = pair.partition("=")[2]
