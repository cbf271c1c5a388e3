"""What kind of examination a study, an order or a piece of text is: family, regions, contrast, side, purpose.

The order-time rules ask one question of everything they read, and this module is where it is answered:

    kind_of_study(resource)    an ImagingStudy of R4, R5 or R6: procedure codes, then modality and body site, then words
    kind_of_order(resource)    a ServiceRequest (also a draft one): code, bodySite, then words
    study_kind_of(...)         the same from codes, modalities, body sites and words that a caller already has

The answer is always a ``StudyKind``; what was not stated is unknown in it (no family, no region, ``Contrast.UNKNOWN``)
and then matches nothing. ``basis`` says how far it can be trusted: words may inform, but never decide (rule Gc).
Codes decide before words, part by part: a LOINC code without region is completed from the body site, never overruled.
All functions are pure; the tables behind them are read once per process, on first use. ``site`` is a site's own table
(``study_table.read_site_studies``).

Spec: clinical rules O1 (families; regions are sets, overlap counts) and O2 (other contrast phase is related, no duplicate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.body_parts import body_part_names, regions_of_body_parts
from imaging_findings.codes import Code
from imaging_findings.modalities import family_of
from imaging_findings.organs import NO_NAMES, StudyNames
from imaging_findings.regions import regions_of_codes
from imaging_findings.study_names import PAIRED, Contrast, NameReading, Purpose, Side, read_name, widened
from imaging_findings.study_table import SiteStudies, StudyCode, study_codes

__all__ = [
    "Basis",
    "Contrast",
    "Purpose",
    "Side",
    "StudyKind",
    "StudyParts",
    "kind_of_order",
    "kind_of_study",
    "study_kind_of",
]

_SIDE_OF = {
    "7771000": Side.LEFT,
    "24028007": Side.RIGHT,
    "51440002": Side.BOTH,
    "L": Side.LEFT,
    "R": Side.RIGHT,
    "B": Side.BOTH,
}
# A code for "MR of a joint of the leg" covers six parts; the body site says which one was meant.
_LIMBS = (
    frozenset(["shoulder", "upper-arm", "elbow", "forearm", "wrist", "hand"]),
    frozenset(["hip", "thigh", "knee", "lower-leg", "ankle", "foot"]),
)


class Basis(StrEnum):
    """What the kind was read from, the best source first."""

    CODE = "code"
    MODALITY_AND_SITE = "modality-and-site"
    WORDS = "words"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyKind:
    """A kind of examination. ``families`` usually has one member: a PET/CT counts as nuclear medicine (``NM``) alone."""

    families: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    contrast: Contrast = Contrast.UNKNOWN
    side: Side = Side.UNSTATED
    is_screening: bool = False
    is_intervention: bool = False
    """Images that guide a biopsy or a drainage; they repeat no examination."""
    basis: Basis = Basis.NOTHING
    names: StudyNames = field(default=NO_NAMES, compare=False, repr=False)
    """What it is called, which tells the organ that it shows; no part of the kind."""

    @property
    def family(self) -> str | None:
        """The one family (``CT``, ``MR``, ``XR``, ``US``, ``NM``, ``MG``, ``XA``, ``DXA``); None when unknown or mixed."""
        return next(iter(self.families)) if len(self.families) == 1 else None

    def overlaps(self, other: StudyKind) -> bool:
        """Whether both image a common region with a common family (O1); never opposite sides, never an intervention."""
        if {self.side, other.side} == {Side.LEFT, Side.RIGHT} or self.is_intervention or other.is_intervention:
            return False
        return bool(self.families & other.families and self.regions & other.regions)

    def is_other_phase_of(self, other: StudyKind) -> bool:
        """Whether the contrast phases are both known and differ, so that the two are related and no duplicates (O2).

        An examination without and with contrast holds both phases and differs from neither.
        """
        return {self.contrast, other.contrast} == {Contrast.WITH, Contrast.WITHOUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyParts:
    """What the resources say, taken apart.

    ``stated`` are procedure codes (LOINC, CPT, the site's), ``modalities`` DICOM modality codes, ``body_sites`` SNOMED CT
    body structures, ``body_site_words`` Body Part Examined terms or what was typed for one, ``side`` the coded laterality,
    ``words`` descriptions and code texts. Codes of unknown systems count for nothing.
    """

    stated: Iterable[Code] = ()
    modalities: Iterable[str] = ()
    body_sites: Iterable[Code] = ()
    body_site_words: Iterable[str] = ()
    side: Side = Side.UNSTATED
    words: Iterable[str] = ()


def study_kind_of(
    *,
    stated: Iterable[Code] = (),
    modalities: Iterable[str] = (),
    body_sites: Iterable[Code] = (),
    words: Iterable[str] = (),
    site: SiteStudies | None = None,
) -> StudyKind:
    """The kind of an examination from parts that the caller has; see ``StudyParts`` for what they are."""
    return kind_of_parts(StudyParts(stated=stated, modalities=modalities, body_sites=body_sites, words=words), site)


def kind_of_parts(parts: StudyParts, site: SiteStudies | None = None) -> StudyKind:
    """The kind of an examination: codes first, then modality and body site, then words."""
    known = study_codes(parts.stated, site)
    performed = _families(parts.modalities)
    by_code = _families(one.modality or "" for one in known)
    sites = regions_of_codes(parts.body_sites) or regions_of_body_parts(parts.body_site_words)
    coded = _narrowed(frozenset(region for one in known for region in one.regions), sites)
    is_told = bool(performed or by_code) and _is_told(known, coded, parts.side)
    # The same words often stand twice, as the procedure's name and as the description.
    stated = [] if is_told else [read_name(words) for words in dict.fromkeys(parts.words)]
    read = [reading for reading in stated if reading.modality or reading.regions]
    families = performed or by_code or _families(one.modality or "" for one in read[:1])
    named = frozenset(region for one in read for region in one.regions)
    regions = coded or widened(sites, families) or named
    return StudyKind(
        families=families,
        regions=regions,
        contrast=_contrast([*known, *read]),
        side=_side(parts.side, [*known, *read]) if regions & PAIRED else Side.UNSTATED,
        is_screening=any(one.purpose is Purpose.SCREENING for one in (known or read)),
        is_intervention=any(one.purpose is Purpose.INTERVENTION for one in (known or read)),
        basis=_basis(
            coded=bool(known and (performed or by_code) and (coded or sites)),
            sited=bool(performed and sites),
            has_words=bool(families or regions),
        ),
        names=_names(known, parts),
    )


def kind_of_study(resource: Mapping[str, Any], site: SiteStudies | None = None) -> StudyKind:
    """The kind of an ImagingStudy of any version; whatever it does not say stays unknown, nothing raises."""
    series = dicts(resource.get("series"))
    sites = [_unwrapped(one.get("bodySite")) for one in series]
    # R5 has one list of CodeableReferences in place of procedureCode.
    procedures = [_unwrapped(one) for key in ("procedureCode", "procedure") for one in dicts(resource.get(key))]
    modalities = [*dicts(resource.get("modality")), *(as_dict(one.get("modality")) for one in series)]
    parts = StudyParts(
        stated=[code for one in procedures for code in codes.codings(one)],
        modalities=[text(one.get("code")) or "" for value in modalities for one in (value, *dicts(value.get("coding")))],
        body_sites=[code for one in sites for code in codes.codings(one)],
        body_site_words=_words(sites),
        side=_coded_side(as_dict(one.get("laterality")) for one in series),
        words=[*_words(procedures), text(resource.get("description")) or ""],
    )
    return kind_of_parts(parts, site)


def kind_of_order(resource: Mapping[str, Any], site: SiteStudies | None = None) -> StudyKind:
    """The kind that a ServiceRequest asks for; an order of something else than imaging has no family."""
    code = _unwrapped(resource.get("code"))
    sites = dicts(resource.get("bodySite"))
    parts = StudyParts(
        stated=codes.codings(code),
        body_sites=[found for one in sites for found in codes.codings(one)],
        body_site_words=_words(sites),
        side=_coded_side(sites),
        words=_words([code]),
    )
    return kind_of_parts(parts, site)


def _unwrapped(value: object) -> Mapping[str, Any]:
    """The CodeableConcept in a CodeableReference of R5, else the value itself."""
    return as_dict(as_dict(value).get("concept")) or as_dict(value)


def _families(modalities: Iterable[str]) -> frozenset[str]:
    found = frozenset(family for family in map(family_of, modalities) if family)
    # The CT of a PET/CT or SPECT/CT corrects attenuation; it is no CT that somebody would otherwise repeat.
    return frozenset({"NM"}) if "NM" in found else found


def _is_told(known: Sequence[StudyCode], regions: frozenset[str], side: Side) -> bool:
    """Whether codes leave nothing to be read in words, which costs more than all else here."""
    sided = side is not Side.UNSTATED or any(one.side is not Side.UNSTATED for one in known)
    phased = any(one.contrast is not Contrast.UNKNOWN for one in known)
    return bool(regions) and phased and (sided or not regions & PAIRED)


def _narrowed(coded: frozenset[str], sites: frozenset[str]) -> frozenset[str]:
    return sites if coded in _LIMBS and sites and sites < coded else coded


def _names(known: Sequence[StudyCode], parts: StudyParts) -> StudyNames:
    coded = tuple(one.code.display for one in known if one.code.display)
    sites = tuple(name for one in parts.body_sites if (name := body_part_names().get((one.system, one.code))))
    return StudyNames(coded=coded, sites=sites or tuple(parts.body_site_words), said=tuple(parts.words))


def _contrast(stated: Iterable[StudyCode | NameReading]) -> Contrast:
    return next((one.contrast for one in stated if one.contrast is not Contrast.UNKNOWN), Contrast.UNKNOWN)


def _side(coded: Side, stated: Iterable[StudyCode | NameReading]) -> Side:
    if coded is not Side.UNSTATED:
        return coded
    return next((one.side for one in stated if one.side is not Side.UNSTATED), Side.UNSTATED)


def _coded_side(concepts: Iterable[Mapping[str, Any]]) -> Side:
    stated = [text(coding.get("code")) or "" for one in concepts for coding in (one, *dicts(one.get("coding")))]
    found = {_SIDE_OF[code] for code in stated if code in _SIDE_OF}
    return next(iter(found)) if len(found) == 1 else Side.BOTH if found else Side.UNSTATED


def _basis(*, coded: bool, sited: bool, has_words: bool) -> Basis:
    if coded:
        return Basis.CODE
    if sited:
        return Basis.MODALITY_AND_SITE
    return Basis.WORDS if has_words else Basis.NOTHING


def _words(concepts: Iterable[Mapping[str, Any]]) -> list[str]:
    stated = [concept for one in concepts for concept in (one, *dicts(one.get("coding")))]
    return [words for one in stated for words in (text(one.get("text")), text(one.get("display"))) if words]
