"""Whether images are served by WADO-RS, whole, and without naming the archive behind.

Spec: SMART Imaging Access W1, W2, M3-M5, M15; DICOM PS3.18 §8.5, §8.6, §8.7, §10.4; smart-imaging.md §13 groups 17 and 19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from fhir_imaging.dicom_json import PIXEL_PROVIDER, RETRIEVE_URI, RETRIEVE_URL
from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_list, dicts
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_multipart import first_file_problems, multipart_problems
from imaging_cds.check_gateway_places import (
    ANY_DICOM,
    ANY_FRAMES,
    DICOM_JSON,
    PICTURE,
    SERIES,
    SOP,
    STUDY,
    Images,
    Kind,
    addresses_in,
    asked,
    kinds_of,
    value,
)
from imaging_cds.check_gateway_probe import IMAGE_LIMIT, Probe, Question, Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, fault, judged, ok
from imaging_cds.check_gateway_subject import UNKNOWN_UID

_ADDRESSES = (RETRIEVE_URL, RETRIEVE_URI, PIXEL_PROVIDER)
NOT_THERE = (404, 405, 406, 410, 415, 501)
REPEATS = 5
_LOCATION = re.compile(rb"^content-location[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


def _whole_study(exam: Examination) -> Outcome:
    images = exam.images
    reply = exam.ask(asked(images, Kind("study", images.study_path, ANY_DICOM), exam.good))
    if reply.status != 200:
        return fault(f"The study: {reply.said} where 200 is asked for")
    problems = multipart_problems(reply, "application/dicom")
    problems += [] if problems else first_file_problems(reply, images.study)
    return judged(problems, f"{len(reply.body)} bytes read of {'the whole' if reply.is_whole else 'a larger'} answer.")


def _metadata(exam: Examination) -> Outcome:
    kinds = [kind for kind in kinds_of(exam.images) if kind.name.startswith("metadata")]
    return _offered(exam, kinds, partial(_metadata_problems, exam.images))


def _metadata_problems(images: Images, reply: Reply) -> list[str]:
    if reply.content_type != DICOM_JSON:
        return ["is not application/dicom+json"]
    if reply.json() is None:
        return []  # that it arrives whole is another row's (M4)
    path, datasets = reply.question.url.partition(images.study_path)[2], dicts(reply.json())
    series = images.series if path.startswith("/series/") else None
    instance = images.instance if "/instances/" in path else None
    named = {(STUDY, images.study), (SERIES, series), (SOP, instance)}
    strange = [one for one in datasets if any(uid is not None and value(one, tag) != uid for tag, uid in named)]
    return [f"describes {len(strange)} instances that are not of it"] if strange else [] if datasets else ["describes nothing"]


def _finer(exam: Examination) -> Outcome:
    kinds = [kind for kind in kinds_of(exam.images) if kind.name in ("series", "instance")]
    return _offered(exam, kinds, lambda reply: multipart_problems(reply, "application/dicom"))


def _frames(exam: Examination) -> Outcome:
    if not exam.images.has_pixels:
        raise NotTried("No instance with pixels is known of the study.")
    kinds = [kind for kind in kinds_of(exam.images) if kind.name == "frames"]
    return _offered(exam, kinds, lambda reply: multipart_problems(reply, None))


def _rendered(exam: Examination) -> Outcome:
    if not exam.images.has_pixels:
        raise NotTried("No instance with pixels is known of the study.")
    kinds = [kind for kind in kinds_of(exam.images) if kind.name.startswith("rendered")]
    return _offered(exam, kinds, _picture_problems)


def _negotiated(exam: Examination) -> Outcome:
    images = exam.images
    odd = "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.9.9.9"
    told = {
        "an unknown media type": exam.ask(_accepting(images, images.study_path, "application/x-imaging-cds-check", exam.good)),
        "an unknown transfer syntax": exam.ask(_accepting(images, images.instance_path, odd, exam.good)),
    }
    bad = [f"{name}: {reply.said} where 406 is asked for" for name, reply in told.items() if reply.status not in (406, 400)]
    return judged(bad, ", ".join(f"{name}: {reply.said}" for name, reply in told.items()))


def _missing(exam: Examination) -> Outcome:
    images = exam.images
    paths = [f"{images.study_path}/series/{UNKNOWN_UID}/metadata"]
    if images.series and images.instance:
        paths += [
            f"{images.series_path}/instances/{UNKNOWN_UID}/metadata",
            f"{images.instance_path}/frames/999999",
            f"{images.instance_path}/frames/0",
        ]
    replies = [exam.ask(_accepting(images, path, "*/*", exam.good)) for path in paths]
    bad = [f"{_tail(images, reply)}: {reply.said}" for reply in replies if _hides_failure(reply)]
    return judged(bad, f"{len(replies)} things that are not there: {', '.join(sorted({one.said for one in replies}))}.")


def _intact(exam: Examination) -> Outcome:
    images = exam.images
    problems = []
    for encoding in ("identity", "gzip"):
        url = images.url(f"{images.study_path}/metadata")
        reply = exam.ask(Question(url=url, token=exam.good, accept=DICOM_JSON, headers={"Accept-Encoding": encoding}))
        if reply.status in NOT_THERE:
            raise NotOffered(f"Metadata of a study: {reply.said}.")
        if not isinstance(reply.json(), list):
            problems.append(
                f"with Accept-Encoding: {encoding} {'' if reply.is_whole else 'it is cut short and '}is no JSON array"
            )
    return judged(problems, "The same JSON array, packed or not.")


def _addresses(exam: Examination) -> Outcome:
    images = exam.images
    replies = [
        exam.ask(asked(images, kind, exam.good))
        for kind in kinds_of(images)
        if kind.name in ("metadata of study", "series list", "instance list", "study", "frames")
    ]
    named = [address for reply in replies if reply.is_served for address in _named(reply)]
    strange = sorted({stranger for one in named if (stranger := _stranger(exam.probe, one))})
    return judged([f"answers name {one}" for one in strange], f"{len(named)} addresses, none of another server.")


def _cost(exam: Examination) -> Outcome:
    images = exam.images
    kind = Kind("metadata of instance", f"{images.instance_path}/metadata", DICOM_JSON)
    replies = [exam.ask(asked(images, kind, exam.good)) for _ in range(REPEATS + 1)]
    if not all(reply.is_served for reply in replies):
        raise NotTried(f"Metadata of an instance: {replies[0].said}.")
    first, again = replies[0].elapsed_ms, median(reply.elapsed_ms for reply in replies[1:])
    words = (
        f"First {first:.0f} ms, then {again:.0f} ms at the median of {REPEATS}; the budget is {exam.subject.budget_ms:.0f} ms."
    )
    return ok(words) if again <= exam.subject.budget_ms else fault(words)


def _offered(exam: Examination, kinds: list[Kind], problems_of: Callable[[Reply], list[str]]) -> Outcome:
    """Each kind served rightly, or not offered; all else is a fault."""
    if not kinds:
        raise NotTried("No series or instance of the study is known.")
    told = [(kind, exam.ask(asked(exam.images, kind, exam.good))) for kind in kinds]
    problems = [f"{kind.name} {words}" for kind, reply in told if reply.status == 200 for words in problems_of(reply)]
    problems += [f"{kind.name}: {one.said}" for kind, one in told if one.status != 200 and one.status not in NOT_THERE]
    served = [kind.name for kind, reply in told if reply.status == 200]
    left = [f"{kind.name} ({reply.said})" for kind, reply in told if reply.status in NOT_THERE]
    if not problems and not served:
        raise NotOffered(f"{', '.join(left)}.")
    return judged(problems, f"Served: {', '.join(served)}." + (f" Not offered: {', '.join(left)}." if left else ""))


def _picture_problems(reply: Reply) -> list[str]:
    is_picture = reply.content_type.startswith(("image/", "video/")) or reply.content_type == "multipart/related"
    return [] if is_picture and reply.body else [f"is {reply.content_type or 'of no type'}, no picture"]


def _hides_failure(reply: Reply) -> bool:
    if reply.status == 200 and reply.content_type == DICOM_JSON:
        return as_list(reply.json()) != [] or reply.json() is None
    return not (reply.is_refused or reply.status == 204 or (reply.status == 200 and reply.json() == []))


def _named(reply: Reply) -> Iterator[str]:
    """Every address in an answer: DICOM JSON at any depth, part headers, the answer's own headers."""
    yield from (reply.headers[name] for name in ("content-location", "location") if name in reply.headers)
    if reply.content_type == "multipart/related":
        yield from (found.decode("latin-1") for found in _LOCATION.findall(reply.content))
    elif reply.content_type.endswith("json"):
        yield from addresses_in(reply.json(), _ADDRESSES)


def _stranger(probe: Probe, address: str) -> str | None:
    """The origin of an address where it is not one of the server's; relative addresses are its own."""
    if address.startswith("//"):
        return address.split("/")[2]
    if "://" not in address or probe.may_ask(address):
        return None
    try:
        return origin_of(address)
    except ValueError:
        return f"an address of the kind {address.partition(':')[0]}:"


def _accepting(images: Images, path: str, accept: str, token: str) -> Question:
    return Question(url=images.url(path), token=token, accept=accept, limit=IMAGE_LIMIT)


def _tail(images: Images, reply: Reply) -> str:
    return reply.question.url.partition(images.study_path)[2].partition("?")[0]


IMAGE_REQUIREMENTS = (
    Requirement(
        ids="W1",
        name="study",
        asks=f"GET studies/{{uid}} with Accept: {ANY_DICOM} is 200 multipart/related of DICOM files.",
        remedy="Serve the whole study; this form is the one that every client may rely on.",
        check=_whole_study,
    ),
    Requirement(
        ids="W2",
        name="metadata",
        asks="Metadata of study, series and instance is application/dicom+json.",
        remedy="Viewers read metadata first; answer 404, 406 or 501 only where it is not offered.",
        check=_metadata,
    ),
    Requirement(
        ids="W2",
        name="levels",
        asks="A series and an instance are served as the study is.",
        remedy="Offer the finer levels, or answer 404, 406 or 501.",
        check=_finer,
    ),
    Requirement(
        ids="W2",
        name="frames",
        asks=f"frames/1 is served for Accept: {ANY_FRAMES}.",
        remedy="Offer frames, or answer 404, 406 or 501.",
        check=_frames,
    ),
    Requirement(
        ids="W2",
        name="rendered",
        asks=f"Rendered study, series and instance are pictures ({PICTURE}).",
        remedy="Offer rendering, or answer 404, 406 or 501.",
        check=_rendered,
    ),
    Requirement(
        ids="W2",
        name="negotiation",
        asks="What cannot be given in an acceptable form is 406 (400), not 500 and not another form.",
        remedy="Negotiate before asking the archive; turn its complaint about a transfer syntax into 406.",
        check=_negotiated,
    ),
    Requirement(
        ids="M3",
        name="missing",
        asks="What is not there is said so: no 200 with an error text.",
        remedy="Carry the archive's status upward; never answer 200 with its error page.",
        check=_missing,
        proof=Examination.prove_images,
    ),
    Requirement(
        ids="M4",
        name="intact",
        asks="Metadata arrives whole, whether gzip is accepted or not.",
        remedy="Drop the archive's Content-Length whenever the body was unpacked.",
        check=_intact,
    ),
    Requirement(
        ids="M5",
        name="addresses",
        asks="BulkDataURI, RetrieveURL and Content-Location name this server and no other, and so do RetrieveURI and JPIP.",
        remedy="Rewrite or drop every address at any depth and in part headers.",
        check=_addresses,
        proof=Examination.prove_images,
    ),
    Requirement(
        ids="M15",
        name="cost",
        asks="A repeated small image request is fast enough for frames.",
        remedy="Decide once for a token and a study and remember that briefly; do not ask three servers for each frame.",
        check=_cost,
    ),
)
