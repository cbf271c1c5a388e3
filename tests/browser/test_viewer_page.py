"""The viewer page in Chromium: the report beside the images, priors and key images by a click, keys, print, and the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from ehr_sandbox.demo_marks import KEY_IMAGE_SLICES, KEY_IMAGE_TEXT
from ehr_sandbox.demo_sr import ALGORITHM_NAME
from ehr_sandbox.demo_study import nodule_mark
from ehr_sandbox.patients import alma
from tests.browser.demo_stack import Demo, Wire, clinician, opened_app
from tests.browser.ohif_pixels import ViewportPicture, studies_from_left_to_right, viewer_frame, wait_for_picture

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CURRENT, PRIOR = alma.CURRENT.study_instance_uid, alma.PRIOR.study_instance_uid


@contextmanager
def at_almas_images(demo: Demo, browser: Browser) -> Iterator[tuple[BrowserContext, Wire, Page, Frame]]:
    """A clinician who opened Alma's current CT in a window of its own, with the first picture drawn."""
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        page.goto(page.url.replace("/studies", f"/viewer/{CURRENT}"))
        frame = viewer_frame(page)
        wait_for_picture(frame)
        frame.evaluate("window.isTheFirstDocument = true")
        page.locator("#panel-content[aria-busy=false]").wait_for(state="attached")
        yield context, wire, page, frame


def test_the_report_stands_beside_the_images_and_leads_to_slice_and_prior(demo: Demo, browser: Browser) -> None:
    """One viewer all along: the AI's slice, the prior beside the current study, and the way back, without a reload."""
    mark = nodule_mark(alma.CURRENT)
    with at_almas_images(demo, browser) as (_, wire, page, frame):
        panel = page.locator("#panel")
        expect(panel).to_contain_text("Lung-RADS 4B", use_inner_text=True)
        expect(panel).to_contain_text("Final report", use_inner_text=True)
        measurement = panel.locator("#key-objects a[data-jump]").first
        measurement.wait_for()
        expect(panel.locator("#key-objects")).to_contain_text("AI, unsigned", use_inner_text=True)
        expect(panel.locator("#key-objects")).to_contain_text("9 mm", use_inner_text=True)
        measurement.click()
        wait_for_picture(frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and not one.is_empty)
        panel.get_by_role("link", name="Show beside this study").first.click()
        beside = studies_from_left_to_right(frame, [CURRENT, PRIOR])
        page.wait_for_url(f"**/viewer/{CURRENT}?with={PRIOR}")
        expect(page.locator(".study-line")).to_contain_text("beside", use_inner_text=True)
        page.go_back()
        alone = studies_from_left_to_right(frame, [CURRENT])
        expect(page.locator(".study-line .beside")).to_have_count(0)
        is_same = frame.evaluate("window.isTheFirstDocument === true")
        wire.assert_the_token_was_kept_safe([page])

    assert beside == [CURRENT, PRIOR]
    assert alone == [CURRENT]
    assert is_same


def is_drawn(instance: str) -> Callable[[ViewportPicture], bool]:
    return lambda picture: picture.sop_instance_uid == instance and not picture.is_empty


def test_key_images_and_segments_of_the_panel_lead_to_their_slices(demo: Demo, browser: Browser) -> None:
    """The demo's own key object selection and segmentation, clicked in the panel of the running viewer."""
    with at_almas_images(demo, browser) as (_, _, page, frame):
        objects = page.locator("#key-objects > ul > li")
        reached: dict[str, list[str]] = {}
        for title in (KEY_IMAGE_TEXT, ALGORITHM_NAME):
            links = objects.filter(has_text=title).locator("a[data-jump]")
            links.first.wait_for()
            for link in links.all():
                wanted = link.get_attribute("data-instance") or ""
                frame.evaluate("window.commandsManager.runCommand('firstImage')")
                wait_for_picture(frame, until=lambda one: one.slice_index == 0)
                link.click()
                wait_for_picture(frame, until=is_drawn(wanted))
                reached.setdefault(title, []).append(wanted)
        is_same = frame.evaluate("window.isTheFirstDocument === true")

    assert len(set(reached[KEY_IMAGE_TEXT])) == len(KEY_IMAGE_SLICES)
    assert reached[ALGORITHM_NAME]
    assert is_same


def changed_look(frame: Frame, look: str, before: dict[str, Any]) -> dict[str, Any]:
    """What the picture looks like as soon as a key has changed it, and has settled."""
    deadline = time.monotonic() + 10
    last, now = before, frame.evaluate(look)
    while (now == before or now != last) and time.monotonic() < deadline:
        frame.page.wait_for_timeout(100)
        last, now = now, frame.evaluate(look)
    changed: dict[str, Any] = now
    return changed


def test_keys_of_the_help_work_in_the_images(demo: Demo, browser: Browser) -> None:
    """Invert, mirror, a CT window and Space, which takes brightness and position back; the keys of images follow each other."""
    look = """() => { const { viewport } = window.cornerstone.getEnabledElements()[0];
        const { invert, voiRange } = viewport.getProperties();
        return { invert, mirrored: viewport.getCamera().flipHorizontal, window: [voiRange.lower, voiRange.upper],
                 slice: viewport.getCurrentImageIdIndex() }; }"""

    with at_almas_images(demo, browser) as (_, _, page, frame):
        frame.locator(".cornerstone-viewport-element, .cornerstone-viewport").first.hover()
        page.locator("#viewer").focus()
        seen = [frame.evaluate(look)]
        for key in ("i", "h", "1", "2", "1", "Space", "End", "Home", "ArrowDown"):
            page.keyboard.press(key)
            seen.append(changed_look(frame, look, seen[-1]))
    first, inverted, mirrored, soft, lung, again, reset, last, home, second = seen

    assert (first["invert"], inverted["invert"]) == (False, True)
    assert (first["mirrored"], mirrored["mirrored"]) == (False, True)
    assert lung["window"] == pytest.approx([-1350, 150], abs=2)
    assert soft["window"] == again["window"] == pytest.approx([-160, 240], abs=2)
    assert (reset["invert"], reset["mirrored"], reset["window"]) == (False, False, first["window"])
    assert last["slice"] > first["slice"]
    assert (home["slice"], second["slice"]) == (0, 1)


def test_the_archives_person_is_the_patient_and_a_tick_says_so(demo: Demo, browser: Browser) -> None:
    """Group 29: MRN, PatientID and issuer are equal within the configured system; identity in banner, title and frame."""
    with at_almas_images(demo, browser) as (_, _, page, _):
        banner = page.locator("header.banner").inner_text()
        title = page.title()
        frame_title = page.locator("#viewer").get_attribute("title") or ""

    assert "✓" in banner
    assert "not verified" not in banner
    assert "DEMO-1001" in banner
    assert "Alma" in title
    assert "Alma" in frame_title


def test_keys_lead_from_part_to_part_and_escape_closes_the_report(demo: Demo, browser: Browser) -> None:
    """WCAG 2.2 2.1.1, 2.1.2, 2.4.1: no trap in the images, skip links, F6 in both directions."""
    focus = "document.activeElement.id"
    with at_almas_images(demo, browser) as (_, _, page, _):
        page.locator("header.banner").focus()
        parts = []
        for part in ("viewer", "panel", "patient"):
            page.keyboard.press("F6")
            expect(page.locator(f"#{part}")).to_be_focused()
            parts.append(page.evaluate(focus))
        page.keyboard.press("Shift+F6")
        expect(page.locator("#panel")).to_be_focused()
        back = page.evaluate(focus)
        page.keyboard.press("Escape")
        closed = page.locator("#panel").is_hidden()
        after = page.evaluate(focus)
        page.keyboard.press("Enter")
        reopened = page.locator("#panel").is_visible()
        page.locator("a.skip[data-go=images]").focus()
        page.keyboard.press("Enter")
        skipped = page.evaluate(focus)

    assert parts == ["viewer", "panel", "patient"]
    assert back == "panel"
    assert closed
    assert after == "panel-button"
    assert reopened
    assert skipped == "viewer"


def test_a_narrow_page_begins_with_the_images_and_opens_the_report_below(demo: Demo, browser: Browser) -> None:
    with at_almas_images(demo, browser) as (_, _, page, _):
        page.set_viewport_size({"width": 800, "height": 700})
        page.reload()
        wait_for_picture(viewer_frame(page))
        at_first = page.locator("#panel").is_hidden()
        page.locator("#panel-button").click()
        images, report = page.locator("#stage").bounding_box(), page.locator("#panel").bounding_box()
        sideways = page.evaluate("document.documentElement.scrollWidth > innerWidth")

    assert at_first
    assert images is not None
    assert report is not None
    assert report["y"] >= images["y"] + images["height"] - 1
    assert images["height"] > 150
    assert not sideways


def test_the_end_of_the_session_hides_both_studies_and_the_report(demo: Demo, browser: Browser) -> None:
    """Group 33: also in compare mode; the page stays and says how to go on."""
    with at_almas_images(demo, browser) as (context, _, page, frame):
        page.locator("#panel").get_by_role("link", name="Show beside this study").first.click()
        studies_from_left_to_right(frame, [CURRENT, PRIOR])
        context.clear_cookies()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.locator("#mask").wait_for(state="visible")
        address = page.locator("#viewer").get_attribute("src")
        words = page.locator("#mask").inner_text()
        panel_hidden = page.locator("#panel").is_hidden()
        focus = page.evaluate("document.activeElement.id")
        page.wait_for_timeout(300)
        frames = [one.url for one in page.frames if "/ohif/" in one.url]

    assert address == "about:blank"
    assert frames == []
    assert "open Imaging from there again" in words
    assert panel_hidden
    assert focus == "mask"


def test_print_gives_identity_and_report_and_no_black_boxes(demo: Demo, browser: Browser) -> None:
    with at_almas_images(demo, browser) as (_, _, page, _):
        page.locator("#panel-close").click()
        page.emulate_media(media="print")
        visible = {name: page.locator(name).is_visible() for name in ("#stage", "#panel", ".print-only", "#panel-close")}
        name = page.locator("header.banner .name").is_visible()
        report = page.locator("#panel .conclusion").first.is_visible()

    assert visible == {"#stage": False, "#panel": True, ".print-only": True, "#panel-close": False}
    assert name
    assert report


def test_without_javascript_the_page_says_so_and_leads_to_the_report(demo: Demo, browser: Browser) -> None:
    with at_almas_images(demo, browser) as (context, _, page, _):
        plain = browser.new_context(java_script_enabled=False, storage_state=context.storage_state())
        bare = plain.new_page()
        bare.goto(page.url)
        words = bare.locator("main").inner_text()
        bare.get_by_role("link", name="list of studies").click()
        bare.locator("li.study", has_text="Lung-RADS 4B").first.wait_for(state="visible")
        plain.close()

    assert "The images need JavaScript" in words
