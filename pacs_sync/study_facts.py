"""Everything of one study that FHIR wants, out of DICOM JSON: search matches, metadata of instances, or both.

What the data sets leave open stays open: two persons show as two, an unknown code as words, a side that not all images share as
none. Text is never taken for a code.

Spec: clinical rules 7.2, X13, X15, X18, M1-M7; DICOM PS3.3 §C.7 (patient, study, series), PS3.18 Annex F (DICOM JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from fhir_imaging.archived_study import ArchivedInstance, ArchivedSeries, ArchivedStudy
from fhir_imaging.concept import Concept
from fhir_imaging.dicom_json import (
    ISSUER_QUALIFIERS,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    values,
    whole_text,
)
from fhir_imaging.study_reading import (
    ACCESSION_NUMBER,
    BODY_PART_EXAMINED,
    SERIES_DATE,
    SERIES_TIME,
    STUDY_DATE,
    STUDY_TIME,
    archived_instance,
    archived_series,
    archived_study,
    words_in,
)
from fhir_imaging.study_times import TIMEZONE_OFFSET, offset_of, started, time_of
from fhir_imaging.tolerant import dicts
from pacs_sync.anatomy import is_denied, side_of, site_of
from pacs_sync.coding_schemes import CodingSchemes, unique
from pacs_sync.persons import OTHER_PATIENT_IDS, issuer_in, name_in, other_numbers_of, patients_of
from pacs_sync.settings import SyncSettings

ISSUER_OF_ACCESSION_NUMBER = "00080051"
PROCEDURE_CODES = "00081032"
REASON_TEXT, REASON_CODES = "00401002", "0040100A"
REFERRING_PHYSICIAN = "00080090"
REQUEST_ATTRIBUTES = "00400275"
REQUESTED_PROCEDURE_CODES = "00321064"

MORE_STUDY_FIELDS = (
    *(ISSUER_OF_ACCESSION_NUMBER, REFERRING_PHYSICIAN, PROCEDURE_CODES, ISSUER_QUALIFIERS, OTHER_PATIENT_IDS),
    *(REQUESTED_PROCEDURE_CODES, REASON_TEXT, REASON_CODES),
)
"""What a search for studies asks for beside ``study_reading.STUDY_FIELDS``."""
MORE_SERIES_FIELDS = (REQUEST_ATTRIBUTES, "00200060", "00100020", "00100021")
"""What a search for series asks for beside ``study_reading.SERIES_FIELDS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRules:
    """How one archive's data sets are to be read. ``zone`` is where its clocks are; None = nobody said."""

    archive: str
    zone: ZoneInfo | None = None
    coding: CodingSchemes = field(default_factory=CodingSchemes)
    with_instances: bool = False

    @classmethod
    def of(cls, settings: SyncSettings) -> SiteRules:
        """Those of a synchronisation. ZoneInfoNotFoundError for a time zone that there is not."""
        return cls(
            archive=settings.pacs,
            zone=ZoneInfo(settings.time_zone) if settings.time_zone else None,
            coding=CodingSchemes(of_site=settings.coding_schemes),
            with_instances=settings.with_instances,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRecord:
    """What was read of one series. ``match`` tells of the series itself, ``details`` are data sets of its instances.

    ``is_whole``: nothing that is not in ``details`` could say anything else, so that what they agree on holds for the series;
    one instance that stands for many says nothing of the others' side. ``instances`` are listed on request, ``count`` counted.
    """

    match: Mapping[str, Any]
    details: Sequence[Mapping[str, Any]] = ()
    is_whole: bool = False
    instances: Sequence[ArchivedInstance] = ()
    count: int | None = None


def study_facts(studies: Sequence[Mapping[str, Any]], series: Iterable[SeriesRecord], site: SiteRules) -> ArchivedStudy | None:
    """One study with its series; None when no study is named.

    ``studies`` are its matches at study level: one, or several where it stands under several patients (any of its data sets
    will do). A record of another study is left out. In whatever order an archive lists them, the same study comes of it.
    """
    plain = archived_study(studies[0], site.archive) if studies else None
    if plain is None:
        return None
    own = _in_one_order(one for one in series if whole_text(one.match, STUDY_INSTANCE_UID) in (None, plain.uid))
    told = [*studies, *(dataset for one in own for dataset in (one.match, *one.details))]
    patients = patients_of(told)
    accession, issuer = _accession(told)
    return replace(
        plain,
        started=_begun(told, (STUDY_DATE, STUDY_TIME), site),
        accession=accession,
        accession_issuer=issuer,
        description=plain.description or _first(told, "00081030"),
        series=_in_order(one for record in own if (one := _series(record, site)) is not None),
        patients=patients,
        other_numbers=other_numbers_of(told, patients),
        referrer=next((name for dataset in told if (name := name_in(dataset, REFERRING_PHYSICIAN))), None),
        procedures=_procedures(told, site.coding),
        reasons=_reasons(told, site.coding),
    )


def studies_in(datasets: Iterable[Mapping[str, Any]], site: SiteRules) -> tuple[ArchivedStudy, ...]:
    """The studies of whole instances' data sets, each by itself (M7), an instance that comes twice counted once (M6)."""
    by_study: dict[str, dict[str | None, list[Mapping[str, Any]]]] = {}
    for dataset in datasets:
        uid = whole_text(dataset, STUDY_INSTANCE_UID)
        if uid is not None:
            by_study.setdefault(uid, {}).setdefault(whole_text(dataset, SERIES_INSTANCE_UID), []).append(dataset)
    found = (_whole(list(by_series.values()), site) for by_series in by_study.values())
    return tuple(one for one in found if one is not None)


def _whole(by_series: list[list[Mapping[str, Any]]], site: SiteRules) -> ArchivedStudy | None:
    seen: set[str] = set()
    records = []
    for members in by_series:
        instances = [one for one in map(archived_instance, members) if one is not None]
        fresh = {one.uid: one for one in instances if one.uid not in seen}
        seen |= set(fresh)
        listed = tuple(fresh.values()) if site.with_instances else ()
        records.append(SeriesRecord(match=members[0], details=members, is_whole=True, instances=listed, count=len(fresh)))
    return study_facts(by_series[0][:1], records, site)


def _in_one_order(records: Iterable[SeriesRecord]) -> list[SeriesRecord]:
    """By their UIDs: where data sets contradict each other, it is always the same one that counts."""
    known = sorted(records, key=lambda one: whole_text(one.match, SERIES_INSTANCE_UID) or "")
    return [
        replace(one, details=sorted(one.details, key=lambda each: whole_text(each, SOP_INSTANCE_UID) or "")) for one in known
    ]


def _series(record: SeriesRecord, site: SiteRules) -> ArchivedSeries | None:
    plain = archived_series(record.match, site.archive)
    if plain is None:
        return None
    told = [record.match, *record.details]
    words = list(dict.fromkeys(one for dataset in told if (one := words_in(dataset, BODY_PART_EXAMINED))))
    count = record.count if record.count is not None else plain.instance_count
    body_site = site_of(told, words, site.coding)
    is_whole = record.is_whole or (len(record.details) == 1 and count == 1)
    side = side_of(told, record.details if is_whole else (), site.coding)
    return replace(
        plain,
        description=plain.description or _first(told, "0008103E"),
        body_part=", ".join(words) or None,
        body_site=body_site,
        laterality=None if side and body_site and is_denied(side, body_site.display) else side,
        started=_begun(told, (SERIES_DATE, SERIES_TIME), site),
        instance_count=count,
        instances=_listed(record.instances) if site.with_instances else (),
    )


def _begun(told: Sequence[Mapping[str, Any]], tags: tuple[str, str], site: SiteRules) -> str | None:
    """As the first says that names a day.

    An offset may come from another that shows the same time, and outweighs the site's zone. Of several offsets none is
    certain unless the site's is among them: else the day alone is told.
    """
    named = [(one, dataset) for dataset in told if (one := started(dataset, *tags, site.zone)) is not None]
    if not named:
        return None
    first, whole = named[0]
    clock = time_of(whole_text(whole, tags[1]))
    same_day = [(one, dataset) for one, dataset in named if "T" in one and one[:10] == first[:10]]
    if clock is None:
        return next((one for one, _ in same_day), first)
    if offset_of(whole_text(whole, TIMEZONE_OFFSET)) is not None:
        return first
    alike = [dataset for _, dataset in same_day if time_of(whole_text(dataset, tags[1])) == clock]
    stated = {one for dataset in alike if (one := started(dataset, *tags, None)) is not None and "T" in one}
    if not stated or first in stated:
        return first
    return stated.pop() if len(stated) == 1 else first[:10]


def _listed(instances: Iterable[ArchivedInstance]) -> tuple[ArchivedInstance, ...]:
    by_uid: dict[str, ArchivedInstance] = {}
    for one in instances:
        by_uid.setdefault(one.uid, one)
    return tuple(sorted(by_uid.values(), key=lambda one: (one.number is None, one.number or 0, one.uid)))


def _in_order(series: Iterable[ArchivedSeries]) -> tuple[ArchivedSeries, ...]:
    by_uid: dict[str, ArchivedSeries] = {}
    for one in series:
        by_uid.setdefault(one.uid, one)
    return tuple(sorted(by_uid.values(), key=lambda one: (one.number is None, one.number or 0, one.uid)))


def _accession(told: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """The study's accession number and its issuer; that of its requests where all name the same one (X18)."""
    for dataset in told:
        number = words_in(dataset, ACCESSION_NUMBER)
        if number is not None:
            same = (one for one in told if words_in(one, ACCESSION_NUMBER) in (number, None))
            return number, next((one for one in map(_issuer_of_accession, same) if one), None)
    stated = {number: item for item in _requests(told) if (number := words_in(item, ACCESSION_NUMBER)) is not None}
    if len(stated) != 1:
        return None, None
    ((number, item),) = stated.items()
    return number, _issuer_of_accession(item)


def _issuer_of_accession(dataset: Mapping[str, Any]) -> str | None:
    return next((one for item in dicts(values(dataset, ISSUER_OF_ACCESSION_NUMBER)) if (one := issuer_in(item))), None)


def _procedures(told: Sequence[Mapping[str, Any]], coding: CodingSchemes) -> tuple[Concept, ...]:
    """What was done, else what was asked for (M5)."""
    places = [(PROCEDURE_CODES, told), (REQUESTED_PROCEDURE_CODES, told), (REQUESTED_PROCEDURE_CODES, list(_requests(told)))]
    for tag, datasets in places:
        found = unique(one for dataset in datasets for one in coding.concepts(dataset, tag))
        if found:
            return found
    return ()


def _reasons(told: Sequence[Mapping[str, Any]], coding: CodingSchemes) -> tuple[Concept, ...]:
    """Why it was asked for, at the study's level and inside its requests (M5); codes and what else is said in words."""
    places = [*told, *_requests(told)]
    coded = [one for dataset in places for one in coding.concepts(dataset, REASON_CODES)]
    worded = [Concept(words) for dataset in places if (words := words_in(dataset, REASON_TEXT))]
    return unique([*coded, *worded])


def _requests(told: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (item for dataset in told for item in dicts(values(dataset, REQUEST_ATTRIBUTES)))


def _first(told: Iterable[Mapping[str, Any]], tag: str) -> str | None:
    return next((words for dataset in told if (words := words_in(dataset, tag))), None)
