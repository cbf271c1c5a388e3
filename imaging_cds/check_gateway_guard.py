"""Whether every request for images is guarded as the search is: each kind, each time, for each fault of a token.

Spec: SMART Imaging Access W3-W6, M8, M9, P4 (group 15); smart-imaging.md §13 groups 1, 9, 10 and 16.
"""

from __future__ import annotations

from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_multipart import parts_of
from imaging_cds.check_gateway_places import ANY_DICOM, DICOM_JSON, Images, Kind, asked, kinds_of
from imaging_cds.check_gateway_probe import Question, Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged, refused
from imaging_cds.check_gateway_subject import SECOND_UNKNOWN_UID, UNKNOWN_TOKEN, UNKNOWN_UID, TokenKind, forgeries

_IMAGES = ("multipart/related", "image/", "video/", "application/dicom", "application/octet-stream")
METHOD_OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


def _everything(exam: Examination, images: Images, token: str | None) -> list[tuple[str, Reply]]:
    return [(kind.name, exam.ask(asked(images, kind, token))) for kind in kinds_of(images)]


def _without_token(exam: Examination) -> Outcome:
    images = exam.images
    # Asked with the token right before: a cache that forgets whose answer it keeps would hand it out now.
    exam.ask(asked(images, Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON), exam.good))
    heads = [(f"HEAD {kind.name}", exam.ask(asked(images, kind, None, method="HEAD"))) for kind in kinds_of(images)[:2]]
    return refused([*_everything(exam, images, None), *heads])


def _unknown_token(exam: Examination) -> Outcome:
    return refused(_everything(exam, exam.images, UNKNOWN_TOKEN))


def _forged(exam: Examination) -> Outcome:
    images = exam.images
    return refused(
        (f"{kind.name} by a token {name}", exam.ask(asked(images, kind, token)))
        for name, token in forgeries(exam.good).items()
        for kind in kinds_of(images)[:2]
    )


def _lent(kind: TokenKind) -> Requirement:
    ids, name, asks, remedy = _LENT[kind]

    def check(exam: Examination) -> Outcome:
        token = exam.subject.token(kind)
        return refused(_everything(exam, exam.images, token))

    return Requirement(ids=ids, name=name, asks=asks, remedy=remedy, check=check)


def _other_study(exam: Examination) -> Outcome:
    study = exam.subject.foreign_study()
    images = exam.images
    of_other = Images(address=images.address, study=study, series=images.series, instance=images.instance)
    heads = [("HEAD study", exam.ask(asked(of_other, kinds_of(of_other)[0], exam.good, method="HEAD")))]
    return refused([*_everything(exam, of_other, exam.good), *heads])


def _unknown_study(exam: Examination) -> Outcome:
    nowhere = Images(address=exam.images.address, study=UNKNOWN_UID)
    return _empty_at_most(_everything(exam, nowhere, exam.good))


def _hierarchy(exam: Examination) -> Outcome:
    images = exam.images
    inside = images.instance_path.removeprefix(images.study_path)
    astray = f"{images.study_path}/series/{UNKNOWN_UID}/instances/{images.instance}"
    wrong = {
        "own instance below a study that is not there": f"/studies/{UNKNOWN_UID}{inside}",
        "own instance below a series that is not there": astray,
    }
    if exam.subject.other_study is not None:
        wrong["own instance below the other patient's study"] = f"/studies/{exam.subject.other_study}{inside}"
    return _empty_at_most(
        [
            (f"{words} ({tail or 'file'})", exam.ask(asked(images, Kind(words, f"{path}{tail}", accept), exam.good)))
            for words, path in wrong.items()
            for tail, accept in (("/metadata", DICOM_JSON), ("", ANY_DICOM))
        ]
    )


def _methods(exam: Examination) -> Outcome:
    images = exam.images
    nowhere, stored = images.url(f"/studies/{UNKNOWN_UID}"), images.url("/studies")
    form = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=empty'}
    questions = [
        Question(url=stored, method="POST", token=exam.good, headers=form, body=b"--empty--\r\n"),
        *(Question(url=nowhere, method=method, token=exam.good, body=b"") for method in ("PUT", "PATCH", "DELETE")),
        *(
            Question(url=nowhere, method="POST", token=exam.good, headers={name: "DELETE"}, body=b"")
            for name in METHOD_OVERRIDES
        ),
    ]
    replies = [(question.method, exam.ask(question)) for question in questions]
    passed = [
        f"{name}: {reply.said}" for name, reply in replies if reply.status not in (400, 401, 403, 404, 405, 415, 429, 501)
    ]
    return judged(passed, ", ".join(f"{name}: {reply.said}" for name, reply in replies))


def _same_answer(exam: Examination) -> Outcome:
    exam.subject.foreign_study()
    images = exam.images
    studies = {"another's": str(exam.subject.other_study), "an unknown": UNKNOWN_UID, "a second unknown": SECOND_UNKNOWN_UID}
    replies = {
        name: exam.ask(asked(images, Kind("metadata", f"/studies/{study}/metadata", DICOM_JSON), exam.good))
        for name, study in studies.items()
    }
    told = {name: f"{reply.said} {reply.content_type}".strip() for name, reply in replies.items()}
    words = ", ".join(f"{name} study: {said}" for name, said in told.items())
    if len(set(told.values())) > 1:
        return judged([words], words)
    other, one, second = (reply.content.replace(studies[name].encode(), b"") for name, reply in replies.items())
    # What two unknown studies do not have in common, such as a number of the request, tells nothing.
    is_told = one == second != other
    return judged(["the text of the refusal tells another's study from an unknown one"] if is_told else [], words)


def _restricted(exam: Examination) -> Outcome:
    study = exam.subject.restricted_study
    if study is None:
        raise NotOffered("No study is named that is restricted in part (--restricted-study).")
    there = Images(address=exam.images.address, study=study)
    whole = [kind for kind in kinds_of(there) if not kind.name.endswith("list")]
    return refused([(f"whole: {kind.name}", exam.ask(asked(there, kind, exam.good))) for kind in whole])


def _all_parts(exam: Examination) -> Outcome:
    images, listed = exam.images, len(exam.images.metadata)
    reply = exam.ask(asked(images, Kind("study", images.study_path, ANY_DICOM), exam.good))
    parts = parts_of(reply)
    if not listed or parts is None:
        raise NotTried("The study is larger than what is read of it, or there is no metadata to compare it with.")
    words = f"{parts} parts for {listed} instances in the metadata"
    return judged([words] if parts != listed else [], f"{words}.")


def _empty_at_most(told: list[tuple[str, Reply]]) -> Outcome:
    """Refused, or searched without a hit: both tell nothing."""
    return refused([(name, reply) for name, reply in told if not _is_empty(reply.end)])


def _is_empty(reply: Reply) -> bool:
    return reply.status == 204 or (reply.is_served and reply.json() == [])


_LENT = {
    TokenKind.ENDED: (
        "W3",
        "ended",
        "Every kind of image request with an ended token is refused.",
        "Check the token on every request; a remembered decision ends with it.",
    ),
    TokenKind.FOREIGN: ("W3 M9", "foreign", "A foreign token opens no images.", "Compare iss and aud here too."),
    TokenKind.UNSCOPED: (
        "W3",
        "scope",
        "A token without an ImagingStudy scope opens no images, in no form.",
        "Check the scope for r on every image route.",
    ),
    TokenKind.PATIENTLESS: (
        "W3 F8",
        "no-patient",
        "A token without patient context opens no images.",
        "No patient in the token means no access.",
    ),
}

GUARD_REQUIREMENTS = (
    Requirement(
        ids="W3",
        name="no-token",
        asks="Every kind of image request without a token is refused, right after one with a token too.",
        remedy="Guard each route; keep no shared cache in front of the check (Cache-Control: private, no-store).",
        check=_without_token,
    ),
    Requirement(
        ids="W3",
        name="unknown-token",
        asks="Every kind of image request with a made-up token is refused.",
        remedy="Guard each route by the same token check.",
        check=_unknown_token,
    ),
    Requirement(
        ids="W3 M9",
        name="forged",
        asks="A token that was altered, cut short or left unsigned opens no images, whatever kind of token it is.",
        remedy="Verify signatures on image routes too.",
        check=_forged,
    ),
    *(_lent(kind) for kind in _LENT),
    Requirement(
        ids="W3 P5",
        name="methods",
        asks="Writing is refused. Tried harmlessly: empty bodies, and a study UID that no archive has.",
        remedy="Answer 405 to everything but GET, HEAD and OPTIONS; never hand it on.",
        check=_methods,
    ),
    Requirement(
        ids="W4",
        name="other-study",
        asks="Another patient's study is refused in every kind of request, HEAD too.",
        remedy="Find out whose study it is before the archive is asked, on every route.",
        check=_other_study,
    ),
    Requirement(
        ids="W4",
        name="unknown-study",
        asks="A study that nobody has is refused or not found, and breaks nothing.",
        remedy="Deny when it cannot be told whose a study is.",
        check=_unknown_study,
    ),
    Requirement(
        ids="W4",
        name="hierarchy",
        asks="An instance is served only below its own study and series.",
        remedy="Prove that series and instance belong to the study; archives often do not look.",
        check=_hierarchy,
    ),
    Requirement(
        ids="P4",
        name="same-answer",
        asks="Another patient's study and an unknown study are refused alike.",
        remedy="Choose one status for both (403 by default), so that nobody learns what exists.",
        check=_same_answer,
    ),
    Requirement(
        ids="W5",
        name="partial",
        asks="A whole study has a part for every instance that its metadata lists, and no other.",
        remedy="Serve a study whole or refuse it; what is left out in silence is taken for not there.",
        check=_all_parts,
    ),
    Requirement(
        ids="W5",
        name="restricted",
        asks="A study that is restricted in part is refused whole: its files, metadata and pictures.",
        remedy="Never leave out parts of a study in silence: radiologists would take it for the whole.",
        check=_restricted,
    ),
)
