"""T1: every code that this repository writes down is in a checked table; the wrong codes that circulate are not (X1-X3)."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts as pydicom_concepts

from imaging_findings import codes
from imaging_findings.body_parts import body_parts
from imaging_findings.packs import bundled_packs
from imaging_findings.study_names import Contrast
from imaging_findings.study_table import loinc_lines, study_codes
from tests.code_digits import is_loinc, is_snomed
from tests.conftest import CHECKOUT

PACKAGES = (
    "cds_service",
    "fhir_imaging",
    "imaging_findings",
    "imaging_server",
    "pacs_sync",
    "smart_app",
    "imaging_cds",
    "ehr_sandbox",
)
_STRING = re.compile(r'"([^"\n]*)"|\'([^\'\n]*)\'')
_LOINC = re.compile(r"(?<![\d.-])(\d{1,5}-\d)(?![\d-])")
# No code of SNOMED begins with a nought; tags of DICOM do.
_SNOMED = re.compile(r"(?<![\d.-])([1-9]\d{5,17})(?![\d.-])")
_DCM = re.compile(r"(?<![\d.-])(1[123]\d{4})(?![\d.-])")


def _source_files() -> list[Path]:
    found = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*") if path.suffix in (".py", ".toml")]
    return [path for path in found if "migrations" not in path.parts]


def _literals(path: Path) -> list[str]:
    return [double or single for double, single in _STRING.findall(path.read_text(encoding="utf-8"))]


def known_codes() -> set[str]:
    ours = {code for _, code in codes.concepts()} | set(loinc_lines()) | {part.code.code for part in body_parts().values()}
    standard = {code for scheme in ("SCT", "DCM", "LN") for found in pydicom_concepts[scheme].values() for code in found}
    return ours | standard


def test_check_digits_tell_codes_from_other_numbers() -> None:
    assert is_loinc("29252-4")
    assert not is_loinc("29252-5")
    assert is_snomed("1362105002")
    assert not is_snomed("1362105003")


def test_t1_every_code_literal_is_in_a_checked_table() -> None:
    known = known_codes()
    unknown: list[str] = []
    for path in _source_files():
        for literal in _literals(path):
            stated = {code for code in _LOINC.findall(literal) if len(code) >= 6 and is_loinc(code)}
            stated |= {code for code in _SNOMED.findall(literal) if is_snomed(code)}
            stated |= set(_DCM.findall(literal)) if len(literal) == 6 else set()
            unknown += [f"{path.relative_to(CHECKOUT)}: {code}" for code in sorted(stated - known)]

    assert unknown == []


@pytest.mark.parametrize("wrong", ["36643-5", "82688-3", "168731009"], ids=["X1", "X2", "X3"])
def test_x1_to_x3_wrong_codes_appear_in_no_source_and_no_table(wrong: str) -> None:
    tables = list((CHECKOUT / "imaging_findings" / "tables").glob("*.csv"))
    holders = [
        path.name for path in [*_source_files(), *tables] if f'{wrong}"' in path.read_text() or f",{wrong}," in path.read_text()
    ]

    assert holders == []


def test_x1_the_chest_x_ray_is_recognised_as_one_and_can_not_be_ordered() -> None:
    (study,) = study_codes([codes.Code(codes.LOINC, "36643" + "-5")])

    assert (study.modality, study.regions, study.contrast) == ("XR", {"chest"}, Contrast.UNKNOWN)
    assert (codes.LOINC, study.code.code) not in codes.procedures()


def test_x2_the_colon_examination_is_recognised_as_one() -> None:
    (study,) = study_codes([codes.Code(codes.LOINC, "82688" + "-3")])

    assert (study.modality, study.regions) == ("CT", {"abdomen", "pelvis"})


def test_a_code_written_beside_its_name_has_the_name_of_the_table() -> None:
    # Wrong codes circulate because somebody wrote the right name beside them.
    pattern = re.compile(r'"?code"?\s*[:=]\s*"(\d{1,5}-\d)",\s*"?display"?\s*[:=]\s*"([^"]+)"')
    names = {code: next(csv.reader([line]))[1] for code, line in loinc_lines().items()}
    written = [
        (path.relative_to(CHECKOUT), code, name)
        for path in _source_files()
        for code, name in pattern.findall(path.read_text(encoding="utf-8"))
        if code in names
    ]

    assert len(written) >= 4
    assert [one for one in written if one[2] != names[one[1]]] == []


def test_x1_every_order_of_a_pack_is_a_ct_of_the_chest() -> None:
    packs = bundled_packs()
    ordered = [row.order.code for row in packs.screening.categories.values() if row.order] + [packs.nodules.order.code]

    for code in ordered:
        procedure = codes.procedures()[(code.system, code.code)]
        assert (procedure.modality, procedure.regions) == ("CT", frozenset({"chest"}))


def test_chest_ct_codes_mean_what_the_specification_says() -> None:
    displays = {
        code: codes.concept(codes.LOINC, code).display for code in ("29252-4", "24628-0", "24627-2", "79086-5", "87279-6")
    }

    assert displays == {
        "29252-4": "CT Chest WO contrast",
        "24628-0": "CT Chest W contrast IV",
        "24627-2": "CT Chest",
        "79086-5": "CT Chest for screening WO contrast",
        "87279-6": "CT Chest for screening",
    }


def test_standard_codes_agree_with_pydicom() -> None:
    by_code = {
        (scheme, code): True
        for scheme in ("SCT", "DCM", "RADLEX")
        for found in pydicom_concepts[scheme].values()
        for code in found
    }
    systems = {codes.SNOMED: "SCT", codes.DCM: "DCM", codes.RADLEX: "RADLEX"}
    # The table says of these that PS3.16 does not have them.
    outside = {"1362105002", "427359005", "363346000", "449868002", "2667000", "260415000", "3341006", "44029006"}
    lines = (CHECKOUT / "imaging_findings" / "tables" / "concepts.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    outside |= {row["code"] for row in rows if "not in PS3.16" in row["source"]}
    missing = [
        code
        for system, code in codes.concepts()
        if system in systems and code not in outside and (systems[system], code) not in by_code
    ]

    assert missing == []


@pytest.mark.parametrize("path", sorted((CHECKOUT / "imaging_findings" / "tables").glob("*.csv")), ids=lambda path: path.name)
def test_t1_every_snomed_and_loinc_code_of_a_table_has_its_check_digit(path: Path) -> None:
    rows = csv.DictReader(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    default = {"body_parts.csv": codes.SNOMED, "loinc_studies.csv": codes.LOINC}.get(path.name)
    for row in rows:
        system, code = row.get("system") or default, row.get("code", "")
        assert system != codes.SNOMED or not code or is_snomed(code), row
        assert system != codes.LOINC or code.startswith(("LP", "LA")) or is_loinc(code), row


def test_unknown_code_is_refused() -> None:
    with pytest.raises(LookupError, match="no checked code table"):
        codes.concept(codes.LOINC, "36643-5")
