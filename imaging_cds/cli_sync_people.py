"""``imaging-cds sync held``, ``dead`` and ``status``: what waits for a person, and how far behind everything is."""

from __future__ import annotations

import argparse
import re
import time

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID, from_urn
from imaging_cds.accounts import account
from imaging_cds.audit_trail import open_store
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings
from imaging_cds.sync_job import named_syncs, sync_job
from imaging_cds.sync_printing import print_dead, print_held, print_status
from pacs_sync.counts import counts
from pacs_sync.held import WaitingForPeople, waiting_of
from pacs_sync.settings import SyncSettings
from pacs_sync.shared_clock import SharedClock

_WHEN = "by the next sync once or the running sync watch, or when the same folder is read again (sync files)"
_PATIENT = "Patient/"
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


def add_people_commands(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``held``, ``dead`` and ``status``."""
    held = _add(verbs, "held", "list studies of which nobody knows whose they are, or say so")
    held.add_argument("--study", help="Study Instance UID of the one that is meant")
    held.add_argument(
        "--patient", help="logical id of its Patient in the FHIR server: whose it is, until the archive says otherwise"
    )
    held.add_argument("--retry", action="store_true", help="look at it (or at all) again: somebody has mended the reason")
    held.add_argument("--forget", action="store_true", help="take back whose somebody said that it is")
    held.set_defaults(run=_held)
    dead = _add(verbs, "dead", "list studies that failed too often")
    dead.add_argument("--study", help="Study Instance UID of the one that is meant")
    dead.add_argument("--retry", action="store_true", help="take it (or all) up again")
    dead.set_defaults(run=_dead)
    _add(verbs, "status", "how much waits, is held or failed, and how far behind it is").set_defaults(run=_status)


def _add(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help_text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text)
    add_config_argument(parser)
    parser.add_argument("--name", help="of the [[sync]]; without it, all of them")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _held(arguments: argparse.Namespace) -> int:
    settings, syncs = _settings(arguments)
    study, patient = _study(arguments.study), _patient(arguments.patient)
    given = [arguments.patient is not None, arguments.retry, arguments.forget]
    if sum(given) > 1:
        raise ConfigurationError(["sync held: --patient, --retry and --forget exclude each other."])
    if study is None and (patient or arguments.forget):
        raise ConfigurationError(["sync held: say with --study which one is meant."])
    if len(syncs) > 1 and patient:
        raise ConfigurationError(["sync held: say with --name in which synchronisation."])
    store = open_store(settings)
    try:
        store.check_migrated()
        if not any(given):
            for people in _all_waiting(store, syncs):
                held = [one for one in people.held() if study in (None, one.study)]
                print_held(people.sync, held, as_json=arguments.json)
            return 0
        if patient and study is not None:
            return _assign(settings, syncs[0], store, study, patient)
        now = SharedClock(store)()
        changed = sum(_again(people, study, forget=arguments.forget, now=now) for people in _all_waiting(store, syncs))
        print(f"{changed} studies are looked at again {_WHEN}.")
        return 0 if changed else 1
    finally:
        store.close()


def _assign(settings: ApplicationSettings, sync: SyncSettings, store: Store, study: StudyInstanceUID, patient_id: str) -> int:
    """A person says whose it is: their word is on record before it counts."""
    with sync_job(settings, sync, store) as job:
        subject = job.subject(patient_id)
    AuditLog(store).append(
        AuditRecord(
            recorded_at=int(time.time()),
            ehr=sync.name,
            action=AuditAction.STUDY_ASSIGNED,
            outcome=AuditOutcome.ALLOWED,
            patient_id=patient_id,
            user=account(),
            client_id="imaging-cds sync held",
            study_instance_uid=study,
        )
    )
    now = SharedClock(store)()
    if not any(people.resolve(study, subject, now=now) for people in waiting_of(store, sync.name)):
        print("This study is not held (any more).")
        return 1
    print(f"It is brought over as Patient/{patient_id}'s {_WHEN}.")
    return 0


def _again(people: WaitingForPeople, study: StudyInstanceUID | None, *, forget: bool, now: float) -> int:
    if forget and study is not None:
        return int(people.take_back(study, now=now))
    which = [study] if study is not None else [one.study for one in people.held()]
    return sum(people.resolve(one, "retry", now=now) for one in which)


def _dead(arguments: argparse.Namespace) -> int:
    settings, syncs = _settings(arguments)
    study = _study(arguments.study)
    store = open_store(settings)
    try:
        store.check_migrated()
        if not arguments.retry:
            for people in _all_waiting(store, syncs):
                dead = [one for one in people.dead() if study in (None, one.study)]
                print_dead(people.sync, dead, as_json=arguments.json)
            return 0
        now = SharedClock(store)()
        changed = sum(people.retry(study, now=now) for people in _all_waiting(store, syncs))
        print(f"{changed} studies are tried again {_WHEN}.")
        return 0 if changed else 1
    finally:
        store.close()


def _all_waiting(store: Store, syncs: tuple[SyncSettings, ...]) -> list[WaitingForPeople]:
    return [people for sync in syncs for people in waiting_of(store, sync.name)]


def _status(arguments: argparse.Namespace) -> int:
    settings, syncs = _settings(arguments)
    store = open_store(settings)
    try:
        store.check_migrated()
        print_status(counts(store, [sync.name for sync in syncs], now=SharedClock(store)()), as_json=arguments.json)
        return 0
    finally:
        store.close()


def _settings(arguments: argparse.Namespace) -> tuple[ApplicationSettings, tuple[SyncSettings, ...]]:
    settings = settings_of(arguments)
    return settings, named_syncs(settings, arguments.name)


def _patient(text: str | None) -> str | None:
    if text is None:
        return None
    patient_id = text.removeprefix(_PATIENT)
    if not _FHIR_ID.fullmatch(patient_id):
        raise ConfigurationError(["--patient: this is not a Patient's logical id."])
    return patient_id


def _study(text: str | None) -> StudyInstanceUID | None:
    if text is None:
        return None
    uid = from_urn(text)
    if uid is None:
        raise ConfigurationError(["--study: this is not a UID."])
    return StudyInstanceUID(uid)
