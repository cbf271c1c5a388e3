"""``imaging-cds export``: a study's instances as a folder to give away, without what tells whose they are."""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, first_text
from fhir_imaging.errors import ConfigurationError, ImagingError, NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.settings import PacsSettings
from fhir_imaging.store.keys import private_directory, read_or_make
from fhir_imaging.uids import StudyInstanceUID, from_urn, is_uid, series_uid, sop_uid
from imaging_cds.accounts import account
from imaging_cds.audit_trail import open_store
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings
from pacs_sync.qido_study import Asker

if TYPE_CHECKING:
    from pacs_sync.deidentified_export import Exported, ExportFolder
    from pacs_sync.pseudonyms import Pseudonyms

KEY_FILE = "pseudonyms.key"
LARGEST_INSTANCE_BYTES = 2 * 1024**3
PAGE = 500
Fetch = Callable[[], bytes | None]


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
        from pacs_sync.confidential_attributes import Options, table
        from pacs_sync.deidentification import NOT_DONE, Deidentifier
        from pacs_sync.deidentified_export import ExportFolder
        from pacs_sync.exported_fhir import described

        table()
    except ImportError as exc:
        raise ConfigurationError([f"export needs {exc.name}: pip install 'imaging-cds[export]'."]) from exc
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings)))
        store.check_migrated()
        options = Options(retain_dates=arguments.retain_dates, retain_device=arguments.retain_device)
        deidentifier = Deidentifier(_pseudonyms(settings), options)
        try:
            folder = ExportFolder(arguments.out, deidentifier)
        except OSError as exc:
            raise _unwritable(arguments.out, exc) from exc
        session = stack.enter_context(closing(ArchiveSession(pacs, max_body_bytes=LARGEST_INSTANCE_BYTES)))
        listed = _listed(DicomwebClient(pacs.dicomweb_root, session), study)
        first = next(listed, None)
        if first is None:
            raise NotFound(f"The archive {pacs.name} has no such study, or no images of it yet.")
        audit = AuditLog(store)
        # Before anything leaves the archive's walls.
        _put_on_record(audit, _record(pacs, study), "nothing was exported")
        try:
            for fetch in chain([first], listed):
                _add(folder, fetch)
            exported = folder.finish(lambda made: described(made, _schemes(settings, pacs)))
        except BaseException as exc:
            _say(folder.exported, arguments.out)
            print("  It ended early: this is a part of the study.")
            with suppress(OSError):  # a full disk has no room for this either
                folder.break_off()
            if isinstance(exc, OSError):
                raise _unwritable(arguments.out, exc) from exc
            raise
        finally:
            _put_on_record(audit, _record(pacs, study, told=folder.exported.said), "it has the beginning of this export alone")
    _say(exported, arguments.out)
    print("What was not done:", *(f"  - {one}" for one in NOT_DONE), sep="\n")
    return 0 if exported.is_whole else 1


def _put_on_record(audit: AuditLog, record: AuditRecord, otherwise: str) -> None:
    """A disk that is full may be the database's too."""
    try:
        audit.append(record)
    except SQLAlchemyError as exc:
        raise ImagingError(f"The audit log cannot be written ({type(exc).__name__}): {otherwise}.") from exc


def _unwritable(out: Path, exc: OSError) -> ImagingError:
    return ImagingError(f"{out} cannot be written: {exc.strerror or type(exc).__name__}.")


def _say(exported: Exported, out: Path) -> None:
    print(f"{exported.said}: {out}.")
    for why in sorted(set(exported.refused.values())):
        print(f"  Refused: {why}.")


def _pseudonyms(settings: ApplicationSettings) -> Pseudonyms:
    from pacs_sync.pseudonyms import Pseudonyms

    file = private_directory(settings.state.state_dir) / KEY_FILE
    try:
        return Pseudonyms(read_or_make(file, secrets.token_bytes(32)))
    except ValueError as exc:
        raise ConfigurationError([f"{file}: {exc}."]) from exc


def _schemes(settings: ApplicationSettings, pacs: PacsSettings) -> dict[str, str]:
    """The site's own coding schemes, of all that it reads from this archive."""
    of_archive = [one.coding_schemes for one in settings.sync if one.pacs == pacs.name]
    return {scheme: system for one in of_archive for scheme, system in one.items()}


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


def _listed(client: DicomwebClient, study: StudyInstanceUID) -> Iterator[Fetch]:
    """The study's instances, each to be fetched when it is its turn: what is needed is the memory of the largest."""
    asker = Asker(client, page_size=PAGE)
    for series in asker.series(study, (SERIES_INSTANCE_UID,)) or ():
        of_series = first_text(series, SERIES_INSTANCE_UID) or ""
        if not is_uid(of_series):
            yield lambda: b""
            continue
        for match in asker.instances(study, series_uid(of_series)) or ():
            yield partial(_fetched, client, study, of_series, first_text(match, SOP_INSTANCE_UID) or "")


def _fetched(client: DicomwebClient, study: StudyInstanceUID, series: str, instance: str) -> bytes | None:
    """The file; nothing in it where the archive lists what has no UID, None where it is not there any more."""
    return client.instance(study, series_uid(series), sop_uid(instance)) if is_uid(instance) else b""


def _add(folder: ExportFolder, fetch: Fetch) -> None:
    """One instance. An archive that answers badly for this one only is no reason to end; one that is away or says no is."""
    try:
        content = fetch()
    except UpstreamError as exc:
        if exc.retryable or isinstance(exc, UpstreamRefused):
            raise
        folder.refuse("the archive did not hand it out as one DICOM file")
        return
    if content is None:
        folder.exported.missing += 1
    else:
        folder.add_file(content)


def _record(pacs: PacsSettings, study: StudyInstanceUID, *, told: str | None = None) -> AuditRecord:
    """``told``: how much it was, at the end."""
    return AuditRecord(
        recorded_at=int(time.time()),
        ehr=pacs.name,
        action=AuditAction.STUDY_EXPORTED,
        outcome=AuditOutcome.ALLOWED,
        user=account(),
        client_id="imaging-cds export",
        study_instance_uid=study,
        reason=told,
    )
