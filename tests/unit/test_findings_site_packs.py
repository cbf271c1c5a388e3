"""A site's own file of rule packs: packs on and off, the choice between two, rows of its own, and faults by file and line."""

from __future__ import annotations

import pytest

from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Packs, Urgency
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.toml_tables import PackError

SVS = '[[pack]]\nid = "aaa-svs-2018"\nclinical_owner = "Dr Synthetic Owner"\n'
IIF = """
[[pack]]
id = "bosniak-2019"

[[pack.row]]
id = "IIF"
category = ["IIF"]
statement = "MR at 6 months."
steps = [{ examination = "MR of the kidney", low = 6, high = 6, unit = "mo" }]
urgency = "info"
evidence = "S"
"""


def ids(packs: Packs) -> set[str]:
    return {pack.info.pack_id for pack in packs.tables}


def test_an_empty_file_changes_nothing() -> None:
    assert parse_site_packs("", "site.toml") == bundled_packs()


def test_a_site_chooses_one_of_two_and_names_its_owner() -> None:
    packs = parse_site_packs(SVS, "site.toml")

    assert ids(packs) - ids(bundled_packs()) == {"aaa-svs-2018"}
    assert packs.undecided == ()
    assert {pack.info.clinical_owner for pack in packs.tables if pack.choice} == {"Dr Synthetic Owner"}


def test_a_site_switches_a_pack_off() -> None:
    packs = parse_site_packs('[[pack]]\nid = "pi-rads-2-1"\nenabled = false\n', "site.toml")

    assert ids(bundled_packs()) - ids(packs) == {"pi-rads-2-1"}


def test_a_sites_row_replaces_the_row_of_its_id() -> None:
    packs = parse_site_packs(IIF, "site.toml")
    bosniak = next(pack for pack in packs.tables if pack.reads == "bosniak")

    assert [row.row_id for row in bosniak.rows] == ["I-II", "IIF", "III-IV"]
    assert (bosniak.rows[1].statement, bosniak.rows[1].urgency) == ("MR at 6 months.", Urgency.INFO)


def test_a_sites_new_row_stands_before_the_others() -> None:
    packs = parse_site_packs(IIF.replace('id = "IIF"', 'id = "own"'), "site.toml")
    bosniak = next(pack for pack in packs.tables if pack.reads == "bosniak")

    assert [row.row_id for row in bosniak.rows] == ["own", "I-II", "IIF", "III-IV"]


def test_a_site_owns_the_packs_of_the_lung_too() -> None:
    packs = parse_site_packs('[[pack]]\nid = "lung-rads-2022"\nclinical_owner = "Dr L."\n', "site.toml")

    assert packs.screening.info.clinical_owner == "Dr L."


def test_the_policy_on_actionable_findings_is_the_sites() -> None:
    toml = (
        "[actionable]\ncritical_below_hours = 48\n\n[[actionable.finding]]\n"
        'id = "pe"\ntitle = "PE"\nsystem = "http://snomed.info/sct"\ncode = "59282003"\ncategory = "2"\nevidence = "S"\n'
    )
    policy = parse_site_packs(toml, "site.toml").actionable

    assert policy is not None
    assert policy.critical_below_hours == 48
    assert [(row.row_id, row.category) for row in policy.rows] == [("pe", 2)]
    assert parse_site_packs("[actionable]\nenabled = false\n", "site.toml").actionable is None


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ('\n[[pack]]\nid = "unheard-of"\n', "line 3: site.toml.pack[unheard-of].id names unheard-of, which is no pack"),
        ('[[pack]]\nid = "bosniak-2019"\nenabled = "yes"\n', "line 3: site.toml.pack[bosniak-2019].enabled must be a bool"),
        ('[[pack]]\nid = "bosniak-2019"\nowner = "Dr"\n', "line 3: site.toml.pack[bosniak-2019].owner is not known"),
        ("[[pack]]\nenabled = true\n", "line 1: site.toml.pack[0].id is missing"),
        (IIF.replace('urgency = "info"', 'urgency = "critical"'), "line 10: site.toml.pack[bosniak-2019].row[IIF].urgency"),
        (IIF.replace("low = 6, high", "low = 7, high"), "line 9: site.toml.pack[bosniak-2019].row[IIF].steps"),
        (IIF.replace("category =", "numbers = { size = { below = 1.0 } }\ncategory ="), "uses size, which is no input"),
        (SVS + SVS.replace("svs-2018", "acr-2013"), "which contradict each other: choose one"),
        (SVS.replace("clinical_owner", "enabled = false #"), "name aaa-acr-2013 as the choice, or switch it off too"),
        ("[actionable]\ncritical_below_hours = 5\n", "line 2: site.toml.actionable.critical_below_hours is 5"),
        ("[[pack]\n", "site.toml: "),
    ],
)
def test_a_fault_names_file_and_line(toml: str, fault: str) -> None:
    with pytest.raises(PackError) as refused:
        parse_site_packs(toml, "site.toml")

    assert any(fault in problem for problem in refused.value.problems), refused.value.problems
