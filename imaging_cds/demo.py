"""The demo: prepares what is missing, starts the three servers, says where to click, and stops them together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import tomli_w
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from fhir_imaging.errors import ConfigurationError
from imaging_cds import demo_arrival, demo_data
from imaging_cds.cli_viewer import ensure_viewer
from imaging_cds.demo_data import Prepared
from imaging_cds.demo_directory import claimed
from imaging_cds.demo_outside import check_outside_servers
from imaging_cds.demo_plan import DEFAULT_DIRECTORY, PACS_NAME, DemoOptions, app_table, check_options, issuer_name
from imaging_cds.demo_progress import told_to_both
from imaging_cds.processes import ProcessGroup, ProcessSpec, python_command
from imaging_cds.server import is_port_free
from imaging_cds.settings import CONFIG_VARIABLE, load

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_TIMEOUT_S = 60.0
PACS_TITLE = "The sandbox PACS"
SYNC_LOG = "sync.log"
POLL_S = 0.2
# Where only IPv4 is bound, "localhost" can still be answered by something else on ::1, so both are asked for.
_HOSTS = {"app": "localhost", "ehr": "127.0.0.1", "pacs": "127.0.0.1"}


def run_demo(options: DemoOptions, console: Console) -> int:
    """Runs until Ctrl-C or SIGTERM (exit code 0), or until a server ends by itself (ProcessFailed)."""
    check_options(options)
    _check_ports(options)
    with _sigterm_as_ctrl_c(), claimed(options.directory, reset=options.reset):
        if options.reset:
            console.print(f"Emptied {options.directory}.", soft_wrap=True)
        ensure_viewer(options.viewer_dir, console)
        check_outside_servers(options)
        prepared = demo_data.prepare(options, console)
        options.app_config.write_text(tomli_w.dumps(app_table(options)))
        load(options.app_config)  # a wrong combination is explained here, not in a worker's log
        return _serve_all(options, prepared, console)


def _serve_all(options: DemoOptions, prepared: Prepared, console: Console) -> int:
    # Everything is stopped before signals do again what they usually do: a second Ctrl-C must leave no server behind.
    with _stop_requested() as stop, _stopped_at_the_end(ProcessGroup()) as group:
        for spec in process_specs(options):
            group.start(spec)
        bring_up(options, prepared, group, console, is_given_up=lambda: stop.requested)
        if not stop.requested:
            console.print(where_to_click(options))
        while not stop.requested:
            group.check()
            time.sleep(POLL_S)
        console.print("Stopping.")
    return 0


def bring_up(
    options: DemoOptions,
    prepared: Prepared,
    group: ProcessGroup,
    console: Console,
    *,
    is_given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Waits for the started servers, and lets the studies come the way that they come in a hospital.

    Images go to the archive by STOW-RS while the application starts; the synchronisation, a further process of ``group``, finds
    them there and writes them into the record; then come the reports that name them. Until then the chart asks people to wait.
    """
    missing: tuple[str, ...] = ()
    with told_to_both(options, console) as show:
        if demo_data.stores_images(options, prepared):
            show("Starting the archive", 0, 0)
            group.wait_ready(READY_TIMEOUT_S, titles=(PACS_TITLE,), is_given_up=is_given_up)
            demo_data.store_images(options, prepared, show, is_given_up)
        elif prepared.is_due:
            show("Starting the servers", 0, 0)
        group.wait_ready(READY_TIMEOUT_S, is_given_up=is_given_up)
        sync = sync_spec(options)
        if is_given_up():
            return
        if sync is not None:
            group.start(sync)
        if prepared.is_due:
            if sync is not None:
                missing = demo_arrival.await_studies(options, prepared, show, group.check, is_given_up)
            if not is_given_up():
                show("Writing the reports", 0, 0)
                demo_data.load_reports(options, prepared, is_complete=not missing)
    if missing:
        console.print(f"{len(missing)} studies have not come from the archive yet. See {options.logs / SYNC_LOG}.")


@contextmanager
def _stopped_at_the_end(group: ProcessGroup) -> Iterator[ProcessGroup]:
    try:
        yield group
    finally:
        group.stop()


def process_specs(options: DemoOptions) -> list[ProcessSpec]:
    """The servers in the order in which they start: the archive, the EHR, the application."""
    here = ("--directory", str(options.directory), "--port", str(options.port), "--ehr-port", str(options.ehr_port))
    specs = []
    if options.pacs_url is None:
        specs.append(
            ProcessSpec(
                title=PACS_TITLE,
                command=python_command("sandbox-pacs", *here, "--pacs-port", str(options.pacs_port)),
                ready_url=f"{options.dicomweb_root}/studies?limit=1",
                log_file=options.logs / "pacs.log",
            )
        )
    upstream = ("--fhir", options.fhir_url) if options.fhir_url else ()
    opened = ("--open-fhir",) if options.open_fhir else ()
    zone = ("--time-zone", options.time_zone)
    hook_clients = [part for one in options.trusted_cds_clients for part in ("--trust-cds-client", f"{one.issuer}={one.keys}")]
    specs.append(
        ProcessSpec(
            title="The sandbox EHR",
            command=python_command("sandbox-ehr", *here, *upstream, *opened, *zone, *hook_clients),
            ready_url=f"{options.ehr_url}/fhir/metadata",
            log_file=options.logs / "ehr.log",
        )
    )
    specs.append(
        ProcessSpec(
            title="The application",
            command=python_command("serve"),
            ready_url=f"{options.app_url}/readyz",
            log_file=options.logs / "app.log",
            environment=_app_environment(options),
        )
    )
    return specs


def sync_spec(options: DemoOptions) -> ProcessSpec | None:
    """What brings the archive's studies into the record; None where the record is somebody else's and is to stay as it is."""
    if not options.has_demo_patients:
        return None
    return ProcessSpec(
        title="The synchronisation",
        command=python_command("sync", "watch"),
        ready_url=None,
        log_file=options.logs / SYNC_LOG,
        environment=_app_environment(options),
    )


def _app_environment(options: DemoOptions) -> dict[str, str]:
    secret = {f"IMAGING_CDS__PACS__{PACS_NAME.upper()}__PASSWORD": options.pacs_password} if options.pacs_password else {}
    return {CONFIG_VARIABLE: str(options.app_config.absolute()), **secret}


def where_to_click(options: DemoOptions) -> Panel:
    """The few lines that a newcomer needs."""
    is_elsewhere = options.directory != DEFAULT_DIRECTORY
    elsewhere = f" --directory {options.directory}" if is_elsewhere else ""
    configured = f" --config {options.app_config}" if is_elsewhere else ""
    archive = options.dicomweb_root + ("" if options.pacs_url is None else "  (yours)")
    heading = f"[bold]Open the chart:[/bold]  {options.ehr_url}/"
    lines = [
        "  pick a patient, read the card, follow its link to the images",
        "",
        f"Application      {options.app_url}/",
        f"CDS Hooks        {options.app_url}/cds-services",
        f"SMART launch     {options.app_url}/launch   (redirect {options.app_url}/callback)",
        f"FHIR R4          {options.ehr_url}/fhir" + ("" if options.fhir_url is None else f"  (stored in {options.fhir_url})"),
        f"DICOMweb         {archive}",
        f"  guarded        {options.gateway_root}",
        *_trusted_lines(options),
        "",
        f'A token for curl: imaging-cds token{elsewhere} --patient demo-a --scope "patient/*.rs"',
        f"Who opened what:  imaging-cds audit{configured}",
        *_sync_lines(options, configured or f" --config {options.app_config}"),
        f"Logs: {options.logs}/      Stop: Ctrl-C",
        "Secure cookies on http://localhost work in Chromium and Firefox, not in Safari. Synthetic patients only.",
    ]
    # Addresses and directories may hold brackets, which are not meant as markup.
    return Panel("\n".join([heading, *map(escape, lines)]), title="imaging-cds demo", expand=False)


def _sync_lines(options: DemoOptions, configured: str) -> list[str]:
    """How studies come into the record, and what does not come."""
    if not options.has_demo_patients:
        return ["Studies of the archive are not written into your FHIR server; with --seed they are."]
    lines = [f"Studies come from the archive; one waits for a person:  imaging-cds sync held{configured}"]
    if options.pacs_url is not None and not options.seed:
        lines = [
            f"New studies of your archive come into the record; who waits for a person:  imaging-cds sync held{configured}",
            "  the demo patients' images are not stored there; with --seed they are.",
        ]
    return lines


def _trusted_lines(options: DemoOptions) -> list[str]:
    """Whom the command line lets in, and what they need to know."""
    lines = []
    for number, issuer in enumerate(options.trusted_issuers, 1):
        lines.append(f"May launch       {issuer.url}   (client id {issuer.client_id})")
        lines.append(f"  its gateway    {options.gateway_of(issuer_name(number))}")
    return lines + [f"May ask          {client.issuer}" for client in options.trusted_cds_clients]


def _check_ports(options: DemoOptions) -> None:
    ports = {"app": ("--port", options.port), "ehr": ("--ehr-port", options.ehr_port)}
    if options.pacs_url is None:
        ports["pacs"] = ("--pacs-port", options.pacs_port)
    taken = [
        f"port {port} is taken by another program; stop it, or choose another port with {flag}."
        for server, (flag, port) in ports.items()
        if not is_port_free(_HOSTS[server], port)
    ]
    if taken:
        raise ConfigurationError(taken)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """While the block prepares, SIGTERM unwinds as Ctrl-C does, so that the processes making images are not left behind."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@dataclass
class _StopRequest:
    """A plain flag: a lock inside a signal handler could be held by the very code that the signal interrupted."""

    requested: bool = False


@contextmanager
def _stop_requested() -> Iterator[_StopRequest]:
    """A flag that SIGINT and SIGTERM set while the block runs."""
    stop = _StopRequest()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True

    previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {
        number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
