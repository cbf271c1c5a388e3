"""Whether a synchronisation would work: its archive, its FHIR server, what it may read and write there, and whose numbers meet.

Nothing is written anywhere. A few studies are looked at; of their patients nothing is told but how many were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.errors import ImagingError, UpstreamError, UpstreamRefused
from imaging_cds.backend_signer import signer_of
from imaging_cds.check_report import Area, Finding
from imaging_cds.check_sync_writing import check_writing
from imaging_cds.settings import ApplicationSettings
from imaging_cds.sync_job import archive_source
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.patients import Questions, Unknown, questions
from pacs_sync.ports import HoldReason, Source
from pacs_sync.settings import SyncSettings
from pacs_sync.study_mapping import accession_system
from pacs_sync.target_access import TargetAccess

ARCHIVE = Area("The archive")
SERVER = Area("The FHIR server")
NUMBERS = Area("Whose studies they are")
SAMPLE = 5
"""Studies that are looked at closely."""


def check_sync(settings: ApplicationSettings, sync: SyncSettings) -> Iterator[Finding]:
    """Everything that can be told of it before it starts."""
    with ExitStack() as stack:
        access = TargetAccess(sync, signer_of(settings) if sync.target.backend_client_id else None)
        stack.callback(access.close)
        studies = yield from _check_archive(archive_source(stack, settings, sync), sync)
        target = FhirTarget(sync, access)
        if (yield from _check_server(target, access, sync)):
            yield from _check_patients(target, sync, studies)


def _check_archive(source: Source, sync: SyncSettings) -> Generator[Finding, None, Sequence[ArchivedStudy]]:
    try:
        found = [source.study(one.study) for one in islice(source.studies(), SAMPLE)]
    except ImagingError as error:
        yield ARCHIVE.fault(f"The archive {sync.pacs} does not list its studies: {_told(error)}", _remedy(error, "[[pacs]]"))
        return []
    studies = [one for one in found if one is not None]
    if not studies:
        yield ARCHIVE.warning(
            f"The archive {sync.pacs} answers, and lists no study.", "Compare what its user may see there with its own list."
        )
        return []
    yield ARCHIVE.ok(f"The archive {sync.pacs} lists studies; {len(studies)} were looked at.")
    yield from _check_times(studies, sync)
    if any(one.accession and accession_system(one, sync) is None for one in studies):
        yield ARCHIVE.note(
            "Accession numbers come without a system that the settings know.",
            "Give accession_system, or accession_systems by issuer, so that orders can be found by them.",
        )
    return studies


def _check_times(studies: Sequence[ArchivedStudy], sync: SyncSettings) -> Iterator[Finding]:
    if any(one.started and "T" in one.started for one in studies):
        yield ARCHIVE.ok("Times of day can be written.")
    elif sync.time_zone is None:
        yield ARCHIVE.warning(
            "The archive's times name no time zone, so that only dates are written.",
            'Give time_zone of this [[sync]], such as "Europe/Berlin".',
        )


def _check_server(target: FhirTarget, access: TargetAccess, sync: SyncSettings) -> Generator[Finding, None, bool]:
    try:
        statement, version = access.capabilities(), target.version
    except ImagingError as error:
        yield SERVER.fault(f"It cannot be used: {_told(error)}", _remedy(error, f"sync.{sync.name}.target.fhir_base"))
        return False
    yield SERVER.ok(f"It says that it is FHIR {version.name}.")
    yield from check_writing(SERVER, statement, sync)
    yield from _check_marks(target)
    return True


def _check_marks(target: FhirTarget) -> Iterator[Finding]:
    """Whether what was written before can be known again. Before anything was written, the first write tells."""
    try:
        stands = target.standing_endpoint()
        if stands is None:
            return
        is_tagged = target.mark.is_tagged_on(stands)
        is_found = is_tagged and target.finds_by_mark(stands)
    except ImagingError as error:
        yield SERVER.fault(
            f"Whether it keeps marks (meta.tag) cannot be told: {_told(error)}",
            "It must search Endpoint by identifier and _tag.",
        )
        return
    if is_found:
        yield SERVER.ok("It keeps the marks (meta.tag) of what was written, and finds it by them.")
    elif is_tagged:
        yield SERVER.fault(
            "It keeps the marks (meta.tag) of what was written and does not find it by them (_tag).",
            "Have it search by _tag: results would be written twice, and no deleted study be withdrawn.",
        )
    else:
        yield SERVER.warning(
            f"Endpoint/{stands.get('id')} at endpoint_address has not our mark: the server drops meta.tag, or others made it.",
            "If imaging-cds made it, have the server keep meta.tag: until it does, the synchronisation writes nothing.",
        )


def _check_patients(target: FhirTarget, sync: SyncSettings, studies: Sequence[ArchivedStudy]) -> Iterator[Finding]:
    if not sync.patients:
        yield NUMBERS.fault(
            "No [[sync.patients]] says whose numbers the archive has: every study would be held.",
            "Give the system of the archive's PatientIDs, with their issuer.",
        )
    asked = [questions(one, sync.patients) for one in studies]
    yield from _unruled([one for one in asked if isinstance(one, Unknown)])
    ruled = [one for one in asked if isinstance(one, Questions)]
    pairs = [(one.main.system, one.main.number) for one in ruled] or [(rule.system, "0") for rule in sync.patients]
    known = 0
    for system, number in pairs:
        try:
            known += len(target.patients_with(system, number)) == 1
        except ImagingError as error:
            words = f"Patients cannot be searched by identifiers of {system}: {_told(error)}"
            yield NUMBERS.fault(words, "This client must be allowed to search Patient by identifier (system/Patient.rs).")
            return
    yield NUMBERS.ok("Patients may be searched by identifier.")
    if ruled and not known:
        systems = ", ".join(sorted({one.main.system for one in ruled}))
        yield NUMBERS.warning(
            f"None of {len(ruled)} patients of the archive was found in the FHIR server by {systems}.",
            "Compare the system, byte for byte, with Patient.identifier.system there.",
        )
    elif ruled:
        yield NUMBERS.ok(f"Of {len(ruled)} studies {known} belong to exactly one patient there.")


def _unruled(unknown: Sequence[Unknown]) -> Iterator[Finding]:
    """What the rules do not fit: issuers are names of places and are shown, numbers never."""
    reasons = Counter(one.held.reason for one in unknown)
    if reasons[HoldReason.NO_NUMBER]:
        yield NUMBERS.warning(f"{reasons[HoldReason.NO_NUMBER]} studies carry no PatientID.", "Correct them in the archive.")
    if reasons[HoldReason.MIXED]:
        yield NUMBERS.warning(f"{reasons[HoldReason.MIXED]} studies name several persons.", "Correct them in the archive.")
    patients = [one.held.patient for one in unknown if one.held.reason is HoldReason.UNKNOWN_ISSUER]
    issuers = Counter(one.issuer or one.universal_issuer or "" for one in patients if one is not None)
    for issuer, number in sorted(issuers.items()):
        if issuer:
            yield NUMBERS.fault(
                f"{number} studies carry numbers of the issuer {issuer!r}, which no [[sync.patients]] names.",
                f"Add one with issuer_of_patient_id = {issuer!r} and the system of these numbers in the FHIR server.",
            )
        else:
            yield NUMBERS.fault(
                f"{number} studies carry numbers without an issuer, and no [[sync.patients]] is said to be the only one.",
                "Say is_only_issuer = true where the archive holds no other numbers; else have the archive write issuers.",
            )


def _told(error: ImagingError) -> str:
    server = f" ({error.server})" if isinstance(error, UpstreamError) else ""
    return f"{error.detail}{server}"


def _remedy(error: ImagingError, where: str) -> str:
    if isinstance(error, UpstreamRefused):
        return "Compare the user, token or client in the settings with what is registered there."
    return f"Compare the address in {where} with the server's own, and whether this machine may reach it."
