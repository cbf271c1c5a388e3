"""Whether ImagingStudy is searched and answered as the guide asks.

Spec: SMART Imaging Access F1, F2 (M11); FHIR R4 §3.1.1 (search, paging, prefixes of dates).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

from fhir_imaging.study import patient_id_of, read_study_uid
from fhir_imaging.tolerant import as_dict, text
from fhir_imaging.uids import DICOM_UID_SYSTEM
from imaging_cds.check_gateway_examination import INCLUDE, Examination, Page, page_of, subject_of, uids_of
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, fault, judged, ok
from imaging_cds.check_gateway_subject import UNKNOWN_UID

LONG_AGO, NOT_YET = "gt1900-01-01T00:00:00Z", "gt2999-01-01T00:00:00Z"
_SECOND = timedelta(seconds=1)
_WEST, _EAST = timezone(timedelta(hours=-11)), timezone(timedelta(hours=13))
"""Whoever compares times as texts takes what is written there for earlier, or later, than it is."""


def _by_patient(exam: Examination) -> Outcome:
    exam.subject.its_patient()
    first = exam.pages[0]
    if not first.bundle:
        return fault(f"The search brought no Bundle: {first.reply.said}, {first.reply.content_type or 'no content type'}.")
    found, onward = uids_of(exam.pages), exam.pages[-1].next_url
    if onward is not None and not exam.probe.may_ask(onward):
        return fault("The list goes on at an origin that may not see the token, so its rest was not read.")
    again = _on_several(exam.pages)
    if again:
        return fault(f"{again} studies are on more than one page of {len(exam.pages)}: the list goes round.")
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
    moments = _moments(exam.pages)
    if not problems and moments:
        problems += [*_since_just_before(exam, moments), *_since_just_after(exam, moments)]
    told = "; by meta.lastUpdated too, in other time zones" if moments else ", which meta.lastUpdated does not tell nearer"
    return judged(problems, f"Everything since 1900, nothing since 2999{told}.")


def _since_just_before(exam: Examination, moments: Mapping[str, datetime]) -> Iterator[str]:
    asked = f"gt{(min(moments.values()) - _SECOND).astimezone(_EAST).isoformat(timespec='seconds')}"
    pages = exam.pages_from(exam.search_own(("_lastUpdated", asked), INCLUDE))
    lost = set(moments) - uids_of(pages)
    if lost:
        yield f"_lastUpdated={asked} lacks {len(lost)} studies that changed after it ({pages[0].reply.said})"


def _since_just_after(exam: Examination, moments: Mapping[str, datetime]) -> Iterator[str]:
    since = max(moments.values()) + _SECOND
    asked = f"gt{since.astimezone(_WEST).isoformat(timespec='seconds')}"
    pages = exam.pages_from(exam.search_own(("_lastUpdated", asked), INCLUDE))
    old = [one for one in _moments(pages).values() if one <= since - _SECOND]
    if old or not pages[0].bundle:
        yield f"_lastUpdated={asked} brings {len(old)} studies that changed before it ({pages[0].reply.said})"


def _moments(pages: Sequence[Page]) -> dict[str, datetime]:
    """When each study changed last, by its own word, where that is a moment."""
    found = {}
    for study in (one for page in pages for one in page.studies):
        uid = read_study_uid(study)
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(text(as_dict(study.get("meta")).get("lastUpdated")) or "")
            if isinstance(uid, str) and moment.tzinfo is not None:
                found[str(uid)] = moment.astimezone(UTC)
    return found


def _identifier(exam: Examination) -> Outcome:
    one = sorted(exam.uids)[0]
    problems = []
    for form in (f"urn:oid:{one}", f"{DICOM_UID_SYSTEM}|urn:oid:{one}"):
        page = page_of(exam.search_own(("identifier", form)))
        if uids_of([page]) != {one}:
            problems.append(f"identifier={form}: {page.reply.said}, {len(uids_of([page]))} studies where 1 is asked for")
    part = one[:-1].rstrip(".")
    if one in uids_of([page_of(exam.search_own(("identifier", f"urn:oid:{part}")))]):
        problems.append("a part of the UID brings the study: identifier is not compared whole")
    unknown = page_of(exam.search_own(("identifier", f"urn:oid:{UNKNOWN_UID}")))
    if not unknown.bundle and not unknown.reply.is_refused:
        problems.append(f"a UID that nobody has: {unknown.reply.said}")
    if unknown.studies:
        problems.append(f"a UID that nobody has brings {len(unknown.studies)} studies: identifier is ignored")
    return judged(problems, "One study by its UID in both forms, none by a UID that nobody has.")


def _included(exam: Examination) -> Outcome:
    exam.listed()
    lost = [(str(one.study.study_instance_uid), len(one.lost)) for one in exam.placed if one.lost]
    return judged([f"study {uid}: {n} of its Endpoints not in the answer" for uid, n in lost], "Every reference is resolved.")


def _paging(exam: Examination) -> Outcome:
    own = exam.uids
    pages = exam.pages_from(exam.search_own(INCLUDE, ("_count", "1")))
    if len(own) < 2 or (len(pages) == 1 and uids_of(pages) == own):
        raise NotOffered("_count=1 brings everything on one page, or there is one study only.")
    lost = len(own - uids_of(pages))
    told = [f"{lost} of {len(own)} studies are on none of {len(pages)} pages"] if lost else []
    told += [f"{again} studies are on more than one of {len(pages)} pages"] if (again := _on_several(pages)) else []
    totals = {str(one.bundle.get("total")) for one in pages}
    told += [f"total differs between pages ({len(totals)} numbers)"] if len(totals) > 1 else []
    return judged(told, f"{len(pages)} pages with _count=1 hold all {len(own)} studies.")


def _on_several(pages: Sequence[Page]) -> int:
    """How many studies are on more than one page."""
    times = Counter(uid for page in pages for uid in uids_of([page]))
    return sum(one > 1 for one in times.values())


def _reference_forms(exam: Examination) -> Outcome:
    own, patient = exam.uids, exam.subject.its_patient()
    stated = {subject_of(one) for page in exam.pages for one in page.studies}
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
    stated = [(one, subject_of(one)) for page in exam.listed() for one in page.studies]
    odd = [
        f"ImagingStudy/{text(one.get('id'))} is of {reference or 'nobody'}"
        for one, reference in stated
        if patient_id_of(reference) != patient
    ]
    return judged(odd, f"Every study is of Patient/{patient}.")


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
)
