"""docs/rules.md: its examples are read by the code that reads a site's files, so that they cannot be outdated."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import tomli_w

from imaging_cds.cli import main
from imaging_cds.settings import load
from imaging_cds.site_rules import site_policy
from imaging_findings.packs import bundled_packs
from imaging_findings.site_policy import SitePolicy
from tests.conftest import CHECKOUT

DOCUMENT = (CHECKOUT / "docs" / "rules.md").read_text()


def block(name: str) -> str:
    """The example of that name."""
    found = re.findall(rf"^```\w+ {name}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def the_site(folder: Path) -> Path:
    """The document's files, with the least of other settings."""
    rules = folder / "rules"
    rules.mkdir()
    (rules / "packs.toml").write_text(block("packs"))
    (rules / "codes.csv").write_text(block("codes"))
    least = {"public_base_url": "https://imaging.example", "state": {"state_dir": "state"}, "ehr": []}
    path = folder / "app.toml"
    path.write_text(tomli_w.dumps({**least, **tomllib.loads(block("settings"))}))
    return path


@pytest.fixture
def policy(tmp_path: Path) -> SitePolicy:
    return site_policy(load(the_site(tmp_path), {}).rules)


def test_the_example_is_a_site_that_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--config", str(the_site(tmp_path))]) == 0
    assert "Dr N. N., radiology" in capsys.readouterr().out


def test_each_line_of_the_example_does_what_it_says(policy: SitePolicy) -> None:
    packs, orders = policy.packs, policy.orders

    assert packs.screening is not None
    assert packs.nodules is not None
    assert packs.actionable is not None
    assert packs.screening.categories["3"].statement == "LDCT at 6 months, in the nodule clinic."
    assert packs.screening.info.clinical_owner == "Dr N. N., thoracic radiology"
    assert (packs.nodules.rounding_of_half, packs.nodules.exclusions.age_below) == ("up", 30)
    assert [row.statement for row in packs.nodules.rows if row.row_id == "F1-6-8"] == ["CT at 12 months."]
    in_force = {pack.info.pack_id for pack in packs.tables}
    assert in_force ^ {pack.info.pack_id for pack in bundled_packs().tables} == {"aaa-svs-2018", "pi-rads-2-1"}
    assert packs.undecided == ()
    assert "https://hospital.example/lung-rads|7" in packs.screening.systems
    assert packs.actionable.critical_below_hours == 48
    assert [row.row_id for row in packs.actionable.rows] == ["pulmonary-embolism", "free-air"]
    assert policy.rules_owner == "Dr N. N., radiology"
    assert {family: str(window) for family, window in orders.lookback.items()} == {
        "CT": "60 days",
        "MR": "90 days",
        "NM": "90 days",
        "XR": "3 days",
        "MG": "10 months",
        "DXA": "23 months",
    }
    assert (orders.egfr_window_inpatient_days, orders.egfr_window_outpatient_days) == (14, 90)
    assert (orders.diabetes_is_a_kidney_risk, orders.pregnancy_youngest_years, orders.follow_up_early_days) == (True, 11, 21)


def test_the_codes_of_the_example_are_read(policy: SitePolicy) -> None:
    read = {code: (study.modality, sorted(study.regions), study.purpose) for (_, code), study in policy.studies.items()}

    assert read == {
        "RX-CTCH": ("CT", ["chest"], "diagnostic"),
        "RX-CTCH2": ("CT", ["chest"], "diagnostic"),
        "RX-LDCT": ("CT", ["chest"], "screening"),
        "RX-KNEE-L": ("XR", ["knee"], "diagnostic"),
    }
