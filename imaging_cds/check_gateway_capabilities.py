"""Whether addresses of images that carry a permission are checked besides the token, and bound to it.

Spec: SMART Imaging Access C6, F12, W6, M8.
"""

from __future__ import annotations

from fhir_imaging.tolerant import dicts
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_places import DICOM_JSON, Images, Kind, asked
from imaging_cds.check_gateway_report import NotOffered, Outcome
from imaging_cds.check_gateway_requirement import Requirement, refused
from imaging_cds.check_gateway_subject import TokenKind


def _capability(exam: Examination) -> str:
    """The address of the images where it carries a capability; NotOffered where it is a plain address."""
    images = exam.images
    again = exam.pages_from(exam.search_own(("_include", "ImagingStudy:endpoint")))
    stated = {
        str(inside.get("address"))
        for page in again
        for one in page.entries
        for inside in (one.resource, *dicts(one.resource.get("contained")))
        if inside.get("resourceType") == "Endpoint"
    }
    if "?" not in images.address and images.address in {one.rstrip("/") for one in stated}:
        raise NotOffered("The address is the same each time and has no query: it is no capability.")
    return images.address


def _capability_checked(exam: Examination) -> Outcome:
    address, images = _capability(exam), exam.images
    bent = Images(address=address[:-1] + ("A" if address[-1] != "A" else "B"), study=images.study)
    kind = Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON)
    asked_for = [("an altered capability", exam.ask(asked(bent, kind, exam.good)))]
    asked_for.append(("the capability without token", exam.ask(asked(images, kind, None))))
    if exam.subject.other_study is not None:
        path = f"/studies/{exam.subject.other_study}/metadata"
        asked_for.append(("another's study behind it", exam.ask(asked(images, Kind("other", path, DICOM_JSON), exam.good))))
    return refused(asked_for)


def _capability_bound(exam: Examination) -> Outcome:
    _capability(exam)
    images, second = exam.images, exam.subject.token(TokenKind.SECOND)
    kind = Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON)
    return refused([("the first token's address with the second token", exam.ask(asked(images, kind, second)))])


CAPABILITY_REQUIREMENTS = (
    Requirement(
        ids="W6",
        name="capability",
        asks="Where addresses carry a capability: altered, without token, or for another study it is refused.",
        remedy="Check the capability besides the token and the study, not in their place.",
        check=_capability_checked,
    ),
    Requirement(
        ids="M8 W6",
        name="bound",
        asks="A capability works with the token only that it was given out for.",
        remedy="Bind the capability to the token (a keyed digest); share the key between processes.",
        check=_capability_bound,
    ),
)
