"""O4, O6: whether a prior has been read, however its report is linked, and what is only registered or only begun."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.order_advice import OrderAdvice
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, read_order_chart
from imaging_findings.order_facts import read_draft_orders
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.orders import judge_orders
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, a_patient, a_report, a_study, an_order

ACCESSION = {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:ris", "value": "A1"}


def told(*, study: dict[str, Any], **resources: Any) -> tuple[OrderAdvice, ...]:
    """What is said of a CT of the chest when one was made on 2026-10-01."""
    empty: dict[str, Any] = {query.key: () for query in ORDER_QUERIES}
    moment = ChartMoment(patient_id="p", encounter_id=None, now=NOW)
    sent = empty | {"patient": [a_patient()], "studies": [study]} | resources
    chart = read_order_chart(sent, moment, OrderPolicy())
    draft = an_order(id="new", status="draft")
    drafts = read_draft_orders({"draftOrders": {"entry": [{"resource": draft}]}}, "p", by_selection=False)
    return judge_orders(drafts, chart, bundled_packs(), OrderPolicy(), NOW).advice


def unlinked(conclusion: str = "Clear.", **members: Any) -> dict[str, Any]:
    return {key: value for key, value in a_report(conclusion).items() if key != "imagingStudy"} | members


@pytest.mark.parametrize("status", ["preliminary", "partial"])
def test_o6_a_preliminary_report_is_named_as_such(status: str) -> None:
    (advice,) = told(study=a_study(), reports=[a_report("Clear.", status=status)])

    assert advice.headline.endswith("preliminary report")
    assert "no report found" not in advice.lines[0][1]
    assert "Clear." not in advice.lines[0][1], "nobody has signed it, and nothing of it is quoted"


def test_o6_a_report_that_is_only_registered_is_begun() -> None:
    (advice,) = told(study=a_study(), reports=[a_report("", status="registered")])

    assert advice.headline.endswith("report begun, not signed")


@pytest.mark.parametrize(
    ("study", "report"),
    [
        (
            a_study(basedOn=[{"reference": "ServiceRequest/o9"}]),
            unlinked(basedOn=[{"reference": "ServiceRequest/o9"}]),
        ),
        (a_study(identifier=[*a_study()["identifier"], ACCESSION]), unlinked(identifier=[ACCESSION])),
    ],
    ids=["order", "accession-number"],
)
def test_o6_a_report_that_names_only_the_order_or_accession_number_is_found(
    study: dict[str, Any], report: dict[str, Any]
) -> None:
    (advice,) = told(study=study, reports=[report])

    assert advice.headline.endswith("report available")
    assert "Clear." in advice.lines[0][1]


def test_o4_such_a_report_silences_the_follow_up_that_it_recommends() -> None:
    linked = {"basedOn": [{"reference": "ServiceRequest/o9"}]}

    assert told(study=a_study(**linked), reports=[unlinked("Recommend follow-up CT in 7 weeks.", **linked)]) == ()


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_o6_a_withdrawn_report_is_none(status: str) -> None:
    (advice,) = told(study=a_study(), reports=[a_report("Clear.", status=status)])

    assert advice.headline.endswith("no report found")


def test_o6_another_studys_report_is_none() -> None:
    linked = {"basedOn": [{"reference": "ServiceRequest/o9"}]}
    report = a_report("Clear.", imagingStudy=[{"reference": "ImagingStudy/else"}], **linked)

    (advice,) = told(study=a_study(**linked), reports=[report])

    assert advice.headline.endswith("no report found")


def test_o4_a_registered_study_is_told_as_not_yet_available() -> None:
    (advice,) = told(study=a_study(status="registered"))

    assert advice.headline == "same region already imaged on 2026-10-01 (CT chest), registered, not yet available"


def test_o5_a_registered_study_and_its_order_are_told_once() -> None:
    """The order of a study that is told is no second repeat; that of one without a day still waits."""
    study = a_study(status="registered", basedOn=[{"reference": "ServiceRequest/order"}])
    orders = [an_order(authoredOn="2026-10-01")]

    (advice,) = told(study=study, orders=orders)
    (waiting,) = told(study={key: value for key, value in study.items() if key != "started"}, orders=orders)

    assert [label for label, _ in advice.lines] == ["Prior study"]
    assert [label for label, _ in waiting.lines] == ["Open order"]


def test_t6_the_report_of_a_study_that_is_stored_twice_is_found_by_either_resource() -> None:
    twin = a_study(id="twin", status="unknown")
    report = a_report("Clear.", imagingStudy=[{"reference": "ImagingStudy/twin"}])

    (advice,) = told(study=a_study(), studies=[a_study(), twin], reports=[report])

    assert advice.headline.endswith("report available")
