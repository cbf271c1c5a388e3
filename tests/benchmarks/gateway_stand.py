"""Orthanc, the gateway before it and what it is measured against, each a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from ehr_sandbox.authorization import Authorization, TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import make_services
from imaging_cds.demo import process_specs
from imaging_cds.demo_plan import EHR_NAME, PACS_NAME, DemoOptions, app_table
from imaging_cds.processes import ProcessGroup, ProcessSpec
from imaging_cds.sandbox_servers import ehr_settings
from tests.benchmarks.gateway_images import FRAME_ACCEPT, STUDIES, store
from tests.benchmarks.gateway_nginx import NginxPorts, credential, plain_nginx
from tests.benchmarks.processor_time import cpu_reader
from tests.benchmarks.stack import PATIENT, READY_TIMEOUT_S
from tests.conftest import free_port_number
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
APPLICATION = "The application"
PLAIN, TRIVIAL = "plain nginx", "trivial endpoint"
DIRECT = "Orthanc itself"
PLAIN_PROXY = "nginx, plain proxy"
ASKING = "nginx, auth_request to a trivial endpoint"
STREAMING = "gateway, streaming"
BEHIND_NGINX = ("gateway behind nginx, X-Accel-Redirect", "gateway behind nginx, cached auth_request")
RATE = 100_000
"""Requests a second that one token may ask: the limit works as ever, and is not what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the same images. ``servers`` are the processes between the load generator and Orthanc, by title."""

    name: str
    base_url: str
    prefix: str
    authorization: str
    servers: tuple[str, ...] = ()

    def headers(self, accept: str = FRAME_ACCEPT) -> Mapping[str, str]:
        return {"Accept": accept, "Authorization": self.authorization}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Everything that runs."""

    orthanc: Orthanc
    group: ProcessGroup
    ways: tuple[Way, ...]
    static_url: str
    authorization: Authorization

    def way(self, name: str) -> Way:
        return next(way for way in self.ways if way.name == name)

    def token(self) -> str:
        """A fresh token of patient A's."""
        return token_of(self.authorization)

    def cpu_of(self, way: Way) -> Callable[[], float]:
        """Reads the seconds that the processes of a way have spent, Orthanc not counted."""
        return cpu_reader(self.group, *way.servers)


@contextmanager
def a_stand(home: Path) -> Iterator[Stand]:
    """Everything running, until the block ends."""
    (home / "orthanc").mkdir(parents=True)
    with running_orthanc(home / "orthanc") as orthanc:
        for images in STUDIES:
            store(images, orthanc)
        options = options_of(home / "demo", orthanc)
        ports = NginxPorts(
            archive=port_of(orthanc.url), trivial=free_port_number(), plain=free_port_number(), asking=free_port_number()
        )
        specs = [
            *process_specs(options),
            trivial_endpoint(home, ports.trivial),
            plain_nginx(home / "nginx", orthanc, ports),
        ]
        group = ProcessGroup()
        try:
            for spec in specs:
                group.start(spec)
            group.wait_ready(READY_TIMEOUT_S)
            authorization = make_services(ehr_settings(options)).authorization
            yield Stand(
                orthanc=orthanc,
                group=group,
                ways=ways_of(orthanc, options, ports, token_of(authorization)),
                static_url=f"http://127.0.0.1:{ports.plain}",
                authorization=authorization,
            )
            group.check()
        finally:
            group.stop()


def options_of(directory: Path, orthanc: Orthanc) -> DemoOptions:
    """The sandbox EHR with patient A's studies, and the application with the imaging server alone, their settings written."""
    options = DemoOptions(
        directory=directory,
        viewer_dir=directory / "no-viewer",
        port=free_port_number(),
        ehr_port=free_port_number(),
        pacs_url=orthanc.dicomweb,
        pacs_user=USER,
        pacs_password=orthanc.password,
    )
    directory.mkdir()
    table = app_table(options)
    table["components"] = ["imaging_server"]
    table["imaging_server"] = {"rate_limit": {"requests_per_second": RATE}}
    options.app_config.write_text(tomli_w.dumps(table))
    records = make_services(ehr_settings(options)).store
    records.put({"resourceType": "Patient", "id": PATIENT})
    for images in STUDIES:
        records.put(images.imaging_study())
    return options


def ways_of(orthanc: Orthanc, options: DemoOptions, ports: NginxPorts, token: str) -> tuple[Way, ...]:
    """Every way to the images, the archive itself first."""
    basic, bearer = f"Basic {credential(orthanc)}", f"Bearer {token}"
    gateway = f"/imaging/{EHR_NAME}/dicom-web/{PACS_NAME}"
    return (
        Way(name=DIRECT, base_url=orthanc.url, prefix="/dicom-web", authorization=basic),
        Way(
            name=PLAIN_PROXY,
            base_url=f"http://127.0.0.1:{ports.plain}",
            prefix="/dicom-web",
            authorization=bearer,
            servers=(PLAIN,),
        ),
        Way(
            name=ASKING,
            base_url=f"http://127.0.0.1:{ports.asking}",
            prefix="/dicom-web",
            authorization=bearer,
            servers=(PLAIN, TRIVIAL),
        ),
        Way(
            name=STREAMING,
            base_url=f"http://127.0.0.1:{options.port}",
            prefix=gateway,
            authorization=bearer,
            servers=(APPLICATION,),
        ),
    )


def token_of(authorization: Authorization) -> str:
    options = TokenOptions(lifetime_s=3600)
    return authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient=PATIENT), options).access_token


def trivial_endpoint(home: Path, port: int) -> ProcessSpec:
    """A Flask view on the application's own gunicorn."""
    return ProcessSpec(
        title=TRIVIAL,
        command=[sys.executable, "-m", "tests.benchmarks.servers", "decision", "--port", str(port)],
        ready_url=f"http://127.0.0.1:{port}/decision",
        log_file=home / "decision.log",
    )


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
