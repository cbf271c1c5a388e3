"""What a FHIR server that ``pacs_sync`` feeds answers about one patient: how it is asked, and what is kept of its answers.

A list shows no instances, and there may be thousands in each study: what was read for a list is kept without them.

Spec: SMART Imaging Access F1, F3, group 23; FHIR R4 Search (``:identifier``, ``_include``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.settings import StudiesServerSettings, SubjectBy
from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID
from imaging_server.fed_reading import Subject, told_study
from imaging_server.ownership import Caller

PAGE_SIZE = "100"
_BY_NUMBER = {
    SubjectBy.IDENTIFIER: "patient:identifier",
    # With the type: some servers (Azure) take "patient" for a reference to anything.
    SubjectBy.PATIENT_IDENTIFIER: "subject:Patient.identifier",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One ImagingStudy as it was told, perhaps without its instances.

    ``is_whole``: every part of it could be read, its instances too. ``state`` tells one state of it from the next.
    """

    resource: Mapping[str, Any]
    is_whole: bool
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the server answered to all questions about one patient; ``others`` are Endpoints by full URL and by ``Type/id``.

    ``has_instances``: the instances that it told of are here too.
    """

    studies: tuple[Description, ...]
    others: Mapping[str, Mapping[str, Any]]
    complete: bool
    has_instances: bool


def searches(
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
        yield from ([(_BY_NUMBER[way], named), *common] for way in server.subjects if way in _BY_NUMBER)


def _escaped(value: str) -> str:
    """As FHIR search writes marks that would part values."""
    return "".join(f"\\{mark}" if mark in "\\,|$" else mark for mark in value)


def all_pages(asked: Sequence[Sequence[tuple[str, str]]], client: FhirClient, *, has_instances: bool) -> Told:
    """The answers to all of ``asked``, page by page, with the studies' instances or without."""
    studies: dict[str, Description] = {}
    others: dict[str, Mapping[str, Any]] = {}
    complete = True
    for params in asked:
        pages: list[SearchPage] = list(client.pages("ImagingStudy", params))
        complete = complete and pages[-1].next_url is None and not any(page.outcomes for page in pages)
        for page in pages:
            others |= page.full_urls
            others |= {f"{one.get('resourceType')}/{one.get('id')}": one for one in page.included}
            for one in page.matches:
                if one.get("resourceType") == "ImagingStudy":
                    described = _described(one, has_instances=has_instances)
                    studies[text(one.get("id")) or described.state] = described
    return Told(studies=tuple(studies.values()), others=others, complete=complete, has_instances=has_instances)


def _described(resource: Mapping[str, Any], *, has_instances: bool) -> Description:
    told = told_study(resource)
    state = hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()
    kept = resource if has_instances else _without_instances(resource)
    return Description(resource=kept, is_whole=told is not None and told[1], state=state)


def _without_instances(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    series = [{name: said for name, said in one.items() if name != "instance"} for one in dicts(resource.get("series"))]
    return {**resource, "series": series}
