"""Nodules that were seen before, described twice, or need nothing any more: what Fleischner's table must not say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cds_service.wording import summary_of
from imaging_findings.rules import Urgency
from tests.cds_actors import (
    DCM,
    SCT,
    a_condition,
    a_lung_rads,
    a_nodule,
    a_report,
    a_study,
    an_ai_lung_rads,
    concept,
    nodule_components,
)
from tests.unit.test_findings_guidance import judged, the_guidance

Resource = Mapping[str, Any]


def a_changed(mm: float, change: str | None, *, risk: str = "low", **members: Any) -> dict[str, Any]:
    return a_nodule(component=nodule_components(mm, "solid", risk=risk, change=change), **members)


def a_tracked(identifier: str, mm: float = 7.0, **members: Any) -> dict[str, Any]:
    tracking = {"code": concept(DCM, "112040"), "valueString": identifier}
    return a_nodule(component=[*nodule_components(mm, "solid", risk="high"), tracking], **members)


def test_f1_a_growing_nodule_is_not_told_no_routine_follow_up() -> None:
    """F1: the table is for newly found nodules; 5 mm after 3 mm is none."""
    guidance = the_guidance(a_changed(5.0, "growing"))

    assert guidance.rule_id == "fleischner-2017/growing"
    assert guidance.urgency is Urgency.WARNING
    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())
    assert summary_of(guidance).startswith(
        "5 mm solid lung nodule (CT 2026-10-01): growing, and the table is for newly found nodules"
    )


def test_f2_a_stable_nodule_does_not_start_the_table_again() -> None:
    guidance = the_guidance(a_changed(7.0, "stable", risk="high"))

    assert guidance.rule_id == "fleischner-2017/stable"
    assert guidance.urgency is Urgency.INFO
    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())
    assert "does not start again" in guidance.notes[0]


@pytest.mark.parametrize("change", ["new", "baseline", None])
def test_f2_a_newly_found_nodule_has_its_row(change: str | None) -> None:
    assert the_guidance(a_changed(7.0, change, risk="high")).rule_id == "fleischner-2017/F2-6-8"


def test_f_a_growing_nodule_warns_also_where_the_table_does_not_apply() -> None:
    cancer = a_condition("http://hl7.org/fhir/sid/icd-10", "C50.9")
    guidance = the_guidance(a_changed(5.0, "growing"), conditions=[cancer])

    assert guidance.rule_id == "fleischner-2017/excluded"
    assert guidance.urgency is Urgency.WARNING
    assert guidance.notes[0].startswith("Growing")


def test_ga_the_readers_own_interval_stands_for_a_growing_nodule() -> None:
    interval = {
        "code": concept(DCM, "111055"),
        "valueQuantity": {"value": 3, "code": "mo", "system": "http://unitsofmeasure.org"},
    }
    components = [*nodule_components(5.0, "solid", risk="low", change="growing"), interval]
    guidance = the_guidance(a_nodule(component=components))

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-01-01"


@pytest.mark.parametrize(
    "findings",
    [
        (a_nodule(7.0), a_nodule(7.0, id="copy", status="amended")),
        (a_tracked("2.25.1"), a_tracked("urn:oid:2.25.1", 7.2, id="copy")),
    ],
)
def test_f_one_nodule_in_two_observations_is_not_multiple(findings: tuple[Resource, ...]) -> None:
    """F2, F4: 6 to 12 months would become 3 to 6."""
    guidance = the_guidance(*findings)

    assert guidance.rule_id == "fleischner-2017/F2-6-8"
    assert guidance.others == ()
    assert guidance.order is not None
    assert guidance.notes[-1].startswith("Several Observations describe one nodule")


@pytest.mark.parametrize(
    "findings",
    [
        (a_nodule(7.0), a_nodule(6.0, id="other")),
        (a_nodule(7.0), a_nodule(7.0, "part-solid", id="other")),
        (a_tracked("2.25.1"), a_tracked("2.25.2", id="other")),
        (a_nodule(7.0, bodySite={"text": "Right upper lobe"}), a_nodule(7.0, id="other", bodySite={"text": "Left upper lobe"})),
    ],
)
def test_f_two_nodules_are_multiple(findings: tuple[Resource, ...]) -> None:
    guidance = the_guidance(*findings)

    assert guidance.finding.nodule.count == 2
    assert len(guidance.others) == 1


def test_gd_where_it_cannot_be_told_both_rows_are_shown_and_nothing_is_drafted() -> None:
    lobe = concept(SCT, "72481006")
    guidance = the_guidance(a_nodule(7.0, bodySite=lobe), a_nodule(7.0, id="other"))

    assert guidance.rule_id == "fleischner-2017/F4-ge6+F2-6-8"
    assert (guidance.next_step, guidance.order) == (None, None)
    assert "whether the Observations describe one nodule or several" in guidance.missing
    assert [one.words.partition(":")[0] for one in guidance.statements] == ["Several nodules", "One nodule"]
    assert "follow-up depends on whether this is one nodule or several" in summary_of(guidance)


OLD = a_study(started="2015-01-01")


@pytest.mark.parametrize(("started", "is_silent"), [("2025-11-20", True), ("2025-11-21", False), ("2015-01-01", True)])
def test_f1_a_nodule_without_follow_up_is_silent_after_a_year(started: str, is_silent: bool) -> None:
    judgement = judged(a_nodule(4.0, risk="low"), studies=[a_study(started=started)])

    assert (judgement.guidance == ()) is is_silent
    if is_silent:
        (one,) = judgement.suppressed
        assert one.reason == "no routine follow-up was asked for, and it is older than 12 months"
        assert one.rule_id == "fleischner-2017/F1-lt6"


def test_f1_what_the_reader_said_of_an_old_small_nodule_is_still_shown() -> None:
    assert judged(a_nodule(4.0, risk="low"), studies=[OLD], reports=[a_report("Recommend CT in 12 months.")]).guidance


@pytest.mark.parametrize("finding", [a_nodule(7.0, risk="low"), a_changed(4.0, "growing"), a_nodule(4.0, risk=None)])
def test_f_an_old_nodule_of_which_something_was_asked_is_not_silent(finding: Resource) -> None:
    assert judged(finding, studies=[OLD]).guidance


@pytest.mark.parametrize(
    ("coded", "mm", "change", "fits"), [("2", 9.0, "growing", "4B"), ("3", 8.0, "baseline", "4A"), ("1", 6.0, "baseline", "3")]
)
def test_l_a_coded_category_below_its_coded_measurements_warns_and_drafts_nothing(
    coded: str, mm: float, change: str, fits: str
) -> None:
    """L2, L3, L4A, L4B: the conflict leads, and the annual examination is not offered."""
    guidance = the_guidance(a_lung_rads(coded, component=nodule_components(mm, "solid", change=change)))

    assert guidance.urgency is Urgency.WARNING
    assert guidance.order is None
    assert f": coded {coded}, coded measurements fit {fits}" in summary_of(guidance)


def test_l_a_coded_category_above_its_measurements_stays_the_readers_and_drafts_nothing() -> None:
    guidance = the_guidance(a_lung_rads("4A", component=nodule_components(6.0, "solid", change="baseline")))

    assert guidance.headline is None
    assert guidance.next_step is not None
    assert guidance.order is None


def test_ge_a_day_that_only_the_ai_states_is_the_findings_too() -> None:
    guidance = the_guidance(a_nodule(7.0, effectiveDateTime=None), an_ai_lung_rads("3"), studies=[])

    assert str(guidance.finding.study_date) == "2026-10-01"


@pytest.mark.parametrize("code", [concept(SCT, "254837009") | {"text": "Breast"}, {"text": "Malignant neoplasm of breast"}])
def test_f_a_nodule_beside_a_cancer_known_by_code_or_words_has_no_interval(code: dict[str, Any]) -> None:
    """F: also where the problem list holds nothing but words."""
    guidance = the_guidance(a_nodule(7.0), conditions=[_condition(code)])

    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())


def _condition(code: dict[str, Any]) -> dict[str, Any]:
    return a_condition(SCT, "38341003") | {"code": code}


def test_gd_an_earlier_size_without_the_readers_word_on_change_leaves_the_interval_open() -> None:
    before = {
        "code": concept("https://imaging-cds.example/fhir/CodeSystem/nodule", "previous-diameter"),
        "valueQuantity": {"value": 3, "code": "mm", "system": "http://unitsofmeasure.org"},
    }
    guidance = the_guidance(a_nodule(component=[*nodule_components(5.0, "solid", risk="low"), before]))

    assert guidance.missing == ("how the nodule has changed (an earlier size is coded)",)
    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())
