"""The later step of a follow-up (F1, F2, Ge, Gf) over HTTP: in the chart, at order time, at discharge and when booking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_nodule,
    a_patient,
    a_report,
    a_store,
    nodule_components,
)
from tests.followed_actors import imaged
from tests.order_cases import a_chart, a_draft, cards_of, signing, topics

# Today is 2026-11-21: the first CT's 18 to 24 months are 2026-09-01 to 2027-03-01.
FIRST, SECOND = imaged("study", "2025-03-01"), imaged("second", "2026-02-01")
READ = a_report("Chest CT reviewed.", issued="2026-02-01T15:00:00Z", imagingStudy=[{"reference": "ImagingStudy/second"}])
LOW = a_nodule(component=nodule_components(7.0, "solid", risk="low"))
WINDOW = "2026-09-01 to 2027-03-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def chart(*studies: dict[str, Any], finding: dict[str, Any] | None = None, reports: Any = (READ,)) -> dict[str, Any]:
    seen = a_bundle(*(studies or (FIRST, SECOND)))
    return a_chart(findings=a_bundle(finding or a_nodule()), studies=seen, reports=a_bundle(*reports))


def answers_of(service: str) -> dict[str, Any]:
    empty = dict.fromkeys(query.key for query in SERVICES[service].queries)
    stated = {"patient": a_patient(), "findings": a_bundle(a_nodule()), "studies": a_bundle(FIRST, SECOND)}
    return empty | stated | {"reports": a_bundle(READ)}


def test_f2_the_chart_names_the_follow_up_that_was_done_and_the_step_that_is_due(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(answers_of("imaging-findings")))

    assert card["summary"] == (
        f"7 mm solid lung nodule (CT 2025-03-01): follow-up CT done 2026-02-01; chest CT due {WINDOW} – Fleischner Society 2017"
    )
    assert card["indicator"] == "warning"
    assert "counted from the first study" in card["detail"]
    assert "suggestions" not in card


def test_f2_the_order_for_the_later_step_fulfils_it(cds: CdsActor) -> None:
    """F2, Gf: and neither the first CT nor its follow-up is a prior that it repeats."""
    (card,) = cards_of(cds, signing(a_draft(), chart=chart()))

    assert f"fulfils the follow-up due {WINDOW}" in card["summary"]


def test_f2_an_order_planned_after_the_later_steps_time_is_told_so(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(occurrenceDateTime="2027-03-02"), chart=chart()))

    assert f"planned for 2027-03-02, later than the follow-up due {WINDOW}" in card["summary"]


def test_f1_an_order_for_what_is_only_offered_fulfils_it_too(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(), chart=chart(finding=LOW)))

    assert f"fulfils the follow-up due {WINDOW}" in card["summary"]


def test_o3_the_follow_up_that_did_the_step_before_is_no_repeat_of_the_next(cds: CdsActor) -> None:
    """O3, F2: a late first follow-up stands within the look-back of the order for the next step."""
    late = imaged("second", "2026-08-16")
    body = signing(a_draft(occurrenceDateTime="2026-11-10"), chart=chart(FIRST, late, reports=()))

    assert "duplicate-imaging" not in " ".join(topics(cards_of(cds, body)))


def test_f2_the_discharge_tells_the_later_step(cds: CdsActor) -> None:
    body = a_hook(answers_of("imaging-discharge"), hook="encounter-discharge")
    answer = cds.call(body, "imaging-discharge").get_json()

    assert any("follow-up CT done 2026-02-01" in card["summary"] for card in answer["cards"])


def test_f2_a_booking_after_the_later_steps_time_is_late(cds: CdsActor) -> None:
    appointment = {
        "resourceType": "Appointment",
        "id": "a",
        "status": "proposed",
        "start": "2027-04-10T09:00:00+01:00",
        "participant": [{"actor": {"reference": "Patient/p"}, "status": "needs-action"}],
        "serviceType": [{"text": "CT chest"}],
        "basedOn": [{"reference": "ServiceRequest/new"}],
    }
    order = a_draft(status="active", authoredOn="2026-11-20")
    context = {"userId": "Practitioner/gp", "patientId": "p", "appointments": a_bundle(appointment)}
    sent = answers_of("imaging-appointment") | {"orders": a_bundle(order)}
    answer = cds.call(a_hook(sent, hook="appointment-book", context=context), "imaging-appointment").get_json()

    (card,) = answer["cards"]
    assert "on 2027-04-10: later than the follow-up" in card["summary"]
    assert f"due {WINDOW}" in card["summary"]


def test_gf_a_ct_before_the_steps_time_leaves_information_and_no_warning(cds: CdsActor) -> None:
    sent = answers_of("imaging-findings") | {"studies": a_bundle(FIRST, imaged("early", "2025-03-03")), "reports": None}
    (card,) = cds.cards(a_hook(sent))

    assert card["indicator"] == "info"
    assert "a CT of 2025-03-03 came before the chest CT meant for 2025-09-01 to 2026-03-01" in card["summary"]
