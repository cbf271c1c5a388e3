"""``imaging-cds token``: an access token of the running sandbox, for curl and for testing refusals."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from ehr_sandbox.authorization import Authorization, TokenOptions, UnknownClient
from ehr_sandbox.oauth_context import LaunchContext
from fhir_imaging.errors import ConfigurationError
from imaging_cds.cli_demo import options_of
from imaging_cds.demo_plan import DEFAULT_DIRECTORY
from imaging_cds.sandbox_servers import ehr_settings

DEFAULT_SCOPE = "patient/*.rs"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``token``."""
    token = commands.add_parser("token", help="print an access token of the running sandbox (never of a real EHR)")
    token.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="the demo's data (default: %(default)s)")
    token.add_argument("--port", type=int, help="port of the application (default: as the demo was started last)")
    token.add_argument("--ehr-port", type=int, help="port of the sandbox EHR (default: as the demo was started last)")
    token.add_argument("--patient", help="logical id of the patient in context; leave it out to test a refusal")
    token.add_argument("--scope", default=DEFAULT_SCOPE, help="(default: %(default)s)")
    token.add_argument("--client", default="imaging-cds", help="client that the token is for (default: %(default)s)")
    token.add_argument("--user", help="Type/id of the user (default: the sandbox's physician)")
    token.add_argument(
        "--lifetime", type=_lifetime, metavar="SECONDS", help="how long it lives (default: 300); a negative number: ended since"
    )
    token.add_argument("--aud", action="append", metavar="URL", help="audience in place of the usual ones; repeatable")
    token.add_argument("--id-token", action="store_true", help="print the id_token instead: no server may accept it for data")
    token.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    _complete_ports(arguments)
    settings = ehr_settings(options_of(arguments))
    if not settings.state_dir.exists():
        raise ConfigurationError([f"there is no sandbox in {arguments.directory}: start it with imaging-cds demo."])
    context = LaunchContext(patient=arguments.patient, user=arguments.user)
    options = TokenOptions(
        lifetime_s=arguments.lifetime,
        audiences=tuple(arguments.aud) if arguments.aud else None,
        with_id_token=arguments.id_token,
    )
    try:
        issued = Authorization(settings).issue_token(arguments.client, arguments.scope, context, options)
    except UnknownClient as exc:
        raise ConfigurationError([f"--client: {exc}."]) from exc
    _say_what_was_left_out(arguments.scope, issued.scope)
    print(issued.id_token if arguments.id_token else issued.access_token)
    return 0


def _complete_ports(arguments: argparse.Namespace) -> None:
    """The ports of the demo that ran last in this directory: they stand in the token's issuer and audience."""
    path = arguments.directory / "app.toml"
    if path.exists():
        started = tomllib.loads(path.read_text())
        app_port, ehr_port = started["server"]["port"], urlsplit(started["ehr"][0]["fhir_base"]).port
    else:
        app_port, ehr_port = 8000, 8001
    arguments.port = arguments.port or app_port
    arguments.ehr_port = arguments.ehr_port or ehr_port


def _say_what_was_left_out(asked: str, granted: str) -> None:
    left_out = [scope for scope in asked.split() if scope not in granted.split()]
    if left_out:
        print(f"imaging-cds: the sandbox does not grant {', '.join(left_out)}", file=sys.stderr)


def _lifetime(text: str) -> int:
    try:
        seconds = int(text)
    except ValueError:
        seconds = 0
    if not seconds:
        raise argparse.ArgumentTypeError("say how many seconds, or a negative number for a token that has ended")
    return seconds
