"""A launch address opened again in Chromium: what the browser says of its way there decides (SMART App Launch 2.2 A5, A21)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import pytest
from flask import Flask, request
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.app_pages import ServedApp, Visit, a_visit, opened_twice, served_app
from tests.conftest import free_port_number, serving

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STUDIES = "**/s/*/studies*"
QUESTION = "**/launch/go?*navigation=navigate"
BRUNO = {"resourceType": "Patient", "id": "demo-b", "name": [{"family": "Synthetic", "given": ["Bruno"]}]}


def silent(route: Route) -> None:
    """A script that does nothing."""
    route.fulfill(body="", content_type="text/javascript")


def for_bruno(served: ServedApp) -> None:
    """From now on the chart is another patient's."""
    served.ehr.token_changes = {"patient": "demo-b"}
    served.ehr.fhir["Patient"].append(BRUNO)
    served.ehr.fhir["ImagingStudy"].clear()


def session_in(page: Page) -> str:
    return page.url.split("/s/")[1].split("/")[0]


def test_a5_a_second_start_asks_and_each_way_leads_where_it_says(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page = visit.page
        opened_twice(served, visit)
        for_bruno(served)

        expect(page.get_by_role("heading", name="Still this patient?")).to_be_visible()
        assert page.evaluate("document.activeElement === document.body"), "Enter does nothing here"
        reached = []
        for _ in range(3):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert reached == ["Skip to the content", "Start a new sign-in", "Continue with SYNTHETIC, Alma"]

        page.keyboard.press("Enter")
        page.wait_for_url(STUDIES)
        assert page.locator("#patient .name").inner_text() == "SYNTHETIC, Alma"
        first = session_in(page)
        page.go_back()
        page.wait_for_url(QUESTION)
        page.get_by_role("link", name="Start a new sign-in").click()
        page.wait_for_url(STUDIES)

        assert page.locator("#patient .name").inner_text() == "SYNTHETIC, Bruno"
        assert session_in(page) != first
        assert visit.troubles == []


def test_a5_reloading_the_question_asks_it_again(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        opened_twice(served, visit)
        visit.page.reload()

        expect(visit.page.get_by_role("link", name="Continue with SYNTHETIC, Alma")).to_be_visible()


def test_a5_a_reload_while_the_question_is_on_its_way_is_no_return(tmp_path: Path, chart_browser: Browser) -> None:
    """Somebody who grows impatient at a new start must not be led to the earlier patient for it."""
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page, address = visit.page, served.launch_url
        page.goto(address)
        page.wait_for_url(STUDIES)
        on_its_way: list[Route] = []
        page.route(QUESTION, lambda route: on_its_way.append(route), times=1)
        page.goto(address, wait_until="commit")
        for _ in range(100):
            if on_its_way:
                break
            page.wait_for_timeout(100)
        assert len(on_its_way) == 1
        # As the button of the browser does it: Playwright's own reload waits for the page that is on its way.
        visit.context.new_cdp_session(page).send("Page.reload")

        expect(page.get_by_role("heading", name="Still this patient?")).to_be_visible()


def test_a21_the_back_button_across_a_posted_sign_in_leads_back_without_a_click(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page = visit.page
        served.ehr.smart_configuration = {"capabilities": ["launch-ehr", "authorize-post"]}
        page.route("**/authorize.js", silent)
        page.goto(f"{served.launch_url}{'x' * 1900}")
        page.get_by_role("button", name="Continue to Test EHR").click()
        page.wait_for_url(STUDIES)
        session = session_in(page)
        page.go_back(wait_until="commit")
        page.wait_for_url(STUDIES)

        assert session_in(page) == session
        assert len(served.ehr.authorizations) == 1


def test_a21_a_reload_leads_back_without_a_click(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        page, address = visit.page, served.launch_url
        page.goto(address)
        page.wait_for_url(STUDIES)
        session = session_in(page)
        page.route("**/launch-again.js", silent)
        page.goto(address)
        page.wait_for_selector("#onward")
        page.unroute("**/launch-again.js")
        page.reload(wait_until="commit")
        page.wait_for_url(STUDIES)

        assert session_in(page) == session


def test_a5_without_javascript_the_link_leads_to_the_question(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser, java_script_enabled=False) as visit:
        page, address = visit.page, served.launch_url
        page.goto(address)
        page.goto(address)
        page.get_by_role("link", name="Continue").click()

        expect(page.get_by_role("link", name="Continue with SYNTHETIC, Alma")).to_be_visible()


@contextmanager
def chart_around(served: ServedApp, port: int) -> Iterator[str]:
    """An EHR whose every chart frames the app by one and the same address."""
    chart, address = Flask("chart"), served.launch_url
    framed = f'<title>chart</title><iframe title="app" width="900" height="600" src="{escape(address)}"></iframe>'
    chart.add_url_rule("/", view_func=lambda: f"{request.args.get('patient')} {framed}")
    with serving(chart, port) as outside:
        yield outside


def opens_chart(visit: Visit, address: str) -> None:
    visit.page.goto(address)
    visit.page.wait_for_load_state("load")


def test_a5_in_the_frame_of_the_next_patients_chart_it_asks(tmp_path: Path, chart_browser: Browser) -> None:
    port = free_port_number()
    with (
        served_app(tmp_path, frame_ancestors=(f"http://127.0.0.1:{port}",)) as served,
        chart_around(served, port) as outside,
        a_visit(chart_browser) as visit,
    ):
        opens_chart(visit, f"{outside}/?patient=alma")
        frame = visit.page.frame_locator("iframe")
        expect(frame.locator("#patient .name")).to_have_text("SYNTHETIC, Alma")
        for_bruno(served)
        opens_chart(visit, f"{outside}/?patient=bruno")
        expect(frame.get_by_role("link", name="Continue with SYNTHETIC, Alma")).to_be_visible()
        expect(frame.locator("#patient")).to_have_count(0)
        frame.get_by_role("link", name="Start a new sign-in").click()
        expect(frame.locator("#patient .name")).to_have_text("SYNTHETIC, Bruno")
        visit.page.reload()

        expect(frame.get_by_role("link", name="Continue with SYNTHETIC, Bruno")).to_be_visible()
