"""Whether what a search brings is a whole and valid searchset of SmartImagingStudy.

Spec: SMART Imaging Access F3 (M11); FHIR R4 §2.36 (Bundle), ImagingStudy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.study import read_study_uid
from fhir_imaging.tolerant import as_dict, count, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, is_uid
from imaging_cds.check_gateway_examination import Entry, Examination, Page, subject_of
from imaging_cds.check_gateway_report import Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged

_STATUSES = ("registered", "available", "cancelled", "entered-in-error", "unknown")
_MUST_SUPPORT = ("started", "numberOfSeries", "numberOfInstances", "series")
_SOP_CLASSES = "urn:ietf:rfc:3986"


def _bundle(exam: Examination) -> Outcome:
    exam.listed()
    problems = [problem for page in exam.pages for problem in _bundle_problems(page)]
    return judged([*problems, *_total_problems(exam.pages)], "type, total, self link, fullUrl and search.mode are there.")


def _media_type(exam: Examination) -> Outcome:
    exam.listed()
    stated = exam.first.content_type
    return judged([] if stated == "application/fhir+json" else [f"Content-Type: {stated or 'none'}"], stated)


def _studies(exam: Examination) -> Outcome:
    problems = [problem for page in exam.listed() for one in page.studies for problem in _study_problems(one)]
    lacking = {name for page in exam.pages for one in page.studies for name in _MUST_SUPPORT if name not in one}
    left = f" Must-support elements that some study lacks: {', '.join(sorted(lacking))}." if lacking else ""
    return judged(problems, f"UID, status, subject, modality and endpoint are there.{left}")


def _empty_elements(exam: Examination) -> Outcome:
    exam.listed()
    empty = [place for page in exam.pages for place in _empty(page.bundle, "Bundle")]
    return judged([f"{place} is empty" for place in empty], "No element is empty.")


def _bundle_problems(page: Page) -> Iterator[str]:
    bundle = page.bundle
    if bundle.get("type") != "searchset":
        yield "type is not searchset"
    if count(bundle.get("total")) is None:
        yield "total is missing"
    if not any(one.get("relation") == "self" and text(one.get("url")) for one in dicts(bundle.get("link"))):
        yield "the self link is missing"
    yield from (problem for entry in page.entries for problem in _entry_problems(entry))
    if any(times > 1 for url, times in Counter(one.full_url for one in page.entries).items() if url is not None):
        yield "two entries have one fullUrl"


def _total_problems(pages: Sequence[Page]) -> Iterator[str]:
    """``total`` counts matches: neither what is included nor what the caller may not see."""
    matches = sum(len(page.studies) for page in pages)
    totals = {total for page in pages if (total := count(page.bundle.get("total"))) is not None}
    if pages[-1].next_url is None and totals - {matches}:
        yield f"total is {', '.join(map(str, sorted(totals)))} where {matches} studies are listed"


def _entry_problems(entry: Entry) -> Iterator[str]:
    kind = text(entry.resource.get("resourceType"))
    expected = {"ImagingStudy": ("match",), "OperationOutcome": ("outcome",)}.get(kind or "", ("include", "match"))
    if entry.full_url is None:
        if kind != "OperationOutcome":  # words about the search, which nothing refers to
            yield f"an entry ({kind}) has no fullUrl"
    elif not entry.full_url.startswith(("http://", "https://", "urn:")):
        yield f"the fullUrl of an entry ({kind}) is not absolute"
    if entry.mode not in expected:
        yield f"search.mode of an entry ({kind}) is {entry.mode or 'missing'}"


def _study_problems(study: Mapping[str, Any]) -> Iterator[str]:
    name = f"ImagingStudy/{text(study.get('id')) or '?'}"
    uids = [one for one in dicts(study.get("identifier")) if one.get("system") == DICOM_UID_SYSTEM]
    if len(uids) != 1 or not isinstance(read_study_uid(study), str):
        yield f"{name} has {len(uids)} identifiers of {DICOM_UID_SYSTEM} where one UID is asked for"
    elif not str(uids[0].get("value")).startswith("urn:oid:"):
        yield f"{name}: the UID is not written as urn:oid:"
    if study.get("status") not in _STATUSES:
        yield f"{name}: status is {'unknown to R4' if study.get('status') else 'missing'}"
    if not subject_of(study):
        yield f"{name} has no subject"
    yield from (f"{name} has no {one}" for one in ("modality", "endpoint") if not dicts(study.get(one)))
    if any(text(one.get("code")) is None for one in dicts(study.get("modality"))):
        yield f"{name}: a modality is no Coding with a code"
    yield from (f"{name}: {problem}" for one in dicts(study.get("series")) for problem in _series_problems(one))


def _series_problems(series: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"a series has no {one}" for one in ("uid", "modality") if not series.get(one))
    if series.get("uid") and not is_uid(text(series.get("uid")) or ""):
        yield "the uid of a series is no bare UID"
    for one in dicts(series.get("instance")):
        kind = as_dict(one.get("sopClass"))
        if not is_uid(text(one.get("uid")) or ""):
            yield "an instance has no bare UID"
        if kind.get("system") != _SOP_CLASSES or not (text(kind.get("code")) or "").startswith("urn:oid:"):
            yield f"the sopClass of an instance is no urn:oid: of {_SOP_CLASSES}"


def _empty(value: object, place: str) -> Iterator[str]:
    """FHIR JSON has no empty objects, arrays or strings; Bundle.entry of a list without hits is left out too."""
    if isinstance(value, dict):
        for name, inside in value.items():
            where = f"{place}.{name}"
            yield from ([where] if inside in ({}, [], "") else _empty(inside, where))
    elif isinstance(value, list):
        for inside in value:
            yield from ([f"{place}[]"] if inside in ({}, [], "") else _empty(inside, place))


BUNDLE_REQUIREMENTS = (
    Requirement(
        ids="F3 M11",
        name="bundle",
        asks="The Bundle is a searchset with total (of matches), self link, unique fullUrl and search.mode.",
        remedy="Complete the Bundle; clients resolve references by fullUrl (C4).",
        check=_bundle,
    ),
    Requirement(
        ids="F3 M11",
        name="media-type",
        asks="The answer is application/fhir+json.",
        remedy="Send Content-Type: application/fhir+json.",
        check=_media_type,
    ),
    Requirement(
        ids="F3",
        name="study",
        asks="Each ImagingStudy has one UID (urn:dicom:uid, urn:oid:…), status, subject, modality, endpoint, and sopClasses.",
        remedy="Complete the resource; without UID or Endpoint no image is found.",
        check=_studies,
    ),
    Requirement(
        ids="F3 M11",
        name="empty",
        asks="The resources are valid JSON of FHIR: nothing in them is empty.",
        remedy="Leave out elements that have no value.",
        check=_empty_elements,
    ),
)
