"""What an examination of the chest does not show: a CT of the ribs or of the esophagus ends no follow-up of the lungs.

The region of all of them is the chest, which is right for finding repeats and too coarse for rule Gf.

Spec: clinical rules Gc, Gf.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.body_parts import body_parts
from imaging_findings.codes import Code
from imaging_findings.study_kinds import Basis, StudyKind
from imaging_findings.study_table import SiteStudies, study_codes

_NARROW = re.compile(
    r"\b(rib|ribs|rippe\w*|c[oô]tes|stern(um|al|o\w+)|parasternal|scjoint|brustbein|clavic\w+|o?esophag\w*|ösophagus|speiseröhre"
    r"|thym\w+|trachea|luftröhre|superior mediastinum|aortic (arch|valve|root)|ascending aorta|subclavian|innominate|azygos"
    r"|mammary|vena cava)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"\b(chest|thorax|thoracic|lungs?|lunge|pulmon\w+|bronch\w+|trunk|whole body|ganzkörper)\b", re.IGNORECASE)
_BODY = re.compile(r"\b(whole.body|ganzkörper|corps entier|skull base)", re.IGNORECASE)
# A complaint that the description gives as its reason is no region that was imaged.
_COMPLAINT = re.compile(r"\b(pain|ache|schmerz\w*|douleur\w*|dolor)\b", re.IGNORECASE)


def shows_lungs(names: Iterable[str]) -> bool:
    """Whether an examination of the chest, by the names that it has, is not of some other part of it alone."""
    said = [name for name in names if name]
    return not said or any(_WHOLE.search(name) or not _NARROW.search(name) for name in said)


def names_of(concepts: Iterable[object], sites: Iterable[object], words: str | None, site: SiteStudies | None) -> list[str]:
    """The best names there are: those of known procedure codes, else of body sites, else the words."""
    stated = [code for one in concepts for code in codes.codings(_unwrapped(one))]
    by_code = [one.code.display or "" for one in study_codes(stated, site) if one.regions]
    if by_code:
        return by_code
    named = [name for one in sites for name in _site_names(_unwrapped(one))]
    return named or [text(_unwrapped(one).get("text")) or "" for one in concepts] + [words or ""]


def is_only_said(kind: StudyKind, description: str | None) -> bool:
    """Whether only words name the region, and more than one, or a complaint: then nobody can tell what was imaged (Gc)."""
    said = description or ""
    is_spread = len(kind.regions) > 1 and not _BODY.search(said)
    return kind.basis is Basis.WORDS and (is_spread or bool(_COMPLAINT.search(said)))


def is_pet(modalities: Iterable[str], stated: Iterable[Code], site: SiteStudies | None) -> bool:
    """Whether a PET is among the modalities or the procedure codes."""
    return "PT" in modalities or any(one.modality == "PT" for one in study_codes(stated, site))


def _site_names(concept: Mapping[str, Any]) -> list[str]:
    known = [name for code in codes.codings(concept) if (name := _names_by_code().get(code.code))]
    said = [one.get(key) for one in (concept, *dicts(concept.get("coding"))) for key in ("text", "display")]
    return known or [name for one in said if (name := text(one))]


def _unwrapped(value: object) -> Mapping[str, Any]:
    return as_dict(as_dict(value).get("concept")) or as_dict(value)


@cache
def _names_by_code() -> Mapping[str, str]:
    return {part.code.code: part.code.display or "" for part in body_parts().values()}
