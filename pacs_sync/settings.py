"""What an integration engineer says of one synchronisation: which archive, which FHIR server, whose numbers, how fast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s|]+(\|[^\s|]+)?")
"""Absolute, perhaps with a version after a bar."""
_AT_MOST: Mapping[str, int] = {"window_days": 3660, "page_size": 10_000, "workers": 64}
"""More is a slip of the key: an archive does not answer it."""


class Feed(StrEnum):
    """How an archive tells what is new."""

    QIDO = "qido"
    """Searches again and again: any DICOMweb archive."""
    ORTHANC = "orthanc"
    """Orthanc's list of changes."""


class ResourceIds(StrEnum):
    """Who gives an ImagingStudy its id."""

    SERVER = "server"
    """The FHIR server, by conditional update."""
    STUDY_UID = "study-uid"
    """The Study Instance UID itself, for servers that take ids from clients: no two writers can make it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRule:
    """Which PatientIDs of the archive are which identifiers in FHIR."""

    system: str
    """``Patient.identifier.system`` of these numbers."""
    issuer_of_patient_id: str | None = None
    """Issuer of Patient ID, or its Universal Entity ID, that these numbers carry in the archive."""
    is_only_issuer: bool = False
    """Numbers without an issuer are of this system too; say it only where the archive holds no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """The FHIR server that is kept equal to the archive."""

    fhir_base: str
    """FHIR base (R4, R4B or R5; which one its CapabilityStatement says)."""
    user: str | None = None
    """For HTTP Basic, where it wants that."""
    password: str | None = field(default=None, repr=False)
    """For HTTP Basic; best given by the environment."""
    bearer_token: str | None = field(default=None, repr=False)
    """A fixed token, where it wants one; best given by the environment."""
    backend_client_id: str | None = None
    """The synchronisation's SMART Backend Services client there; it signs with this installation's client keys."""
    backend_scopes: str = (
        "system/Patient.rs system/ImagingStudy.crus system/Endpoint.crus system/Observation.crus "
        "system/DiagnosticReport.crus system/Device.crus system/ServiceRequest.rs"
    )
    """What that client asks for."""
    backend_token_url: str | None = None
    """Token endpoint of that client; None = what the server's discovery names."""
    certificate_authority: Path | None = None
    """PEM file of the authority that signs its certificate, where no public one does."""
    ids: ResourceIds = ResourceIds.SERVER
    """Who gives ids: ``server``, or ``study-uid`` where it takes ids from clients."""
    transactions: bool = False
    """Writes a study and what belongs to it in one transaction Bundle."""
    timeout_s: float = 30.0
    """How long one answer may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSettings:
    """How often, how fast and how patiently."""

    interval_s: float = 30.0
    """Between two looks at the archive (``sync watch``)."""
    stable_s: float = 60.0
    """A study that did not change for so long is complete; until then it is ``registered``. Orthanc says it by itself."""
    gone_s: float = 3600.0
    """A study that the archive does not find for so long, asked again and again, is withdrawn; 0 = at the first look."""
    overlap_days: int = 2
    """How many days before today are searched at each look, by StudyDate."""
    window_days: int = 7
    """Days that one search of a back-fill covers."""
    page_size: int = 100
    """Matches asked for at once."""
    workers: int = 4
    """Studies that one process brings over at the same time."""
    max_pending: int = 5000
    """A back-fill waits while more studies than this wait to be brought over."""
    max_attempts: int = 8
    """After so many failures a study is laid aside (``sync dead``)."""
    first_retry_s: float = 2.0
    """Before the second attempt; each further pause is twice as long."""
    longest_retry_s: float = 900.0
    """The longest pause between two attempts, unless the server asks for more."""
    reconcile_hours: float = 24.0
    """Between two comparisons of everything (``sync watch``); 0 = never by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """One archive that one FHIR server is kept equal to."""

    name: str
    """Names it on the command line and in metrics: a-z, 0-9 and hyphens."""
    pacs: str
    """Name of the ``[[pacs]]`` that is read."""
    target: TargetSettings
    patients: tuple[PatientRule, ...] = ()
    """Whose numbers the archive has; a study that no rule fits is held back, never guessed."""
    endpoint_address: str = ""
    """Address of the images for readers of FHIR: the gateway's DICOMweb root, not the archive's own."""
    feed: Feed = Feed.QIDO
    """How the archive tells what is new."""
    orthanc_url: str | None = None
    """Orthanc's own root, for ``feed = "orthanc"``; the archive's credential opens it."""
    time_zone: str | None = None
    """IANA name of the zone in which the archive's times are where they name none; without it only the date is written."""
    accession_system: str | None = None
    """Identifier system of accession numbers without an issuer."""
    accession_systems: Mapping[str, str] = field(default_factory=dict)
    """Identifier systems by the issuer of the accession number."""
    coding_schemes: Mapping[str, str] = field(default_factory=dict)
    """FHIR code systems of the site's own coding schemes (99…); `system|version` where its reports name no version."""
    with_instances: bool = False
    """Lists every image in the ImagingStudy: half a megabyte for 500 of them."""
    results: bool = True
    """Brings AI results and measurements (DICOM SR) over as Observation and DiagnosticReport."""
    pace: PaceSettings = field(default_factory=PaceSettings)

    def problems(self) -> Iterator[str]:
        """What cannot work, each naming the field and the fix."""
        where = f"sync.{self.name}"
        if (self.feed is Feed.ORTHANC) != (self.orthanc_url is not None):
            yield f"{where}: feed = 'orthanc' and orthanc_url belong together."
        if not self.endpoint_address:
            yield f"{where}.endpoint_address: must be given; readers of FHIR open the images there."
        if self.endpoint_address.endswith("/"):
            yield f"{where}.endpoint_address: must not end with a slash; readers append /studies to it."
        if self.target.fhir_base == "":
            yield f"{where}.target.fhir_base: must not be empty."
        yield from _signing_in_problems(f"{where}.target", self.target)
        yield from _patient_problems(f"{where}.patients", self.patients)
        yield from self._system_problems(where)
        yield from _pace_problems(f"{where}.pace", self.pace)

    def _system_problems(self, where: str) -> Iterator[str]:
        systems = {f"accession_systems.{issuer}": system for issuer, system in self.accession_systems.items()}
        systems |= {f"coding_schemes.{scheme}": system for scheme, system in self.coding_schemes.items()}
        if self.accession_system is not None:
            systems["accession_system"] = self.accession_system
        for name, system in systems.items():
            if not _URI.fullmatch(system):
                yield f"{where}.{name}: {system!r} is no URI; write it as https://… or urn:…."


def _signing_in_problems(where: str, target: TargetSettings) -> Iterator[str]:
    if sum(one is not None for one in (target.bearer_token, target.user, target.backend_client_id)) > 1:
        yield f"{where}: give one way of signing in: bearer_token, user or backend_client_id."
    if (target.user is None) != (target.password is None):
        yield f"{where}: user and password belong together."
    if target.backend_token_url is not None and target.backend_client_id is None:
        yield f"{where}.backend_token_url: counts with backend_client_id only."
    if not 0 < target.timeout_s < float("inf"):
        yield f"{where}.timeout_s: must be more than 0."


def _patient_problems(where: str, rules: Sequence[PatientRule]) -> Iterator[str]:
    for number, rule in enumerate(rules):
        if not rule.system.strip():
            yield f"{where}[{number}].system: must not be empty."
        elif not _URI.fullmatch(rule.system):
            yield f"{where}[{number}].system: {rule.system!r} is no URI; write it as https://… or urn:…."
        if rule.issuer_of_patient_id is None and not rule.is_only_issuer:
            yield f"{where}[{number}]: give issuer_of_patient_id, or say is_only_issuer = true."
        elif rule.issuer_of_patient_id is not None and not rule.issuer_of_patient_id.strip():
            yield f"{where}[{number}].issuer_of_patient_id: must not be empty; for numbers without one say is_only_issuer."
    issuers = [rule.issuer_of_patient_id for rule in rules if rule.issuer_of_patient_id is not None]
    for issuer in sorted({one for one in issuers if issuers.count(one) > 1}):
        yield f"{where}: the issuer {issuer!r} is given more than once; its numbers can be of one system only."
    if len({rule.system for rule in rules if rule.is_only_issuer}) > 1:
        yield f"{where}: is_only_issuer is said of several systems; numbers without an issuer can be of one only."


def _pace_problems(where: str, pace: PaceSettings) -> Iterator[str]:
    seconds = ("interval_s", "stable_s", "gone_s", "first_retry_s", "longest_retry_s", "reconcile_hours", "overlap_days")
    for name in seconds:
        if not 0 <= getattr(pace, name) < float("inf"):  # nan too
            yield f"{where}.{name}: must not be negative."
    for name in ("window_days", "page_size", "workers", "max_pending", "max_attempts"):
        if getattr(pace, name) < 1:
            yield f"{where}.{name}: must be at least 1."
    for name, most in _AT_MOST.items():
        if getattr(pace, name) > most:
            yield f"{where}.{name}: must be at most {most}."
    if pace.longest_retry_s < pace.first_retry_s:
        yield f"{where}.longest_retry_s: must not be less than first_retry_s."
