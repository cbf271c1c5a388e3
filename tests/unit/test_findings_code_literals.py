"""T1 for every text of the repository: packages, templates, scripts, rule packs, tests and their data, documents.

The tables check what the product reads and writes; here nothing that anybody could copy from says a wrong code either.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_findings import codes
from imaging_findings.packs import bundled_packs
from imaging_findings.study_kinds import Contrast, study_kind_of
from imaging_findings.study_table import cpt_studies, loinc_lines
from tests.code_digits import is_loinc, is_snomed
from tests.code_literals import DATE, NO_CODE, SENT_BY_TESTS, unknown_codes, value_sets
from tests.conftest import CHECKOUT
from tests.unit.test_findings_codes import PACKAGES, known_codes

_PLACES = (*PACKAGES, "static", "templates", "tests", "docs")
_TEXTS = frozenset({".py", ".toml", ".html", ".js", ".json", ".md", ".css"})
_LOINC = re.compile(r"(?<![\d.\-/])(\d{4,5}-\d)(?![\d-])")
# No code of SNOMED begins with a nought; tags of DICOM do.
_SNOMED = re.compile(r"(?<![\d.\-\w])([1-9]\d{5,17})(?![\d.\-\w])")


def _texts() -> Iterator[tuple[Path, str]]:
    for path in sorted(CHECKOUT.glob("*.md")):
        yield path.relative_to(CHECKOUT), path.read_text(encoding="utf-8")
    for place in _PLACES:
        for path in sorted((CHECKOUT / place).rglob("*")):
            if path.suffix in _TEXTS and "__pycache__" not in path.parts:
                yield path.relative_to(CHECKOUT), path.read_text(encoding="utf-8")


TEXTS = dict(_texts())


def test_every_kind_of_text_is_walked() -> None:
    assert {path.suffix for path in TEXTS} == _TEXTS
    assert any(path.parts[:2] == ("tests", "data") for path in TEXTS)
    assert any(path.parts[:2] == ("imaging_findings", "packs") for path in TEXTS)


def test_t1_every_number_that_is_a_loinc_or_snomed_code_is_in_a_checked_table() -> None:
    known = known_codes() | {row["code"] for row in value_sets()} | set(NO_CODE) | set(SENT_BY_TESTS["SCT"])
    unknown = []
    for path, words in TEXTS.items():
        found = {code for code in _LOINC.findall(words) if len(code) >= 6 and is_loinc(code)}
        found |= {code for code in _SNOMED.findall(words) if is_snomed(code) and not DATE.fullmatch(code)}
        unknown += [f"{path}: {code}" for code in sorted(found - known)]

    assert unknown == []


def test_t1_every_code_literal_is_tabled_whatever_its_check_digit() -> None:
    """Beside SNOMED, LOINC, DCM, RadLex or ICD-10 in any shape, each RID number, and what is quoted like a code."""
    assert [one for path, words in TEXTS.items() for one in unknown_codes(path, words)] == []


def _codings(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("system"), str) and isinstance(value.get("code"), str):
            yield value
        for member in value.values():
            yield from _codings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _codings(member)


DATA = sorted(path for path in TEXTS if path.suffix == ".json" and path.parts[:2] == ("tests", "data"))


@pytest.mark.parametrize("path", DATA, ids=str)
def test_t1_every_coding_of_the_test_data_is_tabled_and_says_what_its_table_says(path: Path) -> None:
    names = {(codes.LOINC, code): next(csv.reader([line]))[1] for code, line in loinc_lines().items()}
    names |= {key: one.display for key, one in codes.concepts().items()}
    standard = known_codes() | {row["code"] for row in value_sets()}
    for coding in _codings(json.loads(TEXTS[path])):
        if coding["system"] in (codes.LOINC, codes.SNOMED, codes.DCM):
            assert coding["code"] in standard or len(coding["code"]) <= 2, coding
        if coding["system"] == codes.LOINC and "display" in coding and (codes.LOINC, coding["code"]) in names:
            assert coding["display"] == names[codes.LOINC, coding["code"]], coding


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("36643" + "-5", r"x-?ray|\bXR\b|no examination|no checked|X1|\[?wrong|refused|LookupError|codes\.concept|_X_RAY"),
        ("82688" + "-3", r"colon|X2|^breaks|\bCT\b.*abdomen"),
        ("168731" + "009", r"x-?ray|no checked|X3|X1"),
    ],
    ids=["X1", "X2", "X3"],
)
def test_x1_to_x3_wherever_a_wrong_code_stands_the_same_line_says_what_it_is(wrong: str, words: str) -> None:
    lines = [(path, line) for path, text in TEXTS.items() for line in text.splitlines() if wrong in line]

    assert lines, "the codes are spoken of, so that nobody takes them for what they are not"
    assert [one for one in lines if not re.search(words, one[1], re.IGNORECASE)] == []


@pytest.mark.parametrize("wrong", ["36643" + "-5", "82688" + "-3", "168731" + "009"], ids=["X1", "X2", "X3"])
def test_x1_to_x3_no_wrong_code_stands_where_it_could_be_copied_from_or_ordered(wrong: str) -> None:
    quiet = [
        path for path in TEXTS if path.parts[0] in ("ehr_sandbox", "static", "templates") or path.suffix in (".json", ".html")
    ]
    quiet += [path for path in TEXTS if path.parts[:2] == ("imaging_findings", "packs")]

    assert len(quiet) > 50
    assert [path for path in quiet if wrong in TEXTS[path]] == []


def test_x1_x2_what_the_tables_say_of_the_wrong_codes() -> None:
    x_ray = study_kind_of(stated=[codes.Code(codes.LOINC, "36643" + "-5", "CT chest without contrast")])
    colon = study_kind_of(stated=[codes.Code(codes.LOINC, "82688" + "-3", "Lung nodule assessment")])

    assert (x_ray.families, x_ray.regions, x_ray.contrast) == ({"XR"}, {"chest"}, Contrast.UNKNOWN)
    assert (colon.families, colon.regions) == ({"CT"}, {"abdomen", "pelvis"})


def test_t1_every_order_that_a_pack_may_draft_is_an_examination_of_the_tables() -> None:
    packs = bundled_packs()
    orders = [row.order.code for row in (packs.screening.categories.values() if packs.screening else ()) if row.order]
    orders += [packs.nodules.order.code] if packs.nodules else []

    assert {code.code for code in orders} == {"79086-5", "29252-4"}
    for code in orders:
        kind = study_kind_of(stated=[code])
        assert (kind.families, kind.regions, kind.contrast) == ({"CT"}, {"chest"}, Contrast.WITHOUT)


def test_t1_every_cpt_number_has_a_modality_and_is_five_digits() -> None:
    for number, study in cpt_studies().items():
        assert re.fullmatch(r"\d{5}", number)
        assert study.modality
        assert study.code.display == "", "descriptors are licensed and not carried"


_PAIR = re.compile(r'"(\d{4,5}-\d)",\s*(?:display=)?"([^"]+)"')


def test_t1_what_the_sandbox_offers_to_order_has_the_name_of_its_code() -> None:
    names = {code: next(csv.reader([line]))[1] for code, line in loinc_lines().items()}
    offered = [
        (path, code, name)
        for path, words in TEXTS.items()
        if path.parts[0] == "ehr_sandbox"
        for code, name in _PAIR.findall(words)
        if code in names
    ]

    assert len(offered) >= 4
    assert [one for one in offered if one[2] != names[one[1]]] == []
