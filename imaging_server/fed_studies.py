"""A patient's studies out of a FHIR server that ``pacs_sync`` feeds: found by the patient, shown only where the gate allows.

That server is asked in our own name and describes; it never decides. What it describes in a way that cannot be read, whose it
is or where, is left out singly, and the list says that it lacks something.

Spec: SMART Imaging Access F1-F3, F7, F10, F13, group 11; FHIR R4 Search (``:identifier``, ``_include``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.errors import NotFound, UpstreamError
from fhir_imaging.settings import EhrSettings, Ownership, StudiesServerSettings, SubjectBy
from fhir_imaging.tolerant import text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID
from imaging_server.archive_workers import ArchiveWorkers
from imaging_server.decision_cache import DecisionCache
from imaging_server.fed_reading import NOT_TO_BE_SEEN, Subject, endpoint_addresses, last_updated_ms, told_study
from imaging_server.fed_servers import FedServers
from imaging_server.fhir_sources import FoundStudy, PatientList
from imaging_server.gate import Gate
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.study_states import StudyStates
from imaging_server.tokens import unavailable
from imaging_server.upstream import Archive

PAGE_SIZE = "100"
MEMORY = "@studies-server"
"""Stands where ``StudyStates`` has the name of an archive, which never looks like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the server answered to all questions about one patient; ``others`` are Endpoints by full URL and by ``Type/id``."""

    resources: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Mapping[str, Any]]
    complete: bool


class FedStudies:
    """Asks the EHRs' studies servers. Thread-safe; ``close`` it at the end.

    ``gateway_root`` is the gateway's address of an archive for callers of an EHR, which Endpoints there name.
    """

    def __init__(
        self,
        gate: Gate,
        servers: FedServers,
        numbers: PatientNumbers,
        states: StudyStates,
        gateway_root: Callable[[str, str], str],
        *,
        keep_s: float,
    ) -> None:
        self._gate = gate
        self._servers = servers
        self._numbers = numbers
        self._states = states
        self._gateway_root = gateway_root
        self._keep_s = keep_s
        self._workers = ArchiveWorkers()
        # The same for every caller who may ask for this patient; who may see which study was decided before (F13).
        self._known: DecisionCache[_Told] = DecisionCache(max_entries=200)

    def close(self) -> None:
        """Lets threads and connections go."""
        self._workers.close()
        self._servers.close()

    def studies(
        self, caller: Caller, archives: Sequence[Archive], visible: Mapping[str, frozenset[StudyInstanceUID]]
    ) -> PatientList:
        """As ``StudyTeller.studies``; they come with their series and instances."""
        server, wanted = caller.ehr.studies_server, frozenset().union(*visible.values())
        if server is None or not wanted:
            return PatientList(())
        subject = self._subject(caller, server)
        (told,) = self._workers.together([(f"{caller.ehr.name}-studies", partial(self._told, caller, server, subject, wanted))])
        of_patient = [one for one in told.resources if subject.is_of(one) is True]
        own = [one for one in of_patient if text(one.get("status")) not in NOT_TO_BE_SEEN]
        times = Counter(study[0].uid for one in own if (study := told_study(one)) is not None)
        places, is_proven = self._places(caller.ehr, archives), caller.ehr.ownership is Ownership.IDENTIFIER
        placed = (_placed(one, _named(one, told, places), visible, is_proven=is_proven) for one in own)
        found = [one for one in placed if one is not None and times[one.study.uid] == 1]
        complete = told.complete and wanted == {one.study.uid for one in found}
        return PatientList(tuple(self._timed(caller.ehr, found, own)), complete)

    def with_series(self, caller: Caller, found: Sequence[FoundStudy], archives: Sequence[Archive]) -> PatientList:
        """As ``StudyTeller.with_series``; of several, without their instances, as archives' studies are listed.

        Whose the series are, only the archives know (W5).
        """
        asked = [(one, archive) for one in found for archive in archives]
        answers = self._workers.together(
            (archive.name, partial(self._gate.series, archive, one.study.uid)) for one, archive in asked
        )
        others = {
            one.study.uid for (one, _), index in zip(asked, answers, strict=True) if not self._gate.has_all_of(caller, index)
        }
        own = [one for one in found if one.study.uid not in others]
        return PatientList(tuple(own if len(found) == 1 else map(_without_instances, own)), len(own) == len(found))

    def with_instances(self, found: FoundStudy, _archives: Sequence[Archive]) -> FoundStudy:
        """The same study."""
        return found

    def _told(
        self, caller: Caller, server: StudiesServerSettings, subject: Subject, wanted: frozenset[StudyInstanceUID]
    ) -> _Told:
        searches = list(_searches(caller, server, subject, wanted))

        def ask() -> _Told:
            try:
                return self._servers.ask(caller.ehr, partial(_all_pages, searches))
            except NotFound as exc:
                raise UpstreamError("The studies server has no ImagingStudy.", server=server.fhir_base) from exc

        key = (caller.ehr.name, caller.patient_id, json.dumps(searches))
        return self._known.get(key, ask, seconds=lambda told: self._keep_s if told.resources and told.complete else 0)

    def _subject(self, caller: Caller, server: StudiesServerSettings) -> Subject:
        """The caller's patient by the ways that the site names, and no others."""
        own, there = (f"{base.rstrip('/')}/Patient/" for base in (caller.ehr.fhir_base, server.fhir_base))
        local = SubjectBy.LOCAL_REFERENCE in server.subjects or own == there
        namespaces = [*([own] if SubjectBy.REFERENCE in server.subjects else []), *([there, "Patient/"] if local else [])]
        rule = self._numbers.rule(caller) if SubjectBy.IDENTIFIER in server.subjects else None
        try:
            numbers = self._numbers.of(caller) if rule is not None else frozenset[str]()
        except UpstreamError as outage:
            raise unavailable(outage) from outage
        return Subject(
            references=frozenset(f"{one}{caller.patient_id}" for one in namespaces),
            # Another patient of this EHR is somebody else however this site names its own.
            namespaces=tuple({own, *namespaces}),
            unproven=frozenset({f"{own}{caller.patient_id}"}),
            system=None if rule is None else rule.system,
            numbers=numbers,
        )

    def _places(self, ehr: EhrSettings, archives: Sequence[Archive]) -> dict[str, str]:
        """Archives by the addresses that an Endpoint there may have: the gateway's, or the archive's own."""
        by_gateway = {self._gateway_root(ehr.name, one.name): one.name for one in archives}
        return {**{one.root.rstrip("/"): one.name for one in archives}, **by_gateway}

    def _timed(
        self, ehr: EhrSettings, found: Iterable[FoundStudy], resources: Iterable[Mapping[str, Any]]
    ) -> Iterator[FoundStudy]:
        """The studies with their last update: the server's word, or when this one first saw them as they are."""
        found = list(found)
        untimed = {one.study.uid for one in found if one.last_updated_ms == 0}
        if not untimed:
            yield from found
            return
        words = {study[0].uid: json.dumps(one, sort_keys=True) for one in resources if (study := told_study(one)) is not None}
        seen = self._states.seen_at(ehr.name, MEMORY, {uid: words[uid] for uid in untimed})
        yield from (replace(one, last_updated_ms=seen.get(one.study.uid, one.last_updated_ms)) for one in found)


def _searches(
    caller: Caller, server: StudiesServerSettings, subject: Subject, wanted: frozenset[StudyInstanceUID]
) -> Iterator[list[tuple[str, str]]]:
    """One search for each way in which the patient may be named; one study alone is asked for by its UID too."""
    common = [("_include", "ImagingStudy:endpoint"), ("_count", PAGE_SIZE)]
    if len(wanted) == 1:
        (uid,) = wanted
        common = [("identifier", f"{DICOM_UID_SYSTEM}|urn:oid:{uid},{DICOM_UID_SYSTEM}|{uid}"), *common]
    ways = {
        SubjectBy.REFERENCE: ("patient", f"{caller.ehr.fhir_base.rstrip('/')}/Patient/{caller.patient_id}"),
        SubjectBy.LOCAL_REFERENCE: ("patient", f"Patient/{caller.patient_id}"),
    }
    yield from ([ways[way], *common] for way in server.subjects if way in ways)
    if subject.numbers:
        named = ",".join(f"{_escaped(subject.system or '')}|{_escaped(one)}" for one in sorted(subject.numbers))
        yield [("patient:identifier", named), *common]


def _escaped(value: str) -> str:
    """As FHIR search writes marks that would part values."""
    return "".join(f"\\{mark}" if mark in "\\,|$" else mark for mark in value)


def _all_pages(searches: Sequence[Sequence[tuple[str, str]]], client: FhirClient) -> _Told:
    resources: dict[str, Mapping[str, Any]] = {}
    others: dict[str, Mapping[str, Any]] = {}
    complete = True
    for params in searches:
        pages: list[SearchPage] = list(client.pages("ImagingStudy", params))
        complete = complete and pages[-1].next_url is None and not any(page.outcomes for page in pages)
        for page in pages:
            others |= page.full_urls
            others |= {f"{one.get('resourceType')}/{one.get('id')}": one for one in page.included}
            for one in page.matches:
                if one.get("resourceType") == "ImagingStudy":
                    resources[text(one.get("id")) or json.dumps(one, sort_keys=True)] = one
    return _Told(resources=tuple(resources.values()), others=others, complete=complete)


def _named(resource: Mapping[str, Any], told: _Told, places: Mapping[str, str]) -> frozenset[str]:
    """The archives that a study's Endpoints mean."""
    return frozenset(places[one] for one in endpoint_addresses(resource, told.others) if one in places)


def _placed(
    resource: Mapping[str, Any],
    named: frozenset[str],
    visible: Mapping[str, frozenset[StudyInstanceUID]],
    *,
    is_proven: bool,
) -> FoundStudy | None:
    """The study in those archives that may show it to the caller; None where none may, or nobody can say which it is in.

    ``named`` are the archives that its Endpoints mean. ``is_proven``: it is the archives that said who may see what is in them.
    """
    told = told_study(resource)
    if told is None:
        return None
    study, is_whole = told
    may_show = {name for name, studies in visible.items() if study.uid in studies}
    holders = tuple(sorted(named & may_show or (may_show if is_proven or len(may_show) == 1 else ())))
    if not holders:
        return None
    series = tuple(replace(one, archives=holders) for one in study.series)
    placed: ArchivedStudy = replace(study, archives=holders, series=series)
    return FoundStudy(
        study=placed,
        last_updated_ms=last_updated_ms(resource) or 0,
        states={},
        complete=is_whole,
        has_instances=_has_instances(placed),
    )


def _has_instances(study: ArchivedStudy) -> bool:
    """Whether a description goes down to the instances."""
    return bool(study.series) and all(one.instances or one.instance_count == 0 for one in study.series)


def _without_instances(found: FoundStudy) -> FoundStudy:
    series = tuple(replace(one, instances=()) for one in found.study.series)
    return replace(found, study=replace(found.study, series=series), has_instances=False)
