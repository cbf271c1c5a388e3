"""The gate between callers and archives: token, then what it opens, then whose study it is, then the audit record.

Spec: SMART Imaging Access F5-F9, W3-W5; DESIGN §8 ("The way of a frame").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from fhir_imaging.errors import InvalidRequest, NotAuthenticated, NotFound, NotPermitted, UpstreamError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.access import AccessGrant
from imaging_server.auditing import AUTHORIZATION_UNAVAILABLE, NO_SUCH_ARCHIVE, AccessAudit, Attempt
from imaging_server.door import Door
from imaging_server.identity import KnownCaller, PatientIdentity, Person
from imaging_server.opened import OpenedDescription, OpenedPatient, OpenedSearch
from imaging_server.ownership import Caller, Ownership
from imaging_server.passes import FramePasses, StandingPass
from imaging_server.policy import (
    NOTHING_THERE,
    REASON_IN_WORDS,
    Evidence,
    Reason,
    Refused,
    Verdict,
    decide,
    decide_beforehand,
    decide_endpoint,
    visible_studies,
)
from imaging_server.queries import SearchQuery
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import narrowed
from imaging_server.study_contents import SeriesIndex, StudyContents
from imaging_server.tokens import unavailable
from imaging_server.upstream import Archive

T = TypeVar("T")


class DecideGrant(Protocol):
    """What the token alone decides."""

    def __call__(self, grant: AccessGrant, *, now: int) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSources:
    """Who is asked about a study: the EHR whose it is, both whether they mean the same person, the archive what is in it."""

    ownership: Ownership
    identity: PatientIdentity
    contents: StudyContents


class Gate:
    """Lets requests through or raises; every refusal is recorded. Thread-safe."""

    def __init__(
        self,
        *,
        door: Door,
        sources: EvidenceSources,
        audit: AccessAudit,
        passes: FramePasses,
        leeway_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._door = door
        self._ownership = sources.ownership
        self._identity = sources.identity
        self._contents = sources.contents
        self._audit = audit
        self._passes = passes
        self._leeway_s = leeway_s
        self._clock = clock

    def open_study(self, ehr: EhrSettings, archive: Archive, authorization: str | None, attempt: Attempt) -> AccessGrant:
        """Passes a request about one study, or raises NotAuthenticated, NotPermitted or UpstreamError (503)."""
        grant = self._passes.again(archive, authorization, attempt)
        if grant is None:
            caller = self._decided(ehr, archive, authorization, attempt)
            self._passes.give(archive, authorization, attempt, caller)
            grant = caller.grant
        self._audit.allowed(attempt, grant)
        return grant

    def standing(self, archive: Archive, authorization: str | None, attempt: Attempt) -> StandingPass | None:
        """For further frames of a series, one of which ``open_study`` has just let through."""
        return self._passes.standing(archive, authorization, attempt, self._audit)

    def recorded_for(self, attempt: Attempt, grant: AccessGrant) -> float:
        """Seconds for which what ``open_study`` has let through needs no further record."""
        return self._audit.recorded_for(attempt, grant)

    def open_search(
        self, ehr: EhrSettings, archive: Archive, authorization: str | None, attempt: Attempt, query: SearchQuery
    ) -> OpenedSearch:
        """Passes a search for studies, narrowed to what the token opens; raises as ``open_study`` does.

        A search that names any study outside is refused whole, as opening that study would be.
        """
        caller = self._caller(ehr, authorization, attempt)
        owned = self._asked(attempt, caller, lambda: self._ownership.studies(caller, archive))
        studies = narrowed(query, visible_studies(caller.grant, attempt.resource, owned.studies))
        if studies is None:
            raise self._refusal(attempt, caller.grant, Reason.STUDY_NOT_OF_PATIENT)
        known = self._asked(attempt, caller, lambda: self._identity.known(caller))
        self._audit.allowed(attempt, caller.grant)
        return OpenedSearch(caller=known, studies=studies, complete=owned.complete)

    def identify(self, ehr: EhrSettings, authorization: str | None, attempt: Attempt, patients: Sequence[str]) -> Caller:
        """Who searches, for nobody but the token's patient: any other among ``patients`` is refused (F6, M6)."""
        caller = self._caller(ehr, authorization, attempt)
        if any(one != caller.patient_id for one in patients):
            raise self._refusal(attempt, caller.grant, Reason.OTHER_PATIENT)
        return caller

    def open_patient(self, caller: Caller, archives: Sequence[Archive], attempt: Attempt) -> OpenedPatient:
        """Passes a search for all studies of an identified caller's patient; raises as ``open_study`` does."""
        owned = {
            archive.name: self._asked(attempt, caller, partial(self._ownership.studies, caller, archive))
            for archive in archives
        }
        visible = {
            name: frozenset(one.study for one in visible_studies(caller.grant, attempt.resource, found.studies))
            for name, found in owned.items()
        }
        known = self._asked(attempt, caller, lambda: self._identity.known(caller))
        self._audit.allowed(attempt, caller.grant)
        complete = all(one.complete for one in owned.values())
        return OpenedPatient(caller=known, studies=visible, complete=complete)

    def open_description(
        self, ehr: EhrSettings, archives: Sequence[Archive], authorization: str | None, attempt: Attempt
    ) -> OpenedDescription:
        """Passes the description of one study out of those archives whose study it is too; raises as ``open_study`` does.

        One archive that holds it under another person is enough to refuse it whole.
        """
        caller = self._caller(ehr, authorization, attempt)
        study = attempt.resource.study
        if study is None:
            raise ValueError("a request without a study is a search")
        owned = [self._asked(attempt, caller, partial(self._ownership.study, caller, one, study)) for one in archives]
        same: list[bool | None] = [None] * len(archives)
        if any(owned):
            same = [
                self._asked(attempt, caller, partial(self._is_same, caller, one, attempt.resource, study)) for one in archives
            ]
        if False in same:
            raise self._refusal(attempt, caller.grant, Reason.IDENTITY_CONFLICT)
        verdicts = [
            decide(caller.grant, attempt.resource, Evidence(owned=one, contains=True), now=self._now()) for one in owned
        ]
        opened = tuple(archive for archive, verdict in zip(archives, verdicts, strict=True) if verdict)
        if not opened:
            reasons = {verdict.reason for verdict in verdicts if isinstance(verdict, Refused)}
            scope = Reason.INSUFFICIENT_SCOPE in reasons
            raise self._refusal(attempt, caller.grant, Reason.INSUFFICIENT_SCOPE if scope else Reason.STUDY_NOT_OF_PATIENT)
        known = self._asked(attempt, caller, lambda: self._identity.known(caller))
        self._audit.allowed(attempt, caller.grant)
        return OpenedDescription(caller=known, archives=opened)

    def open_endpoint(self, ehr: EhrSettings, authorization: str | None, attempt: Attempt) -> Caller:
        """Passes the reading of an Endpoint, which tells nothing of any patient, so that only refusals are recorded."""
        return self._caller(ehr, authorization, attempt, decide_endpoint)

    def refuse_method(self, ehr: EhrSettings, authorization: str | None, attempt: Attempt) -> None:
        """Records a method that is refused to everybody, and who tried it where the token tells; TooManyRequests in a flood."""
        self._door.refuse_method(ehr, authorization, attempt)

    def refuse_archive(self, authorization: str | None, attempt: Attempt) -> None:
        """Records a request for an archive that is not there for the EHR's callers; TooManyRequests in a flood."""
        self._door.refuse_unasked(authorization, attempt, NO_SUCH_ARCHIVE)

    def refuse_endpoint(self, caller: Caller, attempt: Attempt) -> None:
        """As ``refuse_archive``, of a caller who was let in: the Endpoint of such an archive."""
        self._audit.denied(attempt, caller.grant, NO_SUCH_ARCHIVE)

    def refuse_page(self, caller: Caller, attempt: Attempt) -> NotPermitted | NotAuthenticated | NotFound:
        """The refusal of a link to a further page that was made for another token, recorded."""
        return self._refusal(attempt, caller.grant, Reason.OTHER_TOKENS_PAGE)

    def fitting(self, caller: Caller, datasets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID is the caller's patient's, where the site compares them.

        ``caller`` is one who was let through: nobody is asked, so nothing can be refused that is on record as allowed.
        """
        return _person(caller).fitting(datasets)

    def has_all_of(self, caller: Caller, index: SeriesIndex, listed: Mapping[str, Any]) -> bool:
        """Whether no series of a study ``listed`` so is anybody else's, as for a read of it; ``caller`` as in ``fitting``."""
        return _person(caller).has_all_of(index, (listed,))

    def is_refused(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> bool:
        """Whether a read is refused for whose it is; ``caller`` as in ``fitting``; UpstreamError, InvalidRequest by archive."""
        series = DicomResource(kind=Kind.SEARCH, level=Level.SERIES, study=study)
        return self._compared(caller, _person(caller), archive, series, study)[0] is False

    def of_person(self, opened: OpenedSearch, matches: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The matches of an opened search, as ``fitting``."""
        return opened.caller.person.fitting(matches)

    def _decided(self, ehr: EhrSettings, archive: Archive, authorization: str | None, attempt: Attempt) -> Caller:
        """Who asks, once everybody was asked who decides."""
        caller = self._caller(ehr, authorization, attempt)
        study = attempt.resource.study
        if study is None:
            raise ValueError("a request without a study is a search")
        evidence = self._asked(attempt, caller, lambda: self._evidence(caller, archive, attempt.resource, study))
        verdict = decide(caller.grant, attempt.resource, evidence, now=self._now())
        if isinstance(verdict, Refused):
            raise self._refusal(attempt, caller.grant, verdict.reason)
        return caller

    def _caller(
        self, ehr: EhrSettings, authorization: str | None, attempt: Attempt, decide_grant: DecideGrant | None = None
    ) -> Caller:
        token, grant = self._door.enter(ehr, authorization, attempt)
        judge = decide_grant or partial(decide_beforehand, resource=attempt.resource)
        verdict = judge(grant, now=self._now())
        if isinstance(verdict, Refused):
            raise self._refusal(attempt, grant, verdict.reason)
        if grant.patient_id is None:
            raise self._refusal(attempt, grant, Reason.NO_PATIENT)
        return Caller(ehr=ehr, grant=grant, patient_id=grant.patient_id, token=token)

    def _evidence(self, caller: Caller, archive: Archive, resource: DicomResource, study: StudyInstanceUID) -> Evidence:
        """The archive is asked only about studies that are the patient's: its timing tells nothing about others."""
        owned = self._ownership.study(caller, archive, study)
        if owned is None:
            return Evidence(owned=None, contains=False)
        same, index = self._compared(caller, self._identity.person(caller), archive, resource, study)
        contains = same is True and self._contents.holds(archive, resource, index)
        return Evidence(owned=owned, contains=contains, same_person=same)

    def _compared(
        self, caller: Caller, person: Person, archive: Archive, resource: DicomResource, study: StudyInstanceUID
    ) -> tuple[bool | None, SeriesIndex]:
        """Whether the study and each of its series are the ``person``'s, or one person's where the site does not compare, None
        where the archive lists no such study; and the series (W5)."""
        listed = self._identity.listed(caller, person, archive, study)
        same = person.is_of(listed)
        if not same:
            return same, SeriesIndex()
        index = self._contents.series(archive, resource)
        return person.has_all_of(index, listed.datasets), index

    def _is_same(self, caller: Caller, archive: Archive, resource: DicomResource, study: StudyInstanceUID) -> bool | None:
        return self._compared(caller, self._identity.person(caller), archive, resource, study)[0]

    def _asked(self, attempt: Attempt, caller: Caller, ask: Callable[[], T]) -> T:
        """Evidence from another server. A server that cannot be asked means no, for now (503)."""
        try:
            return ask()
        except NotAuthenticated as refusal:
            self._audit.denied(attempt, caller.grant, refusal.code)
            raise
        except NotFound as refusal:
            raise self._refusal(attempt, caller.grant, Reason.REFUSED_BY_EHR) from refusal
        except UpstreamError as outage:
            self._audit.denied(attempt, caller.grant, AUTHORIZATION_UNAVAILABLE)
            raise unavailable(outage) from outage
        except InvalidRequest as not_understood:
            # The question was ours, so that the archive does not take it is no fault of the caller's.
            self._audit.denied(attempt, caller.grant, AUTHORIZATION_UNAVAILABLE)
            fault = UpstreamError("The archive does not take our question.", server="archive", cause=not_understood.code)
            raise unavailable(fault) from not_understood

    def _refusal(self, attempt: Attempt, grant: AccessGrant, reason: Reason) -> NotPermitted | NotAuthenticated | NotFound:
        """The error to raise, once the refusal is recorded; a search of a study that holds nothing yet is none (``[]``)."""
        finds_nothing = reason is Reason.NO_IMAGES_YET and attempt.resource.kind is Kind.SEARCH
        self._audit.allowed(attempt, grant) if finds_nothing else self._audit.denied(attempt, grant, reason.value)
        if reason is Reason.TOKEN_ENDED:
            return NotAuthenticated(REASON_IN_WORDS[reason], challenge="invalid_token", code=reason.value)
        error = NotFound if reason in NOTHING_THERE else NotPermitted
        return error(REASON_IN_WORDS[reason], code=reason.value)

    def _now(self) -> int:
        """UTC seconds as the token's times are compared with: the accepted clock skew is already taken off."""
        return int(self._clock()) - self._leeway_s


def _person(caller: Caller) -> Person:
    if not isinstance(caller, KnownCaller):
        raise TypeError("persons are compared for callers who were let through")
    return caller.person
