"""What an EHR and its imaging server know of one patient: studies with Endpoints, reports, and the Patient.

Gathers only; nothing is judged here. A server that is busy is asked again within bounds, and what could not be had is named.

Spec: SMART Imaging Access C1, C7, D5, F1; SMART App Launch 2.2 A37; FHIR R4 search.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.endpoints import BundleResources
from fhir_imaging.errors import ImagingError, NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.uids import StudyInstanceUID, to_urn

Parameters = Sequence[tuple[str, str]]
INCLUDE = ("_include", "ImagingStudy:endpoint")
_MOST_QUESTIONS = 256
"""Questions under way at once in one process: some twenty lists, each of which asks about ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyPolicy:
    """How often and how long a busy server is waited for (C7)."""

    retries: int
    longest_wait_s: float
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudies:
    """ImagingStudy resources as they came; ``has_more`` when the server had more pages than are followed."""

    resources: tuple[dict[str, Any], ...] = ()
    endpoints: BundleResources = field(default_factory=lambda: BundleResources({}, {}))
    outcomes: tuple[dict[str, Any], ...] = ()
    has_more: bool = False
    without_endpoints: bool = False
    """The server refused to include Endpoints, so the list came without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredRecords:
    """Everything one list needs. None = could not be had; the reason stands in ``problems`` by resource type."""

    studies: FoundStudies | None
    reports: tuple[dict[str, Any], ...] | None
    patient: dict[str, Any] | None
    searches: Mapping[str, tuple[dict[str, Any], ...]]
    """Answers to ``Wanted.searches`` by key; a key that could not be had is missing."""
    problems: dict[str, ImagingError]


@dataclass(frozen=True, slots=True)
class SearchWanted:
    """One further search at the EHR, by the key under which its answer is wanted."""

    key: str
    resource_type: str
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to ask for: by the granted scopes, and one study or all."""

    patient_id: str
    study: StudyInstanceUID | None = None
    reports: bool = True
    patient: bool = True
    searches: tuple[SearchWanted, ...] = ()


def gather(imaging: FhirClient, ehr: FhirClient, wanted: Wanted, busy: BusyPolicy) -> GatheredRecords:
    """Asks the imaging base for studies and the EHR for reports and Patient, all at once."""
    problems: dict[str, ImagingError] = {}
    of_patient = SearchWanted("DiagnosticReport", "DiagnosticReport", (("patient", wanted.patient_id),))

    def attempt(name: str, ask: Callable[[], Any]) -> Any:
        try:
            return _patiently(ask, busy)
        except ImagingError as error:
            problems[name] = error
            return None

    pool = _asking_threads(os.getpid())
    studies = pool.submit(attempt, "ImagingStudy", lambda: search_studies(imaging, wanted.patient_id, wanted.study))
    reports = pool.submit(attempt, "DiagnosticReport", lambda: _matches(ehr, of_patient)) if wanted.reports else None
    patient = pool.submit(attempt, "Patient", lambda: ehr.read("Patient", wanted.patient_id)) if wanted.patient else None
    further = {one.key: pool.submit(attempt, one.key, partial(_matches, ehr, one)) for one in wanted.searches}
    # Whatever one of them raises, none goes on using the session's token after the list is answered.
    wait([one for one in (studies, reports, patient, *further.values()) if one])
    return GatheredRecords(
        studies=studies.result(),
        reports=reports.result() if reports else None,
        patient=patient.result() if patient else None,
        searches={key: future.result() for key, future in further.items() if key not in problems},
        problems=problems,
    )


@cache
def _asking_threads(_process: int) -> ThreadPoolExecutor:
    """The threads of one worker process: made as they are needed, kept for the next list, joined when the process ends.

    One pool for each process id, because threads do not survive a fork.
    """
    return ThreadPoolExecutor(max_workers=_MOST_QUESTIONS, thread_name_prefix="study-list")


def search_studies(imaging: FhirClient, patient_id: str, study: StudyInstanceUID | None = None) -> FoundStudies:
    """The patient's studies by the bare id; an empty answer is asked again as ``Patient/id`` before it is believed."""
    narrowed: Parameters = [("identifier", f"urn:dicom:uid|{to_urn(study)}")] if study else []
    found = _search(imaging, [("patient", patient_id), *narrowed])
    if not found.resources:
        found = _search(imaging, [("patient", f"Patient/{patient_id}"), *narrowed])
    if not found.resources and study is not None:
        # Some servers know the identifier only without its system, or not as a search parameter: take the whole list.
        found = _search(imaging, [("patient", patient_id)])
    return found


def _search(imaging: FhirClient, parameters: Parameters) -> FoundStudies:
    try:
        return _collected(list(imaging.pages("ImagingStudy", [*parameters, INCLUDE])), without_endpoints=False)
    except UpstreamRefused as refused:
        if refused.status not in (400, 403):
            raise
        # Rights are given per resource type: a site may allow studies and forget Endpoints.
        return _collected(list(imaging.pages("ImagingStudy", parameters)), without_endpoints=True)


def _collected(pages: list[SearchPage], *, without_endpoints: bool) -> FoundStudies:
    everything = [resource for page in pages for resource in (*page.matches, *page.included)]
    by_full_url = {url: resource for page in pages for url, resource in page.full_urls.items()}
    endpoints = {f"Endpoint/{one['id']}": one for one in everything if one.get("resourceType") == "Endpoint" and one.get("id")}
    return FoundStudies(
        resources=tuple(one for one in everything if one.get("resourceType") == "ImagingStudy"),
        endpoints=BundleResources(by_full_url, endpoints),
        outcomes=tuple(outcome for page in pages for outcome in page.outcomes),
        has_more=bool(pages and pages[-1].next_url),
        without_endpoints=without_endpoints,
    )


def _matches(ehr: FhirClient, wanted: SearchWanted) -> tuple[dict[str, Any], ...]:
    pages = ehr.pages(wanted.resource_type, wanted.parameters)
    return tuple(one for page in pages for one in page.matches if one.get("resourceType") == wanted.resource_type)


def _patiently(ask: Callable[[], Any], busy: BusyPolicy) -> Any:
    """Asks again while the server says that it is busy and its wait is bearable; NotFound is an answer, not a wait."""
    for _ in range(busy.retries):
        try:
            return ask()
        except NotFound:
            raise
        except UpstreamError as error:
            wait = float(error.retry_after_s or 1)
            if error.status not in (429, 503) or wait > busy.longest_wait_s:
                raise
            busy.sleep(wait)
    return ask()
