"""T1: the walk over all texts finds a wrong code in whatever shape somebody writes it, and excuses what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.code_literals import unknown_codes

# The sign "~" keeps these texts from being found where they stand; it is taken out before they are written.
NODULE, CT, RID, DIALYSIS, DCM = "42735~9006", "2925~2-5", "RI~D99999", "Z9~9.99", "19~9999"
PLANTED = {
    "constant.py": (f'NODULE, CT, POSITIVE, DIALYSIS = "{NODULE}", "{CT}", "{RID}", "{DIALYSIS}"', {NODULE, CT, RID, DIALYSIS}),
    "call.py": (f'concept(SCT, "{NODULE}"), Code(codes.LOINC, "{CT}"), a(_RADLEX, "{RID}")', {NODULE, CT, RID}),
    "scheme.py": (
        'concept(SC~T, "29252-4"), Code(DC~M, "427359005"), a(RADLE~X, "121071")',
        {"29252-4", "427359005", "121071"},
    ),
    "short.py": ('Coding(system=LOIN~C, code="8-9")', {"8-9"}),
    "icd.py": ('Code(ICD_1~0, "Z99")', {"Z99"}),
    "named.py": (f'{{"system": codes.DCM, "display": "Finding", "code": "{DCM}"}}', {DCM}),
    "coding.json": (f'{{"coding": [{{"system": "http://snomed.info/sct",\n  "code": "{NODULE}"}}]}}', {NODULE}),
    "turned.json": ('{"code": "8-9", "system": "http://loin~c.org"}', {"8-9"}),
    "row.toml": (f'[order]\nsystem = "http://loinc.org"\ncode = "{CT}"', {CT}),
    "query.html": (f'<a href="?code=http://loinc.org|{CT}">{{{{ term("http://www.radlex.org", "{RID}") }}}}</a>', {CT, RID}),
    "script.js": (f"const nodule = {{system: 'http://snomed.info/sct', code: '{NODULE}'}};", {NODULE}),
    "table.md": (f"| finding | `{NODULE}` |\n| dialysis | `{DIALYSIS}` |\n\nand a chest CT is {CT}.", {NODULE, DIALYSIS, CT}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_t1_a_wrong_code_that_somebody_writes_is_found(name: str, tmp_path: Path) -> None:
    text, wrong = PLANTED[name]
    module = tmp_path / name
    module.write_text(text.replace("~", ""), encoding="utf-8")

    found = unknown_codes(Path(name), module.read_text(encoding="utf-8"))

    assert {one.split()[1] for one in found} == {code.replace("~", "") for code in wrong}


@pytest.mark.parametrize(
    "text",
    [
        'concept(SCT, "427359005"), Code(codes.LOINC, "29252-4"), a(RADLEX, "RID49480"), Code(DCM, "121071")',
        'Code(ICD_10, "Z99.2"), Code(LOINC, "LP29684-5")',
        '"00080018", "20261118", "2.25.9", "1.2.840.10008.1.2.4.90", f"2026-0{month}-01", "228-3"',
        '{"system": "http://snomed.info/sct", "code": "427359005", "display": "Solitary nodule of lung"}',
    ],
)
def test_right_codes_dates_tags_and_uids_are_no_fault(text: str) -> None:
    assert unknown_codes(Path("module.py"), text) == []


def test_a_code_that_tests_send_on_purpose_is_found_in_a_module() -> None:
    text = f'"{CT}"'.replace("~", "")

    assert unknown_codes(Path("tests/unit/test_codes.py"), text) == []
    assert unknown_codes(Path("imaging_findings/codes.py"), text) != []
