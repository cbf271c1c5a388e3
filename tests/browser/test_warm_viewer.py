"""The viewer made ready behind the study list: nothing is opened before the click, everything is there after it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, Request, expect

from ehr_sandbox.demo_study import DemoCalendar, DemoExamination, nodule_mark
from ehr_sandbox.patients import alma
from tests.browser.demo_stack import Demo, clinician, opened_app
from tests.browser.ohif_pixels import PICTURED, viewer_frame, wait_for_picture
from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT, PRIOR = alma.CURRENT.study_instance_uid, alma.PRIOR.study_instance_uid
PREVIEW = "/rendered?viewport=192,192"
"""What the list's own thumbnails ask for."""


def wait_until_ready(page: Page) -> None:
    page.locator("html[data-viewer=ready]").wait_for(state="attached", timeout=60_000)


def click_study(page: Page, uid: str) -> None:
    page.locator(f"li.study[data-uid='{uid}']").get_by_role("link", name="Open images").click()


def viewer_starts(sent: list[Request]) -> int:
    return sum("/ohif/viewer" in one.url and one.resource_type == "document" for one in sent)


def day_of(examination: DemoExamination) -> str:
    """The day as the pages write it, counted back from the day of the demo's images."""
    day = DemoCalendar(demo_day=datetime.now(UTC).date()).at(examination.days_ago, examination.clock)
    return f"{day.day} {day:%b %Y}"


def actions(demo: Demo, uid: str) -> set[str]:
    return {json.loads(line)["action"] for line in demo.audit("--patient", "demo-a", "--study", uid).splitlines()}


def test_nothing_is_opened_before_the_click_and_the_click_starts_no_second_viewer(demo: Demo, browser: Browser) -> None:
    """Issue 4 (warm viewer), P8: the likeliest study is described ahead; its first pixel is fetched when it is opened."""
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        wait_until_ready(page)
        ahead = [one.url for one in wire.dicomweb() if not one.url.endswith((PREVIEW, "/metadata")) and "?" not in one.url]
        reports_ahead = [one.url for one in wire.requests if one.url.endswith("/panel")]
        trail_ahead = actions(demo, CURRENT)
        hidden = page.locator("iframe.prepared-viewer")
        assert not hidden.is_visible()
        assert hidden.evaluate("(frame) => frame.inert")

        click_study(page, CURRENT)
        picture = wait_for_picture(viewer_frame(page))

        assert ahead == []
        assert reports_ahead == []
        expect(page.frame_locator("iframe.prepared-viewer").locator("#panel .report").first).to_be_visible()
        assert [one.url for one in wire.requests if one.url.endswith("/panel")] == [
            f"{page.url.replace('/viewer/', '/studies/')}/panel"
        ]
        assert trail_ahead - {"study-previewed", "searched"} == {"study-described"}
        assert "study-opened" in actions(demo, CURRENT)
        assert not picture.is_empty
        assert viewer_starts(wire.requests) == 1
        assert page.url.endswith(f"/viewer/{CURRENT}")
        assert "DEMO-1001" in page.title()
        assert hidden.is_visible()
        wire.assert_the_token_was_kept_safe([page])
        assert not any("Content Security Policy" in line for line in wire.console)


def test_back_leads_to_the_list_as_it_was_and_another_study_opens_in_the_same_viewer(demo: Demo, browser: Browser) -> None:
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        page.set_viewport_size({"width": 1400, "height": 500})
        wait_until_ready(page)
        page.locator(f"li.study[data-uid='{CURRENT}']").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        title = page.title()
        click_study(page, CURRENT)
        wait_for_picture(viewer_frame(page))

        page.go_back()
        page.locator("html[data-viewer=ready]").wait_for(state="attached")
        assert page.url.endswith("/studies")
        assert (page.evaluate("scrollY"), page.title()) == (scrolled, title)
        assert page.evaluate("document.activeElement.closest('li.study')?.dataset.uid") == CURRENT
        assert not page.locator("iframe.prepared-viewer").is_visible()

        click_study(page, PRIOR)
        series = alma.PRIOR.series_instance_uid
        wait_for_picture(
            viewer_frame(page), until=lambda one: not one.is_empty and series in viewer_frame(page).evaluate(SHOWN)
        )
        inner = page.frame_locator("iframe.prepared-viewer")
        expect(inner.locator(".study-line")).to_contain_text(day_of(alma.PRIOR), use_inner_text=True)
        assert page.url.endswith(f"/viewer/{PRIOR}")
        assert PRIOR in (inner.locator("#stage").get_attribute("data-studies") or "")

        inner.get_by_role("link", name="All studies").click()
        page.locator("html[data-viewer=ready]").wait_for(state="attached")
        assert page.url.partition("?")[0].endswith("/studies")
        assert viewer_starts(wire.requests) == 1


SHOWN = f"({PICTURED})(cornerstone.getEnabledElements()[0]?.viewport) ?? ''"


def test_a_finding_opens_on_its_slice(demo: Demo, browser: Browser) -> None:
    mark = nodule_mark(alma.CURRENT)
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        wait_until_ready(page)
        page.get_by_role("link", name="Show on its slice").first.click()
        picture = wait_for_picture(
            viewer_frame(page), until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and not one.is_empty
        )

        assert picture.sop_instance_uid == mark.sop_instance_uid
        assert viewer_starts(wire.requests) == 1


def test_the_end_of_the_session_is_met_at_the_click(demo: Demo, browser: Browser) -> None:
    """The viewer was made ready while the session lived; the click finds out that it does not."""
    with clinician(browser, demo) as (context, _):
        page = opened_app(context, demo)
        wait_until_ready(page)
        other = context.new_page()
        other.goto(page.url)
        other.get_by_role("button", name="End session").click()
        other.wait_for_load_state()

        click_study(page, CURRENT)
        page.locator("iframe.prepared-viewer").wait_for(state="detached")

        assert "session" in page.locator("main").inner_text().lower()


@pytest.mark.parametrize("why", ["narrow", "data saving"])
def test_devices_that_cannot_spare_it_prepare_nothing(demo: Demo, browser: Browser, why: str) -> None:
    with clinician(browser, demo, width=390 if why == "narrow" else 1400) as (context, wire):
        if why == "data saving":
            context.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
        page = opened_app(context, demo)
        page.locator("html[data-viewer=off]").wait_for(state="attached")

        assert page.locator("iframe.prepared-viewer").count() == 0
        click_study(page, CURRENT)
        page.wait_for_url(f"**/viewer/{CURRENT}")
        assert viewer_starts(wire.requests) <= 1


ROW = "<li class=study data-uid={uid} data-open='{open}' data-started='{started}'><div class=findings>{findings}</div></li>"
PLAIN = {"uid": "2.25.1", "open": "/v/2.25.1", "started": "2026-01-01", "findings": ""}
NEWER = {"uid": "2.25.2", "open": "/v/2.25.2", "started": "2026-02-01", "findings": ""}
WITH_FINDING = {"uid": "2.25.3", "open": "/v/2.25.3", "started": "2025-01-01", "findings": "<p class=finding>4B</p>"}
ARCHIVED = {"uid": "2.25.4", "open": "", "started": "2026-03-01", "findings": "<p class=finding>4B</p>"}


@pytest.mark.parametrize(
    ("rows", "opened", "likeliest"),
    [
        ([PLAIN, NEWER], "", NEWER["open"]),
        ([NEWER, WITH_FINDING], "", WITH_FINDING["open"]),
        ([NEWER, WITH_FINDING, PLAIN], PLAIN["uid"], PLAIN["open"]),
        ([ARCHIVED, PLAIN], ARCHIVED["uid"], PLAIN["open"]),
        ([ARCHIVED], "", None),
        ([], "", None),
    ],
    ids=["newest", "finding", "opened last", "without images", "nothing to open", "empty"],
)
def test_the_likeliest_study(browser: Browser, rows: list[dict[str, str]], opened: str, likeliest: str | None) -> None:
    scripts = Flask("scripts", static_folder=str(CHECKOUT / "static"))
    page_html = f"<main data-opened='{opened}'><ul>{''.join(ROW.format(**row) for row in rows)}</ul></main>"
    scripts.add_url_rule("/", "page", lambda: page_html)
    with serving(scripts, free_port_number()) as base:
        page = browser.new_page()
        page.goto(base)
        ask = "async () => (await import('/static/warm.js')).likeliestStudy(document.querySelector('main'))"
        found = page.evaluate(ask)
        page.close()

    assert found == likeliest
