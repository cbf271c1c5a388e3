"""What shows only when every answer of a check is looked at: images in a refusal, a token that is repeated.

Spec: SMART Imaging Access W5, F12, M8, C3; smart-imaging.md §13 groups 15, 17 and 34.
"""

from __future__ import annotations

from fhir_imaging.tolerant import dicts
from imaging_cds.check_gateway_echo import can_be_told
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_probe import Reply
from imaging_cds.check_gateway_report import NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged

_IDENTIFYING = {"0020000D", "00100010", "00100020"}


def _no_images_in_refusals(exam: Examination) -> Outcome:
    refusals = [reply for reply in exam.probe.replies if reply.is_refused]
    if not refusals:
        raise NotTried("Nothing was refused in this check.")
    bad = [f"a {reply.said} carries {what}" for reply in refusals if (what := _dicom_in(reply))]
    bad += [
        "a whole study is answered with 206, a part of it"
        for reply in exam.probe.replies
        if reply.status == 206 and "range" not in {name.lower() for name in reply.question.headers}
    ]
    return judged(bad, f"{len(refusals)} refusals, none with DICOM data.")


def _token_repeated(exam: Examination) -> Outcome:
    lent = {token for token in exam.subject.tokens.values() if can_be_told(token)}
    told = [reply for reply in exam.probe.replies if reply.question.token in lent and reply.status is not None]
    if not any(reply.is_served for reply in told):
        raise NotTried("Nothing was served to a lent token that is long enough to be known again.")
    places = [f"{reply.content_type or 'no type'} ({reply.said}): {place}" for reply in told for place in reply.repeats]
    return judged(
        places, f"{len(told)} answers as far as they were read; none holds the token that was sent, nor its own parts."
    )


def _dicom_in(reply: Reply) -> str | None:
    if reply.content_type.startswith(
        ("multipart/related", "image/", "video/", "application/dicom", "application/octet-stream")
    ):
        # A refusal without a body may keep the type of what was asked for (HEAD).
        return reply.content_type if reply.body else None
    said = reply.json()
    datasets = [said] if isinstance(said, dict) else dicts(said)
    if any(_IDENTIFYING & set(one) for one in datasets):
        return "DICOM JSON"
    return "a DICOM file" if reply.content[128:132] == b"DICM" else None


REVIEW_REQUIREMENTS = (
    Requirement(
        ids="W5",
        name="refusals",
        asks="No refusal of this check carried DICOM data, and no study came in part (206).",
        remedy="Answer refusals with a problem document only.",
        check=_no_images_in_refusals,
    ),
    Requirement(
        ids="F12 M8",
        name="token-repeated",
        asks="No answer repeats the token: in no link, address of images, header or error text, percent-encoded neither.",
        remedy="Take the token out of addresses and texts; seal what an address must carry by a keyed digest.",
        check=_token_repeated,
    ),
)
