"""Codes that this product reads or writes, always out of a checked table.

The tables are data (``tables/*.csv``), each with its source; a test walks every literal code of the repository against them,
because wrong codes circulate (36643-5 is a chest X-ray, not a CT). Constants here are looked up at import and fail if unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fhir_imaging.tolerant import dicts, text

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
RADLEX = "http://radlex.org"
LUNG_RADS = "https://imaging-cds.example/fhir/CodeSystem/lung-rads"
NODULE = "https://imaging-cds.example/fhir/CodeSystem/nodule"
FOLLOW_UP_GUIDELINE = "https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline"
IMAGING_SELECTION = "https://imaging-cds.example/fhir/StructureDefinition/imaging-selection"


_USUAL = frozenset({SNOMED, LOINC, DCM, UCUM, LUNG_RADS, NODULE})
# One code system, several names in the wild (the HL7 dicom-sr guide writes the first).
_SPELLINGS = {"http://www.radlex.org": RADLEX, "https://radlex.org": RADLEX, "https://www.radlex.org": RADLEX}


@dataclass(frozen=True, slots=True)
class Code:
    """A code in its system, with the display that the table gives (never a caller's own words)."""

    system: str
    code: str
    display: str = ""
    version: str | None = None

    def is_same(self, other: Code) -> bool:
        """Whether system and code agree; display and version do not count."""
        return (self.system, self.code) == (other.system, other.code)


@dataclass(frozen=True, slots=True)
class Procedure:
    """An imaging examination: its code, modality, body regions (a set, since overlap counts) and purpose."""

    code: Code
    modality: str
    regions: frozenset[str]
    purpose: str


@dataclass(frozen=True, slots=True)
class BodySite:
    """A body structure, the regions that it lies in, and its organ where one is meant."""

    code: Code
    regions: frozenset[str]
    organ: str


@cache
def concepts() -> Mapping[tuple[str, str], Code]:
    """All concepts of the tables by (system, code)."""
    plain = {(row["system"], row["code"]): _code(row) for row in [*_rows("dicom_assessments.csv"), *_rows("concepts.csv")]}
    return plain | {key: one.code for key, one in procedures().items()} | {key: one.code for key, one in body_sites().items()}


@cache
def procedures() -> Mapping[tuple[str, str], Procedure]:
    """Imaging examinations by (system, code)."""
    return {
        (row["system"], row["code"]): Procedure(_code(row), row["modality"], frozenset(row["regions"].split()), row["purpose"])
        for row in _rows("procedures.csv")
    }


@cache
def body_sites() -> Mapping[tuple[str, str], BodySite]:
    """Body structures by (system, code)."""
    return {
        (row["system"], row["code"]): BodySite(_code(row), frozenset(row["regions"].split()), row["organ"])
        for row in _rows("body_sites.csv")
    }


@cache
def codes_of_cid(cid: int) -> dict[tuple[str, str], Code]:
    """The members of a PS3.16 context group that is carried (CAD-RADS 3020 and 3021, breast recommendations 6028 and 6029)."""
    rows = [row for row in _rows("dicom_assessments.csv") if str(cid) in row["cids"].split()]
    return {(row["system"], row["code"]): _code(row) for row in rows}


def concept(system: str, code: str) -> Code:
    """The checked concept; LookupError for a code that no table holds."""
    try:
        return concepts()[(system, code)]
    except KeyError as exc:
        raise LookupError(f"{system}|{code} is in no checked code table") from exc


def codings(value: object) -> tuple[Code, ...]:
    """The Codings of a CodeableConcept (or one bare Coding) that have a system and a code; empty ones are left out."""
    if not value or not isinstance(value, dict):
        return ()
    found: list[Code] = []
    for coding in dicts(value.get("coding")) or (value,):
        system, code = text(coding.get("system")), text(coding.get("code"))
        if system and code:
            found.append(Code(_normal(system), code, text(coding.get("display")) or "", text(coding.get("version"))))
    return tuple(found)


def keys_of(value: object) -> list[tuple[str, str]]:
    """System and code of each of ``codings``, for those who only compare: it costs a third."""
    if not value or not isinstance(value, dict):
        return []
    found: list[tuple[str, str]] = []
    for coding in dicts(value.get("coding")) or (value,):
        system, code = text(coding.get("system")), text(coding.get("code"))
        if system and code:
            found.append((_normal(system), code))
    return found


def _normal(system: str) -> str:
    if system in _USUAL:
        return system
    plain = system.removesuffix("/").removesuffix("/RID")
    return RADLEX if plain == RADLEX else _SPELLINGS.get(plain, system)


def find(value: object, *wanted: Code) -> Code | None:
    """The first of ``wanted`` that the CodeableConcept carries, by system and code and never by position or display."""
    stated = keys_of(value)
    return next((code for code in wanted if (code.system, code.code) in stated), None) if stated else None


def _code(row: Mapping[str, str]) -> Code:
    return Code(row["system"], row["code"], row["display"])


def _rows(name: str) -> list[dict[str, str]]:
    source = resources.files("imaging_findings") / "tables" / name
    lines = source.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


LUNG_RADS_CATEGORY = concept(SNOMED, "1362105002")
NODULE_FINDING = concept(SNOMED, "27925004")
SOLITARY_NODULE = concept(SNOMED, "427359005")
DIAMETER = concept(SNOMED, "81827009")
LONG_AXIS = concept(SNOMED, "103339001")
SHORT_AXIS = concept(SNOMED, "103340004")
NUMBER_OF_LESIONS = concept(SNOMED, "246206008")
LOW_RISK = concept(SNOMED, "75976002")
HIGH_RISK = concept(SNOMED, "15508007")
GROUND_GLASS = concept(DCM, "112120")
FOLLOW_UP = concept(DCM, "111053")
NORMAL_INTERVAL = concept(DCM, "111140")
SHORT_INTERVAL = concept(DCM, "111142")
TRACKING = (concept(DCM, "112040"), concept(DCM, "112039"))
FOLLOW_UP_DATE = concept(DCM, "111054")
FOLLOW_UP_INTERVAL = concept(DCM, "111055")
SMOKING_STATUS = concept(LOINC, "72166-2")

# Our own small systems have no outside table; these lines are their definition.
ATTENUATION = Code(NODULE, "attenuation", "Attenuation")
SOLID_PART_DIAMETER = Code(NODULE, "solid-part-diameter", "Diameter of the solid part")
MALIGNANCY_RISK = Code(NODULE, "malignancy-risk", "Risk of malignancy")
CHANGE = Code(NODULE, "change", "Change since the previous examination")
PREVIOUS_DIAMETER = Code(NODULE, "previous-diameter", "Diameter at the previous examination")
PREVIOUS_CATEGORY = Code(NODULE, "previous-category", "Lung-RADS category of the previous examination")
PREVIOUS_EXAMINATION = Code(NODULE, "previous-examination-date", "Date of the previous examination's images")
NODULE_FEATURE = Code(NODULE, "feature", "Feature of the nodule or the examination")
# The values of NODULE_FEATURE: what the screening table asks for beside type, size and change.
NODULE_FEATURES = frozenset(
    {
        "benign",
        "prior-being-located",
        "not-evaluable",
        "inflammatory",
        "juxtapleural-typical",
        "airway-subsegmental",
        "airway-segmental",
        "persistent-airway",
        "atypical-cyst",
        "growing-cyst",
        "slow-growth-over-several-examinations",
        "additional-suspicious",
    }
)
LUNG_RADS_MODIFIER_S = Code(LUNG_RADS, "S", "Modifier S: other significant finding")
