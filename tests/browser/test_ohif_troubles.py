"""Images that do not come: the viewer says so in words, because a black viewport alone could be taken for a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, Route

from smart_app import ohif
from tests.browser.ohif_actors import Launch, SmallArchive, running_viewer, viewer_config
from tests.browser.ohif_pixels import wait_for_picture
from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

TROUBLE = "#imaging-cds-trouble"


@contextmanager
def opened(ohif_dir: Path, browser: Browser, archive: SmallArchive, resource: str, status: int | None) -> Iterator[Page]:
    """The viewer on a study of which one kind of resource fails: with a status, or (None) without any answer."""

    def fail(route: Route) -> None:
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, content_type="application/problem+json", body="{}")

    with running_viewer(ohif_dir, Launch(), archive.pacs) as base:
        page = browser.new_page()
        page.route(resource, fail)
        page.goto(base + ohif.viewer_path(viewer_config(base), archive.chests["uncompressed"].study))
        yield page
        page.close()


@pytest.mark.parametrize(
    ("resource", "status", "words"),
    [
        ("**/frames/**", 502, "does not answer as it should"),
        ("**/frames/**", None, "does not answer as it should"),
        ("**/frames/**", 403, "does not permit"),
        ("**/frames/**", 404, "cannot give them"),
        ("**/metadata", 504, "does not answer as it should"),
    ],
)
def test_a_black_viewport_is_explained(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive, resource: str, status: int | None, words: str
) -> None:
    """smart-launch.md section 8: image server refused or away is a state with words, never a silent black frame."""
    with opened(ohif_dir, ohif_browser, small_archive, resource, status) as page:
        page.locator(TROUBLE).wait_for(timeout=30_000)
        notice = page.locator(TROUBLE).inner_text()
        ended = page.locator("#imaging-cds-notice").count()

    assert words in notice
    assert "A black picture here shows nothing." in notice
    assert ended == 0, "the session goes on"


def test_loading_again_brings_the_images_once_the_archive_is_back(
    ohif_dir: Path, ohif_browser: Browser, small_archive: SmallArchive
) -> None:
    with opened(ohif_dir, ohif_browser, small_archive, "**/frames/**", 503) as page:
        page.locator(TROUBLE).wait_for(timeout=30_000)
        page.unroute("**/frames/**")
        page.locator(TROUBLE).get_by_role("button", name="Load again").click()
        picture = wait_for_picture(page)
        notices = page.locator(TROUBLE).count()

    assert picture.at(0.5, 0.7) > 150
    assert notices == 0


WATCH = """
async (events) => {
  const { ImageTroubles } = await import("/static/viewer/troubles.js");
  const told = [];
  const timers = [];
  const [realSet, realClear] = [window.setTimeout, window.clearTimeout];
  window.setTimeout = (work) => timers.push(work) - 1;
  window.clearTimeout = (timer) => { timers[timer] = () => {}; };
  try {
    const troubles = new ImageTroubles((trouble) => told.push(trouble));
    const settles = {};
    for (const [what, key, value] of events) {
      if (what === "begin") settles[key] = troubles.watch(value);
      if (what === "late") timers[key]();
      if (what === "end") settles[key](value);
      if (what === "hold") troubles.hold(value);
    }
    return told;
  } finally {
    [window.setTimeout, window.clearTimeout] = [realSet, realClear];
  }
}
"""
FRAME = "/studies/1/series/2/instances/3/frames/1"


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([("begin", 0, FRAME), ("late", 0, None), ("end", 0, 200)], ["slow", None]),
        ([("begin", 0, FRAME), ("end", 0, 200), ("late", 0, None)], []),
        ([("begin", 0, FRAME), ("end", 0, 502), ("begin", 1, FRAME), ("end", 1, 200)], ["unavailable"]),
        ([("begin", 0, FRAME), ("begin", 1, FRAME), ("end", 0, 0), ("end", 1, 0)], ["unavailable"]),
        ([("begin", 0, FRAME), ("end", 0, None)], []),
        ([("begin", 0, FRAME), ("end", 0, 401)], []),
        ([("begin", 0, "/studies/1/thumbnail"), ("end", 0, 404)], []),
        ([("begin", 0, "/studies?PatientID=1"), ("end", 0, 503)], ["unavailable"]),
        ([("begin", 0, "/studies/1/series/2/metadata?accept=x"), ("end", 0, 403)], ["refused"]),
        ([("begin", 0, FRAME), ("hold", 0, True), ("late", 0, None), ("hold", 0, False), ("end", 0, 200)], []),
        ([("begin", 0, FRAME), ("hold", 0, True), ("hold", 0, False), ("late", 1, None)], ["slow"]),
        ([("begin", 0, FRAME), ("late", 0, None), ("hold", 0, True), ("hold", 0, False)], ["slow", None]),
        ([("begin", 0, FRAME), ("end", 0, 502), ("hold", 0, True), ("hold", 0, False)], ["unavailable"]),
    ],
)
def test_what_is_said_of_each_answer(ohif_browser: Browser, events: list[tuple[str, int, Any]], told: list[str | None]) -> None:
    """Late answers, failures that last, questions of the viewer that need no answer, and a countdown that says why."""
    app = Flask("scripts", static_folder=str(CHECKOUT / "static"))
    app.add_url_rule("/", "page", lambda: "<!doctype html><title>Scripts</title>")
    with serving(app, free_port_number()) as base:
        page = ohif_browser.new_page()
        page.goto(base)
        seen = page.evaluate(WATCH, events)
        page.close()

    assert seen == told
