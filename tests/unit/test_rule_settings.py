"""``[rules]``: everything that OrderPolicy holds is a site's to set, and what cannot be meant stops the start (O3, N1, P1)."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_imaging.errors import ConfigurationError
from imaging_cds.settings import from_table, load
from imaging_cds.site_rules import site_policy
from imaging_findings.intervals import Interval, Unit
from imaging_findings.order_policy import LOOKBACK, OrderPolicy
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.site_policy import product_policy
from tests.examples import examples

LEAST = {"public_base_url": "https://imaging.example", "state": {"state_dir": "state"}, "ehr": []}
CSV = "system,codes,display,modality,regions,contrast,side,purpose\nurn:oid:2.25.1,CTTHX,CT chest,CT,chest,,,\n"


def rules(**given: Any) -> RuleSettings:
    return from_table({**LEAST, "rules": given}).rules


def test_a_site_that_says_nothing_has_the_products_rules() -> None:
    assert from_table(LEAST).rules == RuleSettings()
    assert site_policy(RuleSettings()) == product_policy()
    assert RuleSettings().orders == OrderPolicy()


def test_every_window_of_the_order_checks_is_a_setting() -> None:
    given: dict[str, Any] = {
        "lookback": {"CT": "30 d"},
        "egfr_window_inpatient_days": 7,
        "egfr_window_outpatient_days": 60,
        "diabetes_is_a_kidney_risk": True,
        "pregnancy_youngest_years": 10,
        "pregnancy_oldest_years": 55,
        "pregnancy_status_window_days": 10,
        "pregnancy_longest_days": 300,
        "follow_up_early_days": 21,
    }

    orders = rules(**given).orders

    assert set(given) == {one.name for one in fields(OrderPolicy)}
    assert orders.lookback == {**LOOKBACK, "CT": Interval(30, 30, Unit.DAY)}
    assert all(getattr(orders, name) == value for name, value in given.items() if name != "lookback")


@pytest.mark.parametrize(
    ("words", "interval"),
    [
        ("90 d", Interval(90, 90, Unit.DAY)),
        ("6wk", Interval(6, 6, Unit.WEEK)),
        (" 11 mo ", Interval(11, 11, Unit.MONTH)),
        ("20 a", Interval(20, 20, Unit.YEAR)),
        ("none", None),
    ],
)
def test_a_look_back_is_written_as_a_number_and_a_unit(words: str, interval: Interval | None) -> None:
    assert rules(lookback={"us": words}).orders.lookback.get("US") == interval


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"lookback": {"CT": "90"}}, "rules: lookback: '90' is no window"),
        ({"lookback": {"CT": "0 d"}}, "rules: lookback: '0 d' is no window"),
        ({"lookback": {"CT": "21 a"}}, "is no window"),
        ({"lookback": {"CT": 90}}, "rules.lookback.CT: must be text"),
        ({"lookback": {"DX": "3 d"}}, "rules: lookback: DX is no modality family"),
        ({"lookback": "90 d"}, "rules.lookback: must be a table"),
        ({"pregnancy_youngest_years": 51}, "the ages 51 to 50"),
        ({"pregnancy_oldest_years": 131}, "the ages 12 to 131"),
        ({"egfr_window_inpatient_days": -1}, "egfr_window_inpatient_days is -1"),
        ({"pregnancy_longest_days": 3661}, "pregnancy_longest_days is 3661"),
        ({"follow_up_early_days": 1.5}, "rules.follow_up_early_days: must be a whole number"),
        ({"follow_up_early_days": float("inf")}, "rules.follow_up_early_days: must be a number"),
        ({"diabetes_is_a_kidney_risk": "perhaps"}, "rules.diabetes_is_a_kidney_risk: must be true or false"),
        ({"diabetes": True}, "rules.diabetes: there is no such setting"),
        ({"packs": 3}, "rules.packs: must be"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_in_words(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        rules(**given)

    assert any(fault in problem for problem in refused.value.problems), refused.value.problems


def test_the_sites_files_are_found_beside_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "app.toml").write_text(
        'public_base_url = "https://imaging.example"\nehr = []\n[state]\nstate_dir = "state"\n'
        '[rules]\npacks = "packs.toml"\nstudy_codes = "codes.csv"\n[rules.lookback]\nCT = "none"\n'
    )
    (folder / "packs.toml").write_text('[[pack]]\nid = "aaa-svs-2018"\n')
    (folder / "codes.csv").write_text(CSV)

    policy = site_policy(load(folder / "app.toml", {}).rules)

    assert [pack.info.pack_id for pack in policy.packs.tables if pack.choice] == ["aaa-svs-2018"]
    assert policy.packs.undecided == ()
    assert [study.regions for study in policy.studies.values()] == [frozenset(["chest"])]
    assert "CT" not in policy.orders.lookback


def test_every_fault_of_both_files_is_told_with_file_and_line(tmp_path: Path) -> None:
    packs, codes = tmp_path / "packs.toml", tmp_path / "codes.csv"
    packs.write_text('[[pack]]\nid = "bosniak-2019"\nenabled = "yes"\nowner = "Dr"\n')
    codes.write_text(CSV.replace("CT,chest", "CTX,chest"))

    with pytest.raises(ConfigurationError) as refused:
        site_policy(RuleSettings(packs=packs, study_codes=codes))

    assert refused.value.problems == [
        f"line 3: {packs}.pack[bosniak-2019].enabled must be a bool",
        f"line 4: {packs}.pack[bosniak-2019].owner is not known",
        f"{codes}, line 2: CTX is no modality",
    ]


@pytest.mark.parametrize("name", ["packs", "study_codes"])
def test_a_file_that_cannot_be_read_is_a_fault_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "latin.txt").write_bytes(b"# first line\n# M\xfcller\n")

    for file, fault in (("missing.txt", "cannot be read: No such file"), ("latin.txt", ", line 2: is not UTF-8.")):
        with pytest.raises(ConfigurationError) as refused:
            site_policy(RuleSettings(**{name: tmp_path / file}))  # type: ignore[arg-type]
        assert f"{tmp_path / file}" in refused.value.problems[0]
        assert fault in refused.value.problems[0]


def test_the_environment_sets_one_window_over_the_files(tmp_path: Path) -> None:
    """STYLE 9: a family is written in small letters there."""
    (tmp_path / "app.toml").write_text(
        'public_base_url = "https://imaging.example"\nehr = []\n[state]\nstate_dir = "state"\n'
        '[rules]\negfr_window_inpatient_days = 7\n[rules.lookback]\nCT = "60 d"\nMG = "10 mo"\n'
    )

    orders = load(tmp_path / "app.toml", {"IMAGING_CDS__RULES__LOOKBACK__CT": "30 d"}).rules.orders

    assert {family: str(orders.lookback[family]) for family in ("CT", "MG", "MR")} == {
        "CT": "30 days",
        "MG": "10 months",
        "MR": "90 days",
    }
    assert orders.egfr_window_inpatient_days == 7


names = st.sampled_from([*(one.name for one in fields(RuleSettings)), "other"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["90 d", "none", "released"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["CT", "us", "DX", ""]), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(names, values, max_size=5) | values)
@settings(max_examples=examples(200), deadline=None)
def test_any_section_is_read_or_refused_in_words(section: Any) -> None:
    try:
        orders = from_table({**LEAST, "rules": section}).rules.orders
    except ConfigurationError as refused:
        problems = refused.problems
    else:
        problems = ["read"]
        assert all(window.due(date(2026, 11, 21)) for window in orders.lookback.values())
    assert problems
    assert [one for one in problems if not one.startswith(("rules", "read"))] == []


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 3000, b"a ="], ids=["no UTF-8", "nested", "no TOML"])
def test_settings_that_are_no_toml_are_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "app.toml").write_bytes(content)

    with pytest.raises(ConfigurationError, match="is not TOML"):
        load(tmp_path / "app.toml", {})
