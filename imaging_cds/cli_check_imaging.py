"""``imaging-cds check --imaging``: whether an imaging server keeps what SMART Imaging Access asks of it.

Works on any server. Tokens are lent by their place (an environment variable, a file, standard input), since others on the
machine can read a command line; they go to the given server's origin and to those of ``--allow-origin``, and nowhere else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import is_loopback, origin_of
from fhir_imaging.tolerant import text
from fhir_imaging.uids import is_uid
from imaging_cds.check_gateway import check_server
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_subject import TOKEN_MEANINGS, Subject, TokenKind, claims_of
from imaging_cds.check_print import print_report

STANDARD_INPUT = "-"
FRAME_BUDGET_MS = 250.0
PLACES = "env:NAME, file:PATH or - (standard input)"
_SHOWN_PROCESSES = "is read from the command line, which others on this machine can see. Lend it by {places} instead."


def add_options(check: argparse.ArgumentParser) -> tuple[argparse.Action, ...]:
    """The options of a check of an imaging server, beside those of an EHR; gives those that count with ``--imaging`` only."""
    group = check.add_argument_group("an imaging server (--imaging)")
    tokens = [
        group.add_argument(f"--{kind.value}", metavar="PLACE", help=f"{meaning}; PLACE is {PLACES}")
        for kind, meaning in TOKEN_MEANINGS.items()
    ]
    patients = (
        group.add_argument("--other-patient", metavar="ID", help="the FHIR id of another patient who exists"),
        group.add_argument("--other-study", metavar="UID", help="a study of that patient, which must never be served"),
        group.add_argument("--other-series", metavar="UID", help="a series of --other-study"),
        group.add_argument("--other-instance", metavar="UID", help="an instance of --other-series"),
        group.add_argument("--restricted-study", metavar="UID", help="a study of the patient, partly closed to the token"),
    )
    server = (
        group.add_argument(
            "--backend-mode", action="store_true", help="the server says that it serves Backend Services clients"
        ),
        group.add_argument(
            "--allow-origin",
            action="append",
            default=[],
            metavar="ORIGIN",
            help="where images are too; the token is sent there",
        ),
        group.add_argument("--allow-http", action="store_true", help="send tokens over plain http beyond this machine"),
        group.add_argument(
            "--frame-budget-ms",
            type=float,
            metavar="MS",
            help=f"how long a small image request may take ({FRAME_BUDGET_MS:.0f})",
        ),
    )
    return (*tokens, *patients, *server)


def run(arguments: argparse.Namespace) -> int:
    """Checks, prints and gives the exit code: 0 only where no fault was found."""
    warnings: list[str] = []
    subject = _subject(arguments, warnings)
    probe = Probe([subject.base, *arguments.allow_origin], authority=arguments.certificate_authority)
    try:
        report = check_server(subject, probe, tuple(warnings))
    finally:
        probe.close()
    print_report(report, arguments.form)
    return report.exit_code


def _subject(arguments: argparse.Namespace, warnings: list[str]) -> Subject:
    problems = list(_problems(arguments))
    if problems:
        raise ConfigurationError(problems)
    tokens = _tokens(arguments, warnings)
    good = tokens.get(TokenKind.GOOD)
    return Subject(
        base=arguments.imaging.rstrip("/"),
        tokens=tokens,
        patient=arguments.patient or _patient_of(good),
        other_patient=arguments.other_patient,
        other_study=arguments.other_study,
        other_series=arguments.other_series,
        other_instance=arguments.other_instance,
        restricted_study=arguments.restricted_study,
        backend_mode=arguments.backend_mode,
        budget_ms=FRAME_BUDGET_MS if arguments.frame_budget_ms is None else arguments.frame_budget_ms,
    )


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    for option, url in (("--imaging", arguments.imaging), *(("--allow-origin", one) for one in arguments.allow_origin)):
        problem = address_problem(option, url)
        if problem is not None:
            yield problem
        elif url.startswith("http://") and not is_loopback(url) and not arguments.allow_http:
            yield f"{option}: {url!r} is plain http; tokens would be readable on the way. --allow-http insists."
    for option in ("--other-study", "--other-series", "--other-instance", "--restricted-study"):
        uid = getattr(arguments, option.removeprefix("--").replace("-", "_"))
        if uid is not None and not is_uid(uid):
            yield f"{option}: {uid!r} is no DICOM UID."


def address_problem(option: str, url: str) -> str | None:
    """Why an option's address cannot be asked; an address that may hold a password is never repeated."""
    try:
        origin_of(url)
    except ValueError:
        return f"{option}: {'the address' if '@' in url else repr(url)} is no http(s) address."
    if "@" in urlsplit(url).netloc:
        return f"{option}: the address must not carry a user name or a password."
    return None


def _tokens(arguments: argparse.Namespace, warnings: list[str]) -> Mapping[TokenKind, str]:
    places = {kind: getattr(arguments, kind.value.replace("-", "_")) for kind in TokenKind}
    if arguments.token_file is not None and places[TokenKind.GOOD] is None:
        places[TokenKind.GOOD] = f"file:{arguments.token_file}"
    if sum(place == STANDARD_INPUT for place in places.values()) > 1:
        raise ConfigurationError(["Standard input (-) can lend one token only."])
    lent = {kind: _token(kind, place, warnings) for kind, place in places.items() if place is not None}
    lost = sorted(kind.value for kind, token in lent.items() if not token.isascii() or len(token.split()) != 1)
    if lost:
        raise ConfigurationError([f"--{name} must lend one access token and nothing else." for name in lost])
    return lent


def _token(kind: TokenKind, place: str, warnings: list[str]) -> str:
    """The token at a place; one that stands on the command line itself is used, with a warning."""
    scheme, _, name = place.partition(":")
    try:
        if place == STANDARD_INPUT:
            return sys.stdin.read().strip()
        if scheme == "env":
            return os.environ[name].strip()
        if scheme == "file":
            return Path(name).read_text(encoding="utf-8").strip()
    except KeyError as exc:
        raise ConfigurationError([f"--{kind.value}: the environment has no {name}."]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError([f"--{kind.value}: {name} cannot be read."]) from exc
    warnings.append(f"--{kind.value} {_SHOWN_PROCESSES.format(places=PLACES)}")
    return place


def _patient_of(token: str | None) -> str | None:
    return text((claims_of(token) or {}).get("patient")) if token else None
