"""Where a finding is, in words for people: its body site and side. Shown beside the finding, never computed from.

The reader's own words come first (a site coded without a side is often "right upper lobe" in words); where their side is not
the coded one, both stand. Names of codes are those of the checked tables, else the Coding's own. Spec: clinical rules 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.body_parts import body_part_names
from imaging_findings.codes import Code

SIDES = {
    (codes.SNOMED, codes.concept(codes.SNOMED, "7771000").code): "left",
    (codes.SNOMED, codes.concept(codes.SNOMED, "24028007").code): "right",
    (codes.SNOMED, codes.concept(codes.SNOMED, "51440002").code): "both sides",
}
_SIDE_WORD = re.compile(r"\b(left|right|bilateral|both)\b", re.IGNORECASE)
_SEMANTIC_TAG = re.compile(r"\s*\([^()]*\)\s*$")
_LOBE = re.compile(r"(upper|middle|lower) lobe of (?:(left|right) )?lung")
_MAX_WORDS = 80


def site_of(resource: Mapping[str, Any]) -> str | None:
    """The body site and side of an Observation; None where neither is stated."""
    site = as_dict(resource.get("bodySite"))
    stated = codes.codings(site)
    side = _side(stated, resource)
    coded = _with_side(next((name for one in stated if (name := _name(one))), None), side)
    said = _inside_a_sentence(" ".join((text(site.get("text")) or "").split())[:_MAX_WORDS].strip())
    if not said:
        return coded
    if coded and _sides_in(said) and _sides_in(coded) and _sides_in(said) != _sides_in(coded):
        return f"{coded} (stated: {said})"
    return _with_side(said, side or (coded if coded in SIDES.values() else None))


def _side(stated: tuple[Code, ...], resource: Mapping[str, Any]) -> str | None:
    """The one side that is coded, at the site or as a component; None where two contradict each other."""
    keys = {(one.system, one.code) for one in stated}
    keys |= {key for one in dicts(resource.get("component")) for key in codes.keys_of(one.get("valueCodeableConcept"))}
    found = {SIDES[key] for key in keys if key in SIDES}
    return next(iter(found)) if len(found) == 1 else None


def _name(code: Code) -> str | None:
    """The site's name without SNOMED's form words; None for a side, and for a code without any name."""
    if (code.system, code.code) in SIDES:
        return None
    known = codes.body_sites().get((code.system, code.code))
    name = known.code.display if known else body_part_names().get((code.system, code.code)) or code.display
    plain = _SEMANTIC_TAG.sub("", " ".join(name.split())).removeprefix("Structure of ").removesuffix(" structure")
    plain = _inside_a_sentence(plain)
    lobe = _LOBE.fullmatch(plain)
    if lobe is None:
        return plain[:_MAX_WORDS] or None
    return f"{lobe[2]} {lobe[1]} lobe" if lobe[2] else f"{lobe[1]} lobe"


def _with_side(name: str | None, side: str | None) -> str | None:
    if name is None or side is None:
        return name or side
    if _SIDE_WORD.search(name):
        return name
    return f"{name}, both sides" if side == "both sides" else f"{side} {name}"


def _inside_a_sentence(words: str) -> str:
    """An ordinary first word gives up its capital; an abbreviation keeps it."""
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def _sides_in(words: str) -> set[str]:
    found = {one.lower() for one in _SIDE_WORD.findall(words)}
    return {"both" if one == "bilateral" else one for one in found}
