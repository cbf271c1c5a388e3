"""The list as our own server writes and streams it, in Chromium: from the launch to the last row, back from a study, and no
request that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Response, request
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.list_actors import a_browser, a_picture
from tests.conftest import free_port_number, serving
from tests.contract import smart_actors
from tests.contract.smart_actors import World, a_world, demo_record, imaging_study, report_on, wado_endpoint
from tests.contract.test_smart_findings import lung_rads
from tests.contract.test_smart_list_stream import PagingEhr

pytestmark = pytest.mark.browser

OLDER = 9


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


@dataclass(slots=True, kw_only=True)
class ListedWorld:
    """An app on a real port, an EHR that answers in pages of two, and what the browser asked for."""

    world: World
    page: Page
    app_url: str
    pictures: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def launches(self) -> None:
        query = urlencode({"iss": self.world.ehr.fhir_base, "launch": "launch-1"})
        self.page.goto(f"{self.app_url}/launch?{query}")
        self.page.wait_for_url("**/studies")


@pytest.fixture
def listed(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ListedWorld]:
    port = free_port_number()
    app_url = f"http://localhost:{port}"
    # The redirect URI that the EHR has registered.
    monkeypatch.setattr(smart_actors, "APP", app_url)
    older = [
        imaging_study(f"2.25.30{n}", study_id=f"s{n}", started=f"20{24 - n:02d}-05-01", description=f"CT {n}")
        for n in range(OLDER)
    ]
    record = {
        **demo_record(),
        "ImagingStudy": [imaging_study(), *older],
        "DiagnosticReport": [report_on()],
        "Observation": [lung_rads("3")],
        "Endpoint": [wado_endpoint(f"{app_url}/imaging/sandbox/dicom-web/demo")],
    }
    with ExitStack() as stack:
        world = stack.enter_context(a_world(tmp_path, ehr=PagingEhr(fhir=record), app={"public_base_url": app_url}))
        pictures: list[str] = []

        @world.app.flask.get("/imaging/<path:path>")
        def picture(path: str) -> Response:
            pictures.append(f"{path} {request.headers['Authorization'].partition(' ')[0]}")
            return Response(a_picture(), mimetype="image/jpeg")

        stack.enter_context(serving(world.app.flask, port, host="localhost"))
        context = browser.new_context(viewport={"width": 1225, "height": 692})
        stack.callback(context.close)
        page = context.new_page()
        made = ListedWorld(world=world, page=page, app_url=app_url, pictures=pictures)
        context.on("request", lambda sent: made.requests.append(sent))
        yield made


def test_a_long_list_comes_in_to_the_last_row_with_findings_and_pictures(listed: ListedWorld) -> None:
    listed.launches()
    page = listed.page
    expect(page.locator("li.study")).to_have_count(1 + OLDER)
    expect(page.locator("#progress")).to_be_hidden()

    expect(page.locator("#count")).to_have_text(f"{1 + OLDER} studies, newest first")
    expect(page.locator("li.study").first.locator(".finding")).to_contain_text("Lung-RADS 3")
    expect(page.get_by_text("still being looked at")).to_have_count(0)
    expect(page.locator("li.study").first.locator(".thumbnail img")).to_be_attached()
    started = page.eval_on_selector_all("li.study", "rows => rows.map((row) => row.dataset.started.slice(0, 4))")
    assert started == ["2026", *(str(2024 - n) for n in range(OLDER))]
    assert page.locator("section.year > h2").all_inner_texts() == started
    assert all(one.endswith("Bearer") for one in listed.pictures)


def test_nothing_but_our_own_origin_and_the_ehr_is_asked(listed: ListedWorld) -> None:
    listed.launches()
    expect(listed.page.locator("#progress")).to_be_hidden()
    expect(listed.page.locator(".thumbnail img").first).to_be_attached()

    own = (listed.app_url, listed.world.ehr.base_url, "blob:", "data:")
    assert [one.url for one in listed.requests if not one.url.startswith(own)] == []
    assert [one.method for one in listed.requests if one.url.endswith("/token")] == ["POST"]


def test_the_list_named_after_a_study_marks_it_and_its_priors(listed: ListedWorld) -> None:
    listed.launches()
    listed.page.goto(f"{listed.page.url}?opened=2.25.300")
    expect(listed.page.locator("#progress")).to_be_hidden()

    expect(listed.page.locator("li.study.opened")).to_have_count(1)
    expect(listed.page.locator("li.study.opened .tag")).to_have_text("Opened last")
    expect(listed.page.locator("button.mark.opened")).to_have_count(1)


def test_without_scripts_a_link_leads_to_the_whole_list(listed: ListedWorld, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        query = urlencode({"iss": listed.world.ehr.fhir_base, "launch": "launch-1"})
        page.goto(f"{listed.app_url}/launch?{query}")
        page.get_by_role("link", name="Show the whole list at once").click()

        expect(page.locator("li.study")).to_have_count(1 + OLDER)
