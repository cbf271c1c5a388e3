"""Order entry in Chromium: advice beside the form while it is filled in, and once more before the signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chart_fixtures import a_watched_page
from tests.browser.list_actors import wait_until
from tests.chart_actors import ChartActor, a_card, a_chart, a_suggesting_card, a_suggestion

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = pytest.mark.browser

REASON = {"system": "https://imaging-cds.example/reasons", "code": "declined", "display": "Patient declined"}
BETTER = {"coding": [{"system": "http://loinc.org", "code": "29252-4"}], "text": "CT Chest WO contrast"}


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[ChartActor]:
    with a_chart(tmp_path) as actor:
        yield actor


@pytest.fixture
def page(chart_browser: Browser, chart: ChartActor) -> Iterator[Page]:
    """Patient A's chart. An answer of 409 is logged by the browser itself; every other trouble fails the test."""
    with a_watched_page(chart_browser, expected="409") as opened:
        opened.goto(f"{chart.ehr}/patients/demo-a")
        expect(opened.get_by_text("No guidance for this patient.").first).to_be_visible()
        yield opened


def chosen(page: Page, examination: str) -> None:
    page.get_by_role("button", name="New imaging order").click()
    page.get_by_label("Examination").select_option(label=examination)


def asked_of(chart: ChartActor, page: Page, reason: str) -> dict[str, Any]:
    """The order as it was asked about last, once that was with this reason: before it, the choice alone may be asked about."""

    def last() -> dict[str, Any]:
        drafts = [context["draftOrders"]["entry"][0]["resource"] for context in chart.cds.contexts("order-select")]
        return drafts[-1] if drafts else {}

    wait_until(lambda: last().get("reasonCode") == [{"text": reason}], page)
    return last()


def a_stored_order(chart: ChartActor, status: str) -> None:
    order: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": "stored",
        "status": status,
        "intent": "order",
        "subject": {"reference": "Patient/demo-a"},
        "code": BETTER,
    }
    chart.services.store.put(order)


def test_signing_draws_the_cards_and_the_guidance_stays(page: Page, chart: ChartActor) -> None:
    a_stored_order(chart, "draft")
    page.reload()
    chart.cds.responses["other"] = {"cards": [a_card(summary="Same region already imaged on 3 May")]}

    page.get_by_role("button", name="Sign 1 draft").click()

    expect(page.get_by_text("Same region already imaged on 3 May")).to_be_visible()
    expect(page.locator("#guidance").get_by_text("No guidance for this patient.")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("1 guidance card: 1 warning.")
    page.get_by_role("button", name="Sign 1 order anyway").click()
    expect(page.locator("#orders .status")).to_have_text("active")
    expect(page.locator("#work")).to_be_hidden()
    hooks = [asked.body["hook"] for asked in chart.cds.asked if asked.body]
    assert hooks == ["patient-view", "patient-view", "order-sign"]


def test_drafts_that_changed_meanwhile_are_shown_and_checked_before_they_are_signed(page: Page, chart: ChartActor) -> None:
    a_stored_order(chart, "draft")
    page.reload()
    page.get_by_role("button", name="Sign 1 draft").click()
    expect(page.locator("#work-confirm")).to_be_enabled()
    stored = chart.services.store.read("ServiceRequest", "stored")
    assert stored is not None
    chart.services.store.put(stored | {"id": "another", "code": {"text": "US Abdomen"}})

    page.get_by_role("button", name="Sign 1 order").click()

    expect(page.locator("#work-notice")).to_have_text(
        "The draft orders have changed since they were checked. Check them again."
    )
    page.get_by_role("button", name="Sign 2 orders").click()
    expect(page.locator("#orders .status")).to_have_text(["active", "active"])


def test_suggestion_beside_the_record_redraws_the_form_that_it_changes(page: Page, chart: ChartActor) -> None:
    a_stored_order(chart, "draft")
    stored = chart.services.store.read("ServiceRequest", "stored")
    assert stored is not None
    update = {"type": "update", "description": "Urgent", "resource": stored | {"priority": "urgent"}}
    chart.cds.responses["imaging-findings"] = {
        "cards": [a_suggesting_card(a_suggestion(label="Make it urgent", actions=[update]))]
    }
    page.reload()
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Urgency")).to_have_value("routine")

    page.locator("#guidance").get_by_role("button", name="Make it urgent").click()

    expect(page.get_by_label("Urgency")).to_have_value("urgent")
    expect(page.locator("#guidance").get_by_text("Accepted: Make it urgent")).to_be_visible()


def test_composing_a_better_code_is_taken_another_card_dismissed_and_the_order_signed(page: Page, chart: ChartActor) -> None:
    chosen(page, "CT Chest")
    page.get_by_label("Reason in words").fill("Cough for six weeks")
    draft = asked_of(chart, page, "Cough for six weeks")
    expect(page.locator("#work-cards").get_by_text("No guidance for this order.")).to_be_visible()
    update = {"type": "update", "description": "Order CT Chest WO contrast", "resource": draft | {"code": BETTER}}
    better = a_suggesting_card(
        a_suggestion(label="Order it without contrast", actions=[update]), summary="CT Chest leaves the contrast open"
    )
    repeat = a_card(uuid="b", summary="CT chest of 3 May answers this", overrideReasons=[REASON])
    chart.cds.responses["order-select"] = {"cards": [better, repeat]}

    page.get_by_label("Urgency").select_option("asap")
    page.get_by_role("button", name="Order it without contrast").click()
    chart.cds.responses["order-select"] = {"cards": [repeat]}

    expect(page.locator("#work-notice")).to_have_text("The order in the form was changed.")
    expect(page.locator("#work-notice")).to_be_focused()
    expect(page.get_by_label("Examination")).to_have_value("29252-4")
    expect(page.get_by_label("Reason in words")).to_have_value("Cough for six weeks")
    card = page.locator("#work-cards .card", has_text="CT chest of 3 May answers this")
    card.get_by_text("Dismiss", exact=True).click()
    card.get_by_label("Reason").select_option("Patient declined")
    card.get_by_role("button", name="Dismiss this card").click()
    expect(page.get_by_text("Dismissed: Patient declined.").first).to_be_visible()
    page.get_by_label("Urgency").select_option("urgent")
    expect(page.locator("#work-cards").get_by_text("No guidance for this order.")).to_be_visible()

    page.get_by_role("button", name="Save and sign…").click()
    page.get_by_role("button", name="Sign 1 order", exact=True).click()

    expect(page.locator("#orders .status")).to_have_text("active")
    (order,) = chart.services.store.search("ServiceRequest", {"patient": "demo-a"})
    assert (order["id"], order["status"], order["code"], order["priority"]) == (draft["id"], "active", BETTER, "urgent")
    assert [entry["outcome"] for entry in chart.cds.feedback()] == ["accepted", "overridden"]


def test_typing_asks_once_and_the_last_state_is_what_is_asked(page: Page, chart: ChartActor) -> None:
    chosen(page, "CT Chest")
    page.get_by_label("Reason in words").press_sequentially("Cough", delay=20)
    asked_of(chart, page, "Cough")
    expect(page.locator("#work-cards").get_by_text("No guidance for this order.")).to_be_visible()
    expect(page.locator("#work-state")).to_be_empty()

    assert len(chart.cds.contexts("order-select")) <= 2


def test_keyboard_alone_composes_escapes_and_continues(page: Page, chart: ChartActor) -> None:
    button = page.get_by_role("button", name="New imaging order")
    button.press("Enter")
    expect(page.get_by_label("Examination")).to_be_focused()
    page.get_by_label("Examination").select_option(label="US Abdomen")
    page.get_by_label("Reason in words").fill("Pain")
    page.keyboard.press("Escape")

    expect(page.locator("#work")).to_be_hidden()
    button = page.get_by_role("button", name="Continue order")
    expect(button).to_be_focused()
    button.press("Enter")
    expect(page.get_by_label("Reason in words")).to_have_value("Pain")
    page.get_by_role("button", name="Save as draft").press("Enter")
    expect(page.locator("#orders .status-draft")).to_have_text("draft")
    expect(page.get_by_role("button", name="New imaging order")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("Saved as a draft; it is not active until it is signed.")


def test_draft_is_removed_at_the_second_click(page: Page, chart: ChartActor) -> None:
    a_stored_order(chart, "draft")
    page.reload()

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Really remove?").click()

    expect(page.locator("#orders").get_by_text("None recorded.")).to_be_visible()
    expect(page.get_by_role("button", name="New imaging order")).to_be_focused()


def test_booking_asks_for_the_day_and_books_it(page: Page, chart: ChartActor) -> None:
    a_stored_order(chart, "active")
    page.reload()
    chart.cds.responses["appointment"] = {"cards": [a_card(summary="Six weeks too early")]}

    page.get_by_role("button", name="Book CT Chest WO contrast").click()
    expect(page.get_by_label("Day")).to_be_focused()
    page.get_by_label("Day").fill("2999-03-04")
    expect(page.locator("#work-cards").get_by_text("Six weeks too early")).to_be_visible()
    page.get_by_role("button", name="Book anyway").click()

    expect(page.locator("#orders").get_by_text("booked for 2999-03-04")).to_be_visible()
    expect(page.locator("#appointments .status")).to_have_text("booked")


def test_discharge_and_completed_study_draw_their_cards(page: Page, chart: ChartActor) -> None:
    chart.cds.responses["discharge"] = {"cards": [a_card(summary="CT of today is not read yet")]}
    chart.cds.responses["study-complete"] = {"cards": [a_card(summary="AI result for this study")]}

    page.get_by_role("button", name="Prepare discharge").click()
    expect(page.locator("#work-cards").get_by_text("CT of today is not read yet")).to_be_visible()
    page.get_by_role("button", name="Check again").press("Enter")
    expect(page.locator("#work-state")).to_be_empty()
    expect(page.get_by_role("button", name="Check again")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Prepare discharge")).to_be_focused()
    page.get_by_role("button", name="Announce as complete").click()
    expect(page.locator("#work-cards").get_by_text("AI result for this study")).to_be_visible()
    expect(page.locator("#work-cards").get_by_text("CT of today is not read yet")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_form_does_not_move_when_advice_comes_and_nothing_overflows(
    chart_browser: Browser, chart: ChartActor, width: int
) -> None:
    chart.cds.responses["order-select"] = {"cards": [a_card(uuid=str(n), summary="x" * 139) for n in range(3)]}
    with chart_browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{chart.ehr}/patients/demo-a")
        expect(page.locator("#guidance")).to_have_attribute("aria-busy", "false")
        chosen(page, "CT Chest")
        before = page.locator("#order-form").bounding_box()

        expect(page.locator("#work-cards h3")).to_have_count(3)

        assert page.locator("#order-form").bounding_box() == before
        assert page.evaluate("document.documentElement.scrollWidth") <= width
