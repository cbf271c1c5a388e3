"""Whether addresses of images that carry a permission are checked besides the token, and bound to it.

Spec: SMART Imaging Access C6, F12, W6, M8.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_gateway_examination import INCLUDE, Examination, Page, page_of
from imaging_cds.check_gateway_places import DICOM_JSON, Images, Kind, asked
from imaging_cds.check_gateway_report import NotOffered, Outcome
from imaging_cds.check_gateway_requirement import Requirement, judged, refused
from imaging_cds.check_gateway_subject import TokenKind, one_character_changed


def _capability(exam: Examination) -> str:
    """The address of the images where it carries a capability; NotOffered where it is a plain address."""
    images = exam.images
    lists = [exam.pages_from(exam.search_own(INCLUDE))]
    second = exam.subject.tokens.get(TokenKind.SECOND)
    if second is not None:
        lists.append([page_of(exam.search_own(INCLUDE, token=second))])
    stated = [_addresses(pages) for pages in lists]
    # One that is made of the token alone is the same each time, and another for another token.
    is_same = images.address in stated[0] and all(images.address in one for one in stated[1:] if one)
    if is_same and any(stated[1:]):
        raise NotOffered("The address is the same each time, for another token too: it is no capability.")
    if is_same and "?" not in images.address:
        raise NotOffered("The address is the same each time and has no query: it is no capability.")
    return images.address


def _addresses(pages: Sequence[Page]) -> set[str]:
    resources = [one.resource for page in pages for one in page.entries]
    found = (*resources, *(inside for one in resources for inside in dicts(one.get("contained"))))
    return {str(one.get("address")).rstrip("/") for one in found if one.get("resourceType") == "Endpoint"}


def _local_endpoints(exam: Examination) -> Outcome:
    exam.listed()
    if not any(_local_references(page) for page in exam.pages):
        raise NotOffered("No study names an Endpoint of its answer alone (urn:uuid:).")
    pages = [page for more in ((), (INCLUDE,)) for page in exam.pages_from(exam.search_own(*more, ("_count", "1")))]
    plain = exam.pages_from(exam.search_own())
    lost = [len(_local_references(page) - {one.full_url for one in page.entries}) for page in (*plain, *pages)]
    words = f"{sum(lost)} Endpoints of the answer alone are not on the page that names them"
    return judged([words] if any(lost) else [], f"Looked for on {len(lost)} pages, with _include and without.")


def _local_references(page: Page) -> set[str]:
    owners = [owner for study in page.studies for owner in (study, *dicts(study.get("series")))]
    named = {text(one.get("reference")) or "" for owner in owners for one in dicts(owner.get("endpoint"))}
    return {one for one in named if one.startswith("urn:")}


def _capability_checked(exam: Examination) -> Outcome:
    address, images = _capability(exam), exam.images
    bent = Images(address=_bent(address), study=images.study)
    kind = Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON)
    asked_for = [("an altered capability", exam.ask(asked(bent, kind, exam.good)))]
    asked_for.append(("the capability without token", exam.ask(asked(images, kind, None))))
    if exam.subject.other_study is not None:
        path = f"/studies/{exam.subject.other_study}/metadata"
        asked_for.append(("another's study behind it", exam.ask(asked(images, Kind("other", path, DICOM_JSON), exam.good))))
    return refused(asked_for)


def _bent(address: str) -> str:
    """The address with its capability changed where that counts: not its letters' size, nor the last bits of base64."""
    begin = max(address.rfind(mark) for mark in "/?&=") + 1
    return f"{address[:begin]}{one_character_changed(address[begin:])}"


def _capability_bound(exam: Examination) -> Outcome:
    _capability(exam)
    images, second = exam.images, exam.subject.token(TokenKind.SECOND)
    kind = Kind("metadata", f"{images.study_path}/metadata", DICOM_JSON)
    return refused([("the first token's address with the second token", exam.ask(asked(images, kind, second)))])


CAPABILITY_REQUIREMENTS = (
    Requirement(
        ids="F12 C4",
        name="local",
        asks="An Endpoint of the answer alone (urn:uuid:) is on each page whose studies name it, without _include too.",
        remedy="Put it beside its studies on every page; nobody can look for it anywhere else.",
        check=_local_endpoints,
    ),
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
