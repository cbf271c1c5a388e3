"""FHIR elements of imaging results: coded terms, quantities, and names by which the same result is always found again.

Spec: FHIR R4 and R5 data types; UCUM; clinical rules, section 6.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fhir_imaging.concept import Concept
from fhir_imaging.fhir_mapping.concepts import coding
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, to_urn
from imaging_findings import codes
from imaging_findings.codes import Code
from pacs_sync.coding_schemes import CODE_MEANING, CODE_VALUE, CODING_SCHEME_DESIGNATOR, CODING_SCHEME_VERSION, CodingSchemes
from pacs_sync.content_items import Number
from pacs_sync.dicom_codes import DicomCode

Json = dict[str, Any]

RESULT_SYSTEM = "https://imaging-cds.example/fhir/NamingSystem/imaging-result"
"""``identifier.system`` of what is brought over from structured reports; the value is a digest of what makes it the same."""
_ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_REASONS = {
    "114000": "not-a-number",
    "114001": "negative-infinity",
    "114002": "positive-infinity",
    "114007": "not-performed",
    "114010": "unknown",
    "114011": "unknown",
}
"""By Numeric Value Qualifier (CID 42); every other one is an error."""
_LENGTH_NAMES = {
    "um": ("um", "micrometer", "micrometre", "micron"),
    "mm": ("mm", "millimeter", "millimetre"),
    "cm": ("cm", "centimeter", "centimetre"),
    "m": ("m", "meter", "metre"),
}
_MM_PER_CM = Decimal(10)
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+", re.ASCII)


class Terms:
    """Coded terms of DICOM as FHIR's, with the site's own coding schemes (``system``, or ``system|version``)."""

    def __init__(self, of_site: Mapping[str, str]) -> None:
        self._schemes = CodingSchemes(of_site=of_site)

    def concept(self, code: DicomCode) -> Concept:
        """The concept, by the name that the checked tables have for it; words alone where the scheme is unknown.

        A version that the report states comes before the site's.
        """
        parts = {
            CODE_VALUE: code.value,
            CODING_SCHEME_DESIGNATOR: code.scheme,
            CODE_MEANING: code.meaning,
            CODING_SCHEME_VERSION: code.version,
        }
        found = self._schemes.concept({tag: {"Value": [part]} for tag, part in parts.items() if part})
        if found is None or found.system is None or found.code is None:
            return found or Concept(code.value)
        known = codes.concepts().get((found.system, found.code))
        return replace(found, display=known.display) if known else found


def is_concept(concept: Concept, *wanted: Code) -> bool:
    """Whether it is one of these codes."""
    return any((concept.system, concept.code) == (one.system, one.code) for one in wanted)


def of_code(code: Code) -> Json:
    """A CodeableConcept of a checked code."""
    return codeable(Concept(code.display, code.system, code.code))


def codeable(concept: Concept, words: str | None = None) -> Json:
    """A CodeableConcept: the code where there is one, and words where they say more or stand alone."""
    coded = coding(concept)
    said = words or (None if coded else concept.display or "not stated")
    return {**({"coding": [coded]} if coded else {}), **({"text": said} if said else {})}


def measured(number: Number, terms: Terms, *, is_length: bool) -> Json:
    """``valueQuantity`` with the value and unit of the source (a length in cm becomes mm), or why there is none.

    A number with a qualifier is no plain number, so its value is not told. A unit whose code and words name different ones is
    words alone.
    """
    if number.value is None or number.qualifier is not None:
        return {"dataAbsentReason": _absent(number.qualifier)}
    value, unit = number.value, number.unit
    if unit is None:
        return {"valueQuantity": {"value": _plain(value)}}
    concept = terms.concept(unit)
    if concept.system != codes.UCUM:
        return {"valueQuantity": {"value": _plain(value), "unit": concept.display}}
    code = concept.code or ""
    if _is_denied_unit(code, unit.meaning):
        return {"valueQuantity": {"value": _plain(value), "unit": f"{unit.meaning} (code {code})"}}
    if is_length and code == "cm":
        value, code = value * _MM_PER_CM, "mm"
    words = code if code in ("mm", "cm") else unit.meaning or code
    return {"valueQuantity": {"value": _plain(value), "unit": words, "system": codes.UCUM, "code": code}}


def _is_denied_unit(code: str, words: str) -> bool:
    named = words.strip().casefold().removesuffix("s")
    return code in _LENGTH_NAMES and any(named in names for unit, names in _LENGTH_NAMES.items() if unit != code)


def _absent(qualifier: DicomCode | None) -> Json:
    reason = _REASONS.get(qualifier.value, "error") if qualifier and qualifier.scheme == "DCM" else "unknown"
    stated = codeable(Concept("", _ABSENT_REASONS, reason))
    return {**stated, **({"text": qualifier.meaning} if qualifier and qualifier.meaning else {})}


def _plain(value: Decimal) -> int | float:
    """As JSON writes numbers; decimals of a report have far fewer digits than a float keeps."""
    return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)


def head(resource_type: str, *key: str) -> Json:
    """What a result begins with: the identifier by which it is found again. Its id is given by whoever writes it."""
    return {"resourceType": resource_type, "identifier": [{"system": RESULT_SYSTEM, "value": _digest(resource_type, *key)}]}


def reference(resource_type: str, *key: str) -> str:
    """A conditional reference to it, which becomes one to what stands in the server when it is written."""
    return f"{resource_type}?identifier={RESULT_SYSTEM}|{_digest(resource_type, *key)}"


def study_reference(uid: StudyInstanceUID) -> str:
    """A conditional reference to the ImagingStudy of a study."""
    return f"ImagingStudy?identifier={DICOM_UID_SYSTEM}|{to_urn(uid)}"


def uid_identifier(uid: str, kind: Code | None = None) -> Json:
    """A DICOM UID as an identifier, with what it names."""
    return {**({"type": of_code(kind)} if kind else {}), "system": DICOM_UID_SYSTEM, "value": to_urn(uid)}


def oid_value(uid: str) -> Json:
    """A DICOM UID as value of an extension; archives hold some that FHIR's type ``oid`` refuses (``1.02.3``)."""
    return {"valueOid": to_urn(uid)} if _OID.fullmatch(uid) else {"valueString": uid}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]
