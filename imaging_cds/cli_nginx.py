"""``imaging-cds nginx``: the configuration of an nginx in front that takes the bytes over, while every decision stays here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhir_imaging.store.keys import Sealer
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.nginx_files import SECRETS_FILE, files_of, write
from imaging_cds.nginx_plan import Mode, NginxOptions, NginxPlan, plan_of
from imaging_server.handover import handover_key


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``nginx``."""
    command = commands.add_parser("nginx", help="print or write the configuration of an nginx in front (docs/operations.md)")
    add_config_argument(command)
    command.add_argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        required=True,
        help="accel: the application decides each request. auth-request: nginx keeps its decisions for seconds",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="write the files here (else they are printed, without secrets)"
    )
    command.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDRESS", help="default: %(default)s")
    command.add_argument(
        "--app",
        dest="apps",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="the application (default: as its settings say); again for each further server of the same installation",
    )
    command.add_argument("--certificate", type=Path, metavar="FILE", help="TLS certificate chain, PEM")
    command.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    command.add_argument("--user", metavar="NAME", help="system user of nginx's workers, where root starts it")
    command.add_argument(
        "--decisions",
        type=Path,
        default=Path("decisions"),
        metavar="DIR",
        help="kept decisions: best on a tmpfs",
    )
    command.add_argument(
        "--modules", type=Path, default=Path("/usr/lib/nginx/modules"), metavar="DIR", help="default: %(default)s"
    )
    command.add_argument(
        "--authorities",
        type=Path,
        default=Path("/etc/ssl/certs/ca-certificates.crt"),
        metavar="FILE",
        help="who signs archives' certificates (default: %(default)s)",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    options = NginxOptions(
        mode=Mode(arguments.mode),
        listen=arguments.listen,
        apps=tuple(arguments.apps),
        certificate=arguments.certificate,
        key=arguments.key,
        decisions=arguments.decisions,
        modules=arguments.modules,
        user=arguments.user,
        authorities=arguments.authorities,
    )
    plan = plan_of(settings, options)
    files = files_of(plan, handover_key(Sealer.of(settings.state.state_dir)))
    if arguments.out is None:
        for name, content in files.public.items():
            sys.stdout.write(f"# ---- {name} ----\n\n{content}\n")
        sys.stdout.write(f"# ---- {SECRETS_FILE}: give --out DIR to have it written ----\n")
    else:
        write(files, arguments.out)
        print(f"written: {arguments.out}. Check it: nginx -t -p {arguments.out}/ -c nginx.conf")
    for remark in _remarks(plan):
        print(f"imaging-cds: {remark}", file=sys.stderr)
    return 0


def _remarks(plan: NginxPlan) -> list[str]:
    """What works, and yet is not as it should be."""
    remarks = []
    if plan.settings.server.trusted_proxies != 1:
        remarks.append("say server.trusted_proxies = 1, or every caller has nginx's address in limits and audit records.")
    if any(app.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]") for app in plan.apps):
        remarks.append("nginx and the application should be on one machine: archives' credentials pass between them.")
    if plan.settings.cds.certificate_header:
        remarks.append("cds.certificate_header: this nginx passes on nobody's; name it there once nginx verifies certificates.")
    return remarks
