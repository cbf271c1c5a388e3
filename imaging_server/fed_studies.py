"""A patient's studies out of a FHIR server that ``pacs_sync`` feeds: found by the patient, shown only where the gate allows.

That server is asked in our own name and describes; it never decides. What it describes in a way that cannot be read, whose it
is or where, is left out singly, and the list says that it lacks something.

Spec: SMART Imaging Access F1-F3, F7, F10, F13, groups 11 and 23.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.errors import NotFound, UpstreamError
from fhir_imaging.settings import EhrSettings, Ownership, StudiesServerSettings, SubjectBy
from fhir_imaging.tolerant import text
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.archive_workers import ArchiveWorkers
from imaging_server.fed_answers import Description, Told, all_pages, searches
from imaging_server.fed_reading import NOT_TO_BE_SEEN, Subject, endpoint_addresses, last_updated_ms, told_study
from imaging_server.fed_servers import BY_NUMBER, FedServers
from imaging_server.fhir_sources import FoundStudy, PatientList
from imaging_server.gate import Gate
from imaging_server.identity import KnownCaller
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.study_states import StudyStates
from imaging_server.tokens import unavailable
from imaging_server.upstream import Archive

MEMORY = "@studies-server"
"""Stands where ``StudyStates`` has the name of an archive, which never looks like this."""


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
        self._listed: DecisionCache[Told] = DecisionCache(max_entries=200)
        # A study may have thousands of instances, so that only few such answers are kept.
        self._held: DecisionCache[Told] = DecisionCache(max_entries=20)

    def close(self) -> None:
        """Lets threads and connections go."""
        self._workers.close()
        self._servers.close()

    def studies(
        self, caller: Caller, archives: Sequence[Archive], visible: Mapping[str, frozenset[StudyInstanceUID]]
    ) -> PatientList:
        """As ``StudyTeller.studies``; they come with their series, one that is asked for alone with its instances too."""
        server, wanted = caller.ehr.studies_server, frozenset().union(*visible.values())
        if server is None or not wanted:
            return PatientList(())
        subject = self._subject(caller, server)
        (told,) = self._workers.together([(f"{caller.ehr.name}-studies", partial(self._told, caller, server, subject, wanted))])
        of_patient = [one for one in told.studies if subject.is_of(one.resource) is True]
        own = [one for one in of_patient if text(one.resource.get("status")) not in NOT_TO_BE_SEEN]
        times = Counter(study[0].uid for one in own if (study := told_study(one.resource)) is not None)
        places, is_proven = self._places(caller.ehr, archives), caller.ehr.ownership is Ownership.IDENTIFIER
        placed = (_placed(one, _named(one, told, places), visible, is_proven=is_proven) for one in own)
        read = [one for one in placed if one is not None and times[one.study.uid] == 1]
        found = [replace(one, has_instances=told.has_instances and _has_instances(one.study)) for one in read]
        complete = told.complete and wanted == {one.study.uid for one in found}
        return PatientList(tuple(self._timed(caller.ehr, found, own)), complete)

    def with_series(self, caller: Caller, found: Sequence[FoundStudy], archives: Sequence[Archive]) -> PatientList:
        """As ``StudyTeller.with_series``; one that stands alone comes with its instances too.

        Whose the series are, only the archives know (W5).
        """
        asked = [(one, archive) for one in found for archive in archives]
        answers = self._workers.together(
            (archive.name, partial(self._gate.is_refused, caller, archive, one.study.uid)) for one, archive in asked
        )
        others = {one.study.uid for (one, _), is_refused in zip(asked, answers, strict=True) if is_refused}
        own = [one for one in found if one.study.uid not in others]
        if len(own) == len(found) == 1 and not own[0].has_instances:
            own = [self._alone(caller, own[0], archives)]
        return PatientList(tuple(own), len(own) == len(found))

    def with_instances(self, found: FoundStudy, _archives: Sequence[Archive]) -> FoundStudy:
        """The same study: it has them already where that server tells of them."""
        return found

    def _alone(self, caller: Caller, found: FoundStudy, archives: Sequence[Archive]) -> FoundStudy:
        """The study as it is told where nothing else is asked for; as it is where it went meanwhile."""
        visible = {name: frozenset({found.study.uid}) for name in found.study.archives}
        return next(iter(self.studies(caller, archives, visible).studies), found)

    def _told(
        self, caller: Caller, server: StudiesServerSettings, subject: Subject, wanted: frozenset[StudyInstanceUID]
    ) -> Told:
        asked, is_one = list(searches(caller, server, subject, wanted)), len(wanted) == 1

        def ask() -> Told:
            try:
                return self._servers.ask(caller.ehr, partial(all_pages, asked, has_instances=is_one))
            except NotFound as exc:
                raise UpstreamError("The studies server has no ImagingStudy.", server=server.fhir_base) from exc

        key = (caller.ehr.name, caller.patient_id, json.dumps(asked))
        kept = self._held if is_one else self._listed
        return kept.get(key, ask, seconds=lambda told: self._keep_s if told.studies and told.complete else 0)

    def _subject(self, caller: Caller, server: StudiesServerSettings) -> Subject:
        """The caller's patient by the ways that the site names, and no others. Of one who was let through the EHR has told."""
        own, there = (f"{base.rstrip('/')}/Patient/" for base in (caller.ehr.fhir_base, server.fhir_base))
        local = SubjectBy.LOCAL_REFERENCE in server.subjects or own == there
        namespaces = [*([own] if SubjectBy.REFERENCE in server.subjects else []), *([there, "Patient/"] if local else [])]
        rule = self._numbers.rule(caller) if BY_NUMBER & set(server.subjects) else None
        try:
            known = caller.person.numbers if isinstance(caller, KnownCaller) else None
            numbers = frozenset[str]() if rule is None else self._numbers.of(caller) if known is None else known
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

    def _timed(self, ehr: EhrSettings, found: Iterable[FoundStudy], described: Iterable[Description]) -> Iterator[FoundStudy]:
        """The studies with their last update: the server's word, or when this one first saw them as they are."""
        found = list(found)
        untimed = {one.study.uid for one in found if one.last_updated_ms == 0}
        if not untimed:
            yield from found
            return
        states = {study[0].uid: one.state for one in described if (study := told_study(one.resource)) is not None}
        seen = self._states.seen_at(ehr.name, MEMORY, {uid: states[uid] for uid in untimed})
        yield from (replace(one, last_updated_ms=seen.get(one.study.uid, one.last_updated_ms)) for one in found)


def _named(described: Description, told: Told, places: Mapping[str, str]) -> frozenset[str]:
    """The archives that a study's Endpoints mean."""
    return frozenset(places[one] for one in endpoint_addresses(described.resource, told.others) if one in places)


def _placed(
    described: Description,
    named: frozenset[str],
    visible: Mapping[str, frozenset[StudyInstanceUID]],
    *,
    is_proven: bool,
) -> FoundStudy | None:
    """The study in those archives that may show it to the caller; None where none may, or nobody can say which it is in.

    ``named`` are the archives that its Endpoints mean. ``is_proven``: it is the archives that said who may see what is in them.
    """
    told = told_study(described.resource)
    if told is None:
        return None
    study, _ = told
    may_show = {name for name, studies in visible.items() if study.uid in studies}
    holders = tuple(sorted(named & may_show or (may_show if is_proven or len(may_show) == 1 else ())))
    if not holders:
        return None
    series = tuple(replace(one, archives=holders) for one in study.series)
    placed: ArchivedStudy = replace(study, archives=holders, series=series)
    return FoundStudy(
        study=placed,
        last_updated_ms=last_updated_ms(described.resource) or 0,
        states={},
        complete=described.is_whole,
    )


def _has_instances(study: ArchivedStudy) -> bool:
    """Whether a description goes down to the instances."""
    return bool(study.series) and all(one.instances or one.instance_count == 0 for one in study.series)
