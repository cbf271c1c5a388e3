"""A study as an archive has it, whatever FHIR release tells it, and its copies in several archives joined.

Spec: clinical rules 7.2; DICOM PS3.3 §C.7.2 and §C.7.3 (study and series), PS3.4 §C.4.1.1.3.2 (Instance Availability).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fhir_imaging.concept import Concept
from fhir_imaging.study import DERIVED_MODALITIES
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

MAX_NUMBER = 2**31 - 1
"""The largest ``unsignedInt`` of FHIR."""


class InstanceAvailability(StrEnum):
    """How soon an archive can give the images, the soonest first: (0008,0056).

    ``OFFLINE`` ones a person has to fetch; those that are ``UNAVAILABLE`` nobody gets there.
    """

    ONLINE = "ONLINE"
    NEARLINE = "NEARLINE"
    OFFLINE = "OFFLINE"
    UNAVAILABLE = "UNAVAILABLE"


OUT_OF_REACH = frozenset({InstanceAvailability.OFFLINE, InstanceAvailability.UNAVAILABLE})
"""Of such images no request brings any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedInstance:
    """One SOP instance; ``number`` as the modality gave it."""

    uid: SopInstanceUID
    sop_class: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedSeries:
    """One series; ``archives`` are those that hold it, ``instance_count`` what the fullest of them says."""

    uid: SeriesInstanceUID
    archives: tuple[str, ...]
    number: int | None = None
    modality: str | None = None
    description: str | None = None
    body_part: str | None = None
    started: str | None = None
    instance_count: int | None = None
    instances: tuple[ArchivedInstance, ...] = ()
    body_site: Concept | None = None
    laterality: Concept | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientNumber:
    """A PatientID as an archive has it. ``issuer`` is its Issuer of Patient ID (0010,0021), ``universal_issuer`` the Universal
    Entity ID (0010,0024); without either the number means nothing outside the archive."""

    number: str
    issuer: str | None = None
    universal_issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedStudy:
    """One study; ``archives`` are those that hold it, by their configured names.

    ``started`` is a FHIR dateTime: a date alone where the archive names no zone, since a guessed one would be wrong by hours.
    ``listed_modalities`` is the index's own summary, which some archives do not keep. ``patients`` are all persons that its
    parts name, one for a study that is in order; ``other_numbers`` are further numbers of that person (0010,1002).
    ``accession_issuer`` is the local or universal entity of (0008,0051), ``referrer`` a name in words. ``accession_system`` is
    the accession number's namespace in FHIR, where whoever told of the study knows it: archives do not. ``availability`` is
    None where an archive says nothing of it.
    """

    uid: StudyInstanceUID
    archives: tuple[str, ...]
    started: str | None = None
    accession: str | None = None
    description: str | None = None
    listed_modalities: tuple[str, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None
    series: tuple[ArchivedSeries, ...] = ()
    patients: tuple[PatientNumber, ...] = ()
    other_numbers: tuple[PatientNumber, ...] = ()
    accession_issuer: str | None = None
    referrer: str | None = None
    procedures: tuple[Concept, ...] = ()
    reasons: tuple[Concept, ...] = ()
    accession_system: str | None = None
    availability: InstanceAvailability | None = None

    @property
    def is_out_of_reach(self) -> bool:
        """Whether no request brings its images."""
        return self.availability in OUT_OF_REACH

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the series where they are known, else by the index; acquisitions first."""
        found = [one.modality for one in self.series if one.modality] or list(self.listed_modalities)
        return tuple(sorted(dict.fromkeys(found), key=lambda code: (code in DERIVED_MODALITIES, code)))

    @property
    def number_of_series(self) -> int | None:
        """As the index counts; never fewer than are listed."""
        return max(self.series_count or 0, len(self.series)) or self.series_count

    @property
    def number_of_instances(self) -> int | None:
        """As the index counts, else the sum over the series where each is counted and FHIR has a number so large."""
        counted = [one.instance_count for one in self.series]
        total = sum(one for one in counted if one is not None) if counted and None not in counted else None
        return self.instance_count if total is None or total > MAX_NUMBER else max(total, self.instance_count or 0)


def merged(copies: Sequence[ArchivedStudy]) -> ArchivedStudy:
    """One study out of its copies in several archives; the first that says something of it counts, a time before a date."""
    first, *others = copies
    for other in others:
        first = replace(
            first,
            archives=_unique((*first.archives, *other.archives)),
            started=max((first.started, other.started), key=lambda one: len(one or "")),
            accession=first.accession or other.accession,
            description=first.description or other.description,
            listed_modalities=_unique((*first.listed_modalities, *other.listed_modalities)),
            series_count=_most(first.series_count, other.series_count),
            instance_count=_most(first.instance_count, other.instance_count),
            patients=tuple(dict.fromkeys((*first.patients, *other.patients))),
            other_numbers=first.other_numbers or other.other_numbers,
            accession_issuer=first.accession_issuer if first.accession else other.accession_issuer,
            accession_system=first.accession_system if first.accession else other.accession_system,
            referrer=first.referrer or other.referrer,
            procedures=first.procedures or other.procedures,
            reasons=first.reasons or other.reasons,
            availability=_nearest(first.availability, other.availability),
        )
    return replace(first, series=_merged_series([one for copy in copies for one in copy.series]))


def _merged_series(series: Iterable[ArchivedSeries]) -> tuple[ArchivedSeries, ...]:
    by_uid: dict[str, ArchivedSeries] = {}
    for one in series:
        known = by_uid.get(one.uid)
        if known is None:
            by_uid[one.uid] = one
            continue
        fuller = one if len(one.instances) > len(known.instances) else known
        count = _most(known.instance_count, one.instance_count)
        by_uid[one.uid] = replace(fuller, archives=_unique((*known.archives, *one.archives)), instance_count=count)
    return tuple(sorted(by_uid.values(), key=lambda one: (one.number is None, one.number or 0, one.uid)))


def _nearest(one: InstanceAvailability | None, other: InstanceAvailability | None) -> InstanceAvailability | None:
    """Of two copies the one that is had sooner; an archive that says nothing may well have its copy at hand."""
    if InstanceAvailability.ONLINE in (one, other):
        return InstanceAvailability.ONLINE
    if one is None or other is None:
        return None
    return min(one, other, key=list(InstanceAvailability).index)


def _most(*counts: int | None) -> int | None:
    return max((one for one in counts if one is not None), default=None)


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
