"""The chart of a demo patient: medications beside the other sections, and what the patient is there to show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from html import unescape

import pytest

from ehr_sandbox.demo_stories import STORIES
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import dario
from tests.chart_actors import ChartActor, a_chart


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        for resource in dario.dario_resources(DemoCalendar(demo_day=date(2026, 11, 21)), dario.PRIOR):
            actor.services.store.put(resource)
        yield actor


def page_of(chart: ChartActor, patient_id: str) -> str:
    answer = chart.http.get(f"{chart.ehr}/patients/{patient_id}", timeout=10)
    assert answer.status_code == 200
    return unescape(answer.text)


def test_chart_shows_what_order_rules_ask_about(chart: ChartActor) -> None:
    page = page_of(chart, "demo-d")

    for told in (
        "Metformin 1000 mg, one tablet twice a day",
        "Chronic kidney disease, stage 4",
        "Estimated GFR (CKD-EPI 2021)",
        "27 mL/min",
    ):
        assert told in page, told
    assert 'class="row is-draft"' in page


@pytest.mark.parametrize("patient_id", [f"demo-{letter}" for letter in "abcdef"])
def test_chart_of_a_demo_patient_gives_the_clinical_reason(chart: ChartActor, patient_id: str) -> None:
    if chart.services.store.read("Patient", patient_id) is None:
        chart.services.store.put({"resourceType": "Patient", "id": patient_id, "name": [{"family": "Synthetic"}]})

    page = page_of(chart, patient_id)

    assert STORIES[patient_id] in page
    assert [one for one, story in STORIES.items() if story in page] == [patient_id]


def test_chart_of_anybody_else_tells_no_story(chart: ChartActor) -> None:
    somebody = {"resourceType": "Patient", "id": "somebody", "name": [{"family": "Synthetic"}], "gender": "other"}
    chart.services.store.put(somebody)

    assert 'class="story"' not in page_of(chart, "somebody")
