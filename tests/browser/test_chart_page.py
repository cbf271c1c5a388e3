"""The chart page in Chromium against a CDS service that the test controls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chart_fixtures import a_watched_page
from tests.chart_actors import ChartActor, a_card, a_chart, a_suggesting_card, a_suggestion

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = pytest.mark.browser

SHOTS = os.environ.get("CHART_SHOTS")
REASONS = [
    {"system": "https://imaging-cds.example/reasons", "code": "done", "display": "Already done elsewhere"},
    {"system": "https://imaging-cds.example/reasons", "code": "declined", "display": "Patient declined"},
]


@pytest.fixture(scope="module")
def running_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        yield actor


@pytest.fixture
def chart(running_chart: ChartActor) -> ChartActor:
    running_chart.forgets_everything()
    return running_chart


@pytest.fixture
def page(chart_browser: Browser, chart: ChartActor) -> Iterator[Page]:
    """A page on which any script error or refused resource fails the test."""
    with a_watched_page(chart_browser, width=1360) as opened:
        yield opened


def smart_link(chart: ChartActor) -> dict[str, str]:
    return {
        "label": "Open the images",
        "type": "smart",
        "url": f"{chart.cds.base_url}/launch",
        "appContext": "2.25.1",
    }


def three_cards(chart: ChartActor) -> list[dict[str, object]]:
    absolute = {"label": "Guideline", "type": "absolute", "url": "https://imaging-cds.example/guideline"}
    return [
        a_card(
            uuid="33333333-3333-4333-8333-333333333333",
            summary="AI result, not yet signed: Lung-RADS 4A on the CT of 3 May 2026",
            indicator="info",
            detail="The AI's reading is **preliminary**. The radiologist's report says 4B.",
            links=[smart_link(chart)],
        ),
        a_suggesting_card(
            a_suggestion(isRecommended=True),
            a_suggestion(uuid="other", label="Draft a low-dose CT instead"),
            links=[smart_link(chart), absolute],
            overrideReasons=REASONS,
            source={
                "label": "Lung nodule guidance, Fleischner 2017",
                "url": "https://imaging-cds.example/about",
                "topic": {"system": "https://imaging-cds.example/topics", "code": "nodule", "display": "Nodule follow-up"},
            },
        ),
        a_card(
            uuid="44444444-4444-4444-8444-444444444444",
            summary="Pulmonary embolism reported two hours ago; no communication is documented",
            indicator="critical",
        ),
    ]


def test_cards_come_after_the_chart_and_are_sorted(page: Page, chart: ChartActor) -> None:
    chart.cds.delay_s = 0.6
    chart.cds.response = {"cards": three_cards(chart)}

    page.goto(f"{chart.ehr}/")
    page.get_by_label("Name or record number").fill("alma")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("link", name="Synthetic, Bruno")).to_have_count(0)
    page.get_by_role("link", name="Synthetic, Alma").click()

    expect(page.get_by_role("heading", name="Synthetic, Alma")).to_be_visible()
    expect(page.get_by_text("Loading guidance")).to_be_visible()
    indicators = page.locator(".card .indicator")
    expect(indicators).to_have_text(["Critical", "Warning", "Information"])
    expect(page.get_by_role("status")).to_have_text("3 guidance cards: 1 critical, 1 warning, 1 information.")
    expect(page.locator("#guidance")).to_have_attribute("aria-busy", "false")


def test_accepting_a_suggestion_shows_the_draft_order(page: Page, chart: ChartActor) -> None:
    chart.cds.response = {"cards": three_cards(chart)}
    page.goto(f"{chart.ehr}/patients/demo-a")

    page.get_by_role("button", name="Draft a follow-up CT").click()

    expect(page.locator("#guidance").get_by_text("Draft order created")).to_be_visible()
    expect(page.locator("#orders .status-draft")).to_have_text("draft")
    expect(page.get_by_role("button", name="Draft a low-dose CT instead")).to_be_disabled()
    expect(page.locator("[data-card]:focus")).to_have_count(1)
    assert [entry["outcome"] for entry in chart.cds.feedback()] == ["accepted"]


def test_dismissing_by_keyboard_posts_the_reason(page: Page, chart: ChartActor) -> None:
    chart.cds.response = {"cards": three_cards(chart)[1:2]}
    page.goto(f"{chart.ehr}/patients/demo-a")

    page.locator(".dismiss summary").press("Enter")
    page.get_by_label("Reason").select_option("Patient declined")
    page.get_by_label("Comment").fill("asked on the phone")
    page.get_by_role("button", name="Dismiss this card").press("Enter")

    expect(page.locator("#guidance").get_by_text("Dismissed: Patient declined.")).to_be_visible()
    (entry,) = chart.cds.feedback()
    assert entry["overrideReason"] == {"reason": REASONS[1], "userComment": "asked on the phone"}


def test_smart_link_opens_in_a_sandboxed_frame(page: Page, chart: ChartActor) -> None:
    chart.cds.response = {"cards": three_cards(chart)[:1]}
    page.goto(f"{chart.ehr}/patients/demo-a")

    page.get_by_role("button", name="Open the images").click()

    frame = page.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-popups")
    expect(page.frame_locator("iframe").get_by_text("launched")).to_be_visible()
    assert "launch=" in (frame.get_attribute("src") or "")
    assert "2.25.1" not in (frame.get_attribute("src") or "")
    page.get_by_role("button", name="Close app").click()
    expect(page.locator("iframe")).to_have_count(0)


def test_app_opens_in_a_new_window_when_preferred(page: Page, chart: ChartActor) -> None:
    page.goto(f"{chart.ehr}/patients/demo-a")
    page.get_by_label("New window").check()

    with page.expect_popup() as popup:
        page.get_by_role("button", name="Open imaging app").click()

    expect(popup.value.get_by_text("launched")).to_be_visible()
    assert popup.value.evaluate("window.opener") is None
    page.reload()
    expect(page.get_by_label("New window")).to_be_checked()


def test_developer_reads_what_went_over_the_wire(page: Page, chart: ChartActor) -> None:
    chart.cds.response = {"cards": three_cards(chart)}
    page.goto(f"{chart.ehr}/patients/demo-a")
    expect(page.locator(".card h3")).to_have_count(3)

    page.get_by_text("Developer: what went over the wire").click()
    page.locator(".exchange summary").first.click()

    expect(page.locator(".exchange").first).to_contain_text('"hook": "patient-view"')
    expect(page.locator(".exchange").first).to_contain_text("Bearer [redacted]")


def test_chart_stays_usable_without_the_service(page: Page, chart: ChartActor) -> None:
    chart.cds.status = 500

    page.goto(f"{chart.ehr}/patients/demo-a")

    expect(page.get_by_text("answered with status 500")).to_be_visible()
    expect(page.get_by_text("CT chest report")).to_be_visible()


@pytest.mark.parametrize("width", [400, 1360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_sideways(chart_browser: Browser, chart: ChartActor, width: int, scheme: str) -> None:
    chart.cds.response = {"cards": [*three_cards(chart), a_card(uuid="y", summary="x" * 140)]}
    with chart_browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = context.new_page()
        for name, path in (("patients", "/"), ("chart", "/patients/demo-a")):
            page.goto(f"{chart.ehr}{path}")
            if name == "chart":
                expect(page.locator(".card h3")).to_have_count(3)
                if SHOTS:
                    page.screenshot(path=Path(SHOTS) / f"top-{width}-{scheme}.png")
                page.get_by_text("Developer: what went over the wire").click()
                page.locator(".exchange summary").first.click()

            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if SHOTS:
                page.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)
