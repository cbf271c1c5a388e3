"""Whether odd addresses, searches and the old WADO-URI lead round the check of whose study it is.

Spec: SMART Imaging Access M1, M2, P5; DICOM PS3.18 §9 (WADO-URI), §10.6 (QIDO-RS); smart-imaging.md §13 groups 12-14.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from fhir_imaging.tolerant import dicts
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_images import NOT_THERE
from imaging_cds.check_gateway_places import DICOM_JSON, Images, studies_in
from imaging_cds.check_gateway_probe import IMAGE_LIMIT, Question, Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged, refused
from imaging_cds.check_gateway_subject import UNKNOWN_TOKEN

UPWARDS = (
    "/../",
    "/..%2f",
    "/%2e%2e/",
    "/.%2e/",
    "/%2e%2e%2f",
    "/%252e%252e/",
    "/%252e%252e%252f",
    "/..%252f",
    "/..;/",
    "/..%5c",
    "%2f..%2f",
    "//../",
    "/metadata/../../",
    "/metadata/..%2f..%2f",
)
LISTS = (",", "%2c", "%5c", "%0a", "%20")
"""What stands between two UIDs where an archive reads a list."""
_ODD = ("//studies", "/./studies", "/STUDIES", "/%73tudies", "/;a/studies", "/a/../studies", "/a/..%2fstudies")
_ODD_ENDS = (
    "/metadata/",
    "//metadata",
    "/./metadata",
    "/metadata;a",
    "/metadata%20",
    "/metadata%00",
    "/%6detadata",
    "/metadata.json",
)
"""What a guard that compares paths, and the server behind it, may read in two ways."""
_CLIMBS = ("../", "..%2f", "%2e%2e%2f")
_NATIVE = ("system", "patients")
_DEPTHS = (2, 3, 4, 5)


def _traversal(exam: Examination) -> Outcome:
    other, images = exam.subject.foreign_study(), exam.images
    paths = [f"{images.study_path}{upwards}{other}/metadata" for upwards in UPWARDS]
    paths += [f"{images.study_path}{between}{other}/metadata" for between in LISTS]
    told = [(path.removeprefix(images.study_path), _asked(exam, images, path).end) for path in paths]
    led = [f"…{path}: {reply.said} with another study" for path, reply in told if _shows_other(reply, images.study)]
    return judged(led, f"{len(told)} odd addresses: {_statuses(reply for _, reply in told)}.")


def _without_token(exam: Examination) -> Outcome:
    images = exam.images
    plain = images.url(f"{images.study_path}/metadata")
    if not exam.ask(Question(url=plain, accept=DICOM_JSON)).end.is_refused:
        raise NotTried("The plain address is not refused without a token, so that an odd one shows nothing more.")
    paths = [f"{odd}/{images.study}/metadata" for odd in _ODD] + [f"{images.study_path}{odd}" for odd in _ODD_ENDS]
    told = [(path, _asked(exam, images, path, None).end) for path in paths]
    opened = [f"{path}: {reply.said} with images" for path, reply in told if _shows_other(reply, "")]
    return judged(opened, f"{len(told)} odd addresses without a token: {_statuses(reply for _, reply in told)}.")


def _native_interface(exam: Examination) -> Outcome:
    images = exam.images
    paths = [f"{images.study_path}/{climb * depth}{name}" for climb in _CLIMBS for depth in _DEPTHS for name in _NATIVE]
    told = [(path.removeprefix(images.study_path), _asked(exam, images, path).end) for path in paths]
    led = [f"…{path}: {reply.said} with JSON" for path, reply in told if reply.is_served and reply.json() is not None]
    return judged(led, f"{len(told)} ways up: {_statuses(reply for _, reply in told)}.")


def _list(exam: Examination) -> Outcome:
    own, reply = exam.uids, _qido(exam, "/studies", {})
    if reply.status in NOT_THERE:
        raise NotOffered(f"QIDO-RS /studies: {reply.said}.")
    foreign = studies_in(reply.json()) - own
    problems = [f"/studies lists {len(foreign)} studies that the patient's FHIR list does not have"] if foreign else []
    problems += [] if reply.is_served else [f"/studies: {reply.said}"]
    return judged(problems, f"{len(studies_in(reply.json()))} studies, all of the patient's {len(own)}.")


def _evasion(exam: Examination) -> Outcome:
    own = exam.uids
    if _qido(exam, "/studies", {}).status in NOT_THERE:
        raise NotOffered("No QIDO-RS.")
    study = exam.images.study
    asked: list[tuple[str, list[tuple[str, str]]]] = [
        ("/studies", [("PatientID", "*")]),
        ("/studies", [("patientid", "*")]),
        ("/studies", [("00100020", "*"), ("PatientID", "*")]),
        ("/studies", [("PatientName", "*"), ("fuzzymatching", "true")]),
        ("/studies", [("limit", "1000"), ("offset", "0"), ("includefield", "all")]),
        ("/series", []),
        ("/instances", [("limit", "1000")]),
    ]
    if exam.subject.other_study is not None:
        other = exam.subject.other_study
        asked += [(path, [("StudyInstanceUID", other)]) for path in ("/studies", "/series", "/instances")]
        asked += [("/studies", [("StudyInstanceUID", f"{study},{other}")]), ("/studies", [("0020000D", other)])]
    told = [(f"{path}?{urlencode(query)}", _qido(exam, path, query).end) for path, query in asked]
    led = [f"{name}: studies of others" for name, reply in told if studies_in(reply.json()) - own and reply.is_served]
    return judged(led, f"{len(told)} searches: {_statuses(reply for _, reply in told)}; none of them shows another's study.")


def _qido_guarded(exam: Examination) -> Outcome:
    if _qido(exam, "/studies", {}).status in NOT_THERE:
        raise NotOffered("No QIDO-RS.")
    tokens = (("no token", None), ("a made-up token", UNKNOWN_TOKEN))
    return refused(
        (f"{path} with {words}", _asked(exam, exam.images, path, token))
        for path in ("/studies", f"{exam.images.study_path}/series")
        for words, token in tokens
    )


def _wado_uri(exam: Examination) -> Outcome:
    images = exam.images
    own = {"studyUID": images.study, "seriesUID": images.series or "", "objectUID": images.instance or ""}
    root = next((one for one in _wado_roots(images) if _old_form(exam, one, own, exam.good).is_served), None)
    if root is None:
        raise NotOffered("No WADO-URI at or beside the address of the images.")
    foreign = exam.subject.other_study or ""
    told = [
        ("an object without its study", _old_form(exam, root, {"objectUID": own["objectUID"]}, exam.good)),
        ("without token", _old_form(exam, root, own, None)),
        ("a made-up token", _old_form(exam, root, own, UNKNOWN_TOKEN)),
    ]
    if foreign:
        told.append(("another's study", _old_form(exam, root, {**own, "studyUID": foreign}, exam.good)))
    return refused(told)


def _wado_roots(images: Images) -> list[str]:
    base = images.address.partition("?")[0].rstrip("/")
    return [f"{base}/wado", f"{base.rpartition('/')[0]}/wado", base]


def _old_form(exam: Examination, root: str, uids: dict[str, str], token: str | None) -> Reply:
    query = urlencode({"requestType": "WADO", **uids, "contentType": "application/dicom"})
    return exam.ask(Question(url=f"{root}?{query}", token=token, limit=IMAGE_LIMIT))


def _qido(exam: Examination, path: str, query: dict[str, str] | list[tuple[str, str]]) -> Reply:
    images = exam.images
    url, pairs = images.url(path), urlencode(query)
    mark = "&" if "?" in url else "?"
    return exam.ask(Question(url=f"{url}{mark}{pairs}" if pairs else url, token=exam.good, accept=DICOM_JSON))


def _asked(exam: Examination, images: Images, path: str, token: str | None = "") -> Reply:
    """A GET; with the good token unless another one, or none, is given."""
    sent = exam.good if token == "" else token
    return exam.ask(Question(url=images.url(path), token=sent, accept=DICOM_JSON))


def _shows_other(reply: Reply, study: str) -> bool:
    if not reply.is_served:
        return False
    told = reply.json()
    if dicts(told) or told == []:
        # The own study alone, or nothing: the odd piece was not understood as a way anywhere.
        return bool(studies_in(told) - {study})
    # A page for people at every unknown address is no way to images; what may be images counts as them.
    return reply.content_type.startswith(("application/dicom", "multipart/", "image/", "application/octet-stream"))


def _statuses(replies: Iterable[Reply]) -> str:
    return ", ".join(sorted({reply.said for reply in replies}))


PATH_REQUIREMENTS = (
    Requirement(
        ids="M1",
        name="traversal",
        asks="No way of writing ../ or a list of UIDs leads from the own study to another patient's.",
        remedy="Take strict UIDs only and build the archive's address anew from them; never hand a path on.",
        check=_traversal,
    ),
    Requirement(
        ids="W3 M1",
        name="odd-paths",
        asks="No odd way of writing an address (doubled slashes, capitals, dots, ends) opens images without a token.",
        remedy="Let what serves the images check the token too; a guard in front reads odd paths in other ways than it.",
        check=_without_token,
    ),
    Requirement(
        ids="M2",
        name="native",
        asks="No way of writing ../ reaches the archive's own interface.",
        remedy="Build the archive's address anew from checked pieces; close its other interfaces to the gateway.",
        check=_native_interface,
    ),
    Requirement(
        ids="P5",
        name="list",
        asks="QIDO-RS /studies lists the patient's studies only.",
        remedy="Force the patient into the query and filter the answer again by ownership.",
        check=_list,
    ),
    Requirement(
        ids="P5",
        name="evasion",
        asks="No wildcard, repeated, misspelt or missing filter brings another's study out of QIDO-RS.",
        remedy="Refuse unknown and repeated parameters; archives ignore what they do not know.",
        check=_evasion,
    ),
    Requirement(
        ids="P5 W3",
        name="guard",
        asks="QIDO-RS without token, or with a made-up one, is refused.",
        remedy="Guard searches as retrievals are.",
        check=_qido_guarded,
    ),
    Requirement(
        ids="P5",
        name="wado-uri",
        asks="WADO-URI, where it is offered, needs the token, all three UIDs, and the own study.",
        remedy="Demand studyUID, seriesUID and objectUID, and check all three as WADO-RS does.",
        check=_wado_uri,
    ),
)
