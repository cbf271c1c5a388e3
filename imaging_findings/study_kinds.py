"""What kind of examination a study, an order or a piece of text is: family, regions, contrast, side, screening.

The order-time rules ask one question of everything they read, and this module is where it is answered:

    kind_of_study(resource)    an ImagingStudy of R4, R5 or R6: procedure codes, then modality and body site, then words
    kind_of_order(resource)    a ServiceRequest (also a draft one): code, bodySite, then words
    study_kind_of(...)         the same from codes, modalities, body sites and words that a caller already has

The answer is always a ``StudyKind``; what was not stated is unknown in it (no family, no region, ``Contrast.UNKNOWN``)
and then matches nothing. ``basis`` says how far it can be trusted: words may inform, but never decide (rule Gc).
Codes decide before words, part by part: a LOINC code without region is completed from the body site, never overruled.
All functions are pure; the tables behind them are read once per process, on first use.

Spec: clinical rules O1 (families; regions are sets, overlap counts) and O2 (other contrast phase is related, no duplicate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.modalities import family_of
from imaging_findings.regions import regions_of_codes, regions_of_words


class Contrast(StrEnum):
    """Contrast agent in the vessels; what is drunk or instilled elsewhere is ``OTHER_ROUTE`` and no matter for the kidneys."""

    WITH = "with"
    WITHOUT = "without"
    BOTH = "both"
    OTHER_ROUTE = "other-route"
    UNKNOWN = "unknown"

    @property
    def is_given(self) -> bool:
        """Whether the examination is known to put contrast agent into the vessels."""
        return self in (Contrast.WITH, Contrast.BOTH)


class Side(StrEnum):
    """The stated side of a paired part; most studies state none."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"
    UNSTATED = "unstated"


class Basis(StrEnum):
    """What the kind was read from, the best source first."""

    CODE = "code"
    MODALITY_AND_SITE = "modality-and-site"
    WORDS = "words"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyKind:
    """A kind of examination. ``families`` is a set since a PET/CT or a fusion study is of two; usually it has one."""

    families: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    contrast: Contrast = Contrast.UNKNOWN
    side: Side = Side.UNSTATED
    is_screening: bool = False
    basis: Basis = Basis.NOTHING

    @property
    def family(self) -> str | None:
        """The one family (``CT``, ``MR``, ``XR``, ``US``, ``NM``, ``MG``, ``XA``, ``DXA``); None when unknown or mixed."""
        return next(iter(self.families)) if len(self.families) == 1 else None

    def overlaps(self, other: StudyKind) -> bool:
        """Whether both image a common region with a common family (O1); opposite sides of the body never overlap."""
        if {self.side, other.side} == {Side.LEFT, Side.RIGHT}:
            return False
        return bool(self.families & other.families and self.regions & other.regions)

    def is_other_phase_of(self, other: StudyKind) -> bool:
        """Whether the contrast phases are both known and differ, so that the two are related and no duplicates (O2).

        An examination without and with contrast holds both phases and differs from neither.
        """
        return {self.contrast, other.contrast} == {Contrast.WITH, Contrast.WITHOUT}


def study_kind_of(
    *,
    stated: Iterable[Code] = (),
    modalities: Iterable[str] = (),
    body_sites: Iterable[Code] = (),
    words: Iterable[str] = (),
) -> StudyKind:
    """The kind of an examination.

    ``stated`` are procedure codes (LOINC, CPT), ``modalities`` DICOM modality codes, ``body_sites`` SNOMED CT body
    structures, ``words`` descriptions, code texts and body part terms. Codes of unknown systems count for nothing.
    """
    known = [codes.procedures()[key] for key in ((one.system, one.code) for one in stated) if key in codes.procedures()]
    families = frozenset(family for family in map(family_of, modalities) if family)
    by_code = frozenset(family for family in (family_of(one.modality) for one in known) if family)
    regions = frozenset().union(*(one.regions for one in known)) if known else regions_of_codes(body_sites)
    basis = Basis.CODE if known else Basis.MODALITY_AND_SITE if families and regions else Basis.NOTHING
    if not regions:
        regions = regions_of_words(words)
        basis = Basis.WORDS if regions else basis
    return StudyKind(
        families=families or by_code,
        regions=regions,
        is_screening=any(one.purpose == "screening" for one in known),
        basis=basis,
    )


def kind_of_study(resource: Mapping[str, Any]) -> StudyKind:
    """The kind of an ImagingStudy of any version; whatever it does not say stays unknown, nothing raises."""
    series = dicts(resource.get("series"))
    sites = [as_dict(one.get("bodySite")) for one in series]
    procedures = dicts(resource.get("procedureCode"))
    coded_modalities = [one.code for value in _modality_values(resource, series) for one in codes.codings(value)]
    bare = [text(value.get("code")) or "" for value in _modality_values(resource, series)]
    return study_kind_of(
        stated=[code for one in procedures for code in codes.codings(one)],
        modalities=[*coded_modalities, *bare],
        body_sites=[code for site in sites for code in codes.codings(site.get("concept") or site)],
        words=[*_words(procedures), text(resource.get("description")) or "", *_words(sites)],
    )


def kind_of_order(resource: Mapping[str, Any]) -> StudyKind:
    """The kind that a ServiceRequest asks for; an order of something else than imaging has no family."""
    code = as_dict(resource.get("code"))
    sites = dicts(resource.get("bodySite"))
    return study_kind_of(
        stated=codes.codings(code.get("concept") or code),
        body_sites=[found for site in sites for found in codes.codings(site)],
        words=[*_words([code, *sites])],
    )


def _modality_values(resource: Mapping[str, Any], series: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [*dicts(resource.get("modality")), *(as_dict(one.get("modality")) for one in series)]


def _words(concepts: Iterable[Mapping[str, Any]]) -> list[str]:
    stated = [concept for one in concepts for concept in (one, *dicts(one.get("coding")))]
    return [words for one in stated for words in (text(one.get("text")), text(one.get("display"))) if words]
