"""``imaging-cds export``: a study's instances as a folder to give away, without what tells whose they are."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, first_text
from fhir_imaging.errors import ConfigurationError, NotFound
from fhir_imaging.settings import PacsSettings
from fhir_imaging.store.keys import read_or_make
from fhir_imaging.uids import StudyInstanceUID, from_urn, series_uid, sop_uid
from imaging_cds.accounts import account
from imaging_cds.audit_trail import open_store
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings
from pacs_sync.qido_study import Asker

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KEY_FILE = "pseudonyms.key"
LARGEST_INSTANCE_BYTES = 2 * 1024**3
PAGE = 500


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``export``."""
    export = commands.add_parser("export", help="write a study without what tells whose it is into a folder")
    add_config_argument(export)
    export.add_argument("study", help="Study Instance UID")
    export.add_argument(
        "--deidentify",
        action="store_true",
        help="must be said: there is no other export. Read docs/sync.md for what it does not do",
    )
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    export.add_argument("--pacs", help="name of the [[pacs]]; without it, the only one")
    export.add_argument("--retain-dates", action="store_true", help="dates and times of the examination stay as they are")
    export.add_argument("--retain-device", action="store_true", help="names and serial numbers of the equipment stay")
    export.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    study, pacs = _checked(arguments, settings)
    try:
        from pacs_sync.deidentification import NOT_DONE, Deidentifier, Options, table
        from pacs_sync.deidentified_export import ExportFolder
        from pacs_sync.exported_fhir import described
        from pacs_sync.pseudonyms import Pseudonyms

        table()
    except ImportError as exc:
        raise ConfigurationError([f"export needs {exc.name}: pip install 'imaging-cds[export]'."]) from exc
    key = read_or_make(settings.state.state_dir / KEY_FILE, secrets.token_bytes(32))
    options = Options(retain_dates=arguments.retain_dates, retain_device=arguments.retain_device)
    folder = ExportFolder(arguments.out, Deidentifier(Pseudonyms(key), options))
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings)))
        store.check_migrated()
        session = stack.enter_context(closing(ArchiveSession(pacs, max_body_bytes=LARGEST_INSTANCE_BYTES)))
        instances = _instances(DicomwebClient(pacs.dicomweb_root, session), study)
        first = next(instances, None)
        if first is None:
            raise NotFound(f"The archive {pacs.name} has no such study, or no images of it yet.")
        AuditLog(store).append(_record(pacs, study))  # before anything leaves the archive's walls
        folder.add(first)
        for one in instances:
            folder.add(one)
    schemes = {
        scheme: system for sync in settings.sync if sync.pacs == pacs.name for scheme, system in sync.coding_schemes.items()
    }
    exported = folder.finish(lambda made: described(made, schemes))
    print(f"{exported.instances} instances written to {arguments.out}, {len(exported.refused)} refused.")
    for why in sorted(set(exported.refused.values())):
        print(f"  Refused: {why}.")
    print("What was not done:", *(f"  - {one}" for one in NOT_DONE), sep="\n")
    return 0 if exported.instances and not exported.refused else 1


def _checked(arguments: argparse.Namespace, settings: ApplicationSettings) -> tuple[StudyInstanceUID, PacsSettings]:
    uid = from_urn(arguments.study)
    archives = [one for one in settings.pacs if arguments.pacs in (None, one.name)]
    problems = []
    if not arguments.deidentify:
        problems.append("export: say --deidentify; studies are not exported with their identity.")
    if uid is None:
        problems.append("export: this is not a Study Instance UID.")
    if len(archives) != 1:
        names = ", ".join(one.name for one in settings.pacs) or "none"
        problems.append(f"export: say with --pacs from which archive; configured: {names}.")
    if problems or uid is None:
        raise ConfigurationError(problems)
    return StudyInstanceUID(uid), archives[0]


def _instances(client: DicomwebClient, study: StudyInstanceUID) -> Iterator[Dataset]:
    """One after the other: a study of gigabytes needs the memory of its largest instance."""
    from pydicom import dcmread

    asker = Asker(client, page_size=PAGE)
    for series in asker.series(study, (SERIES_INSTANCE_UID,)) or ():
        of_series = series_uid(first_text(series, SERIES_INSTANCE_UID) or "")
        for match in asker.instances(study, of_series) or ():
            content = client.instance(study, of_series, sop_uid(first_text(match, SOP_INSTANCE_UID) or ""))
            if content is not None:  # else deleted meanwhile
                yield dcmread(BytesIO(content))


def _record(pacs: PacsSettings, study: StudyInstanceUID) -> AuditRecord:
    return AuditRecord(
        recorded_at=int(time.time()),
        ehr=pacs.name,
        action=AuditAction.STUDY_EXPORTED,
        outcome=AuditOutcome.ALLOWED,
        user=account(),
        client_id="imaging-cds export",
        study_instance_uid=study,
    )
