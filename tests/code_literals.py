"""Codes as texts write them down: beside their system, by their shape, and quoted; and those of them that no table holds.

A number is not excused by its check digit: a mistyped code fails its check digit, and is the very one to be found.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydicom.sr._concepts_dict import concepts as pydicom_concepts

from imaging_findings import codes
from imaging_findings.body_parts import body_parts
from imaging_findings.packs import bundled_packs
from imaging_findings.study_table import loinc_lines
from tests.conftest import CHECKOUT

SCHEMES = {codes.SNOMED: "SCT", codes.LOINC: "LN", codes.DCM: "DCM", codes.RADLEX: "RADLEX"}
_SPELLINGS = {
    "SCT": "SCT",
    "SNOMED": "SCT",
    "snomed.info/sct": "SCT",
    "LOINC": "LN",
    "LN": "LN",
    "loinc.org": "LN",
    "DCM": "DCM",
    "RADLEX": "RADLEX",
    "radlex.org": "RADLEX",
    "ICD_10": "ICD-10",
    "ICD_10_CM": "ICD-10",
    "sid/icd-10": "ICD-10",
    "sid/icd-10-cm": "ICD-10",
    "sid/icd-10-gm": "ICD-10",
}
_SYSTEM = "|".join(re.escape(one) for one in sorted(_SPELLINGS, key=len, reverse=True))
_QUOTE = r"[\"'`]?"
# SCT, "27925004"   system|27925004   "system": "…", "code": "27925004"   system = "…" and, in the next line, code = "…"
_BETWEEN = rf"(?:{_QUOTE}(?:display|version){_QUOTE}\s*[:=]\s*[\"'][^\"'\n]*[\"'],?\s*)*(?:{_QUOTE}code{_QUOTE}\s*[:=]\s*)?"
_AFTER = re.compile(
    rf"(?<![A-Za-z0-9-])({_SYSTEM})(?=[\"'`,|;\s]){_QUOTE}\s*[,|;]?\s*{_BETWEEN}{_QUOTE}([A-Z]{{0,3}}\d[\w.-]*\w|\d)(?![\w\"'`]*:)"
)
_BEFORE = re.compile(
    rf"{_QUOTE}\bcode{_QUOTE}\s*[:=]\s*[\"']([\w.-]+)[\"'],?\s*{_QUOTE}system{_QUOTE}\s*[:=]\s*[^\s,;}}]*?({_SYSTEM})(?![\w-])"
)
_LOINC = re.compile(r"(?<![\w.\-/])((?:L[AP])?\d{4,6}-\d)(?![\w{-])")
_RADLEX = re.compile(r"\bRID\d+")
# What stands quoted, in backticks or in a cell of a table; tags of DICOM begin with a nought, no SNOMED code does.
_NUMBER = re.compile(r"(?<=[\"'`|,:])([1-9]\d{5,17})(?=[\"'`|,;\s)])")
_ICD_10 = re.compile(r"(?<=[\"'`|])([A-Z]\d[\dA-Z]\.[\dA-Z]{1,4})(?=[\"'`|])")
# Tests write the wrong codes of X1 to X3 in two halves.
_JOINED = re.compile(r"\" \+ \"")
# DICOM writes dates so, and dates with times.
DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d){1,2})?")
_X3 = "168731009"
# Codes that tests send on purpose, with what they are: nowhere else are they excused.
SENT_BY_TESTS: Mapping[str, Mapping[str, str]] = {
    "SCT": {
        _X3: "X3 itself, in texts that say that it is wrong",
        "394579002": "cardiology, a service that books no imaging",
        "444814009": "sinusitis, which a mutation puts in place of a nodule",
        "1362105003": "a wrong check digit, in the test of check digits",
        "N17.9": "a class of ICD-10 under the wrong system, which counts for nothing",
    },
    "LN": {
        "29252-5": "a wrong check digit, in the test of check digits",
        "1-1": "one of two values in a query, in the test of how queries are read",
        "99999-9": "an examination that does not exist, and is refused",
    },
    "ICD-10": {
        "D48.6": "neoplasm of uncertain behaviour of the breast, which is no cancer",
        "I10": "hypertension, which bears on no rule",
        "O03.9": "abortion, which ends a pregnancy",
        "O24.430": "diabetes that began in a pregnancy which is over",
        "O80": "delivery, which ends a pregnancy",
        "Z32.02": "a negative pregnancy test",
        "Z33.2": "termination of a pregnancy",
        "Z39.2": "a visit after delivery",
        "Z80.1": "cancer of the lung in the family, which is nobody's own",
        "Z80.3": "cancer of the breast in the family, which is nobody's own",
        "Z85.3": "cancer of the breast in the past",
    },
}
# What has the shape of a code and is none.
NO_CODE = {
    "00080100": "DICOM tag CodeValue",
    "0010002": "an accession number",
    "00101000": "DICOM tag OtherPatientIDs",
    "101112": "a time of day",
    "101160": "no time of day",
    "101500": "a time of day",
    "20261310083000": "no moment: there is no 13th month",
    "235959": "a time of day",
    "235960": "no time of day",
    "52009229": "DICOM tag SharedFunctionalGroupsSequence",
    "999999999": "more than anybody may ask for",
    "1964030219640302": "a number that a log must not keep",
    "4194304": "a limit in bytes",
    "16777216": "a limit in bytes",
    "134217728": "a limit in bytes",
    "2026010": "no date, which matches nothing",
    "RFC5646": "a coding scheme that stands beside others",
}


@cache
def tabled() -> Mapping[str, frozenset[str]]:
    """The codes of our tables and of PS3.16 (pydicom), by scheme; LOINC's parts and answers are among LOINC's."""
    found = {name: {code for codes_ in pydicom_concepts[name].values() for code in codes_} for name in SCHEMES.values()}
    found["LN"] |= set(loinc_lines())
    found["SCT"] |= {part.code.code for part in body_parts().values()}
    written = [*codes.concepts(), *((row["system"], row["code"]) for row in value_sets())]
    for system, code in written:
        found.setdefault(SCHEMES.get(system, "ICD-10" if "icd-10" in system else system), set()).add(code)
    return {scheme: frozenset(members) for scheme, members in found.items()}


def value_sets() -> list[dict[str, str]]:
    """The rows of the sets that the order-time rules ask about."""
    lines = (CHECKOUT / "imaging_findings" / "tables" / "value_sets.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def unknown_codes(path: Path, words: str) -> list[str]:
    """The codes of a text that no table holds (each once, with the scheme that it was taken for)."""
    words = _JOINED.sub("", words)
    sent = {"tests": {code for one in SENT_BY_TESTS.values() for code in one}, "docs": {_X3}}.get(path.parts[0], set())
    found = {(scheme, code) for scheme, code in _beside_their_system(words) if not _is_known(scheme, code)}
    found |= {("LN", code) for code in _LOINC.findall(words) if not _is_known("LN", code)}
    found |= {("RADLEX", code) for code in _RADLEX.findall(words) if not _is_known("RADLEX", code)}
    found |= {("ICD-10", code) for code in _ICD_10.findall(words) if not _is_known("ICD-10", code)}
    found |= {("SCT or DCM", code) for code in _NUMBER.findall(words) if not _is_known_number(code)}
    return [f"{path}: {code} ({scheme})" for scheme, code in sorted(found) if code not in sent]


def _beside_their_system(words: str) -> Iterator[tuple[str, str]]:
    yield from ((_SPELLINGS[system], code) for system, code in _AFTER.findall(words))
    yield from ((_SPELLINGS[system], code) for code, system in _BEFORE.findall(words))


def _is_known(scheme: str, code: str) -> bool:
    if code in NO_CODE:
        return True
    if scheme == "ICD-10":
        return code.startswith(_icd_10())
    return code in tabled()[scheme]


def _is_known_number(code: str) -> bool:
    return bool(DATE.fullmatch(code)) or _is_known("SCT", code) or _is_known("DCM", code)


@cache
def _icd_10() -> tuple[str, ...]:
    """Classes that the rules name: everything below them is meant with them."""
    nodules = bundled_packs().nodules
    assert nodules is not None
    # In-situ tumours are told from cancers (order_chart.py).
    return (*tabled()["ICD-10"], *nodules.exclusions.cancer_icd10, *nodules.exclusions.immunosuppression_icd10, "D03", "D05")
