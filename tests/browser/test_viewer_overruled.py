"""A command of the page that still waits in the viewer is overruled by a later one, and is not heard of again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

# The commands at a viewer whose studies are loaded, and whose pictures move and get their pixels, when the test says so.
VIEWER = """async () => {
  const { Commands } = await import("/static/viewer/commands.js");
  const viewer = { told: [], loaded: [], moves: [], isStuck: false, isStarting: false, isSlow: false, shown: null };
  let hear;
  const images = ["1.1", "1.2", "1.3"];
  const set = { StudyInstanceUID: "1.0", displaySetInstanceUID: "set", numImageFrames: 1,
                images: images.map((SOPInstanceUID) => ({ SOPInstanceUID })) };
  const imageIds = images.map((uid) => `/studies/1.0/series/2.0/instances/${uid}`);
  const element = new EventTarget();
  let pictured;
  const viewport = { type: "stack", element, getImageIds: () => imageIds, getCurrentImageId: () => viewer.shown,
                     getCornerstoneImage: () => pictured && { imageId: pictured } };
  // The pixels of where the viewport is have come, and with the next frame they are drawn.
  viewer.draw = () => {
    pictured = viewer.shown;
    element.dispatchEvent(new Event("drawn"));
  };
  const services = {
    displaySetService: { getActiveDisplaySets: () => viewer.loaded, getDisplaySetByUID: () => set },
    viewportGridService: {
      getState: () => ({ viewports: new Map([["v", { viewportId: "v", displaySetInstanceUIDs: ["set"] }]]) }),
      setActiveViewportId: () => {},
    },
    cornerstoneViewportService: { getCornerstoneViewport: () => viewport },
  };
  const commandsManager = { run: (name, { to }) => {
    if (viewer.isStarting) throw new Error("nothing can navigate yet");
    viewer.moves.push(to);
  } };
  const parent = {};
  const page = {
    parent, location: { origin: "here", search: "" }, addEventListener: (_, listen) => { hear = listen; },
    setTimeout: (work, wait) => setTimeout(work, wait),
    cornerstone: {
      Enums: { Events: { ELEMENT_ENABLED: "enabled", IMAGE_RENDERED: "drawn" }, ViewportType: { STACK: "stack" } },
      eventTarget: { addEventListener: (_, listen) => listen({ detail: { element } }) },
      getEnabledElement: () => ({ viewport }),
      utilities: { jumpToSlice: (_, { imageIndex }) => {
        viewer.moves.push(imageIndex);
        if (viewer.isStuck) return;
        viewer.shown = imageIds[imageIndex];
        if (!viewer.isSlow) viewer.draw();
      } },
    },
  };
  const commands = new Commands(page, (event) => viewer.told.push(event));
  commands.extension().preRegistration({ servicesManager: { services }, commandsManager });
  viewer.load = () => viewer.loaded.push(set);
  viewer.send = (data) => hear({ origin: "here", source: parent, data: { source: "imaging-cds-page", ...data } });
  window.viewer = viewer;
}"""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    app = Flask("scripts", static_folder=str(CHECKOUT / "static"))
    app.add_url_rule("/", "page", lambda: "<!doctype html><title>Commands</title>")
    with serving(app, free_port_number()) as served:
        yield served


@pytest.fixture
def viewer(ohif_browser: Browser, base: str) -> Iterator[Page]:
    """A page with `window.viewer`, whose clock the test can turn forward."""
    page = ohif_browser.new_page()
    page.clock.install()
    page.goto(base)
    page.evaluate(VIEWER)
    yield page
    page.close()


def told(page: Page) -> list[dict[str, Any]]:
    """What the page around the viewer hears, without the greeting."""
    heard: list[dict[str, Any]] = page.evaluate("viewer.told")
    return [one for one in heard if one["event"] != "ready"]


def send(page: Page, **command: Any) -> None:
    page.evaluate("(command) => viewer.send(command)", command)


def test_a_later_slice_overrules_one_whose_study_is_still_loading(viewer: Page) -> None:
    send(viewer, type="jump", study="1.0", instance="1.1")
    send(viewer, type="jump", study="1.0", instance="1.3")
    viewer.clock.run_for(1000)
    viewer.evaluate("viewer.load()")
    viewer.clock.run_for(30_000)

    assert told(viewer) == [{"event": "jumped", "study": "1.0", "instance": "1.3"}]
    assert viewer.evaluate("viewer.moves") == [2]


def test_a_later_slice_overrules_one_that_is_not_drawn_yet(viewer: Page) -> None:
    """Two slices never pull the picture to and fro."""
    viewer.evaluate("viewer.load(); viewer.isStuck = true")
    send(viewer, type="jump", study="1.0", instance="1.1")
    viewer.clock.run_for(200)
    send(viewer, type="jump", study="1.0", instance="1.3")
    viewer.evaluate("viewer.moves.length = 0")
    viewer.clock.run_for(1000)
    moves = set(viewer.evaluate("viewer.moves"))
    viewer.evaluate("viewer.isStuck = false")
    viewer.clock.run_for(30_000)

    assert moves == {2}
    assert told(viewer) == [{"event": "jumped", "study": "1.0", "instance": "1.3"}]


def test_another_study_overrules_a_slice_that_was_waited_for(viewer: Page) -> None:
    """Neither a late failure, which would load the page anew, nor a late jump in what the reader looks at by then."""
    send(viewer, type="jump", study="1.0", instance="1.2")
    viewer.clock.run_for(1000)
    send(viewer, type="open", studies=["9.9"])
    viewer.evaluate("viewer.load()")
    viewer.clock.run_for(30_000)

    assert viewer.evaluate("viewer.moves") == ["/viewer?StudyInstanceUIDs=9.9"]
    assert told(viewer) == []


def test_a_slice_leaves_the_study_that_is_being_opened(viewer: Page) -> None:
    """The study line names that study already; the slice is one of it."""
    viewer.evaluate("viewer.isStarting = true")
    send(viewer, type="open", studies=["1.0"])
    send(viewer, type="jump", study="1.0", instance="1.2")
    viewer.clock.run_for(500)
    viewer.evaluate("viewer.isStarting = false; viewer.load()")
    viewer.clock.run_for(1000)

    assert sorted(map(str, viewer.evaluate("viewer.moves"))) == ["/viewer?StudyInstanceUIDs=1.0", "1"]
    assert told(viewer) == [{"event": "jumped", "study": "1.0", "instance": "1.2"}]


def test_a_slice_is_told_of_once_its_pixels_are_drawn_however_slow_the_archive_is(viewer: Page) -> None:
    """The viewer's place in the stack moves at once; until the pixels come, the former slice is on the screen."""
    viewer.evaluate("viewer.load(); viewer.isSlow = true")
    send(viewer, type="jump", study="1.0", instance="1.2")
    viewer.clock.run_for(60_000)
    before = told(viewer)
    viewer.evaluate("viewer.draw()")
    viewer.clock.run_for(1000)

    assert before == []
    assert told(viewer) == [{"event": "jumped", "study": "1.0", "instance": "1.2"}]
    assert viewer.evaluate("viewer.moves") == [1]


def test_a_slice_that_the_reader_left_before_its_pixels_came_is_not_heard_of_again(viewer: Page) -> None:
    """Neither as shown when the reader comes by later, nor as failed, which would load the page anew."""
    viewer.evaluate("viewer.load(); viewer.isSlow = true")
    send(viewer, type="jump", study="1.0", instance="1.2")
    viewer.clock.run_for(1000)
    viewer.evaluate("viewer.shown = '/studies/1.0/series/2.0/instances/1.3'; viewer.draw()")
    viewer.clock.run_for(1000)
    viewer.evaluate("viewer.shown = '/studies/1.0/series/2.0/instances/1.2'; viewer.draw()")
    viewer.clock.run_for(60_000)

    assert told(viewer) == []
    assert viewer.evaluate("viewer.moves") == [1]


def test_what_nothing_overrules_fails_in_the_end(viewer: Page) -> None:
    send(viewer, type="jump", study="1.0", instance="1.2")
    viewer.clock.run_for(30_000)

    assert told(viewer) == [{"event": "failed", "type": "jump", "reason": "not-found"}]
