"""``imaging-cds nginx``: the configuration of an nginx in front. It ends TLS, holds off slow callers and passes everything on;
where archives are handed over (``pacs.hand_over``) it fetches their bytes, while every decision stays here."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store, is_begun
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
        default=Mode.ACCEL.value,
        help="of archives that are handed over. accel: the application decides each request (default). "
        "auth-request: nginx keeps its decisions for seconds",
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
    # A plain front needs no key, so none is made for it.
    files = files_of(plan, handover_key(_sealer(settings.state)) if plan.archives else "")
    if arguments.out is None:
        for name, content in files.public.items():
            sys.stdout.write(f"# ---- {name} ----\n\n{content}\n")
        if files.secrets:
            sys.stdout.write(f"# ---- {SECRETS_FILE}: give --out DIR to have it written ----\n")
    else:
        write(files, arguments.out)
        print(f"written: {arguments.out}. Check it: nginx -t -p {arguments.out}/ -c nginx.conf")
    for remark in _remarks(plan):
        print(f"imaging-cds: {remark}", file=sys.stderr)
    return 0


def _sealer(state: StateSettings) -> Sealer:
    """Before the first start the key is made here; later a missing one is told, since another would fit nothing."""
    sealer = Sealer.present(state.state_dir)
    if sealer is None and is_begun(state):
        with closing(Store.open(state)) as store:
            store.check_migrated()
    return sealer or Sealer.of(state.state_dir)


def _remarks(plan: NginxPlan) -> list[str]:
    """What works, and yet is not as it should be."""
    remarks = []
    if not plan.archives:
        remarks.append(
            "no archive is handed over: nginx passes everything on, and all bytes go through the application. To have nginx "
            'fetch an archive\'s images, say hand_over = "frames" below its [[pacs]].'
        )
    if plan.settings.server.trusted_proxies != 1:
        remarks.append("say server.trusted_proxies = 1, or every caller has nginx's address in limits and audit records.")
    if any(app.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]") for app in plan.apps):
        passing = "archives' credentials pass" if plan.archives else "tokens and images pass unencrypted"
        remarks.append(f"nginx and the application should be on one machine: {passing} between them.")
    if plan.settings.cds.certificate_header:
        remarks.append("cds.certificate_header: this nginx passes on nobody's; name it there once nginx verifies certificates.")
    return remarks
