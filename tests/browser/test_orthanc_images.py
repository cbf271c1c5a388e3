"""Chromium shows the images of an archive that we did not write: Debian's Orthanc, through the gateway (issue 7).

Needs ``apt-get install orthanc orthanc-dicomweb``. The archive has a user and a password of its own, which stay behind the
gateway; what its frames look like to programs: interop/test_orthanc_demo.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser

from ehr_sandbox.demo_study import nodule_mark
from ehr_sandbox.patients import alma, bruno
from tests.browser.demo_stack import Demo, clinician, open_chart, opened_app, running_demo
from tests.browser.ohif_pixels import viewer_frame, wait_for_picture
from tests.browser.test_whole_way import assert_nodule_at_its_place, click_launch, shows_a_chest
from tests.interop.orthanc_demos import DemosOnOrthanc
from tests.interop.orthanc_process import Orthanc
from tests.interop.outsiders import curl

pytest_plugins = ["tests.browser.demo_fixtures", "tests.interop.orthanc_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(400), pytest.mark.xdist_group("outsiders")]


@pytest.fixture(scope="module")
def demo(demos: DemosOnOrthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demos.run(running_demo, tmp_path_factory.mktemp("demo") / "state", "--seed") as running:
        with pytest.raises(requests.ConnectionError):
            curl("GET", f"{running.pacs_url}/studies")
        yield running


def test_from_the_card_to_the_nodule_in_orthancs_study(demo: Demo, orthanc: Orthanc, browser: Browser) -> None:
    mark = nodule_mark(alma.CURRENT)
    with clinician(browser, demo) as (context, wire):
        page = context.new_page()
        open_chart(page, demo, "Alma")
        click_launch(page, "Open the AI result's slice")
        picture = wait_for_picture(
            viewer_frame(page), until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and shows_a_chest(one)
        )

        assert_nodule_at_its_place(picture, mark)
        wire.assert_the_token_was_kept_safe([page])
        assert not any(one.url.startswith(orthanc.url) for one in wire.requests)
        assert orthanc.password.encode() not in demo.everything_written()


def test_orthancs_compressed_frames_are_drawn(demo: Demo, browser: Browser) -> None:
    """JPEG 2000: the browser decodes what Orthanc was asked not to."""
    mark = nodule_mark(bruno.CURRENT)
    with clinician(browser, demo) as (context, _):
        app = opened_app(context, demo, "Bruno")
        session = app.url.partition("/studies")[0]
        address = f"{session}/viewer/{mark.study_instance_uid}"
        app.goto(f"{address}?series={mark.series_instance_uid}&instance={mark.sop_instance_uid}")
        picture = wait_for_picture(
            viewer_frame(app), until=lambda one: one.sop_instance_uid == mark.sop_instance_uid and shows_a_chest(one)
        )

        assert_nodule_at_its_place(picture, mark)
