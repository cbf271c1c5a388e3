"""Coded terms of another FHIR server's resources, in any release: R4's Coding and CodeableConcept, R5's CodeableReference.

A code counts only with its system; anything else is words.

Spec: FHIR R4/R5 datatypes; clinical rules 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_imaging.concept import Concept
from fhir_imaging.study import concept_text
from fhir_imaging.study_reading import printable
from fhir_imaging.tolerant import as_dict, as_list, dicts, text


def told_terms(*stated: object) -> tuple[Concept, ...]:
    """The terms of elements that repeat, those without code and words left out."""
    found = (told_code(one) or _told_words(one) for each in stated for one in as_list(each))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def told_code(stated: object) -> Concept | None:
    """The first code of a term that has one."""
    return next(_codes(stated), None)


def _codes(stated: object) -> Iterator[Concept]:
    term = as_dict(stated)
    concept = as_dict(term.get("concept")) or term
    for one in dicts(concept.get("coding")) or [concept]:
        system, code = _plain(one.get("system")), _plain(one.get("code"))
        if system is not None and code is not None:
            words = printable(text(one.get("display"))) or printable(text(concept.get("text")))
            yield Concept(words or "", system, code, printable(text(one.get("version"))))


def _told_words(stated: object) -> Concept | None:
    words = printable(concept_text(stated))
    return None if words is None else Concept(words)


def _plain(stated: Any) -> str | None:
    found = text(stated)
    return found if found is not None and found.isprintable() else None
