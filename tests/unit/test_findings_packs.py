"""Rule packs: what the bundled ones declare, and that a faulty one is refused with every fault named."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import pytest

from imaging_findings.packs import FLEISCHNER_FILE, LUNG_RADS_FILE, bundled_packs, parse_nodule_pack, parse_screening_pack
from imaging_findings.toml_tables import PackError
from tests.conftest import CHECKOUT


def bundled(name: str) -> str:
    return (resources.files("imaging_findings") / "packs" / name).read_text(encoding="utf-8")


def test_each_pack_names_version_citation_and_clinical_owner() -> None:
    packs = bundled_packs()

    for info in (packs.screening.info, packs.nodules.info):
        assert all((info.pack_id, info.title, info.guideline.version, info.citation, info.clinical_owner))
        assert info.url.startswith("https://")


def test_rows_that_need_a_clinicians_check_say_so() -> None:
    packs = bundled_packs()

    assert {row.code for row in packs.screening.categories.values() if row.evidence == "C"} == {"4B", "4X"}
    assert {row.row_id for row in packs.nodules.rows if row.evidence == "C"} == {"F2-gt8", "F6-ge6"}


def test_no_pack_row_is_critical() -> None:
    with pytest.raises(PackError, match="urgency must be one of info, warning"):
        parse_screening_pack(bundled(LUNG_RADS_FILE).replace('urgency = "warning"', 'urgency = "critical"', 1), "bad.toml")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('version = "2022"', "", "version is missing"),
        ('version = "2022"', "version = 2022", "version must be a str"),
        ('clinical_owner = "not named yet"', "", "clinical_owner is missing"),
        ('code = "79086-5"', 'code = "36643-5"', "which is no examination of the checked tables"),
        ("low = 6, high = 6", "low = 6, high = 3", "is not positive and ascending"),
        ("above_mm = 1.5", 'above_mm = "much"', "above_mm must be a number"),
        ("within_months = 12", "within_months = 12\nwithin_days = 1", "within_days is not known"),
        ('id = "1-benign"', 'id = "0-inflammatory"', "has 0-inflammatory twice"),
        ('attenuation = "solid"', 'attenuation = "fluffy"', "'fluffy', which is not one of"),
        ('category = "4X"', 'category = "5"', "names category 5, which has no row"),
        ("kind =", "kind ==", "bad.toml: "),
        ('evidence = "S"', 'evidence = "Z"', "evidence must be one of S, C"),
    ],
)
def test_a_faulty_screening_pack_is_refused(old: str, new: str, fault: str) -> None:
    toml = bundled(LUNG_RADS_FILE)
    assert old in toml

    with pytest.raises(PackError) as refusal:
        parse_screening_pack(toml.replace(old, new, 1), "bad.toml")

    assert any(fault in problem for problem in refusal.value.problems), refusal.value.problems


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("multiple = false", "multiple = 0", "multiple must be a bool"),
        ('band = ["6-8"]', 'band = ["6-8", "lt6"]', "rows F1-lt6 and F1-6-8 both hold for solid, lt6, low risk"),
        ('cancer_snomed = ["363346000"', 'cancer_snomed = ["168731009"', "168731009, which is in no checked code table"),
        ('rounding_of_half = "undecided"', 'rounding_of_half = "maybe"', "rounding_of_half must be one of"),
        ("[order]", "[other]", "has no order table"),
        ('strength = "consider"', 'strength = "perhaps"', "strength must be one of"),
        ("age_below = 35", "", "age_below is missing"),
    ],
)
def test_a_faulty_nodule_pack_is_refused(old: str, new: str, fault: str) -> None:
    toml = bundled(FLEISCHNER_FILE)
    assert old in toml

    with pytest.raises(PackError) as refusal:
        parse_nodule_pack(toml.replace(old, new, 1), "bad.toml")

    assert any(fault in problem for problem in refusal.value.problems), refusal.value.problems


def test_all_faults_are_told_at_once() -> None:
    toml = bundled(LUNG_RADS_FILE).replace('version = "2022"', "", 1).replace("above_mm = 1.5", "", 1)

    with pytest.raises(PackError) as refusal:
        parse_screening_pack(toml + "\nsurprise = 1\n", "bad.toml")

    assert len(refusal.value.problems) >= 2


def test_the_rules_import_no_web_no_network_and_no_database() -> None:
    """DESIGN §2: a rule that cannot be tested without Flask, a network or a clock is in the wrong file."""
    program = "import sys, imaging_findings.guidance, imaging_findings.packs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)

    assert not {"flask", "requests", "sqlalchemy", "fhirclient", "jwt", "authlib"} & set(loaded.stdout.split())
