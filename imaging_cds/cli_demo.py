"""``imaging-cds demo`` and the two sandbox servers that it starts.

What they run on (the sandbox and its image libraries) is an optional extra, so it is loaded by the command that needs it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from fhir_imaging.errors import ConfigurationError
from imaging_cds import sandbox_servers
from imaging_cds.cli_viewer import DEFAULT_VIEWER_DIR
from imaging_cds.demo_plan import (
    DEFAULT_DIRECTORY,
    PASSWORD_VARIABLE,
    DemoOptions,
    parse_time_zone,
    parse_trusted_cds_client,
    parse_trusted_issuer,
)

Parsed = TypeVar("Parsed")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``demo``, ``sandbox-ehr`` and ``sandbox-pacs``."""
    demo = commands.add_parser("demo", help="start the application, a sandbox EHR and a sandbox PACS on this machine")
    add_address_arguments(demo)
    demo.add_argument("--pacs-port", type=int, default=8002, help="port of the sandbox PACS (default: %(default)s)")
    demo.add_argument("--viewer-dir", type=Path, default=DEFAULT_VIEWER_DIR, help="the OHIF files (default: %(default)s)")
    demo.add_argument("--workers", type=int, default=2, help="worker processes of the application (default: %(default)s)")
    demo.add_argument("--reset", action="store_true", help="forget everything that earlier runs kept and start anew")
    words = "add a patient with so many studies, to try long lists (1000 take about a minute more at the first start of a day)"
    demo.add_argument("--crowded", type=int, default=0, metavar="STUDIES", help=words)
    _add_time_zone_argument(demo)
    _add_outsider_arguments(demo)
    demo.set_defaults(run=_run_demo)
    ehr = commands.add_parser("sandbox-ehr", help="the sandbox EHR alone (the demo starts it)")
    add_address_arguments(ehr)
    ehr.add_argument("--fhir", help="a real FHIR R4 server that stores in place of the sandbox's own")
    ehr.add_argument("--open-fhir", action="store_true", help="answer FHIR without a token, on this machine only")
    _add_time_zone_argument(ehr)
    _add_cds_client_argument(ehr)
    ehr.set_defaults(run=_run_ehr)
    pacs = commands.add_parser("sandbox-pacs", help="the sandbox PACS alone (the demo starts it)")
    add_address_arguments(pacs)
    pacs.add_argument("--pacs-port", type=int, default=8002)
    pacs.set_defaults(run=_run_pacs)


def add_address_arguments(command: argparse.ArgumentParser) -> None:
    """Where the demo keeps its data and listens."""
    command.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="where data persist (default: %(default)s)")
    command.add_argument("--port", type=int, default=8000, help="port of the application (default: %(default)s)")
    command.add_argument("--ehr-port", type=int, default=8001, help="port of the sandbox EHR (default: %(default)s)")


def options_of(arguments: argparse.Namespace) -> DemoOptions:
    """The demo that the command line describes; arguments that a command lacks keep their defaults."""
    given = vars(arguments)
    return DemoOptions(
        directory=arguments.directory,
        port=arguments.port,
        ehr_port=arguments.ehr_port,
        pacs_port=given.get("pacs_port", 8002),
        viewer_dir=given.get("viewer_dir", DEFAULT_VIEWER_DIR),
        workers=given.get("workers", 2),
        reset=given.get("reset", False),
        seed=given.get("seed", False),
        crowded=given.get("crowded", 0),
        open_fhir=given.get("open_fhir", False),
        time_zone=given.get("time_zone", "UTC"),
        trusted_issuers=tuple(given.get("trust_issuer") or ()),
        trusted_cds_clients=tuple(given.get("trust_cds_client") or ()),
        fhir_url=(given.get("fhir") or "").rstrip("/") or None,
        pacs_url=given.get("pacs"),
        pacs_user=given.get("pacs_user"),
        pacs_password=os.environ.get(PASSWORD_VARIABLE),
    )


def _add_outsider_arguments(demo: argparse.ArgumentParser) -> None:
    outsiders = demo.add_argument_group("with other people's tools")
    outsiders.add_argument(
        "--trust-issuer",
        action="append",
        type=_argument(parse_trusted_issuer),
        metavar="URL[=CLIENT_ID]",
        help="a SMART launcher or EHR that may launch the app; repeatable",
    )
    _add_cds_client_argument(outsiders)
    outsiders.add_argument("--fhir", metavar="URL", help="a real FHIR R4 server behind the sandbox's authorization")
    outsiders.add_argument("--pacs", metavar="URL", help="DICOMweb root of a real PACS in place of the sandbox's")
    outsiders.add_argument("--pacs-user", metavar="USER", help=f"its user; the password is read from ${PASSWORD_VARIABLE}")
    outsiders.add_argument(
        "--seed", action="store_true", help="store the demo patients in the servers named by --fhir and --pacs"
    )
    outsiders.add_argument(
        "--open-fhir", action="store_true", help="let a SMART launcher on this machine read the sandbox's FHIR without a token"
    )


def _add_time_zone_argument(command: argparse.ArgumentParser) -> None:
    words = "zone of the sandbox EHR's chart, such as Europe/Berlin (default: %(default)s)"
    command.add_argument("--time-zone", type=_argument(parse_time_zone), default="UTC", metavar="NAME", help=words)


def _add_cds_client_argument(to: argparse._ActionsContainer) -> None:
    to.add_argument(
        "--trust-cds-client",
        action="append",
        type=_argument(parse_trusted_cds_client),
        metavar="ISS=JWKS_URL_OR_FILE",
        help="a CDS client that may call the cards, from a browser too; repeatable",
    )


def _argument(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return parsed


def _run_demo(arguments: argparse.Namespace) -> int:
    with demo_extra():
        from imaging_cds.demo import run_demo
    return run_demo(options_of(arguments), Console())


def _run_ehr(arguments: argparse.Namespace) -> int:
    with demo_extra():
        sandbox_servers.serve_ehr(options_of(arguments))
    return 0


def _run_pacs(arguments: argparse.Namespace) -> int:
    with demo_extra():
        sandbox_servers.serve_pacs(options_of(arguments))
    return 0


@contextmanager
def demo_extra() -> Iterator[None]:
    """ConfigurationError with the remedy where the block imports a library of the demo that this installation lacks."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ConfigurationError([f"{exc.name} is not installed; the demo needs it: pip install 'imaging-cds[demo]'"]) from exc
