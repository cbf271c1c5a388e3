"""A segmentation is drawn over its slice when the reader opens it in the viewer, with eval forbidden (DESIGN §5, group 32)."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from ehr_sandbox.demo_study import nodule_mark
from ehr_sandbox.patients import alma
from tests.browser.demo_stack import Demo, clinician, opened_app
from tests.browser.ohif_pixels import viewer_frame, wait_for_picture
from tests.browser.test_whole_way import MATRIX

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize("way", ["panel", "series list"])
def test_the_segmentation_of_the_demo_is_drawn_over_the_nodule(demo: Demo, browser: Browser, way: str) -> None:
    mark = nodule_mark(alma.CURRENT)
    place = (mark.column / MATRIX, mark.row / MATRIX)
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        # By its address: a click may bring the viewer that the list has prepared, which stands in a frame of the list.
        page.goto(page.url.replace("/studies", f"/viewer/{mark.study_instance_uid}"))
        frame = viewer_frame(page)
        wait_for_picture(frame, until=lambda one: not one.is_empty)
        measured = page.locator("#key-objects a[data-jump]").first
        measured.click()
        bare = wait_for_picture(frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and not one.is_empty)
        if way == "panel":
            page.locator("#key-objects > ul > li", has_text="segmentation").locator("a[data-jump]").first.click()
        else:
            frame.locator("[data-cy='study-browser-thumbnail-no-image']", has_text="SEG").dblclick()
            wait_for_picture(frame, until=lambda one: one.warmth_at(*place) > 40)
            measured.click()
        drawn = wait_for_picture(
            frame, until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and one.warmth_at(*place) > 40
        )

    assert abs(bare.warmth_at(*place)) < 5, "the picture itself is grey"
    assert abs(drawn.warmth_at(place[0], place[1] + 0.1)) < 5, "only the nodule is marked"
    assert not any("EvalError" in line for line in wire.console)
