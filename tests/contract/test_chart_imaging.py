"""What the chart of the sandbox EHR says of imaging: of very many studies the newest, and no way to images that nobody gets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from fhir_imaging.fhir_mapping.study_dialects import AVAILABILITY
from tests.chart_actors import ChartActor, a_chart

STUDIES = 60
DAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("chart")) as made:
        for number in range(STUDIES):
            # Ids tell nothing of the day.
            study_id, day = f"s{number * 7 % STUDIES:02d}", DAY - timedelta(days=number)
            made.services.store.put(study(study_id, day, "OFFLINE" if number == 1 else "NEARLINE" if number == 2 else None))
        yield made


def study(study_id: str, day: date, availability: str | None) -> dict[str, object]:
    said = [{"url": AVAILABILITY, "valueCode": availability}] if availability else []
    return {
        "resourceType": "ImagingStudy",
        "id": study_id,
        "status": "available",
        "subject": {"reference": "Patient/demo-b"},
        "started": f"{day}T09:00:00+00:00",
        "description": f"CT of {day}",
        "numberOfInstances": 1,
        **({"extension": said} if said else {}),
    }


def imaging(chart: ChartActor, patient_id: str) -> str:
    page = chart.http.get(f"{chart.ehr}/patients/{patient_id}", timeout=10).text
    return page.partition('id="section-imaging"')[2].partition("</section>")[0]


def test_of_very_many_the_newest_are_shown_and_how_many_there_are(chart: ChartActor) -> None:
    section = imaging(chart, "demo-b")
    days = [part.partition('"')[0] for part in section.split('datetime="')[1:]]

    assert "newest 50 of 61" in section, "hers are these and one without a date"
    assert days == [(DAY - timedelta(days=number)).isoformat() for number in range(50)]
    assert "1 image" in section
    assert "1 images" not in section


def test_images_that_somebody_has_to_fetch_are_not_offered(chart: ChartActor) -> None:
    rows = imaging(chart, "demo-b").split('<li class="row')[1:]

    assert "Open images" in rows[0]
    assert "images kept offline" in rows[1]
    assert "Open images" not in rows[1]
    assert "Announce as complete" in rows[1]
    assert "Open images" in rows[2], "near line is slow, and comes"
