"""Choosing what is signed, ordering a medicine and cancelling an appointment, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chart_fixtures import a_watched_page
from tests.chart_actors import ChartActor, a_card, a_chart, a_suggesting_card, a_suggestion

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = pytest.mark.browser


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[ChartActor]:
    """A practice in Vietnam with two drafts and a signed order of patient A."""
    with a_chart(tmp_path, time_zone="Asia/Ho_Chi_Minh") as actor:
        for order_id, status, name in (
            ("ct", "draft", "CT Chest"),
            ("us", "draft", "US Abdomen"),
            ("mr", "active", "MR Brain"),
        ):
            actor.services.store.put(an_order(order_id, status, name))
        yield actor


@pytest.fixture
def page(chart_browser: Browser, chart: ChartActor) -> Iterator[Page]:
    with a_watched_page(chart_browser, timezone_id="America/New_York") as opened:
        opened.goto(f"{chart.ehr}/patients/demo-a")
        expect(opened.get_by_text("No guidance for this patient.").first).to_be_visible()
        yield opened


def an_order(order_id: str, status: str, name: str) -> dict[str, Any]:
    subject, code = {"reference": "Patient/demo-a"}, {"text": name}
    return {
        "resourceType": "ServiceRequest",
        "id": order_id,
        "status": status,
        "intent": "order",
        "subject": subject,
        "code": code,
    }


def status_of(chart: ChartActor, order_id: str) -> str:
    order = chart.services.store.read("ServiceRequest", order_id)
    return order["status"] if order else ""


def told(chart: ChartActor) -> list[list[str]]:
    """The drafts of each order-sign, by id."""
    return [[entry["resource"]["id"] for entry in context["draftOrders"]["entry"]] for context in chart.cds.contexts("other")]


def test_what_is_left_out_is_neither_checked_nor_signed(page: Page, chart: ChartActor) -> None:
    page.get_by_role("button", name="Sign 2 drafts").click()
    expect(page.get_by_role("button", name="Sign 2 orders")).to_be_enabled()

    page.get_by_role("checkbox", name="US Abdomen").uncheck()
    page.get_by_role("button", name="Sign 1 order", exact=True).click()

    expect(page.locator("#work")).to_be_hidden()
    assert (status_of(chart, "ct"), status_of(chart, "us")) == ("active", "draft")
    assert [sorted(ids) for ids in told(chart)] == [["ct", "us"], ["ct"]]


def test_without_any_choice_nothing_can_be_signed(page: Page, chart: ChartActor) -> None:
    page.get_by_role("button", name="Sign 2 drafts").click()
    expect(page.locator("#work-confirm")).to_be_enabled()
    for name in ("CT Chest", "US Abdomen"):
        page.get_by_role("checkbox", name=name).uncheck()

    expect(page.locator("#work-cards").get_by_text("Choose at least one order.")).to_be_visible()
    expect(page.get_by_role("button", name="Sign", exact=True)).to_be_disabled()
    page.get_by_role("checkbox", name="CT Chest").press("Space")
    expect(page.get_by_role("button", name="Sign 1 order", exact=True)).to_be_enabled()
    assert told(chart)[-1] == ["ct"]


def test_one_draft_is_signed_from_its_own_line(page: Page, chart: ChartActor) -> None:
    page.get_by_role("button", name="Sign only this US Abdomen").click()

    expect(page.get_by_role("checkbox", name="CT Chest")).not_to_be_checked()
    page.get_by_role("button", name="Sign 1 order", exact=True).click()
    expect(page.locator("#work")).to_be_hidden()
    assert (status_of(chart, "ct"), status_of(chart, "us")) == ("draft", "active")


def test_what_was_left_out_stays_left_out_when_a_card_changes_the_drafts(page: Page, chart: ChartActor) -> None:
    chart.cds.responses["other"] = {"cards": [a_suggesting_card(a_suggestion(label="Draft a follow-up CT"))]}
    page.get_by_role("button", name="Sign only this US Abdomen").click()
    page.locator("#work-cards").get_by_role("button", name="Draft a follow-up CT").click()

    expect(page.get_by_role("checkbox", name="CT chest without contrast")).to_be_checked()
    expect(page.get_by_role("checkbox", name="CT Chest", exact=True)).not_to_be_checked()
    expect(page.get_by_role("button", name="Sign 2 orders anyway")).to_be_enabled()


def test_medicine_is_ordered_beside_its_advice_and_signed(page: Page, chart: ChartActor) -> None:
    chart.cds.responses["order-select"] = {"cards": [a_card(summary="eGFR 28 of yesterday")]}
    page.get_by_role("button", name="New medication order").click()
    expect(page.get_by_label("Medicine")).to_be_focused()
    page.get_by_label("Medicine").select_option(label="Iohexol 300 mg iodine/mL, injection")

    expect(page.get_by_label("Dose in words")).to_have_value("100 mL intravenously for the CT")
    expect(page.locator("#work-cards").get_by_text("eGFR 28 of yesterday")).to_be_visible()
    page.get_by_label("Dose in words").fill("60 mL")
    page.get_by_label("Medicine").select_option(label="Metformin 500 mg, tablet")
    expect(page.get_by_label("Dose in words")).to_have_value("60 mL")
    page.get_by_role("button", name="Save and sign…").click()
    page.get_by_role("button", name="Sign 3 orders").click()

    expect(page.locator("#medications").get_by_text("Metformin 500 mg, tablet")).to_be_visible()
    expect(page.locator("#orders").get_by_text("Metformin")).to_have_count(0)
    (stored,) = chart.services.store.search("MedicationRequest", {"patient": "demo-a"})
    assert (stored["status"], stored["dosageInstruction"]) == ("active", [{"text": "60 mL"}])


def test_appointment_is_made_by_the_practices_clock_and_cancelled_at_the_second_click(page: Page, chart: ChartActor) -> None:
    """Whatever clock the clinician's own computer has."""
    page.get_by_role("button", name="Book MR Brain").click()
    page.get_by_label("Day").fill("2999-03-04")
    page.get_by_label("Time (Asia/Ho_Chi_Minh)").fill("05:30")
    page.get_by_role("button", name="Book", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Booked for 2999-03-04, 05:30 UTC+07:00.")
    expect(page.locator("#appointments").get_by_text("05:30 UTC+07:00")).to_be_visible()

    page.get_by_role("button", name="Cancel MR Brain").click()
    page.get_by_role("button", name="Really cancel?").click()

    expect(page.locator("#appointments .status")).to_have_text("cancelled")
    expect(page.get_by_role("heading", name="Appointments")).to_be_focused()
    expect(page.get_by_role("button", name="Book MR Brain")).to_be_visible()
    (stored,) = chart.services.store.search("Appointment", {"patient": "demo-a"})
    assert (stored["status"], stored["start"]) == ("cancelled", "2999-03-04T05:30:00+07:00")
