"""Body parts as sites type them, brought to the SNOMED CT codes of DICOM PS3.16 Annex L.

``C-Spine``, ``chest/abd/pelvis`` and ``Knie`` are recognised; whatever is not recognised whole stays text: a wrong body site is
worse than none, and a Coding without a system is not to be written at all.

Spec: clinical rules 7.3; DICOM PS3.16 Annex L (Body Part Examined).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from imaging_findings.anatomy import words_of
from imaging_findings.code_tables import rows
from imaging_findings.codes import SNOMED, Code
from imaging_findings.study_names import SIDE_WORDS

_JOINERS = frozenset({"and", "und", "et", "y", "e", "with", "mit"})
_LONGEST = 4
# Examinations of several parts at once have a code of their own.
_PARTS_OF = {
    "ABDOMENPELVIS": ("ABDOMEN", "PELVIS"),
    "CHESTABDOMEN": ("CHEST", "ABDOMEN"),
    "CHESTABDPELVIS": ("CHEST", "ABDOMEN", "PELVIS"),
    "HEADNECK": ("HEAD", "NECK"),
    "NECKCHEST": ("NECK", "CHEST"),
    "NECKCHESTABDOMEN": ("NECK", "CHEST", "ABDOMEN"),
    "NECKCHESTABDPELV": ("NECK", "CHEST", "ABDOMEN", "PELVIS"),
    "CTSPINE": ("CSPINE", "TSPINE"),
    "TLSPINE": ("TSPINE", "LSPINE"),
}
_TOGETHER = {frozenset(parts): term for term, parts in _PARTS_OF.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPart:
    """A Body Part Examined term with its code. ``is_paired``: there is a left and a right one."""

    term: str
    code: Code
    regions: frozenset[str]
    is_paired: bool


def body_parts_of(stated: str) -> tuple[BodyPart, ...]:
    """The body parts that the words name, one combined part where there is a code for it; empty unless every word is known."""
    words = list(words_of(stated))
    # "L spine" is no left one.
    terms = _terms(words) or _terms([word for word in words if word not in SIDE_WORDS])
    single = [part for term in terms for part in _PARTS_OF.get(term, ("CHEST" if term == "THORAX" else term,))]
    together = _TOGETHER.get(frozenset(single))
    return tuple(body_parts()[term] for term in ([together] if together else dict.fromkeys(terms)))


def regions_of_body_parts(stated: Iterable[str]) -> frozenset[str]:
    """The regions of all body parts that the texts name."""
    return frozenset(region for one in stated for part in body_parts_of(one) for region in part.regions)


@cache
def body_parts() -> Mapping[str, BodyPart]:
    """The terms of Annex L."""
    return {
        row["term"]: BodyPart(
            term=row["term"],
            code=Code(SNOMED, row["code"], row["display"]),
            regions=frozenset(row["regions"].split()),
            is_paired=row["paired"] == "yes",
        )
        for row in rows("body_parts.csv")
    }


@cache
def body_part_regions() -> Mapping[str, frozenset[str]]:
    """The regions of the body parts by SNOMED CT code."""
    return {part.code.code: part.regions for part in body_parts().values()}


@cache
def body_part_names() -> Mapping[tuple[str, str], str]:
    """The names of the body parts by system and code."""
    return {(part.code.system, part.code.code): part.code.display for part in body_parts().values()}


@cache
def _term_of() -> Mapping[str, str]:
    """Terms by all that is typed for them, without spaces and punctuation."""
    typed = {_key(part.code.display): term for term, part in body_parts().items()}
    typed |= {_key(word): row["term"] for row in rows("body_part_words.csv") for word in row["words"].split("|")}
    return typed | {_key(term): term for term in body_parts()}


def _terms(words: list[str]) -> list[str]:
    """The terms that the words make up together, each once; none when a word is left over."""
    whole = _term_of().get("".join(words))
    if whole:
        return [whole]
    found: list[str] = []
    place = 0
    while place < len(words):
        if words[place] in _JOINERS:
            place += 1
            continue
        lengths = range(min(_LONGEST, len(words) - place), 0, -1)
        length = next((one for one in lengths if "".join(words[place : place + one]) in _term_of()), 0)
        if not length:
            return []
        found.append(_term_of()["".join(words[place : place + length])])
        place += length
    return list(dict.fromkeys(found))


def _key(words: str) -> str:
    return re.sub(r"[^a-z0-9]", "", "".join(words_of(words)))
