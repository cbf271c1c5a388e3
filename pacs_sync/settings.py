"""What an integration engineer says of one synchronisation: which archive, which FHIR server, whose numbers, how fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


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
        if self.target.bearer_token and (self.target.backend_client_id or self.target.user):
            yield f"{where}.target: give one way of signing in: bearer_token, user or backend_client_id."
        for number, rule in enumerate(self.patients):
            if not rule.system.strip():
                yield f"{where}.patients[{number}].system: must not be empty."
            if rule.issuer_of_patient_id is None and not rule.is_only_issuer:
                yield f"{where}.patients[{number}]: give issuer_of_patient_id, or say is_only_issuer = true."
        yield from _pace_problems(f"{where}.pace", self.pace)


def _pace_problems(where: str, pace: PaceSettings) -> Iterator[str]:
    for name in ("interval_s", "stable_s", "first_retry_s", "longest_retry_s"):
        if getattr(pace, name) < 0:
            yield f"{where}.{name}: must not be negative."
    for name in ("window_days", "page_size", "workers", "max_pending", "max_attempts"):
        if getattr(pace, name) < 1:
            yield f"{where}.{name}: must be at least 1."
