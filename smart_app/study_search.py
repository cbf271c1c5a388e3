"""What an EHR and its imaging server know of one patient: studies with Endpoints, reports, and the Patient, as questions.

Each question is asked page by page (``gathering.Gathering``); what could not be had is named. Nothing is judged here.

Spec: SMART Imaging Access C1, D5, F1; SMART App Launch 2.2 A37; FHIR R4 search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.endpoints import BundleResources, with_local_endpoints
from fhir_imaging.errors import ImagingError, UpstreamError, UpstreamRefused
from fhir_imaging.study import read_study_uid
from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import StudyInstanceUID, to_urn
from smart_app.patient_banner import is_patient

Parameters = Sequence[tuple[str, str]]
INCLUDE = ("_include", "ImagingStudy:endpoint")
PAGE = (("_count", "100"),)
"""Asked for a page at a time: the newest hundred are on the screen while the rest is fetched."""
PAGE_SECONDS = 15.0
"""The longest that one page of an answer may take, to its last byte."""
STUDIES = "ImagingStudy"
REPORTS = "DiagnosticReport"
PATIENT = "Patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudies:
    """ImagingStudy resources as they came."""

    resources: tuple[dict[str, Any], ...] = ()
    endpoints: BundleResources = field(default_factory=lambda: BundleResources({}, {}))
    outcomes: tuple[dict[str, Any], ...] = ()
    without_endpoints: bool = False
    """The server refused to include Endpoints, so the list came without them."""
    missing: int = 0
    """Studies that the server counts or lists beyond those that it sent."""

    @property
    def is_doubtful(self) -> bool:
        """Whether the server itself says that there may be more: by its count, or by an error beside what it sent."""
        issues = (issue for outcome in self.outcomes for issue in dicts(outcome.get("issue")))
        return self.missing > 0 or any(issue.get("severity") in ("error", "fatal") for issue in issues)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredRecords:
    """Everything one list needs. None = could not be had; the reason stands in ``problems`` by resource type."""

    studies: FoundStudies | None
    reports: tuple[dict[str, Any], ...] | None
    patient: dict[str, Any] | None
    searches: Mapping[str, tuple[dict[str, Any], ...]]
    """Answers to ``Wanted.searches`` by key; a key that could not be had is missing."""
    problems: Mapping[str, ImagingError]
    cut: frozenset[str] = frozenset()
    """Questions whose answer had more pages than are followed."""


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


@dataclass(frozen=True, slots=True)
class Servers:
    """Whom a list is asked from, with one token: the imaging server and the EHR, which may be the same."""

    imaging: FhirClient
    ehr: FhirClient


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The first page of an answer; ``without_endpoints``: the server refused to include Endpoints."""

    page: SearchPage
    without_endpoints: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question: how its first page is asked for, and whether the imaging server has the rest."""

    key: str
    first: Callable[[Servers], FirstPage]
    at_imaging: bool = False

    def next(self, servers: Servers, next_url: str) -> FirstPage:
        """The page behind a paging link."""
        client = servers.imaging if self.at_imaging else servers.ehr
        return FirstPage(client.follow(next_url, timeout_s=PAGE_SECONDS))


def questions(wanted: Wanted) -> tuple[Question, ...]:
    """Everything that is asked at once."""
    asked = [Question(STUDIES, partial(_first_studies, wanted.patient_id, wanted.study), at_imaging=True)]
    if wanted.reports:
        of_patient = SearchWanted(REPORTS, REPORTS, (("patient", wanted.patient_id), ("_sort", "-date"), *PAGE))
        asked.append(Question(REPORTS, partial(_first_matches, of_patient)))
    if wanted.patient:
        asked.append(Question(PATIENT, partial(_patient, wanted.patient_id)))
    asked += [Question(one.key, partial(_first_matches, one)) for one in wanted.searches]
    return tuple(asked)


def collected(pages: Sequence[SearchPage], *, without_endpoints: bool) -> FoundStudies:
    """The studies of some pages, each once, with all Endpoints that came with them."""
    everything = [
        with_local_endpoints(resource, page.full_urls) for page in pages for resource in (*page.matches, *page.included)
    ]
    by_full_url = {url: resource for page in pages for url, resource in page.full_urls.items() if not url.startswith("urn:")}
    studies = [one for one in everything if one.get("resourceType") == STUDIES]
    # Some servers count their own remarks too.
    came = len(studies) + sum(len(page.outcomes) for page in pages)
    counted, unreadable = max((page.total or 0 for page in pages), default=0), sum(page.unreadable for page in pages)
    endpoints = {f"Endpoint/{one['id']}": one for one in everything if one.get("resourceType") == "Endpoint" and one.get("id")}
    return FoundStudies(
        resources=_each_once(studies),
        endpoints=BundleResources(by_full_url, endpoints),
        outcomes=tuple(outcome for page in pages for outcome in page.outcomes),
        without_endpoints=without_endpoints,
        missing=max(counted - came, unreadable),
    )


def _each_once(studies: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """As each came last: pages overlap when the record grows, or changes, while they are fetched."""
    return tuple({(text(one.get("id")) or at, read_study_uid(one)): one for at, one in enumerate(studies)}.values())


def matches_of(pages: Iterable[SearchPage], resource_type: str) -> tuple[dict[str, Any], ...]:
    """The resources of one type that were searched for."""
    return tuple(one for page in pages for one in page.matches if one.get("resourceType") == resource_type)


def _first_studies(patient_id: str, study: StudyInstanceUID | None, servers: Servers) -> FirstPage:
    """The patient's studies, newest first; of one study its own, or the whole list where a server cannot be asked for one."""
    if study is None:
        return _in_either_spelling(servers.imaging, patient_id, [("_sort", "-started"), *PAGE])
    try:
        found = _in_either_spelling(servers.imaging, patient_id, [("identifier", f"urn:dicom:uid|{to_urn(study)}")])
    except UpstreamRefused as refused:
        if refused.status != 400:
            raise
    else:
        if _has_studies(found):
            return found
    # Some servers know the identifier only without its system, or not as a search parameter.
    return _in_either_spelling(servers.imaging, patient_id, PAGE)


def _in_either_spelling(imaging: FhirClient, patient_id: str, more: Parameters) -> FirstPage:
    """By the bare id; an empty answer is asked again as ``Patient/id`` before it is believed."""
    found = _with_endpoints(imaging, [("patient", patient_id)], more)
    if _has_studies(found):
        return found
    try:
        again = _with_endpoints(imaging, [("patient", f"Patient/{patient_id}")], more)
        return again if _has_studies(again) or not (found.page.total or found.page.unreadable) else found
    except UpstreamRefused as refused:
        if refused.status != 400:
            raise
        # A server to which the reference is an error has answered the bare id.
        return found


def _has_studies(found: FirstPage) -> bool:
    resources = (*found.page.matches, *found.page.included)
    return found.page.next_url is not None or any(one.get("resourceType") == STUDIES for one in resources)


def _with_endpoints(imaging: FhirClient, asked: Parameters, more: Parameters) -> FirstPage:
    """With Endpoints and in order; without what a server refuses, the order first, since it is only a convenience."""
    ways: list[tuple[Parameters, bool]] = [([*asked, *more, INCLUDE], False)]
    identifier = [one for one in more if not one[0].startswith("_")]
    if len(identifier) < len(more):
        ways.append(([*asked, *identifier, INCLUDE], False))
    # Rights are given per resource type: a site may allow studies and forget Endpoints.
    ways.append(([*asked, *identifier], True))
    for position, (parameters, without_endpoints) in enumerate(ways):
        try:
            return FirstPage(imaging.search(STUDIES, parameters, timeout_s=PAGE_SECONDS), without_endpoints)
        except UpstreamRefused as refused:
            is_last = position == len(ways) - 1
            if is_last or refused.status not in (400, 403):
                raise
            if refused.status == 403:
                return FirstPage(imaging.search(STUDIES, ways[-1][0], timeout_s=PAGE_SECONDS), True)
    raise AssertionError("the last way returns or raises")


def _first_matches(wanted: SearchWanted, servers: Servers) -> FirstPage:
    try:
        return FirstPage(servers.ehr.search(wanted.resource_type, wanted.parameters, timeout_s=PAGE_SECONDS))
    except UpstreamRefused as refused:
        plain = [one for one in wanted.parameters if one[0] not in ("_sort", "_count")]
        if refused.status != 400 or len(plain) == len(wanted.parameters):
            raise
        return FirstPage(servers.ehr.search(wanted.resource_type, plain, timeout_s=PAGE_SECONDS))


def read_patient(ehr: FhirClient, patient_id: str) -> dict[str, Any]:
    """The Patient of this very id; UpstreamError where the EHR answers with something else."""
    patient = ehr.read(PATIENT, patient_id, timeout_s=PAGE_SECONDS)
    if not is_patient(patient, patient_id):
        raise UpstreamError("The EHR answered with something else than the Patient.", server=ehr.base_url)
    return patient


def _patient(patient_id: str, servers: Servers) -> FirstPage:
    return FirstPage(SearchPage((read_patient(servers.ehr, patient_id),)))
