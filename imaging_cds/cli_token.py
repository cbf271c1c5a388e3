"""``imaging-cds token``: an access token of the running sandbox, for curl and for testing refusals."""

from __future__ import annotations

import argparse

from ehr_sandbox.authorization import Authorization, TokenOptions, UnknownClient
from ehr_sandbox.oauth_context import LaunchContext
from fhir_imaging.errors import ConfigurationError
from imaging_cds.cli_demo import add_address_arguments, options_of
from imaging_cds.sandbox_servers import ehr_settings

DEFAULT_SCOPE = "patient/*.rs"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``token``."""
    token = commands.add_parser("token", help="print an access token of the running sandbox (never of a real EHR)")
    add_address_arguments(token)
    token.add_argument("--patient", help="logical id of the patient in context; leave it out to test a refusal")
    token.add_argument("--scope", default=DEFAULT_SCOPE, help="(default: %(default)s)")
    token.add_argument("--client", default="imaging-cds", help="client that the token is for (default: %(default)s)")
    token.add_argument("--user", help="Type/id of the user (default: the sandbox's physician)")
    token.add_argument("--lifetime", type=int, metavar="SECONDS", help="how long it lives (default: 300)")
    token.add_argument("--aud", action="append", metavar="URL", help="audience in place of the usual ones; repeatable")
    token.add_argument("--id-token", action="store_true", help="print the id_token instead: no server may accept it for data")
    token.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
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
    print(issued.id_token if arguments.id_token else issued.access_token)
    return 0
