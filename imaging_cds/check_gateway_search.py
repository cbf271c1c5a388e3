"""Whether ImagingStudy is searched and answered as the guide asks.

Spec: SMART Imaging Access F1-F3 (M11); FHIR R4 §3.1.1 (search), §2.36 (Bundle).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.endpoints import EndpointState
from fhir_imaging.study import patient_id_of, read_study_uid
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM
from imaging_cds.check_gateway_examination import INCLUDE, Entry, Examination, Page, page_of, uids_of
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, fault, judged, ok
from imaging_cds.check_gateway_subject import UNKNOWN_UID

LONG_AGO, NOT_YET = "gt1900-01-01T00:00:00Z", "gt2999-01-01T00:00:00Z"
_STATUSES = ("registered", "available", "cancelled", "entered-in-error", "unknown")
_MUST_SUPPORT = ("started", "numberOfSeries", "numberOfInstances", "series")


def _by_patient(exam: Examination) -> Outcome:
    exam.subject.its_patient()
    first = exam.pages[0]
    if not first.bundle:
        return fault(f"The search brought no Bundle: {first.reply.said}, {first.reply.content_type or 'no content type'}.")
    found, onward = uids_of(exam.pages), exam.pages[-1].next_url
    if onward is not None and not exam.probe.may_ask(onward):
        return fault("The list goes on at an origin that may not see the token, so its rest was not read.")
    if not found:
        raise NotTried("The patient has no study here that can be read; name one who has images.")
    return ok(f"{len(found)} studies on {len(exam.pages)} pages.")


def _last_updated(exam: Examination) -> Outcome:
    own = exam.uids
    since, later = (exam.pages_from(exam.search_own(("_lastUpdated", moment), INCLUDE)) for moment in (LONG_AGO, NOT_YET))
    problems = [f"_lastUpdated={LONG_AGO}: {since[0].reply.said}"] if not since[0].bundle else []
    problems += [f"_lastUpdated={NOT_YET}: {later[0].reply.said}"] if not later[0].bundle else []
    if not problems and uids_of(since) != own:
        problems.append(f"_lastUpdated={LONG_AGO} brings {len(uids_of(since))} studies of {len(own)}")
    if uids_of(later):
        problems.append(f"_lastUpdated={NOT_YET} brings {len(uids_of(later))} studies: it is ignored")
    return judged(problems, "Everything since 1900, nothing since 2999.")


def _identifier(exam: Examination) -> Outcome:
    one = sorted(exam.uids)[0]
    problems = []
    for form in (f"urn:oid:{one}", f"{DICOM_UID_SYSTEM}|urn:oid:{one}"):
        page = page_of(exam.search_own(("identifier", form)))
        if uids_of([page]) != {one}:
            problems.append(f"identifier={form}: {page.reply.said}, {len(uids_of([page]))} studies where 1 is asked for")
    unknown = page_of(exam.search_own(("identifier", f"urn:oid:{UNKNOWN_UID}")))
    if not unknown.bundle and not unknown.reply.is_refused:
        problems.append(f"a UID that nobody has: {unknown.reply.said}")
    if unknown.studies:
        problems.append(f"a UID that nobody has brings {len(unknown.studies)} studies: identifier is ignored")
    return judged(problems, "One study by its UID in both forms, none by a UID that nobody has.")


def _included(exam: Examination) -> Outcome:
    exam.listed()
    lost = [str(one.study.study_instance_uid) for one in exam.placed if one.place.state is EndpointState.UNRESOLVED]
    return judged([f"study {uid}: its Endpoint is not in the answer" for uid in lost], "Every reference is resolved.")


def _paging(exam: Examination) -> Outcome:
    own = exam.uids
    pages = exam.pages_from(exam.search_own(INCLUDE, ("_count", "1")))
    if len(own) < 2 or (len(pages) == 1 and uids_of(pages) == own):
        raise NotOffered("_count=1 brings everything on one page, or there is one study only.")
    lost = len(own - uids_of(pages))
    told = [f"{lost} of {len(own)} studies are on none of {len(pages)} pages"] if lost else []
    totals = {str(one.bundle.get("total")) for one in pages}
    told += [f"total differs between pages ({len(totals)} numbers)"] if len(totals) > 1 else []
    return judged(told, f"{len(pages)} pages with _count=1 hold all {len(own)} studies.")


def _reference_forms(exam: Examination) -> Outcome:
    own, patient = exam.uids, exam.subject.its_patient()
    stated = {_subject(one) for page in exam.pages for one in page.studies}
    absolute = [one for one in stated if "://" in one and patient_id_of(one) == patient]
    problems = []
    for form in (f"Patient/{patient}", *absolute[:1]):
        pages = exam.pages_from(exam.search(("patient", form), INCLUDE, token=exam.good))
        if uids_of(pages) != own:
            problems.append(f"patient={form}: {pages[0].reply.said}, {len(uids_of(pages))} studies of {len(own)}")
    return judged(problems, "References find the same studies as the bare id.")


def _by_post(exam: Examination) -> Outcome:
    own = exam.uids
    pages = exam.pages_from(exam.search_own(INCLUDE, method="POST"))
    if pages[0].reply.status in (404, 405, 501):
        raise NotOffered(f"POST ImagingStudy/_search: {pages[0].reply.said}.")
    same = uids_of(pages) == own
    return judged([] if same else [f"POST _search: {pages[0].reply.said}, other studies than GET"], "The same as by GET.")


def _subjects(exam: Examination) -> Outcome:
    patient = exam.subject.its_patient()
    stated = [(one, _subject(one)) for page in exam.listed() for one in page.studies]
    odd = [
        f"ImagingStudy/{text(one.get('id'))} is of {reference or 'nobody'}"
        for one, reference in stated
        if patient_id_of(reference) != patient
    ]
    return judged(odd, f"Every study is of Patient/{patient}.")


def _bundle(exam: Examination) -> Outcome:
    exam.listed()
    problems = [problem for page in exam.pages for problem in _bundle_problems(page)]
    return judged(problems, "type, total, self link, fullUrl and search.mode are there.")


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
    if not isinstance(bundle.get("total"), int):
        yield "total is missing"
    if not any(one.get("relation") == "self" and text(one.get("url")) for one in dicts(bundle.get("link"))):
        yield "the self link is missing"
    yield from (problem for entry in page.entries for problem in _entry_problems(entry))


def _entry_problems(entry: Entry) -> Iterator[str]:
    kind = text(entry.resource.get("resourceType"))
    expected = {"ImagingStudy": ("match",), "OperationOutcome": ("outcome",)}.get(kind or "", ("include", "match"))
    if entry.full_url is None:
        yield f"an entry ({kind}) has no fullUrl"
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
    if not _subject(study):
        yield f"{name} has no subject"
    yield from (f"{name} has no {one}" for one in ("modality", "endpoint") if not dicts(study.get(one)))
    for series in dicts(study.get("series")):
        yield from (f"{name}: a series has no {one}" for one in ("uid", "modality") if not series.get(one))


def _empty(value: object, place: str) -> Iterator[str]:
    """FHIR JSON has no empty objects, arrays or strings; Bundle.entry of a list without hits is left out too."""
    if isinstance(value, dict):
        for name, inside in value.items():
            where = f"{place}.{name}"
            yield from ([where] if inside in ({}, [], "") else _empty(inside, where))
    elif isinstance(value, list):
        for inside in value:
            yield from ([f"{place}[]"] if inside in ({}, [], "") else _empty(inside, place))


def _subject(study: Mapping[str, Any]) -> str:
    return text(as_dict(study.get("subject")).get("reference")) or ""


SEARCH_REQUIREMENTS = (
    Requirement(
        ids="F1",
        name="patient",
        asks="ImagingStudy?patient={id} brings the patient's studies.",
        remedy="The imaging server must answer this search with a Bundle for a token with patient/ImagingStudy.rs.",
        check=_by_patient,
    ),
    Requirement(
        ids="F1 M11",
        name="last-updated",
        asks="_lastUpdated narrows the list to what changed.",
        remedy="Compare _lastUpdated with meta.lastUpdated, and never ignore it: clients believe that they have all news.",
        check=_last_updated,
    ),
    Requirement(
        ids="F1 M11",
        name="identifier",
        asks="identifier finds one study by its Study Instance UID.",
        remedy="Match identifier with the UID, as urn:oid:… alone and with the system urn:dicom:uid.",
        check=_identifier,
    ),
    Requirement(
        ids="F1 C4",
        name="include",
        asks="_include=ImagingStudy:endpoint brings every Endpoint that a study names.",
        remedy="Put the Endpoint into the same Bundle page (or into the study as contained).",
        check=_included,
    ),
    Requirement(
        ids="F1 P5",
        name="paging",
        asks="Read page by page (_count=1, link next), the list is the same.",
        remedy="Follow every page's next link until none is left; keep the order between pages.",
        check=_paging,
    ),
    Requirement(
        ids="F1 M11",
        name="reference",
        asks="patient may be a reference too, relative or absolute into the clinical server.",
        remedy="Read the reference's logical id; refuse only other servers and other patients.",
        check=_reference_forms,
    ),
    Requirement(
        ids="F1",
        name="post",
        asks="POST ImagingStudy/_search answers as GET does.",
        remedy="Let both forms go the same way through the same checks.",
        check=_by_post,
    ),
    Requirement(
        ids="F2",
        name="subject",
        asks="patient is the FHIR logical id, and every study's subject is that Patient.",
        remedy="Map the logical id to the archive's PatientID on the server, and write the logical id back.",
        check=_subjects,
    ),
    Requirement(
        ids="F3 M11",
        name="bundle",
        asks="The Bundle is a searchset with total, self link, fullUrl and search.mode.",
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
        asks="Each ImagingStudy has one UID (urn:dicom:uid, urn:oid:…), status, subject, modality and endpoint.",
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
