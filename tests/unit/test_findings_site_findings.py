"""A site's own findings that must be communicated: which codes it may name, and that they are asked for and told (3.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.evaluate import SERVICES, services_on
from cds_service.explain import FiredRule, explain
from fhir_imaging.scopes import parse_scopes
from imaging_findings import codes
from imaging_findings.finding_codes import is_snomed_concept
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Packs
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import product_policy
from imaging_findings.toml_tables import PackError
from smart_app.study_findings import searches_for
from tests.cds_actors import DCM, NOW, SCT, a_bundle, a_hook, a_report, an_observation, concept, whole_prefetch
from tests.code_digits import is_snomed

# Some number with the digits of a concept that no table holds: what a site may name without us.
UNTABLED = next(
    code
    for number in range(7000, 8000)
    for digit in range(10)
    if is_snomed(code := f"{number}00{digit}") and (SCT, code) not in codes.concepts()
)
OWN_RADLEX = f"RID{len(UNTABLED)}"
HOSPITAL = "https://hospital.example.org/findings"
RECENT = {"issued": "2026-11-21T07:00:00Z"}
ROW = """
[[actionable.finding]]
id = "own-{n}"
title = "Own finding {n}"
system = "{system}"
code = "{code}"
category = "1"
evidence = "C"
"""


def a_site(*named: tuple[str, str]) -> Packs:
    rows = [ROW.format(n=number, system=system, code=code) for number, (system, code) in enumerate(named)]
    return parse_site_packs("[actionable]\n" + "".join(rows), "packs.toml")


def fired(packs: Packs, *findings: dict[str, Any], **others: Any) -> list[FiredRule]:
    policy = replace(product_policy(), packs=packs)
    told = explain(a_hook(whole_prefetch(*findings, **others)), SERVICES["imaging-findings"], NOW, policy)
    return list(told.fired)


@pytest.mark.parametrize(
    ("system", "code"),
    [(SCT, UNTABLED), (HOSPITAL, "X1"), ("urn:oid:2.999.1", "AAS"), ("http://www.radlex.org", OWN_RADLEX)],
)
def test_a_sites_own_finding_is_told_as_code_as_value_and_as_conclusion(system: str, code: str) -> None:
    packs = a_site((system, code))
    as_code = an_observation(code=concept(system, code), **RECENT)
    as_value = an_observation(code=concept(DCM, "121071"), valueCodeableConcept=concept(system, code), **RECENT)
    as_conclusion = a_bundle(a_report("See above.", conclusionCode=[concept(system, code)], **RECENT))

    for told in (fired(packs, as_code), fired(packs, as_value), fired(packs, reports=as_conclusion)):
        assert [(one.indicator, one.summary.split(",")[0].split(" (")[0]) for one in told] == [("critical", "Own finding 0")]


def test_a_finding_that_the_policy_does_not_name_stays_silent() -> None:
    assert fired(a_site((SCT, UNTABLED)), an_observation(code=concept(HOSPITAL, "X1"), **RECENT)) == []
    assert fired(bundled_packs(), an_observation(code=concept(HOSPITAL, "X1"), **RECENT)) == []


@pytest.mark.parametrize(
    ("system", "code", "fault"),
    [
        (SCT, str(int(UNTABLED) + 1), "its digits do not fit"),
        (SCT, UNTABLED * 3, "its digits do not fit"),
        (SCT, f"0{UNTABLED}", "its digits do not fit"),
        (SCT, "44029006", "is no finding"),
        (SCT, "39607008", "is no finding"),
        (SCT, "81827009", "is no finding"),
        (SCT, "2667000", "is no finding"),
        ("http://loinc.org", "29252-4", "is no finding"),
        (DCM, "121071", "is no finding"),
        ("http://radlex.org", "RID49480", "is no finding"),
        ("http://radlex.org", "pneumonia", "no RadLex id"),
        ("hospital", "X1", "no address"),
        (HOSPITAL, "a b", "no address"),
        (HOSPITAL, "a&_count=0", "no address"),
        (f"{HOSPITAL}?a", "b", "no address"),
        ("https://imaging-cds.example/fhir/CodeSystem/lung-rads", "4B", "is no finding"),
    ],
)
def test_what_can_be_no_finding_is_refused_with_its_line(system: str, code: str, fault: str) -> None:
    with pytest.raises(PackError, match=rf"line 3: .*{fault}"):
        a_site((system, code))


def test_every_body_structure_and_examination_of_the_tables_is_refused() -> None:
    for system, code in (*codes.body_sites(), *list(codes.procedures())[:20]):
        with pytest.raises(PackError, match="is no finding"):
            a_site((system, code))


@given(st.integers(min_value=0, max_value=10**18))
def test_a_check_digit_is_judged_as_by_the_published_tables(number: int) -> None:
    """The test suite's own Verhoeff is written with the published tables, the product's with powers of one permutation."""
    for tail in ("00", "10", "02"):
        for check in range(10):
            code = f"{number}{tail}{check}"
            expected = is_snomed(code) and 6 <= len(code) <= 18 and code[0] != "0"
            assert is_snomed_concept(code) is expected


def test_every_concept_of_the_tables_has_the_digits_of_one() -> None:
    assert all(is_snomed_concept(code) for system, code in codes.concepts() if system == SCT)


def test_r10_the_policys_findings_are_asked_for_once_in_the_same_plain_search() -> None:
    packs = a_site((SCT, UNTABLED), (SCT, "59282003"), (HOSPITAL, "X1"))

    asked = {
        service.service_id: query.template
        for service in services_on(actionable=packs.actionable).values()
        for query in service.queries
        if query.key == "findings"
    }

    for telling in ("imaging-findings", "imaging-discharge", "imaging-study-complete"):
        assert asked[telling].count("code=") == 1
        assert asked[telling].count("|59282003") == 1
        assert f",{SCT}|{UNTABLED},{HOSPITAL}|X1&_sort=" in asked[telling]


def test_a_site_that_names_nothing_asks_as_before() -> None:
    assert services_on(actionable=bundled_packs().actionable) == services_on()


def test_the_study_list_asks_for_the_policys_findings_too() -> None:
    policy = a_site((HOSPITAL, "X1")).actionable

    (asked,) = (
        dict(one.parameters)["code"].split(",")
        for one in searches_for("p", parse_scopes("patient/*.rs"), policy)
        if one.key == "findings"
    )

    assert asked[-1] == f"{HOSPITAL}|X1"
    assert f"{SCT}|1362105002" in asked
