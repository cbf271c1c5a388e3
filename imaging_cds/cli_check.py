"""``imaging-cds check``: what an EHR offers to a launch and to its images, what would fail, and what to do about it.

Nothing is changed anywhere and no person signs in: the sign-in page is only looked at. The imaging server's own client, where
there is one, gets a token and lets it go. The issuer on the command line is the operator's word that it may be asked; without
one every EHR and every synchronisation of the settings is checked, and whether this machine's keys are the database's and the
other machines'.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import jwt

from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import EhrSettings, find_ehr_by_iss
from fhir_imaging.tolerant import text
from imaging_cds import cli_check_imaging
from imaging_cds.check_client_keys import check_client_keys
from imaging_cds.check_context import CheckContext
from imaging_cds.check_discovery import check_answer, check_clock, check_document, metadata_of, offered_by, read_discovery
from imaging_cds.check_frames import check_frames
from imaging_cds.check_hierarchy import check_hierarchy
from imaging_cds.check_identity import check_identity
from imaging_cds.check_imaging import check_imaging
from imaging_cds.check_installation import check_installation
from imaging_cds.check_ownership import check_ownership
from imaging_cds.check_print import add_format, print_report
from imaging_cds.check_probe import Prober
from imaging_cds.check_report import Area, Finding, Report, Reports
from imaging_cds.check_settings import check_settings
from imaging_cds.check_site import site_of
from imaging_cds.check_sync import check_sync
from imaging_cds.check_tokens import check_tokens
from imaging_cds.cli_serve import DEMO_CONFIG, add_config_argument, tell_remarks
from imaging_cds.settings import CONFIG_VARIABLE, ApplicationSettings, load

AREA = Area("Issuer")
VISIBLE_ASCII = re.compile(r"[!-~]+")
"""What an access token is made of (RFC 6749 §A.12, less its space); no other character can stand in a request's header."""
UNCONFIGURED_APP = "http://localhost:8000"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``check``."""
    check = commands.add_parser("check", help="say what an EHR offers to a launch, what would fail, and the remedy")
    server = check.add_mutually_exclusive_group()
    server.add_argument(
        "--issuer", metavar="URL", help="the EHR's FHIR base, as it sends it in iss (default: each in the settings)"
    )
    server.add_argument("--imaging", metavar="URL", help="the FHIR base of any SMART Imaging server, checked from outside")
    of_ehr = (add_config_argument(check),)
    check.add_argument(
        "--token-file", type=Path, help="a file with an access token of this EHR, to try a search as a launch would"
    )
    check.add_argument("--patient", help="the patient to search for (default: the token's own, where it says so)")
    check.add_argument(
        "--certificate-authority",
        "--ca",
        type=Path,
        metavar="FILE",
        help="PEM file of an authority that signs the server's certificates (default for an EHR: what the settings name)",
    )
    add_format(check)
    of_imaging = cli_check_imaging.add_options(check)

    def run(arguments: argparse.Namespace) -> int:
        """One of the two checks; an option of the other is refused, since it would count for nothing."""
        if arguments.imaging is not None:
            refuse_given(arguments, of_ehr, "counts with --issuer only; this check knows no settings of an installation")
            return cli_check_imaging.run(arguments)
        refuse_given(arguments, of_imaging, "counts with --imaging only; with --issuer a token is lent by --token-file")
        return _run(arguments)

    check.set_defaults(run=run)


def refuse_given(arguments: argparse.Namespace, actions: Iterable[argparse.Action], why: str) -> None:
    """ConfigurationError for each option among ``actions`` that the command line gives."""
    given = [one.option_strings[0] for one in actions if getattr(arguments, one.dest) != one.default]
    if given:
        raise ConfigurationError([f"{option} {why}." for option in given])


def _run(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    if settings is not None:
        tell_remarks(arguments)
    if arguments.issuer is not None:
        report = _report(_context(arguments, arguments.issuer, settings))
        print_report(report, arguments.form)
        return report.exit_code
    if settings is None or not settings.ehr:
        raise ConfigurationError(["check needs --issuer, --imaging, or settings that name an EHR (--config)."])
    if arguments.token_file is not None:
        raise ConfigurationError(["--token-file needs --issuer: a token is one EHR's and is sent to no other."])
    reports = Reports(
        tuple(_report(_context(arguments, ehr.fhir_base, settings)) for ehr in settings.ehr),
        syncs=tuple(
            Report(issuer=sync.name, findings=tuple(check_sync(settings, sync)), kind="Synchronisation")
            for sync in settings.sync
        ),
        installation=Report(
            issuer=settings.public_base_url,
            findings=(*check_installation(settings.state), *check_client_keys(settings)),
            kind="Installation",
        ),
    )
    print_report(reports, arguments.form)
    return reports.exit_code


def _report(context: CheckContext) -> Report:
    return Report(issuer=context.issuer, findings=tuple(examine(context)))


def examine(context: CheckContext) -> Iterator[Finding]:
    """Everything that can be told of this EHR, in the order of a launch."""
    yield from _check_issuer(context)
    answer, document = read_discovery(context)
    yield from check_answer(context, answer, document)
    yield from check_document(context, document) if document is not None else ()
    if answer.status is not None:
        yield from check_clock(context, answer)
    metadata = metadata_of(context, document) if document is not None else None
    if document is not None and metadata is not None:
        yield from check_settings(context, document, metadata)
        yield from check_frames(context, metadata)
        yield from check_identity(context, document, metadata)
        yield from check_imaging(context, metadata)
    if context.is_configured:
        yield from check_tokens(context, metadata, partial(offered_by, context))
    if context.is_configured and answer.failure is None:
        yield from check_ownership(context)
        yield from check_hierarchy(context)


def _check_issuer(context: CheckContext) -> Iterator[Finding]:
    if not context.is_configured:
        yield AREA.note(
            "No settings of this installation name this issuer; it is compared with the defaults.",
            "Write it as fhir_base of an [[ehr]], byte for byte, a final slash included, before the first launch.",
        )
    if context.is_plain(context.issuer):
        yield AREA.fault(
            "The issuer is plain http.", "The EHR must offer https (A36); allow_http = true is for a network that you trust."
        )


def _context(arguments: argparse.Namespace, issuer: str, settings: ApplicationSettings | None) -> CheckContext:
    problem = cli_check_imaging.address_problem("--issuer", issuer)
    if problem is not None:
        raise ConfigurationError([problem])
    configured = find_ehr_by_iss(settings.ehr, issuer) if settings else None
    ehr = configured or EhrSettings(name="unconfigured", fhir_base=issuer)
    if arguments.certificate_authority is not None:
        ehr = replace(ehr, certificate_authority=arguments.certificate_authority)
    token = _token(arguments.token_file)
    app = settings.smart_app if settings else None
    app_origin = app.origin if app else UNCONFIGURED_APP
    return CheckContext(
        issuer=issuer,
        ehr=ehr,
        is_configured=configured is not None,
        app_origin=app_origin,
        app_base=app.public_base_url if app else None,
        prober=Prober(app_origin, clock=lambda: datetime.now(UTC), authorities=certificate_authorities([ehr])),
        assertion_algorithm=app.assertion_algorithm if app else "ES384",
        allow_http=settings.allow_http if settings else False,
        token=token,
        patient=arguments.patient or _patient_of(token),
        site=site_of(settings, configured) if settings and configured else None,
    )


def _settings(arguments: argparse.Namespace) -> ApplicationSettings | None:
    """The installation's settings where there are any: an EHR may be looked at before it is configured."""
    named = arguments.config or os.environ.get(CONFIG_VARIABLE)
    path = Path(named) if named else DEMO_CONFIG
    return load(path) if named or path.exists() else None


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError([f"--token-file: {path} cannot be read."]) from exc
    if not VISIBLE_ASCII.fullmatch(token):
        raise ConfigurationError([f"--token-file: {path} must hold one access token and nothing else."])
    return token


def _patient_of(token: str | None) -> str | None:
    """The patient that a JWT names; only a hint of what to ask for, so nothing is verified."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False}) if token else {}
    except jwt.PyJWTError:
        return None
    return text(claims.get("patient"))
