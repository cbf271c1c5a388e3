"""What a person is to do about a study that others have written in FHIR too, in words for ``imaging-cds sync held``. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pacs_sync.ports import WrittenStudy
from pacs_sync.standing import is_withdrawn, maker_of

_THEN = "then imaging-cds sync held --retry"


def beside_others(in_the_way: Sequence[WrittenStudy]) -> str:
    """Of a study that nothing of ours stands of: what stands there is left to those who wrote it."""
    if len(in_the_way) > 1:
        return f"{_named(in_the_way)} have its UID: leave one of them, withdraw the others, {_THEN}."
    (other,) = in_the_way
    maker = maker_of(other.content)
    if maker is None:
        return f"Another system wrote ImagingStudy/{other.id} with its UID: let one of both write it, {_THEN}."
    if is_withdrawn(other.content):
        return (
            f"The synchronisation {maker} has withdrawn ImagingStudy/{other.id}, whose id it would have: delete that and its"
            f' results in the FHIR server, or set ids = "server", {_THEN}.'
        )
    return (
        f"It is in two archives, and the synchronisation {maker} wrote it (ImagingStudy/{other.id}): nothing is to be done"
        " while that archive has it."
    )


def of_another_patient(contradicting: Sequence[WrittenStudy]) -> str:
    """What others wrote with its UID stands in another chart: one of both is wrong."""
    return f"{_named(contradicting)} of another system has its UID in another patient's chart: correct one of both, {_THEN}."


def _named(studies: Sequence[WrittenStudy]) -> str:
    return ", ".join(f"ImagingStudy/{one.id}" for one in studies)
