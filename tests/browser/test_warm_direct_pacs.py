"""The viewer made ready behind the list where the images are on the PACS's own origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ehr_sandbox.patients import alma
from tests.browser.demo_stack import clinician, opened_app
from tests.browser.ohif_pixels import viewer_frame, wait_for_picture
from tests.browser.test_direct_pacs import running_direct
from tests.browser.test_warm_viewer import click_study, viewer_starts, wait_until_ready
from tests.interop.outsiders import demo_images

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT = alma.CURRENT.study_instance_uid


def test_the_prepared_viewer_asks_the_pacs_itself_and_for_no_pixel_before_the_click(
    pytestconfig: pytest.Config, tmp_path: Path, viewer_dir: Path, browser: Browser
) -> None:
    """Issue 4, C3, P8: real preflights with a token from a frame that nobody has opened yet; described, not disclosed."""
    with (
        running_direct(tmp_path / "state", demo_images(pytestconfig), viewer_dir) as direct,
        clinician(browser, direct.demo) as (context, wire),
    ):
        page = opened_app(context, direct.demo)
        wait_until_ready(page)
        ahead = [one for one in direct.asked if one.method == "GET" and one.origin == direct.demo.app_url]
        assert not [one.path for one in ahead if "/frames/" in one.path]
        assert any(one.path.endswith("/metadata") for one in ahead)
        assert any(one.method == "OPTIONS" for one in direct.asked)

        click_study(page, CURRENT)
        picture = wait_for_picture(viewer_frame(page))

        assert not picture.is_empty
        assert viewer_starts(wire.requests) == 1
        pixels = [one for one in direct.asked if "/frames/" in one.path and one.method == "GET"]
        assert {one.authorization for one in pixels} <= {f"Bearer {token}" for token in wire.tokens}
        assert not any("Content Security Policy" in line or "CORS policy" in line for line in wire.console)
