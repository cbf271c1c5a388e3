"""The keys that the help names, each pressed in the running viewer: what the help says is what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pydicom
import pytest
from playwright.sync_api import Browser, Frame, Page

from ehr_sandbox.demo_study import uid_of
from ehr_sandbox.patients import alma
from ehr_sandbox.patients.demo import build_demo
from smart_app import ohif
from tests.browser.ohif_actors import Launch, archive_of, running_viewer, viewer_config
from tests.browser.ohif_pixels import studies_from_left_to_right, wait_for_picture

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT, PRIOR = alma.CURRENT.study_instance_uid, alma.PRIOR.study_instance_uid
FIRST_SERIES, SECOND_SERIES = alma.CURRENT.series_instance_uid, uid_of("keys/second-series")
LOOK = """() => {
  const { viewportGridService, displaySetService, cornerstoneViewportService, cineService, measurementService } =
    window.services;
  const { activeViewportId, viewports } = viewportGridService.getState();
  const viewport = cornerstoneViewportService.getCornerstoneViewport(activeViewportId);
  const { flipHorizontal, flipVertical } = viewport.getCamera();
  const { voiRange, invert } = viewport.getProperties();
  const { rotation, zoom } = viewport.getViewPresentation();
  const [shown] = viewports.get(activeViewportId).displaySetInstanceUIDs;
  const { SeriesInstanceUID: series, StudyInstanceUID: study } = displaySetService.getDisplaySetByUID(shown);
  return { slice: viewport.getCurrentImageIdIndex(), invert, sides: flipHorizontal, ends: flipVertical, rotation,
    zoom: Math.round(zoom * 100) / 100, series, study,
    window: voiRange && [Math.round(voiRange.lower), Math.round(voiRange.upper)],
    picture: [...viewports.keys()].indexOf(activeViewportId), hasFilm: cineService.getState().isCineEnabled,
    measurements: measurementService.getMeasurements().length };
}"""
LINES = """() => window.cornerstoneTools.annotation.state.getAllAnnotations()
    .filter(({ metadata }) => metadata.toolName === "Length")
    .map(({ data }) => data.handles.points.map((point) => point.map(Math.round)))"""
TAKE_LENGTH = "window.commandsManager.runCommand('setToolActiveToolbar', { toolName: 'Length', toolGroupIds: ['default'] })"


class Keys:
    """The keyboard in the images of one running viewer, and what the reader sees of it."""

    def __init__(self, page: Page, frame: Frame) -> None:
        self.page, self.frame = page, frame
        self.picture = frame.locator(".cornerstone-viewport-element").first

    def look(self) -> dict[str, Any]:
        """The active picture."""
        seen: dict[str, Any] = self.frame.evaluate(LOOK)
        return seen

    def lines(self) -> list[list[list[int]]]:
        """The ends of the drawn lengths, in mm."""
        drawn: list[list[list[int]]] = self.frame.evaluate(LINES)
        return drawn

    def press(self, key: str, **wanted: Any) -> dict[str, Any]:
        """What is seen after the key, as soon as it is what is wanted, else what was seen last."""
        self.page.keyboard.press(key)
        return self.until(lambda seen: all(seen[name] == value for name, value in wanted.items()))

    def until(self, pleases: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        seen = self.look()
        while not pleases(seen) and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
            seen = self.look()
        assert pleases(seen), seen
        return seen


@pytest.fixture(scope="module")
def keys(ohif_dir: Path, ohif_browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """Alma's current study, with a second series of pictures behind segmentation, key images and measurements."""
    images = tmp_path_factory.mktemp("alma")
    fhir = "http://127.0.0.1:8001/fhir"
    build_demo(images, demo_day=date(2026, 3, 2), fhir_base=fhir, only=frozenset({"demo-a"}), slices=9)
    _add_second_series(images)
    with running_viewer(ohif_dir, Launch(), archive_of(tmp_path_factory.mktemp("pacs"), images)) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{base}/parent?{urlencode({'address': base + ohif.viewer_path(viewer_config(base), CURRENT)})}")
        [frame] = page.frames[1:]
        wait_for_picture(frame)
        yield Keys(page, frame)
        page.close()


@pytest.fixture(autouse=True)
def _in_the_images(keys: Keys) -> None:
    keys.page.locator("iframe").focus()
    keys.press("Space", invert=False, sides=False, rotation=0, zoom=1)


def _add_second_series(images: Path) -> None:
    for path in list(images.rglob("*.dcm")):
        image = pydicom.dcmread(path)
        if image.SeriesInstanceUID == FIRST_SERIES:
            image.SeriesInstanceUID, image.SeriesNumber = SECOND_SERIES, 99
            image.SOPInstanceUID = uid_of(f"keys/{image.SOPInstanceUID}")
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.save_as(path.with_name(f"second-{path.name}"))


def test_the_picture_turns_and_is_mirrored_and_the_first_look_comes_back(keys: Keys) -> None:
    assert keys.press("r", rotation=90)["rotation"] == 90
    assert keys.press("l", rotation=0)["rotation"] == 0
    keys.press("v", ends=True)
    keys.press("h", sides=True)
    keys.press("i", invert=True)
    keys.press("Space", invert=False, sides=False, ends=False, rotation=0)


def test_the_picture_grows_shrinks_and_fits(keys: Keys) -> None:
    """Fitting shows the picture as it was taken: a mirrored one would be taken for the other side."""
    keys.press("+")
    grown = keys.until(lambda seen: bool(seen["zoom"] > 1))["zoom"]
    keys.press("Shift+Equal")
    keys.until(lambda seen: bool(seen["zoom"] > grown))
    keys.press("-")
    keys.press("-")
    keys.press("-")
    keys.until(lambda seen: bool(seen["zoom"] < 1))
    keys.press("h", sides=True)
    keys.press("=", zoom=1, sides=False)


def test_the_numbers_set_the_windows_of_a_ct(keys: Keys) -> None:
    """Soft tissue, lung, liver, bone and brain, by their centres and widths in HU."""
    seen = {key: keys.press(key, window=window)["window"] for key, window in WINDOWS.items()}

    assert seen == WINDOWS


WINDOWS = {"1": [-160, 239], "2": [-1350, 149], "3": [15, 164], "4": [-770, 1729], "5": [0, 79]}


def test_page_keys_lead_from_pictures_to_pictures(keys: Keys) -> None:
    """Not into a segmentation that has none, and past key images, at which OHIF's own command stops."""
    assert keys.look()["series"] == FIRST_SERIES

    keys.press("PageDown", series=SECOND_SERIES)
    wait_for_picture(keys.frame)
    keys.press("PageDown", series=SECOND_SERIES)
    keys.press("PageUp", series=FIRST_SERIES)
    keys.press("PageUp", series=FIRST_SERIES)


def test_c_plays_the_series_and_stops_it(keys: Keys) -> None:
    before = keys.press("c", hasFilm=True)["slice"]
    keys.until(lambda seen: bool(seen["slice"] != before))
    at_stop = keys.press("c", hasFilm=False)["slice"]
    keys.page.wait_for_timeout(400)

    assert keys.look()["slice"] == at_stop


def test_measurements_are_undone_redone_deleted_and_left_off(keys: Keys) -> None:
    keys.frame.evaluate(TAKE_LENGTH)
    keys.picture.hover(position={"x": 300, "y": 200})
    keys.page.mouse.down()
    keys.picture.hover(position={"x": 360, "y": 260})
    keys.page.mouse.up()
    keys.until(lambda seen: bool(seen["measurements"] == 1))
    keys.press("Control+z", measurements=0)
    keys.press("Control+y", measurements=1)
    keys.press("Backspace", measurements=0)

    keys.picture.click(position={"x": 200, "y": 200})
    keys.picture.hover(position={"x": 280, "y": 260})
    keys.until(lambda _: len(keys.lines()) == 1 and keys.lines()[0][0] != keys.lines()[0][1])
    keys.page.keyboard.press("Escape")
    [begun] = keys.lines()
    keys.picture.hover(position={"x": 380, "y": 360})
    keys.page.wait_for_timeout(200)
    assert keys.lines() == [begun]


def test_arrows_lead_from_picture_to_picture_and_page_keys_stay_in_the_study(keys: Keys) -> None:
    """Side by side a picture of the prior never comes where the current study stands."""
    command = {"source": "imaging-cds-page", "type": "compare", "studies": [CURRENT, PRIOR]}
    keys.page.evaluate(
        "(command) => document.querySelector('iframe').contentWindow.postMessage(command, location.origin)", command
    )
    assert studies_from_left_to_right(keys.frame, [CURRENT, PRIOR]) == [CURRENT, PRIOR]
    keys.page.locator("iframe").focus()
    keys.press("PageDown", study=CURRENT, series=SECOND_SERIES)
    keys.press("PageDown", study=CURRENT)
    keys.press("ArrowRight", picture=1, study=PRIOR)
    keys.press("PageUp", study=PRIOR)
    keys.press("ArrowRight", picture=0, study=CURRENT)
    keys.press("ArrowLeft", picture=1, study=PRIOR)
    keys.press("ArrowLeft", picture=0, study=CURRENT)
