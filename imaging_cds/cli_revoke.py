"""``imaging-cds revoke``: ends access at the imaging server now, and lists what was ended before."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import unquote

from fhir_imaging.audit import TOKEN_DIGEST_PREFIX, AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.uids import is_uid
from imaging_cds.accounts import account
from imaging_cds.audit_trail import open_store
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings
from imaging_server.access import read_patient_id
from imaging_server.revocations import Revocation, RevocationLog

_WHAT = ("ehr", "patient", "study", "token_reference")
_JTI_URN = "urn:ietf:params:oauth:jti:"
_DIGEST_URN = "urn:imaging-cds:token-digest:"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``revoke``."""
    revoke = commands.add_parser("revoke", help="end access to images now: ask the EHR anew, or refuse one token for good")
    add_config_argument(revoke)
    revoke.add_argument("--ehr", help="name of the EHR; without it, all of them")
    revoke.add_argument("--patient", help="logical id of the patient in its EHR, or a reference: who sees it is asked anew")
    revoke.add_argument("--study", help="Study Instance UID: who has it open is asked about anew")
    revoke.add_argument(
        "--token-reference", help="as in the audit log or its events: this token is refused from now on, whatever the EHR says"
    )
    revoke.add_argument("--all", action="store_true", help="ask anew about everybody")
    revoke.add_argument("--reason", help="why; kept with it")
    revoke.add_argument("--list", action="store_true", help="show what was ended, newest first, one JSON object a line")
    revoke.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    ended = None if arguments.list else _revocation(arguments, settings)
    store = open_store(settings)
    try:
        store.check_migrated()
        if ended is None:
            _print_all(RevocationLog(store))
        else:
            RevocationLog(store).mark(ended)  # first of all: a full outbox must not keep access alive
            AuditLog(store).append(_record(ended))
            print("Done. Every worker knows within about a second; what is being sent already is sent to its end.")
            if settings.imaging_server.handed_decision_s > 0:
                kept_s = settings.imaging_server.handed_decision_s
                print(f"nginx may go by what it was told before for up to {kept_s:g} seconds more (handed_decision_s).")
    finally:
        store.close()
    return 0


def _revocation(arguments: argparse.Namespace, settings: ApplicationSettings) -> Revocation:
    """What the command line names; ConfigurationError for nothing, for too much, and for what cannot be."""
    given = {name: getattr(arguments, name) for name in _WHAT}
    named = {name: value and value.strip() for name, value in given.items()}
    problems = [f"--{name.replace('_', '-')} is empty." for name, value in named.items() if value == ""]
    if not arguments.all and not any(given.values()):
        problems.append("Say what ends: --ehr, --patient, --study, --token-reference or --all.")
    if arguments.all and any(given.values()):
        problems.append("--all is everything: leave the others out.")
    if named["token_reference"] and (named["patient"] or named["study"]):
        problems.append("--token-reference names one token; leave --patient and --study out.")
    if named["ehr"] and named["ehr"] not in {ehr.name for ehr in settings.ehr}:
        problems.append(f"--ehr: {named['ehr']} is not configured.")
    if named["study"] and not is_uid(named["study"]):
        problems.append("--study: this is not a UID.")
    if named["patient"]:
        named["patient"] = _patient(named["patient"], settings, named["ehr"])
        if named["patient"] is None:
            problems.append("--patient: this is neither a patient's logical id nor a reference to a patient of a named EHR.")
    if named["token_reference"]:
        named["token_reference"] = _token_reference(named["token_reference"])
    if problems:
        raise ConfigurationError(problems)
    return Revocation(marked_at=int(time.time()), by=account(), reason=arguments.reason, **named)


def _patient(text: str, settings: ApplicationSettings, ehr: str | None) -> str | None:
    """The logical id as tokens name it: people copy references. None for what no token could name, so that it ended nothing."""
    at = [one for one in settings.ehr if ehr in (None, one.name)]
    bases = [base.rstrip("/") for one in at for base in (one.fhir_base, one.imaging_base) if base]
    for beginning in (*(f"{base}/Patient/" for base in bases), "Patient/"):
        if text.startswith(beginning):
            return read_patient_id(text.removeprefix(beginning))
    return read_patient_id(text)


def _token_reference(text: str) -> str:
    """As records name a token; AuditEvents write it as a URN."""
    if text.startswith(_DIGEST_URN):
        return TOKEN_DIGEST_PREFIX + text.removeprefix(_DIGEST_URN)
    return unquote(text.removeprefix(_JTI_URN)) if text.startswith(_JTI_URN) else text


def _record(ended: Revocation) -> AuditRecord:
    """What the audit log keeps of it: an administrator's act at one EHR, or at ``*`` for all of them."""
    return AuditRecord(
        recorded_at=ended.marked_at,
        ehr=ended.ehr or "*",
        action=AuditAction.ACCESS_ENDED,
        outcome=AuditOutcome.ALLOWED,
        reason=ended.reason,
        patient_id=ended.patient,
        user=ended.by,
        client_id="imaging-cds revoke",
        study_instance_uid=ended.study,
        token_reference=ended.token_reference,
    )


def _print_all(revocations: RevocationLog) -> None:
    for one in revocations.listed():
        when = datetime.fromtimestamp(one.marked_at, UTC).isoformat().replace("+00:00", "Z")
        print(json.dumps({"at": when, **{k: v for k, v in asdict(one).items() if k != "marked_at" and v is not None}}))
