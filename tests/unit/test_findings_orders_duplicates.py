"""O1-O6 and T6: repeats by family, region sets and look-back; other phases are related; suppressions are kept."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from imaging_findings.duplicates import Chart, find_repeats
from imaging_findings.history import ReportFacts
from imaging_findings.order_advice import OrderAdvice, Reason, SuppressedAdvice
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.rules import Urgency
from imaging_findings.study_kinds import Basis, Contrast
from tests.order_actors import TODAY, a_kind, a_prior, an_imaging_order, days_ago


def found(order: ImagingOrder, **chart: Any) -> OrderAdvice | None:
    advice, _ = find_repeats(order, Chart(**chart), OrderPolicy(), TODAY)
    return advice[0] if advice else None


def kept_quiet(order: ImagingOrder, **chart: Any) -> SuppressedAdvice:
    advice, (suppressed,) = find_repeats(order, Chart(**chart), OrderPolicy(), TODAY)
    assert advice == ()
    return suppressed


def a_report(**members: Any) -> ReportFacts:
    stated = {"reference": "DiagnosticReport/r", "day": days_ago(19), "signed_by": "Dr Reader", "conclusion": "No embolism."}
    return ReportFacts(**stated | {"studies": frozenset({"ImagingStudy/prior"}), "results": frozenset()} | members)


@pytest.mark.parametrize(
    ("family", "last_day"), [("CT", 90), ("MR", 90), ("NM", 90), ("XR", 3), ("US", 3)], ids=lambda value: str(value)
)
def test_o3_look_back_ends_after_its_last_day(family: str, last_day: int) -> None:
    kind = a_kind(family)

    assert found(an_imaging_order(kind), studies=(a_prior(kind, ago=last_day),)) is not None
    assert found(an_imaging_order(kind), studies=(a_prior(kind, ago=last_day + 1),)) is None


@pytest.mark.parametrize(
    ("family", "last", "first_free"), [("MG", "2025-12-21", "2025-12-20"), ("DXA", "2024-12-21", "2024-12-20")]
)
def test_o3_screening_mammography_and_dxa_count_in_months(family: str, last: str, first_free: str) -> None:
    kind = a_kind(family, "breast", screening=True)

    assert found(an_imaging_order(kind), studies=(a_prior(kind, day=date.fromisoformat(last)),)) is not None
    assert found(an_imaging_order(kind), studies=(a_prior(kind, day=date.fromisoformat(first_free)),)) is None


def test_o3_a_diagnostic_mammogram_after_a_screening_is_its_work_up() -> None:
    screening = a_prior(a_kind("MG", "breast", screening=True))

    assert found(an_imaging_order(a_kind("MG", "breast")), studies=(screening,)) is None


def test_o1_regions_are_sets_and_an_overlap_counts() -> None:
    whole_trunk = a_prior(a_kind("CT", "chest", "abdomen", "pelvis"))

    advice = found(an_imaging_order(a_kind("CT", "chest")), studies=(whole_trunk,))

    assert advice is not None
    assert (advice.reason, advice.urgency, advice.rule_id) == (Reason.DUPLICATE, Urgency.WARNING, "orders/O1")


@pytest.mark.parametrize("other", [a_kind("CT", "head"), a_kind("MR", "chest")], ids=["other-region", "other-family"])
def test_o1_another_region_or_family_is_no_repeat(other: Any) -> None:
    assert found(an_imaging_order(), studies=(a_prior(other),)) is None


def test_o2_another_contrast_phase_is_related_and_only_information() -> None:
    order = an_imaging_order(a_kind(contrast=Contrast.WITH))

    advice = found(order, studies=(a_prior(a_kind(contrast=Contrast.WITHOUT)),))

    assert advice is not None
    assert (advice.reason, advice.urgency, advice.rule_id) == (Reason.RELATED, Urgency.INFO, "orders/O2")
    assert advice.lines[0][0] == "Related study"


def test_gc_a_region_known_only_from_words_is_worth_no_warning() -> None:
    advice = found(an_imaging_order(), studies=(a_prior(a_kind(basis=Basis.WORDS)),))

    assert advice is not None
    assert advice.urgency is Urgency.INFO


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "unknown"])
def test_o4_t6_a_prior_that_was_not_done_is_suppressed(status: str) -> None:
    assert status in kept_quiet(an_imaging_order(), studies=(a_prior(status=status),)).reason


@pytest.mark.parametrize(
    ("order", "chart", "reason"),
    [
        ({"cites": frozenset({"ImagingStudy/prior"})}, {}, "cites the prior"),
        ({"is_serial": True}, {}, "one of a series"),
        ({}, {"cancer": "Malignant neoplasm of breast"}, "oncology"),
        ({}, {"asked_for_by": frozenset({"ImagingStudy/prior"})}, "asks for this follow-up"),
        ({}, {"reports": (a_report(conclusion="Recommend follow-up CT in 2-4 weeks."),)}, "report recommends"),
    ],
    ids=["cites", "serial", "oncology", "own-follow-up", "report"],
)
def test_o4_reasons_to_stay_quiet_are_kept(order: dict[str, Any], chart: dict[str, Any], reason: str) -> None:
    suppressed = kept_quiet(an_imaging_order(**order), studies=(a_prior(),), **chart)

    assert reason in suppressed.reason
    assert (suppressed.rule_id, suppressed.by) == ("orders/O4", "ImagingStudy/prior")


def test_o4_a_report_that_recommends_another_time_does_not_silence() -> None:
    report = a_report(conclusion="Recommend follow-up CT in 12 months.")

    assert found(an_imaging_order(), studies=(a_prior(),), reports=(report,)) is not None


def test_o4_serial_films_in_trauma_care() -> None:
    kind = a_kind("XR")

    assert "trauma" in kept_quiet(an_imaging_order(kind), studies=(a_prior(kind, ago=1),), is_emergency=True).reason
    assert found(an_imaging_order(), studies=(a_prior(),), is_emergency=True) is not None, "a CT is not serial"


def test_o4_the_study_of_this_very_order_is_no_repeat() -> None:
    study = a_prior(based_on=frozenset({"ServiceRequest/new"}))

    assert "this very order" in kept_quiet(an_imaging_order(), studies=(study,)).reason


def test_o3_the_look_back_counts_from_the_planned_day() -> None:
    in_half_a_year = an_imaging_order(planned=days_ago(-180))

    assert found(in_half_a_year, studies=(a_prior(ago=20),)) is None


@pytest.mark.parametrize("status", ["draft", "active", "on-hold"])
def test_o5_an_open_order_of_the_same_examination(status: str) -> None:
    other = an_imaging_order(key="ServiceRequest/other", status=status, authored=days_ago(3))

    advice = found(an_imaging_order(), orders=(other,))

    assert advice is not None
    assert (advice.reason, advice.rule_id) == (Reason.DUPLICATE, "orders/O5")


@pytest.mark.parametrize(
    "members",
    [{"status": "completed"}, {"status": "revoked"}, {"intent": "proposal"}, {"authored": days_ago(91)}],
    ids=["completed", "revoked", "proposal", "old"],
)
def test_o5_orders_that_nobody_waits_for_do_not_count(members: dict[str, Any]) -> None:
    other = an_imaging_order(**{"key": "ServiceRequest/other", "status": "active", "authored": days_ago(3)} | members)

    assert found(an_imaging_order(), orders=(other,)) is None


def test_o5_t6_the_order_itself_is_not_its_own_repeat() -> None:
    own = an_imaging_order(status="active", authored=days_ago(1))

    assert found(an_imaging_order(), orders=(own,), drafts=(own,)) is None


def test_o5_an_order_that_was_carried_out_is_told_as_study_only() -> None:
    done = an_imaging_order(key="ServiceRequest/done", status="active", authored=days_ago(21))
    study = a_prior(based_on=frozenset({"ServiceRequest/done"}))

    advice = found(an_imaging_order(), orders=(done,), studies=(study,))

    assert advice is not None
    assert [label for label, _ in advice.lines] == ["Prior study"]


def test_o5_the_same_order_twice_in_one_draft_orders() -> None:
    first = an_imaging_order(key="draftOrders entry 0")

    advice = found(an_imaging_order(), drafts=(first,))

    assert advice is not None
    assert "twice" in advice.headline
    assert advice.same_draft is first


def test_o5_a_replaced_order_is_no_repeat() -> None:
    other = an_imaging_order(key="ServiceRequest/other", status="active", authored=days_ago(3))

    assert found(an_imaging_order(cites=frozenset({"ServiceRequest/other"})), orders=(other,)) is None


def test_o6_date_modality_description_performer_and_report() -> None:
    study = a_prior(name="CT thorax", performer="Synthetic Radiology")

    advice = found(an_imaging_order(), studies=(study,), reports=(a_report(),))

    assert advice is not None
    assert advice.lines == (
        (
            "Prior study",
            "2026-11-01; CT; CT thorax; performed by Synthetic Radiology; reported by Dr Reader. Conclusion: “No embolism.”",
        ),
    )
    assert advice.studies == (study,)


def test_o6_many_priors_are_counted_and_the_latest_come_first() -> None:
    studies = tuple(a_prior(ago=days, reference=f"ImagingStudy/{days}") for days in range(1, 9))

    advice = found(an_imaging_order(), studies=studies)

    assert advice is not None
    assert [study.day for study in advice.studies] == [days_ago(days) for days in range(1, 6)]
    assert advice.lines[-1] == ("Also", "3 more")
