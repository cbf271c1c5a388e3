"""T1 and O1 for the big tables: derived again row by row, compared with the published dictionaries, and quick to read."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts as pydicom_concepts

from imaging_findings import codes
from imaging_findings.body_parts import body_parts
from imaging_findings.codes import LOINC, SNOMED, Code
from imaging_findings.modalities import family_of
from imaging_findings.regions import regions_of_codes
from imaging_findings.study_names import Contrast, Purpose, Side, read_name
from imaging_findings.study_table import (
    CPT,
    SiteTableError,
    StudyCode,
    cpt_studies,
    known_regions,
    loinc_lines,
    read_site_studies,
    study_codes,
)
from tests.conftest import CHECKOUT

TABLES = CHECKOUT / "imaging_findings" / "tables"
SITE_HEADER = "system,codes,display,modality,regions,contrast,side,purpose\n"
LOINC_COUNT = 5954


def _loinc(code: str) -> StudyCode:
    (found,) = study_codes([Code(LOINC, code)])
    return found


def _cpt(code: str) -> StudyCode:
    (found,) = study_codes([Code(CPT, code)])
    return found


def _has_check_digit(code: str) -> bool:
    digits, _, check = code.partition("-")
    backwards = digits[::-1]
    total = sum(int(digit) for digit in str(int(backwards[::2]) * 2) + backwards[1::2])
    return (10 - total % 10) % 10 == int(check)


def test_t1_every_loinc_row_is_a_code_with_check_digit_and_is_derived_from_its_name() -> None:
    rows = [next(csv.reader([line])) for line in loinc_lines().values()]

    assert len(rows) == LOINC_COUNT
    assert [row[0] for row in rows if not _has_check_digit(row[0])] == []
    for code, display, modality, regions, contrast, side, purpose in rows:
        read = read_name(display)
        assert (modality, frozenset(regions.split())) == (read.modality or "", read.regions), code
        assert (contrast or "unknown", side or "unstated", purpose or "diagnostic") == (read.contrast, read.side, read.purpose)


@pytest.mark.parametrize(
    ("code", "modality", "regions", "contrast", "side", "purpose"),
    [
        ("36643-5", "XR", "chest", "unknown", "unstated", "diagnostic"),
        ("82688-3", "CT", "abdomen pelvis", "both", "unstated", "diagnostic"),
        ("24627-2", "CT", "chest", "unknown", "unstated", "diagnostic"),
        ("29252-4", "CT", "chest", "without", "unstated", "diagnostic"),
        ("24628-0", "CT", "chest", "with", "unstated", "diagnostic"),
        ("79086-5", "CT", "chest", "without", "unstated", "screening"),
        ("72254-6", "CT", "chest abdomen pelvis", "with", "unstated", "diagnostic"),
        ("72253-8", "CT", "chest abdomen pelvis", "without", "unstated", "diagnostic"),
        ("87864-5", "CT", "chest abdomen pelvis", "both", "unstated", "diagnostic"),
        ("44115-4", "CT", "abdomen pelvis", "unknown", "unstated", "diagnostic"),
        ("41806-1", "CT", "abdomen", "unknown", "unstated", "diagnostic"),
        ("86981-8", "CT", "chest", "with", "unstated", "diagnostic"),
        ("69084-2", "CT", "chest", "without", "unstated", "diagnostic"),
        ("30657-1", "MR", "head", "without", "unstated", "diagnostic"),
        ("36554-4", "XR", "chest", "unknown", "unstated", "diagnostic"),
        ("37572-5", "RF", "cervical-spine thoracic-spine lumbar-spine", "other-route", "unstated", "diagnostic"),
        ("24987-0", "CT", "cervical-spine thoracic-spine lumbar-spine", "with", "unstated", "diagnostic"),
        ("82697-4", "CT", "lumbar-spine", "without", "unstated", "diagnostic"),
        ("83305-3", "CT", "cervical-spine lumbar-spine", "without", "unstated", "diagnostic"),
        ("37232-6", "CT", "lumbar-spine", "unknown", "unstated", "diagnostic"),
        ("82807-9", "PT", "head neck chest abdomen pelvis", "without", "unstated", "diagnostic"),
        ("81582-9", "NM", "neck", "unknown", "unstated", "diagnostic"),
        ("87027-9", None, "chest", "unknown", "unstated", "intervention"),
        ("80870-9", "US", "fetus", "unknown", "unstated", "diagnostic"),
    ],
)
def test_loinc_examinations_mean_what_their_names_say(
    code: str, modality: str | None, regions: str, contrast: str, side: str, purpose: str
) -> None:
    study = _loinc(code)

    assert (study.modality, study.regions) == (modality, frozenset(regions.split()))
    assert (study.contrast, study.side, study.purpose) == (Contrast(contrast), Side(side), Purpose(purpose))


def test_what_may_be_ordered_agrees_with_what_is_recognised() -> None:
    for (system, code), procedure in codes.procedures().items():
        if system != LOINC:
            continue
        study = _loinc(code)
        assert study.code.display == procedure.code.display
        assert (study.modality, study.regions, str(study.purpose)) == (
            procedure.modality,
            procedure.regions,
            procedure.purpose,
        ), code


def test_loinc_table_carries_the_notice() -> None:
    head = (TABLES / "loinc_studies.csv").read_text(encoding="utf-8")[:1200]

    assert "Regenstrief Institute" in head
    assert "loinc.org/license" in head


@pytest.mark.parametrize(
    ("number", "modality", "regions", "contrast"),
    [
        ("71250", "CT", "chest", "without"),
        ("71260", "CT", "chest", "with"),
        ("71270", "CT", "chest", "both"),
        ("71275", "CT", "chest", "with"),
        ("74176", "CT", "abdomen pelvis", "without"),
        ("74177", "CT", "abdomen pelvis", "with"),
        ("74178", "CT", "abdomen pelvis", "both"),
        ("70551", "MR", "head", "without"),
        ("72158", "MR", "lumbar-spine", "both"),
        ("71046", "XR", "chest", "unknown"),
        ("70486", "CT", "face", "without"),
    ],
)
def test_cpt_numbers_give_modality_regions_and_contrast(number: str, modality: str, regions: str, contrast: str) -> None:
    study = _cpt(number)

    assert (study.modality, study.regions, study.contrast) == (modality, frozenset(regions.split()), Contrast(contrast))


def test_cpt_table_holds_numbers_only_each_once_with_known_words() -> None:
    lines = (TABLES / "cpt_studies.csv").read_text(encoding="utf-8").splitlines()
    numbers = [number for line in lines if line[:1].isdigit() for number in line.split(",")[0].split()]

    assert len(numbers) == len(set(numbers)) == len(cpt_studies())
    assert all(len(number) == 5 for number in numbers)
    for study in cpt_studies().values():
        assert study.code.display == ""
        assert family_of(study.modality or "")
        assert study.regions <= known_regions()


def test_cpt_screening_and_modifiers() -> None:
    assert _cpt("71271").purpose is Purpose.SCREENING
    assert _cpt("77067").purpose is Purpose.SCREENING
    assert _cpt("73562-RT").side is Side.RIGHT
    assert _cpt("71250-26").regions == {"chest"}
    assert study_codes([Code(CPT, "99213")]) == ()


def test_systems_are_recognised_by_oid_too() -> None:
    (study,) = study_codes([Code("urn:oid:2.16.840.1.113883.6.12", "71250")])

    assert study.modality == "CT"


def test_of_translations_the_most_telling_system_counts() -> None:
    translated = [Code(CPT, "73721"), Code(LOINC, "24627-2")]

    assert [study.code.system for study in study_codes(translated)] == [LOINC]


def test_site_table_counts_first() -> None:
    site = read_site_studies(SITE_HEADER + "urn:oid:2.999.1,CTCH01 CTCH02,CT chest,CT,chest,without,,\n", "site.csv")
    (study,) = study_codes([Code(LOINC, "30657-1"), Code("urn:oid:2.999.1", "CTCH02")], site)

    assert (study.modality, study.regions, study.contrast) == ("CT", {"chest"}, Contrast.WITHOUT)


def test_site_table_faults_name_file_and_line() -> None:
    content = (
        SITE_HEADER
        + "# ours\nurn:x,A,,CAT,chest,,,\nurn:x,B,,CT,thorax,,,\nurn:x,C,,CT,chest,maybe,,\nurn:x,D,,CT\nurn:x,,,CT,,,,\n"
    )

    with pytest.raises(SiteTableError) as refused:
        read_site_studies(content, "site.csv")

    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        f"site.csv, line {line}" for line in (3, 4, 5, 6, 7)
    ]
    assert "CAT is no modality" in refused.value.problems[0]
    assert "unknown region thorax" in refused.value.problems[1]
    assert "maybe is no contrast" in refused.value.problems[2]


def test_site_table_without_its_header_or_with_a_code_twice_is_refused() -> None:
    with pytest.raises(SiteTableError, match="must name the columns"):
        read_site_studies("urn:x,A,,CT,chest,,,\n", "site.csv")
    with pytest.raises(SiteTableError, match="line 3: A stands in the table twice"):
        read_site_studies(SITE_HEADER + "urn:x,A,,CT,chest,,,\nurn:x,A,,MR,chest,,,\n", "site.csv")


def test_annex_l_is_carried_whole_as_highdicom_has_it() -> None:
    source = resources.files("highdicom") / "_standard" / "anatomic_regions.json"
    published = json.loads(source.read_text(encoding="utf-8"))
    carried = {term: ["SCT", part.code.code, part.code.display, part.is_paired] for term, part in body_parts().items()}

    assert len(carried) == 317
    assert carried == published
    assert {body_parts()[term].code.code for term in ("CHEST", "THORAX")} == {"816094009"}


def test_annex_l_codes_are_in_pydicoms_dictionaries() -> None:
    published = {code for found in pydicom_concepts["SCT"].values() for code in found}
    missing = {part.term for part in body_parts().values() if part.code.code not in published}

    # Annex L has these two; pydicom lists the context groups, which do not.
    assert missing == {"LOWERTRUNK", "UPPERTRUNK"}


def test_terms_of_one_code_lie_in_the_same_regions() -> None:
    by_code: dict[str, set[frozenset[str]]] = {}
    for part in body_parts().values():
        by_code.setdefault(part.code.code, set()).add(part.regions)
        assert part.regions <= known_regions()

    assert [code for code, regions in by_code.items() if len(regions) > 1] == []


def test_few_body_parts_have_no_region_and_each_is_known_to() -> None:
    without = {term for term, part in body_parts().items() if not part.regions}

    general = "ARTERY CARDIOVASCSYS ENDOARTERIAL ENDOVASCULAR ENDOVENOUS JOINT LUMEN PHANTOM SUBCOSTAL VEIN"
    assert without == set(general.split())


def test_body_site_codes_of_annex_l_give_regions() -> None:
    assert regions_of_codes([Code(SNOMED, "818981001")]) == {"abdomen"}
    assert regions_of_codes([Code(SNOMED, "416775004")]) == {"chest", "abdomen", "pelvis"}
    assert regions_of_codes([Code("urn:other", "818981001")]) == frozenset()


def test_tables_are_read_on_first_use_and_in_under_50_ms() -> None:
    lookup = (
        "import time; import imaging_findings.study_kinds as kinds, imaging_findings.study_table as table\n"
        "assert table.loinc_lines.cache_info().currsize == 0, 'read at import'\n"
        "began = time.process_time()\n"
        "kinds.study_kind_of(stated=[kinds.Code('http://loinc.org', '24627-2')], words=['CT Chest'])\n"
        "print(time.process_time() - began)\n"
    )
    took = min(float(_python(lookup)) for _ in range(3))

    assert took < 0.05


def _python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def test_lookup_after_that_is_a_matter_of_microseconds() -> None:
    kind_code = [Code(LOINC, "24627-2")]
    study_codes(kind_code)
    began = time.perf_counter()
    for _ in range(1000):
        study_codes(kind_code)

    assert time.perf_counter() - began < 0.2


def test_derivation_of_body_parts_is_the_table(tmp_path: Path) -> None:
    source = resources.files("highdicom") / "_standard" / "anatomic_regions.json"
    copy = tmp_path / "anatomic_regions.json"
    copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    derived = _python(
        f"import sys, runpy; sys.argv = ['derive.py', 'body-parts', {str(copy)!r}];"
        f"runpy.run_path({str(TABLES / 'derive.py')!r}, run_name='__main__')"
    )

    assert derived == (TABLES / "body_parts.csv").read_text(encoding="utf-8")
