"""Whose study it is, by the EHR's own word: ImagingStudy asked with the caller's token.

The EHR answers as far as this caller may see, so restrictions that it keeps for a user hold here too. For the same reason an
answer counts for the token that got it, and not for another token of the same patient.

Spec: SMART Imaging Access F1, F5-F8, W4, groups 9 to 11 and 15; DESIGN §8 (strategy ``fhir``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_imaging.clients.deadlines import within
from fhir_imaging.clients.fhir import FhirClient, SearchPage, are_all
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotAuthenticated, NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.settings import origin_of
from fhir_imaging.study import WITHDRAWN, ImagingStudy, read_study
from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, from_urn, to_urn
from imaging_server.answer_forms import STUDIES, STUDY
from imaging_server.kept_answers import KeptAnswers
from imaging_server.ownership import Caller, PatientStudies
from imaging_server.policy import StudyFacts
from imaging_server.shared_decisions import SharedDecisions
from imaging_server.upstream import Archive

PAGE_SIZE = "200"
LISTS_TAKE = 3.0
"""How many times of a question's time all pages of a list may take together: a patient may have many studies, or large ones."""

T = TypeVar("T")


class FhirOwnership:
    """Asks each EHR's FHIR server. Thread-safe; an answer is kept at most min(token's end, ``keep_s``), by all workers that
    share ``shared``."""

    def __init__(
        self,
        session: OutboundSession,
        shared: SharedDecisions | None = None,
        *,
        keep_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._keep_s = keep_s
        self._clock = clock
        self._one: KeptAnswers[StudyFacts] = KeptAnswers(STUDY, shared, clock=clock)
        self._all: KeptAnswers[PatientStudies] = KeptAnswers(STUDIES, shared, max_entries=1000, clock=clock)

    def study(self, caller: Caller, _archive: Archive, study: StudyInstanceUID) -> StudyFacts | None:
        """The study when the EHR says that it is the caller's patient's; None when it does not.

        NotAuthenticated when the EHR does not accept the token; UpstreamError when it cannot be asked, or is not to be read to
        the end. Only a yes is kept.
        """
        try:
            return self._one.get(
                caller.key(study), lambda: self._ask_for(caller, study), seconds=lambda _: self._seconds(caller)
            )
        except _NotOwned:
            return None

    def studies(self, caller: Caller, _archive: Archive) -> PatientStudies:
        """All studies of the caller's patient, for narrowing a search."""
        return self._all.get(caller.key(), lambda: self._ask_for_all(caller), seconds=lambda _: self._seconds(caller))

    def _ask_for(self, caller: Caller, study: StudyInstanceUID) -> StudyFacts:
        params = [("patient", caller.patient_id), ("identifier", f"{DICOM_UID_SYSTEM}|{to_urn(study)}")]
        try:
            # Whole, since a server that overlooks the identifier answers with all of the patient's studies.
            pages = _asked(lambda: self._pages(caller, params))
        except NotFound as exc:
            raise _NotOwned from exc
        told = [one for page in pages for one in _told(page.matches, caller)]
        about = [one for one in told if study in one.uids]
        # One that names no study may be the one that was asked for, unless the answer shows that others come along.
        is_doubtful = any(not one.uids for one in told) and all(study in one.uids for one in told if one.uids)
        facts = [one.facts for one in about if one.facts]
        if not about and pages[-1].next_url is not None:
            server = origin_of(caller.ehr.studies_base)
            raise UpstreamError("The EHR's list of studies does not come to its end.", server=server)
        if not facts or len(facts) < len(about) or is_doubtful:
            raise _NotOwned
        return StudyFacts(study=study, modalities=frozenset().union(*(one.modalities for one in facts)))

    def _ask_for_all(self, caller: Caller) -> PatientStudies:
        params = [("patient", caller.patient_id), ("_count", PAGE_SIZE)]
        pages = _asked(lambda: self._pages(caller, params))
        told = [one for page in pages for one in _told(page.matches, caller)]
        denied = {uid for one in told if one.facts is None for uid in one.uids}
        owned = tuple(one.facts for one in told if one.facts and one.facts.study not in denied)
        return PatientStudies(owned, complete=are_all(pages))

    def _pages(self, caller: Caller, params: Sequence[tuple[str, str]]) -> list[SearchPage]:
        """All pages, which share one time: each of them holds up the same caller. None of them may be silent for long."""
        time_s = LISTS_TAKE * self._session.timeout_s
        client = FhirClient(caller.ehr.studies_base, self._session, access_token=caller.token.value, answer_s=time_s)
        with within(time_s):
            return list(client.pages("ImagingStudy", params))

    def _seconds(self, caller: Caller) -> float:
        return caller.keep_for(self._keep_s, now=self._clock())


class _NotOwned(Exception):
    """The EHR does not say that the study is the patient's: a no on its way past the cache, which keeps no failures."""


def _asked(ask: Callable[[], T]) -> T:
    """What the FHIR server says, its refusals sorted: 401 is about the token, 403 and 404 are a no, the rest an outage."""
    try:
        return ask()
    except UpstreamRefused as refusal:
        if refusal.status == 401:
            raise NotAuthenticated(
                "The EHR does not accept this token any more.", challenge="invalid_token", code="token-refused-by-ehr"
            ) from refusal
        if refusal.status == 403:
            raise NotFound("The EHR does not show this patient's studies to this caller.") from refusal
        raise


@dataclass(frozen=True, slots=True)
class _Told:
    """One ImagingStudy: the studies that it names, and what it says where it is a yes.

    ``facts`` is None when it is somebody else's, withdrawn or cannot be read, which is a no for every study that it names.
    """

    uids: frozenset[str]
    facts: StudyFacts | None


def _told(resources: Iterable[Mapping[str, Any]], caller: Caller) -> Iterable[_Told]:
    for resource in resources:
        if resource.get("resourceType") != "ImagingStudy":
            continue
        study, facts = read_study(resource), None
        if isinstance(study, ImagingStudy) and _is_of(study, caller) and study.status not in WITHDRAWN:
            facts = StudyFacts(study=study.study_instance_uid, modalities=frozenset(study.modalities))
        yield _Told(_uids(resource), facts)


def _uids(resource: Mapping[str, Any]) -> frozenset[str]:
    """Every Study Instance UID that a resource names, also where it names more than it may."""
    of_system = (one for one in dicts(resource.get("identifier")) if one.get("system") == DICOM_UID_SYSTEM)
    return frozenset(uid for uid in (from_urn(text(one.get("value")) or "") for one in of_system) if uid)


def _is_of(study: ImagingStudy, caller: Caller) -> bool:
    """Whether the subject is the caller's patient: a Patient of this EHR's own FHIR server or, by the site's word, of the other
    server that has the studies. A relative reference is into the server that holds it (FHIR R4; group 11)."""
    ehr, subject = caller.ehr, (study.subject or "").split("/_history/", 1)[0]
    held_at = ehr.studies_base.rstrip("/")
    meant = subject if "://" in subject else f"{held_at}/{subject}"
    bases = (ehr.fhir_base.rstrip("/"), *([held_at] if ehr.imaging_base_has_ehr_ids else []))
    return meant in {f"{base}/Patient/{caller.patient_id}" for base in bases}
