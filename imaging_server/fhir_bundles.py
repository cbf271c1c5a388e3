"""Answers of the imaging FHIR endpoint: one page of a searchset, and what stands in it.

Spec: FHIR R4 Bundle, SMART Imaging Access F3, F4, M11.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from fhir_imaging.fhir_mapping.endpoint import wado_endpoint
from fhir_imaging.fhir_mapping.imaging_study import StudyContext, imaging_study
from fhir_imaging.problems import operation_outcome
from imaging_server.fhir_dates import stated_datetime, stated_instant
from imaging_server.fhir_search import SortKey, StudySearch
from imaging_server.fhir_sources import FoundStudy

NOT_ALL = (
    "This list may lack studies or series: there are more than fit into one answer of those who know them, or some are not "
    "described in a way that can be read."
)
_NOT_ALL_URL = uuid.uuid5(uuid.NAMESPACE_URL, NOT_ALL).urn
"""Every entry of a searchset has an address of its own; this one stands nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirAddresses:
    """Where things are for callers of one EHR: our FHIR base, the gateway's base, and the EHR's own FHIR base."""

    base: str
    dicomweb_base: str
    clinical_base: str
    patient_id: str

    def study(self, found: FoundStudy) -> dict[str, Any]:
        """The ImagingStudy resource."""
        subject = f"{self.clinical_base.rstrip('/')}/Patient/{self.patient_id}"
        is_subset = not (found.has_instances and found.complete)
        context = StudyContext(subject=subject, last_updated=instant(found.last_updated_ms), is_subset=is_subset)
        return imaging_study(found.study, context)

    def endpoint(self, archive: str) -> dict[str, Any]:
        """The Endpoint resource of one archive: the gateway's address, never the archive's."""
        return wado_endpoint(archive, address=f"{self.dicomweb_base}/{archive}", name=f"DICOMweb gateway to {archive}")

    def search(self, pairs: Sequence[tuple[str, str]]) -> str:
        """The address of a search."""
        return f"{self.base}/ImagingStudy?{urlencode(pairs, quote_via=quote, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """One page of a list: ``total`` counts the whole list, ``rest`` says whether it goes on behind this page."""

    studies: tuple[FoundStudy, ...]
    total: int
    goes_on: bool

    def showing(self, studies: Sequence[FoundStudy]) -> ListPage:
        """The same page with more told of its studies."""
        return replace(self, studies=tuple(studies))


def page_of(found: Sequence[FoundStudy], search: StudySearch, after: tuple[str, str] | None) -> ListPage:
    """The studies that a search finds, sorted, behind the place ``after``."""
    fitting = [one for one in found if search.finds(one.study, stated_instant(one.last_updated_ms))]
    fitting.sort(key=lambda one: place_of(one, search.sort), reverse=search.newest_first)
    left = fitting
    if after is not None:
        places = ((one, place_of(one, search.sort)) for one in fitting)
        left = [one for one, place in places if (place < after if search.newest_first else place > after)]
    goes_on = len(left) > search.count > 0
    return ListPage(studies=tuple(left[: search.count]), total=len(fitting), goes_on=goes_on)


def place_of(found: FoundStudy, key: SortKey) -> tuple[str, str]:
    """Where a study stands in a list: by the calendar as the study states it, and by UID where that is the same."""
    if key is SortKey.LAST_UPDATED:
        return f"{found.last_updated_ms:020}", found.study.uid
    started = found.study.started
    stated = stated_datetime(started).calendar.start.isoformat(timespec="microseconds") if started else ""
    return stated, found.study.uid


def searchset(
    page: ListPage, search: StudySearch, addresses: FhirAddresses, *, links: dict[str, str], complete: bool
) -> dict[str, Any]:
    """The Bundle of one page; ``links`` by relation. ``total`` is left out where it is not known."""
    studies = [_entry(addresses, addresses.study(one), "match") for one in page.studies]
    archives = dict.fromkeys(name for one in page.studies for name in one.study.archives)
    included = [_entry(addresses, addresses.endpoint(name), "include") for name in archives if search.includes_endpoints]
    remark = operation_outcome("incomplete", NOT_ALL, severity="warning")
    told = {"fullUrl": _NOT_ALL_URL, "resource": remark, "search": {"mode": "outcome"}}
    entries = [*studies, *included, *([] if complete else [told])]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        **({"total": page.total} if complete else {}),
        "link": [{"relation": relation, "url": url} for relation, url in links.items()],
        **({"entry": entries} if entries else {}),
    }


def instant(milliseconds: int) -> str:
    """A FHIR instant from milliseconds UTC since 1970."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(addresses: FhirAddresses, resource: dict[str, Any], mode: str) -> dict[str, Any]:
    full_url = f"{addresses.base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": full_url, "resource": resource, "search": {"mode": mode}}
