"""Codes of DICOM data sets as FHIR codes: designators become system URIs, and what is not certain becomes words alone.

Spec: DICOM PS3.16 §8 (coding scheme designators), PS3.3 §8 (code sequence macro); clinical rules 7.2 (0008,1032), M5;
FHIR R4 and HL7 Terminology (the URIs of external code systems).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from fhir_imaging.concept import Concept
from fhir_imaging.dicom_json import first_text, values
from fhir_imaging.study_reading import words_in
from fhir_imaging.tolerant import dicts
from imaging_findings.codes import DCM, LOINC, RADLEX, SNOMED, UCUM

CODE_VALUE, LONG_CODE_VALUE = "00080100", "00080119"
CODE_MEANING = "00080104"
CODING_SCHEME_DESIGNATOR = "00080102"
CODING_SCHEME_VERSION = "00080103"

SYSTEMS: Mapping[str, str] = {
    "DCM": DCM,
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "LN": LOINC,
    "MDC": "urn:iso:std:iso:11073:10101",
    "RADLEX": RADLEX,
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "SCT": SNOMED,
    "UCUM": UCUM,
}
OLD_SNOMED = frozenset({"SRT", "SNM3", "99SDM"})
"""Designators of SNOMED's codes before SNOMED CT ("T-D3000"), which are no codes of SNOMED CT."""

_SHAPES = {
    SNOMED: re.compile(r"[1-9][0-9]{5,17}", re.ASCII),
    LOINC: re.compile(r"(?:L[AP])?[0-9]{1,7}-[0-9]", re.ASCII),
    RADLEX: re.compile(r"R(?:ID|PID)[0-9]+", re.ASCII),
}
_ANY_CODE = re.compile(r"\S+(?: \S+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingSchemes:
    """The designators that are understood. ``of_site`` are the site's own, or its word over ours.

    A URI may end in ``|`` and a version, as FHIR's canonical references do.
    """

    of_site: Mapping[str, str] = field(default_factory=dict)

    def system_of(self, designator: str) -> str | None:
        """The FHIR URI; None for a scheme that nobody named, whose codes must not be written as anything else's."""
        bare = designator.strip()
        return self.of_site.get(bare, "").partition("|")[0] or SYSTEMS.get(bare.upper())

    def version_of(self, designator: str) -> str | None:
        """The version that the site says its own scheme is (``system|version``)."""
        return self.of_site.get(designator.strip(), "").partition("|")[2] or None

    def concept(self, item: Mapping[str, Any]) -> Concept | None:
        """The concept of one item of a code sequence: its code, else its words; None when it has neither."""
        meaning = words_in(item, CODE_MEANING)
        value = words_in(item, CODE_VALUE) or words_in(item, LONG_CODE_VALUE)
        designator = first_text(item, CODING_SCHEME_DESIGNATOR) or ""
        if value is not None and designator.upper() in OLD_SNOMED and designator not in self.of_site:
            system, code = SNOMED, old_snomed().get(value)
        else:
            system, code = self.system_of(designator) or "", value
        words = meaning or value
        if words is None:
            return None
        if not system or code is None or not _SHAPES.get(system, _ANY_CODE).fullmatch(code):
            return Concept(words)
        # SNOMED CT's version is a URI in FHIR, which no designator tells.
        if system in (SNOMED, DCM):
            return Concept(words, system, code)
        return Concept(words, system, code, words_in(item, CODING_SCHEME_VERSION) or self.version_of(designator))

    def concepts(self, dataset: Mapping[str, Any], tag: str) -> tuple[Concept, ...]:
        """The concepts of a code sequence, each once."""
        return unique(one for item in dicts(values(dataset, tag)) if (one := self.concept(item)) is not None)


def unique(concepts: Iterable[Concept]) -> tuple[Concept, ...]:
    """Each code once, and each wording without code once; words that a code already says are left out."""
    found: dict[tuple[str, ...], Concept] = {}
    for one in concepts:
        found.setdefault((one.system, one.code) if one.system and one.code else (one.display.casefold(),), one)
    said = {one.display.casefold() for one in found.values() if one.code}
    return tuple(one for one in found.values() if one.code or one.display.casefold() not in said)


@cache
def old_snomed() -> Mapping[str, str]:
    """The SNOMED CT concepts that took the place of old codes."""
    lines = (resources.files("pacs_sync") / "code_tables" / "old_snomed.csv").read_text(encoding="utf-8").splitlines()
    return {row["srt"]: row["sct"] for row in csv.DictReader(line for line in lines if not line.startswith("#"))}
