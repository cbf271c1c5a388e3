"""Body site and side of a series: codes where DICOM or Annex L gives one, else words alone or nothing.

Spec: clinical rules 7.2 (0018,0015, 0008,2218, 0020,0060/0062/9072), 7.3, X20, M3, M4; DICOM PS3.16 Annex L, CID 244.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.concept import Concept
from fhir_imaging.dicom_json import values, whole_text
from fhir_imaging.tolerant import dicts
from imaging_findings import codes
from imaging_findings.body_site import body_site_of
from pacs_sync.coding_schemes import CodingSchemes, unique

ANATOMIC_REGION, REGION_MODIFIER = "00082218", "00082220"
FRAME_ANATOMY, FRAME_LATERALITY = "00209071", "00209072"
LATERALITY, IMAGE_LATERALITY = "00200060", "00200062"
SHARED_FUNCTIONAL_GROUPS = "52009229"

SIDE_FIELDS = (LATERALITY, IMAGE_LATERALITY, FRAME_LATERALITY, ANATOMIC_REGION)
"""What tells body site and side beside Body Part Examined, of series and of images."""


def _side(code: str) -> Concept:
    found = codes.concept(codes.SNOMED, code)
    return Concept(found.display, found.system, found.code)


SIDES: Mapping[str, Concept] = {"R": _side("24028007"), "L": _side("7771000"), "B": _side("51440002")}
"""CID 244; U (unpaired) is left out, since it says nothing of a side."""
_OTHER_SIDE = {"24028007": {"left"}, "7771000": {"right"}}
"""By code of a side: the words that deny it."""
_WORD = re.compile(r"[a-z]+")
_NO_SIDE = "-"
_LETTERS = {concept.code: letter for letter, concept in SIDES.items()}


def site_of(told: Sequence[Mapping[str, Any]], words: Sequence[str], coding: CodingSchemes) -> Concept | None:
    """The one body site of a series: the region's code outweighs the words; words alone where no code is certain.

    None where data sets name several, and where nothing is said that ``words`` (Body Part Examined) do not say themselves.
    """
    stated = unique(one for item in _regions(told) if (one := coding.concept(item)) is not None)
    if any(one.code for one in stated):
        return stated[0] if len(stated) == 1 else None
    if (named := body_site_of(" ".join(words))) is not None:
        return named
    return stated[0] if len(stated) == 1 and not words else None


def side_of(told: Sequence[Mapping[str, Any]], images: Iterable[Mapping[str, Any]], coding: CodingSchemes) -> Concept | None:
    """The side of a series: its own (0020,0060), else what all its ``images`` agree on; None where they do not.

    ``images`` are none where not all were seen: what one says tells nothing of the others, but it can contradict the series.
    """
    of_series = {one for dataset in told if (one := whole_text(dataset, LATERALITY)) is not None}
    seen = {one for dataset in (told if of_series else images) for one in _sides_of_image(dataset, coding)}
    stated = of_series | (seen - {_NO_SIDE}) if of_series else seen
    return SIDES.get(stated.pop()) if len(stated) == 1 else None


def is_denied(side: Concept, words: str) -> bool:
    """Whether words beside the code of a side name the other side, so that nobody knows which one is meant."""
    named = {"left", "right"}.intersection(_WORD.findall(words.casefold()))
    return bool(named) and side.system == codes.SNOMED and named == _OTHER_SIDE.get(side.code or "")


def _sides_of_image(dataset: Mapping[str, Any], coding: CodingSchemes) -> Iterator[str]:
    """As CID 244's letters; a mark of its own for an image without a side."""
    found = [whole_text(dataset, IMAGE_LATERALITY), *(whole_text(one, FRAME_LATERALITY) for one in _frame_anatomy(dataset))]
    modifiers = (one for item in _regions([dataset]) for one in coding.concepts(item, REGION_MODIFIER))
    coded = (one for one in modifiers if one.system == codes.SNOMED)
    found += [_NO_SIDE if is_denied(one, one.display) else _LETTERS.get(one.code or "") for one in coded]
    yield from [one for one in found if one is not None] or (_NO_SIDE,)


def _regions(told: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for dataset in told:
        for holder in (dataset, *_frame_anatomy(dataset)):
            yield from dicts(values(holder, ANATOMIC_REGION))


def _frame_anatomy(dataset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for groups in dicts(values(dataset, SHARED_FUNCTIONAL_GROUPS)):
        yield from dicts(values(groups, FRAME_ANATOMY))
