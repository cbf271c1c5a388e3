"""Recorded reactions to contrast media, by class: what an AllergyIntolerance says in codes, and what it can only say in words.

Many charts hold an allergy to contrast in words alone ("IV dye", a brand). Words name an agent or a class; a denial ("no known
allergy to contrast media"), barium and ultrasound contrast name neither. Spec: clinical rules N8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.value_sets import name_of, value_set, words_of

_GONE = frozenset({"inactive", "resolved"})
_REFUTED = frozenset({"refuted", "entered-in-error"})
# A denial begins the entry and names what it denies: "No IV contrast!" is what people write for a patient who must not get any.
_DENIED = re.compile(
    r"\W*(?:(?:the )?(?:patient|pt)\W+)?(?:"
    r"denie[sd]\b|not allergic\b|no known\b|nil known\b"
    r"|(?:no|negative for|without)(?: (?:history|hx|of|any|prior|previous|documented))*(?: [\w-]+){0,2}? "
    r"(?:allerg|reaction|adverse|intoleran|hypersensitiv)"
    r"|keine? (?:bekannte\w* )?\w*(?:allergie|unverträglichkeit|reaktion)|pas d.allergie|sin alergia)",
    re.IGNORECASE,
)
_BUT = re.compile(r"\b(?:but|except|other than|apart from|besides|außer|sauf|salvo)\b", re.IGNORECASE)
_NOT_SO_BAD = re.compile(
    r"\b(?:no|not|without|denie[sd]|keine?|pas d.|sin)(?: (?:signs?|evidence|history|of|any|known))* ?"
    r"(?:anaph|anaf|laryn|cardi|respi)",
    re.IGNORECASE,
)


class Severity(StrEnum):
    """How bad a reaction was, as far as it is coded."""

    SEVERE = "severe"
    NOT_SEVERE = "not severe"
    UNSTATED = "of unstated severity"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastReaction:
    """A recorded reaction to contrast media, by class: iodinated, gadolinium, or contrast media in general (both)."""

    words: str
    iodinated: bool
    gadolinium: bool
    severity: Severity


def contrast_reactions(resources: Sequence[Mapping[str, Any]]) -> tuple[ContrastReaction, ...]:
    """Active reactions and allergies to contrast media."""
    return tuple(found for found in map(_read_reaction, resources) if found is not None)


def _read_reaction(resource: Mapping[str, Any]) -> ContrastReaction | None:
    clinical = {one.code for one in codes.codings(resource.get("clinicalStatus"))}
    verification = {one.code for one in codes.codings(resource.get("verificationStatus"))}
    if resource.get("resourceType") != "AllergyIntolerance" or clinical & _GONE or verification & _REFUTED:
        return None
    reactions = dicts(resource.get("reaction"))
    iodinated, gadolinium = _classes([resource.get("code"), *(one.get("substance") for one in reactions)])
    if not (iodinated or gadolinium):
        return None
    return ContrastReaction(
        words=name_of(as_dict(resource.get("code"))) or "not named",
        iodinated=iodinated,
        gadolinium=gadolinium,
        severity=_severity(resource, reactions),
    )


def _classes(concepts: Sequence[object]) -> tuple[bool, bool]:
    """Whether iodinated and whether gadolinium agents are meant; contrast media without a class may have been either."""
    named = [words for one in concepts for words in words_of(as_dict(one)) if not _is_denied(words)]
    other = _is_named("other-contrast", named)
    iodinated = _is_coded("iodinated-contrast", concepts) or _is_named("iodinated-contrast", named)
    gadolinium = _is_coded("gadolinium-contrast", concepts) or _is_named("gadolinium-contrast", named)
    iodinated = iodinated or (not other and _is_named("x-ray-contrast", named))
    if iodinated or gadolinium:
        return iodinated, gadolinium
    either = _is_coded("any-contrast", concepts) or (not other and _is_named("any-contrast", named))
    return either, either


def _is_denied(words: str) -> bool:
    return _DENIED.match(words) is not None and not _BUT.search(words)


def _is_coded(name: str, concepts: Sequence[object]) -> bool:
    return any(value_set(name).holds_any(codes.codings(one)) for one in concepts)


def _is_named(name: str, words: Sequence[str]) -> bool:
    return any(value_set(name).is_named_in(one) for one in words)


def _severity(resource: Mapping[str, Any], reactions: Sequence[Mapping[str, Any]]) -> Severity:
    stated = {text(one.get("severity")) for one in reactions}
    if "severe" in stated or resource.get("criticality") == "high" or any(map(_is_severe_by_nature, reactions)):
        return Severity.SEVERE
    return Severity.NOT_SEVERE if stated & {"mild", "moderate"} else Severity.UNSTATED


def _is_severe_by_nature(reaction: Mapping[str, Any]) -> bool:
    """Whether a manifestation is severe whatever is said beside it, such as anaphylaxis. R5 wraps each into a reference."""
    stated = [as_dict(one.get("concept")) or one for one in dicts(reaction.get("manifestation"))]
    words = [*(words for one in stated for words in words_of(one)), text(reaction.get("description")) or ""]
    told = [one for one in words if not _NOT_SO_BAD.search(one)]
    return _is_coded("severe-reaction", stated) or _is_named("severe-reaction", told)
