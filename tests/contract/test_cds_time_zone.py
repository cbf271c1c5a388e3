"""N1, P, O3 over HTTP: in Tokyo it is the 21st while UTC has the 20th, and the cards count and show the days of the site."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from cds_service.settings import ClientAuthentication
from fhir_imaging.store.engine import Store
from tests.cds_actors import LOINC, CdsActor, a_bundle, a_cds_service, a_hook, a_lung_rads, a_patient, a_store, a_study, concept
from tests.order_actors import an_egfr
from tests.order_cases import a_chart, a_draft, cards_of, signing

LATE = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
THIS_MORNING = "2026-11-21T07:00:00+09:00"
CT_WITH_CONTRAST, CT_CHEST = "36813-4", "24627-2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture(params=["Asia/Tokyo", "UTC"])
def site(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> tuple[CdsActor, str]:
    """A service in that zone at half past seven of the 21st in Tokyo, and the day that its cards write for this morning."""
    day = "2026-11-21" if request.param == "Asia/Tokyo" else "2026-11-20"
    # The actor's JWTs are of another day; who calls does not matter here.
    off = ClientAuthentication.OFF
    return a_cds_service(store, tmp_path, now=LATE, time_zone=request.param, client_authentication=off), day


def summaries(cds: CdsActor, code: str, **answers: Any) -> list[str]:
    return [card["summary"] for card in cards_of(cds, signing(a_draft(code), chart=a_chart(**answers)))]


def test_n1_the_result_of_this_morning(site: tuple[CdsActor, str]) -> None:
    cds, day = site
    labs = a_bundle(
        an_egfr(18, effectiveDateTime=THIS_MORNING), an_egfr(60, id="old", effectiveDateTime="2026-11-10T07:00:00+09:00")
    )

    (summary,) = summaries(cds, CT_WITH_CONTRAST, labs=labs)

    assert summary.endswith(f"iodinated contrast with eGFR 18 mL/min/1.73 m² ({day})")


def test_p_the_pregnancy_test_of_this_morning(site: tuple[CdsActor, str]) -> None:
    cds, day = site
    positive = {
        "resourceType": "Observation",
        "id": "test",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": concept(LOINC, "2106-3"),
        "effectiveDateTime": THIS_MORNING,
        "valueString": "positive",
    }
    woman = a_patient(born="1996-05-01") | {"gender": "female"}

    (summary,) = summaries(cds, CT_WITH_CONTRAST, patient=woman, pregnancy=a_bundle(positive))

    assert summary.endswith(f"a positive pregnancy test is on record ({day})")


def test_o3_the_examination_of_this_morning(site: tuple[CdsActor, str]) -> None:
    cds, day = site

    (summary,) = summaries(cds, CT_CHEST, studies=a_bundle(a_study(started=THIS_MORNING)))

    assert f"same region already imaged on {day}" in summary


HALF_PAST_ELEVEN = "2026-10-01T23:30:00Z"
OF_THE_STAY = {"reference": "Encounter/e"}


@pytest.fixture(params=["Europe/Berlin", "UTC"])
def berlin(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> tuple[CdsActor, int]:
    """A service in that zone, and of which day of October it says that 23:30Z is."""
    off = ClientAuthentication.OFF
    cds = a_cds_service(store, tmp_path, now=LATE, time_zone=request.param, client_authentication=off)
    return cds, 2 if request.param == "Europe/Berlin" else 1


def asked(cds: CdsActor, service: str, finding: dict[str, Any], **context: Any) -> str:
    """Every word of a service's cards about a finding of a study of half past eleven."""
    study = a_bundle(a_study(started=HALF_PAST_ELEVEN, encounter=OF_THE_STAY))
    sent = dict.fromkeys(query.key for query in SERVICES[service].queries)
    sent |= {"patient": a_patient(), "findings": a_bundle(finding), "studies": study}
    stated = {"userId": "Practitioner/gp", "patientId": "p"} | context
    answer = cds.call(a_hook(sent, hook=SERVICES[service].hook, context=stated), service)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return "\n".join(f"{card['summary']}\n{card['detail']}" for card in answer.get_json()["cards"])


@pytest.mark.parametrize(
    ("service", "context"),
    [
        ("imaging-findings", {}),
        ("imaging-discharge", {"encounterId": "e"}),
        ("imaging-order-sign", {"draftOrders": a_bundle(a_draft("29252-4", occurrenceDateTime="2027-04-05"))}),
        (
            "imaging-appointment",
            {
                "appointments": a_bundle(
                    {
                        "resourceType": "Appointment",
                        "id": "a",
                        "status": "proposed",
                        "start": "2028-01-05T10:00:00Z",
                        "serviceType": [concept(LOINC, "29252-4")],
                    }
                )
            },
        ),
    ],
)
def test_ge_every_service_counts_from_the_same_day_of_the_same_study(
    berlin: tuple[CdsActor, int], service: str, context: dict[str, Any]
) -> None:
    cds, day = berlin

    told = asked(cds, service, a_lung_rads("3", effectiveDateTime=HALF_PAST_ELEVEN), **context)

    assert f"due 2027-04-0{day}" in told
    assert f"due 2027-04-0{3 - day}" not in told


def test_an_appointment_and_an_order_are_of_the_sites_day(berlin: tuple[CdsActor, int]) -> None:
    cds, day = berlin
    booked = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": "2028-01-01T23:30:00Z"}
    booked |= {"serviceType": [concept(LOINC, "29252-4")]}
    planned = a_draft("29252-4", occurrenceDateTime="2028-01-01T23:30:00Z")

    at_booking = asked(cds, "imaging-appointment", a_lung_rads("3"), appointments=a_bundle(booked))
    at_ordering = asked(cds, "imaging-order-sign", a_lung_rads("3"), draftOrders=a_bundle(planned))

    assert f"on 2028-01-0{day}: later than the follow-up" in at_booking
    assert f"planned for 2028-01-0{day}, later than the follow-up" in at_ordering
