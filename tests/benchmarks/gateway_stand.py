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
from imaging_cds.server import ServerSettings
from tests.benchmarks.gateway_images import FRAME_ACCEPT, STUDIES, store
from tests.benchmarks.gateway_nginx import NginxPorts, credential, generated_nginx, nginx_that_says_yes, plain_nginx
from tests.benchmarks.processor_time import cpu_reader
from tests.benchmarks.stack import PATIENT, READY_TIMEOUT_S
from tests.conftest import free_port_number
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
APPLICATION = "The application"
PLAIN, ACCEL, KEPT = "plain nginx", "nginx that is told", "nginx that keeps decisions"
TRIVIAL, TRIVIAL_HERE, BARE, YES = "trivial endpoint", "trivial endpoint on our server", "bare loop", "nginx that says yes"
DIRECT = "Orthanc itself"
PLAIN_PROXY = "nginx, plain proxy"
ASKING = "nginx, auth_request to a trivial endpoint"
"""A Flask view on gunicorn as it is installed: what a site would build without us."""
ASKING_HERE = "nginx, auth_request to a trivial endpoint on our own server"
"""The same view on our worker, which is faster than gunicorn's: what deciding alone costs."""
ASKING_BARE = "nginx, auth_request to a bare loop of Python that says yes"
"""Nothing that asks Python for each frame can cost less: no HTTP library, no threads, no decision."""
ASKING_NGINX = "nginx, auth_request to another nginx that says yes"
"""Nothing at all that asks for each frame can cost less, in whatever language it is written."""
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
    # Each way keeps its connections while the others are measured, and Orthanc has a thread for each: with the usual fifty,
    # whoever comes last waits for those who went before.
    with running_orthanc(home / "orthanc", HttpThreadsCount=250) as orthanc:
        for images in STUDIES:
            store(images, orthanc)
        options = options_of(home / "demo", orthanc)
        ports = NginxPorts(port_of(orthanc.url), *(free_port_number() for _ in range(11)))
        servers = process_specs(options)
        specs = [
            *servers,
            trivial_endpoint(home, ports.trivial),
            trivial_endpoint_here(home, ports.trivial_here),
            _trivial(BARE, ports.bare, home / "bare.log", "tests.benchmarks.bare_loop", str(ports.bare)),
            nginx_that_says_yes(home / "yes", ports.yes),
            plain_nginx(home / "nginx", orthanc, ports),
            generated_nginx(ACCEL, "accel", ports.accel, home / "accel", servers[-1].environment),
            generated_nginx(KEPT, "auth-request", ports.kept, home / "kept", servers[-1].environment),
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
    table["server"]["trusted_proxies"] = 1
    table["imaging_server"] = {"rate_limit": {"requests_per_second": RATE}, "handed_decision_s": 10}
    table["pacs"][0] |= {"hand_over": "retrievals", "keeps_hierarchy": True}
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

    def way(name: str, port: int, prefix: str, *servers: str) -> Way:
        authorization = basic if name == DIRECT else bearer
        return Way(name=name, base_url=f"http://127.0.0.1:{port}", prefix=prefix, authorization=authorization, servers=servers)

    return (
        way(DIRECT, ports.archive, "/dicom-web"),
        way(PLAIN_PROXY, ports.plain, "/dicom-web", PLAIN),
        way(ASKING, ports.asking, "/dicom-web", PLAIN, TRIVIAL),
        way(ASKING_HERE, ports.asking_here, "/dicom-web", PLAIN, TRIVIAL_HERE),
        way(ASKING_BARE, ports.asking_bare, "/dicom-web", PLAIN, BARE),
        way(ASKING_NGINX, ports.asking_nginx, "/dicom-web", PLAIN, YES),
        way(STREAMING, options.port, gateway, APPLICATION),
        way(BEHIND_NGINX[0], ports.accel, gateway, ACCEL, APPLICATION),
        way(BEHIND_NGINX[1], ports.kept, gateway, KEPT, APPLICATION),
    )


def token_of(authorization: Authorization) -> str:
    options = TokenOptions(lifetime_s=3600)
    return authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient=PATIENT), options).access_token


def trivial_endpoint(home: Path, port: int) -> ProcessSpec:
    """A Flask view on gunicorn's own threaded workers, as many as ours."""
    ours = ServerSettings()
    alike = (
        f"--workers {ours.workers} --threads {ours.threads} --worker-class gthread --keep-alive 30 --log-level warning".split()
    )
    served = (*alike, "--bind", f"127.0.0.1:{port}", "tests.benchmarks.servers:decision()")
    return _trivial(TRIVIAL, port, home / "decision.log", "gunicorn", *served)


def trivial_endpoint_here(home: Path, port: int) -> ProcessSpec:
    """The same view on the application's own server."""
    told = ("tests.benchmarks.servers", "decision", "--port", str(port))
    return _trivial(TRIVIAL_HERE, port, home / "decision-here.log", *told)


def _trivial(title: str, port: int, log_file: Path, *module: str) -> ProcessSpec:
    command = [sys.executable, "-m", *module]
    return ProcessSpec(title=title, command=command, ready_url=f"http://127.0.0.1:{port}/decision", log_file=log_file)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
