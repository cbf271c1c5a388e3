"""What a structured report says: who made it, whether it is finished and signed, and what was found and measured where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.uids import SopInstanceUID, StudyInstanceUID
from pacs_sync.content_items import Number
from pacs_sync.dicom_codes import DicomCode

_TELLING = 4
"""Letters from which on a part of a name tells whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """The program that found or measured something (TID 4019), or the device that observed it (TID 1004)."""

    name: str
    version: str = ""
    manufacturer: str = ""

    @property
    def label(self) -> str:
        """Name and version, as readers are told whose result it is."""
        return self.name if not self.version or self.version in self.name.split() else f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Who signed, and when (a FHIR dateTime, or None where no zone makes it certain)."""

    name: str
    organization: str
    at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """Who observed: names of persons, and devices."""

    persons: tuple[str, ...] = ()
    devices: tuple[Algorithm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an image is: its series and study, as the report's evidence names them."""

    study: StudyInstanceUID
    series: str
    instance: SopInstanceUID
    sop_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A finding's site. Many sites are unsided (upper lobe of lung): the side is a term of its own."""

    code: DicomCode
    side: DicomCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One NUM. ``derivation`` says how it came about (mean, maximum); without a value ``number.qualifier`` may say why."""

    name: DicomCode
    number: Number
    derivation: DicomCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One qualitative evaluation: a code, or words where it was typed."""

    name: DicomCode
    value: DicomCode | None
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What was said of one finding. ``instances`` are the images on which it was seen, in the order of the report.

    ``algorithm`` is None for what a person measured.
    """

    finding: DicomCode | None
    tracking_uid: str | None = None
    tracking_id: str | None = None
    sites: tuple[Site, ...] = ()
    algorithm: Algorithm | None = None
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    instances: tuple[SopInstanceUID, ...] = ()
    is_in_space: bool = False
    """Whether its region is in the patient's coordinates (SCOORD3D), which name no image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One structured report with something to bring over. Times are FHIR dateTimes; a day alone where no zone is certain."""

    uid: SopInstanceUID
    study: StudyInstanceUID
    title: DicomCode | None
    patient: PatientNumber | None
    is_complete: bool
    is_verified: bool
    written: str | None
    is_preliminary: bool = False
    """Whether it says of itself that another one is to come (Preliminary Flag), which it may say verified too."""
    institution: str = ""
    verifications: tuple[Verification, ...] = ()
    predecessors: tuple[SopInstanceUID, ...] = ()
    observers: Observers = field(default_factory=Observers)
    equipment: Algorithm | None = None
    """What made the document, as its own header names it."""
    places: Mapping[SopInstanceUID, Place] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()

    @property
    def signatures(self) -> tuple[Verification, ...]:
        """Those of persons: some programs verify their own reports, in whatever spelling of their name."""
        named = (*self.observers.devices, self.equipment, *(one.algorithm for one in self.groups))
        programs = [one for one in dict.fromkeys(named) if one is not None]
        return tuple(one for one in self.verifications if one.name and not any(map(_Signs(one.name), programs)))

    @property
    def is_signed(self) -> bool:
        """Whether a person stands behind the whole of it: verified by somebody who is named, and nothing more is to come."""
        return self.is_verified and self.is_complete and not self.is_preliminary and bool(self.signatures)


class _Signs:
    """Whether a program signs by this name: its own, a part or more of it, or its maker's, however spaced and ordered.

    A person whose name holds that of a program counts as the program: then a result only stays unsigned.
    """

    def __init__(self, name: str) -> None:
        self._spoken = {_letters(name), _letters(" ".join(reversed(name.split())))} - {""}

    def __call__(self, program: Algorithm) -> bool:
        names = {_letters(program.name), _letters(program.label)} - {""}
        return _letters(program.manufacturer) in self._spoken or any(
            (min(len(name), len(spoken)) >= _TELLING and (name in spoken or spoken in name)) or name == spoken
            for name in names
            for spoken in self._spoken
        )


def _letters(name: str) -> str:
    return "".join(mark for mark in name.casefold() if mark.isalnum())


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToBring:
    """A report of which nothing is brought over, and why, in words without patient data. ``predecessors`` it replaces still."""

    reason: str
    uid: SopInstanceUID | None = None
    predecessors: tuple[SopInstanceUID, ...] = ()
