"""The demo's chart fires its hooks at the real services: an order improved, signed, booked; discharge; a complete study."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_stack import Demo

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        opened = context.new_page()
        troubles: list[str] = []
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        yield opened
        assert troubles == []


def open_chart(page: Page, demo: Demo, patient_id: str) -> None:
    page.goto(f"{demo.ehr_url}/patients/{patient_id}")
    expect(page.locator("#guidance")).to_have_attribute("aria-busy", "false")


def test_claras_follow_up_is_ordered_in_better_words_signed_and_booked_too_late(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "demo-c")
    page.get_by_role("button", name="New imaging order").click()
    page.get_by_label("Examination").select_option(label="CT Chest W contrast IV")
    page.get_by_role("button", name="Change the code of the draft to CT Chest WO contrast (29252-4)").click()
    expect(page.get_by_label("Examination")).to_have_value("29252-4")
    expect(page.locator("#work-cards").get_by_role("heading", name="fulfils the follow-up")).to_be_visible()

    page.get_by_role("button", name="Save and sign…").click()
    page.get_by_role("button", name="Sign 1 order").click()
    page.get_by_role("button", name="Book CT Chest WO contrast").click()
    # Clara's window ends twelve months after the CT of 240 days ago.
    late = (datetime.now(UTC) + timedelta(days=200)).date().isoformat()
    page.get_by_label("Day").fill(late)
    expect(page.locator("#work-cards").get_by_role("heading", name="later than the follow-up")).to_be_visible()
    page.locator("#work-confirm").click()

    expect(page.locator("#orders").get_by_text(f"booked for {late}")).to_be_visible()


def test_elsa_is_not_discharged_without_a_word_on_the_image_that_nobody_read(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "demo-e")

    page.get_by_role("button", name="Prepare discharge").click()

    expect(page.locator("#work-cards").get_by_role("heading", name="No report found for 1 imaging study")).to_be_visible()


def test_almas_study_brings_the_ais_result_as_soon_as_it_is_complete(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "demo-a")

    page.get_by_role("button", name="Announce as complete").first.click()

    expect(page.locator("#work-cards").get_by_role("heading", name="AI (unsigned) says 4A")).to_be_visible()
    page.get_by_text("Developer: what went over the wire").click()
    expect(page.locator("#wire")).to_contain_text("imaging-study-complete")
