"""The whole way in Chromium across two sites: chart, card, launch, study list, pixels; the token kept safe all along.

The EHR is on 127.0.0.1, the app on localhost: for a browser these are different sites, so the chart's frame meets real
third-party-cookie rules.
"""

from __future__ import annotations

import json
import math

import pytest
from flask import Flask, make_response, request
from playwright.sync_api import Browser, Page, expect

from ehr_sandbox.demo_study import NoduleMark, nodule_mark
from ehr_sandbox.patients import alma, bruno, clara
from tests.browser.demo_stack import Demo, clinician, open_chart, opened_app
from tests.browser.ohif_pixels import ViewportPicture, viewer_frame, wait_for_picture
from tests.conftest import free_port_number, serving

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MATRIX = 512
PATIENTS = {"demo-a": ("Alma", alma.CURRENT), "demo-b": ("Bruno", bruno.CURRENT), "demo-c": ("Clara", clara.CURRENT)}


def shows_a_chest(picture: ViewportPicture) -> bool:
    """Air beside the body is dark, and most of the middle row is bright body or dark lung, not one grey."""
    middle = [picture.at(x / 20, 0.5) for x in range(4, 17)]
    return max(middle) > 180 and min(middle) < 110 and picture.at(0.02, 0.02) < 80


def assert_nodule_at_its_place(picture: ViewportPicture, mark: NoduleMark) -> None:
    assert picture.sop_instance_uid == mark.sop_instance_uid
    column, row = (mark.column + 0.5) / MATRIX, (mark.row + 0.5) / MATRIX
    ring = 2.2 * mark.diameter_mm / 0.7 / MATRIX
    around = [
        picture.at(column + ring * math.cos(angle), row + ring * math.sin(angle), 0.004)
        for angle in (math.tau * step / 12 for step in range(12))
    ]
    centre = picture.at(column, row, 0.003)
    darkest_half = sorted(around)[: len(around) // 2]
    assert centre > 150, "the nodule is bright"
    assert max(darkest_half) < 120, "the lung around it is dark"


def click_launch(page: Page, label: str) -> None:
    page.locator("[data-launch]", has_text=label).first.click()


def test_this_browser_blocks_third_party_cookies(browser: Browser) -> None:
    """The ground for the frame test below: a cross-site frame's ordinary SameSite=None cookie does not come back."""
    inner, outer = Flask("inner"), Flask("outer")
    ports = free_port_number(), free_port_number()

    @inner.get("/")
    def set_cookie() -> object:
        response = make_response('<a id="go" href="/again">go</a>')
        response.set_cookie("plain", "1", secure=True, samesite="None")
        response.set_cookie("partitioned", "1", secure=True, samesite="None", partitioned=True)
        return response

    inner.add_url_rule("/again", view_func=lambda: f"<p id=got>{sorted(request.cookies)}</p>")
    outer.add_url_rule("/", view_func=lambda: f'<iframe src="http://localhost:{ports[0]}/"></iframe>')
    with serving(inner, ports[0]), serving(outer, ports[1]) as outside:
        page = browser.new_page()
        page.goto(outside)
        frame = page.frame_locator("iframe")
        frame.locator("#go").click()
        got = frame.locator("#got").inner_text()
        page.close()

    assert got == "['partitioned']"


def test_from_the_card_to_the_nodule_inside_the_charts_frame(demo: Demo, browser: Browser) -> None:
    """Issue 2: chart of A, its card, its SMART link in a frame, pixels of the uncompressed study (A29, groups 28, 31)."""
    mark = nodule_mark(alma.CURRENT)
    with clinician(browser, demo) as (context, wire):
        page = context.new_page()
        open_chart(page, demo, "Alma")
        card = page.locator("article.card").first
        assert "Lung-RADS 4B" in card.inner_text()
        assert card.locator("[data-accept]").count() == 0, "no order is right for 4B"

        click_launch(page, "Open the AI result's slice")
        frame = viewer_frame(page)
        picture = wait_for_picture(
            frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and shows_a_chest(one)
        )

        assert_nodule_at_its_place(picture, mark)
        assert "/s/" in frame.url
        assert frame.url.startswith(demo.app_url)
        assert page.url.startswith(demo.ehr_url), "the chart is still there around it"
        banner = next(one for one in page.frames if "/viewer/" in one.url and "/ohif/" not in one.url)
        assert "DEMO-1001" in banner.locator("body").inner_text()
        wire.assert_the_token_was_kept_safe([page])
        trail = demo.audit("--patient", "demo-a", "--study", alma.CURRENT.study_instance_uid)
        opened = [json.loads(line) for line in trail.splitlines()]
        assert any(one["action"] == "study-opened" and one["outcome"] == "allowed" for one in opened)


@pytest.mark.parametrize("label", ["Open the key images", "Open the segmentation"])
def test_from_the_card_to_the_slice_of_key_images_and_segmentation(demo: Demo, browser: Browser, label: str) -> None:
    """Issue 4: the card's link names a series without pictures; the viewer comes up at the first slice it points at."""
    mark = nodule_mark(alma.CURRENT)
    with clinician(browser, demo) as (context, wire):
        page = context.new_page()
        open_chart(page, demo, "Alma")
        click_launch(page, label)
        frame = viewer_frame(page)
        picture = wait_for_picture(
            frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and shows_a_chest(one)
        )
        assert_nodule_at_its_place(picture, mark)
        if label == "Open the segmentation":
            wait_for_picture(frame, until=lambda one: one.warmth_at(mark.column / MATRIX, mark.row / MATRIX) > 40)

        wire.assert_the_token_was_kept_safe([page])


@pytest.mark.parametrize("patient", PATIENTS)
def test_every_patients_study_draws_in_a_new_window(demo: Demo, browser: Browser, patient: str) -> None:
    """Uncompressed, JPEG 2000 and JPEG-LS: the same assertions on pixels, with the Content-Security-Policy on (DESIGN §5)."""
    name, ct = PATIENTS[patient]
    mark = nodule_mark(ct)
    with clinician(browser, demo) as (context, wire):
        app = opened_app(context, demo, name)
        row = app.locator("li.study").first
        expect(row).to_contain_text("CT")
        row.get_by_role("link", name="Open images").click()
        viewer = viewer_frame(app)
        wait_for_picture(viewer, until=lambda one: not one.is_empty)
        session = app.url.partition("/viewer/")[0]
        app.goto(
            f"{session}/viewer/{mark.study_instance_uid}?series={mark.series_instance_uid}&instance={mark.sop_instance_uid}"
        )
        picture = wait_for_picture(
            viewer_frame(app), until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and shows_a_chest(one)
        )

        assert_nodule_at_its_place(picture, mark)
        wire.assert_the_token_was_kept_safe(context.pages)
        assert not any("Content Security Policy" in line for line in wire.console)


def test_standalone_launch_asks_for_the_patient_and_lands_on_the_images(demo: Demo, browser: Browser) -> None:
    """A6, S8: no chart; the app's own start page, the EHR's patient picker, the study list, pixels."""
    with clinician(browser, demo) as (context, wire):
        page = context.new_page()
        page.goto(f"{demo.app_url}/")
        page.get_by_role("button", name="Sandbox EHR").or_(page.get_by_role("link", name="Sandbox EHR")).first.click()
        pick_patient(page, demo, "Clara")
        page.wait_for_url("**/s/*/studies")
        assert "DEMO-1003" in page.locator("body").inner_text()
        page.get_by_role("link", name="Open images").first.click()
        picture = wait_for_picture(viewer_frame(page), until=lambda one: not one.is_empty)

        assert not picture.is_empty
        wire.assert_the_token_was_kept_safe([page])


def pick_patient(page: Page, demo: Demo, name: str) -> None:
    """Through the EHR's sign-in, picker and consent, whatever of them it shows, back to the app."""
    for _ in range(6):
        page.wait_for_load_state()
        if page.url.startswith(demo.app_url):
            return
        choice = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name)).or_(page.get_by_label(name))
        if choice.count():
            choice.first.click()
        for label in ("Sign in", "Allow", "Continue"):
            button = page.get_by_role("button", name=label)
            if button.count() and button.first.is_visible():
                button.first.click()
                break


def test_two_charts_in_two_tabs_never_mix(demo: Demo, browser: Browser) -> None:
    """Group 29: B's tab stays B's after A was opened beside it, and A's token opens nothing of B."""
    with clinician(browser, demo) as (context, wire):
        tabs = {name: opened_app(context, demo, name) for name in ("Bruno", "Alma")}

        tabs["Bruno"].reload()
        assert "DEMO-1002" in tabs["Bruno"].locator("body").inner_text()
        assert "DEMO-1001" not in tabs["Bruno"].content()
        refused = tabs["Alma"].goto(f"{tabs['Alma'].url.rpartition('/')[0]}/viewer/{bruno.CURRENT.study_instance_uid}")
        assert refused is not None
        assert refused.status == 403
        tabs["Bruno"].get_by_role("link", name="Open images").first.click()
        wait_for_picture(viewer_frame(tabs["Bruno"]))
        own = {
            "Bruno": {bruno.CURRENT.study_instance_uid},
            "Alma": {alma.CURRENT.study_instance_uid, alma.PRIOR.study_instance_uid},
        }
        for name, tab in tabs.items():
            # The list's small pictures and the viewer alike.
            sent = [one.url for one in wire.dicomweb() if "/studies/" in one.url and one.frame.page == tab]
            assert {url.split("/studies/")[1].split("/")[0].split("?")[0] for url in sent} <= own[name], name
        assert any(bruno.CURRENT.study_instance_uid in one.url for one in wire.dicomweb())
