"""From the click to the first image: our viewer page cold and warm, beside plain OHIF straight at the same archive's files."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ehr_sandbox.patients import alma
from imaging_cds.processes import ProcessGroup, ProcessSpec
from imaging_cds.viewer_install import is_installed
from tests.benchmarks.first_image import first_image_ms, new_profile
from tests.benchmarks.load import Timing
from tests.benchmarks.plain_viewer import BEARER
from tests.benchmarks.report import Report
from tests.benchmarks.stack import Stack
from tests.conftest import VIEWER_DIR, free_port_number

ROUNDS = 5
STUDY = alma.CURRENT.study_instance_uid
SETTLED_MS = 2000
"""How long a clinician at least looks at the list; then it is waited until the viewer behind it is ready."""
READY_TIMEOUT_MS = 30_000


@dataclass(slots=True)
class Times:
    """Milliseconds to the first image, by what was opened how."""

    plain: list[float] = field(default_factory=list)
    plain_again: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    warm_other: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def plain_url(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Plain OHIF and an archive of its own over the same files, on an origin each."""
    if not is_installed(VIEWER_DIR):
        pytest.skip("The viewer is not installed; `imaging-cds demo` or `make test` installs it.")
    viewer_port, pacs_port = free_port_number(), free_port_number()
    base, root = f"http://localhost:{viewer_port}", f"http://127.0.0.1:{pacs_port}/dicom-web"
    archive = tmp_path_factory.mktemp("plain-pacs")
    files = ("--directory", str(archive), "--dicom-dir", str(stack.options.dicom_dir.absolute()), "--origin", base)
    group = ProcessGroup()
    try:
        for what, port, ready, told in (
            (
                "viewer",
                viewer_port,
                f"http://127.0.0.1:{viewer_port}/",
                ("--viewer-dir", str(VIEWER_DIR), "--dicomweb-root", root),
            ),
            ("pacs", pacs_port, f"http://127.0.0.1:{pacs_port}/", files),
        ):
            group.start(_spec(what, port, ready, told, archive))
        group.wait_ready(60.0)
        yield base
    finally:
        group.stop()


def _spec(what: str, port: int, ready: str, told: tuple[str, ...], logs: Path) -> ProcessSpec:
    command = [sys.executable, "-m", "tests.benchmarks.plain_viewer", what, "--port", str(port), *told]
    return ProcessSpec(title=f"plain {what}", command=command, ready_url=ready, log_file=logs / f"{what}.log")


def launched(context: BrowserContext, stack: Stack) -> str:
    """A session of this profile, without a page having been shown: the address of its study list."""
    answer = context.request.get(f"{stack.app_url}{stack.launch_path()}")
    assert answer.url.endswith("/studies"), answer.url.partition("?")[0]
    return answer.url


def opened_plainly(page: Page, plain_url: str) -> float:
    since = time.time()
    page.goto(f"{plain_url}/viewer?StudyInstanceUIDs={STUDY}&token={BEARER}", wait_until="commit")
    return first_image_ms(page, since)


def opened_cold(page: Page, studies: str) -> float:
    since = time.time()
    page.goto(f"{studies.removesuffix('/studies')}/viewer/{STUDY}", wait_until="commit")
    return first_image_ms(page, since)


def opened_from_the_list(page: Page, studies: str, study: str) -> float:
    page.goto(studies)
    page.wait_for_timeout(SETTLED_MS)
    page.locator("html[data-viewer=ready]").wait_for(state="attached", timeout=READY_TIMEOUT_MS)
    since = time.time()
    page.evaluate("(uid) => document.querySelector(`li.study a[href*='/viewer/${uid}']`).click()", study)
    return first_image_ms(page, since)


@pytest.mark.timeout(900)
def test_click_to_first_image(stack: Stack, report: Report, browser: Browser, plain_url: str) -> None:
    """The goals of issue 4: warm at most half of plain OHIF, cold at most 1.1 times."""
    times = Times()
    for number in range(ROUNDS + 1):
        one = measured_once(stack, browser, plain_url)
        if number > 0:  # the servers' keys, decisions and files were read in the first round
            for name in ("plain", "plain_again", "cold", "warm", "warm_other"):
                getattr(times, name).append(getattr(one, name)[0])
    base = report.add("first-image", "plain OHIF, never here before", _timing(times.plain))
    report.compare(base, "plain OHIF, its files in the browser's cache", _timing(times.plain_again))
    report.compare(base, "our viewer page, never here before (cold)", _timing(times.cold))
    report.compare(base, "from the study list, likeliest study (warm)", _timing(times.warm))
    report.compare(base, "from the study list, another study (warm)", _timing(times.warm_other))
    report.remarks["goal, warm at most 0.5 of plain OHIF"] = _verdict(median(times.warm) / median(times.plain), 0.5)
    report.remarks["goal, cold at most 1.1 of plain OHIF"] = _verdict(median(times.cold) / median(times.plain), 1.1)


def measured_once(stack: Stack, browser: Browser, plain_url: str) -> Times:
    """Each way once, one after the other, so that all of them meet the same neighbours on the machine."""
    times = Times()
    with new_profile(browser) as context:
        times.plain.append(opened_plainly(context.new_page(), plain_url))
        context.pages[0].close()
        times.plain_again.append(opened_plainly(context.new_page(), plain_url))
    with new_profile(browser) as context:
        times.cold.append(opened_cold(context.new_page(), launched(context, stack)))
    for study, kept in ((STUDY, times.warm), (alma.PRIOR.study_instance_uid, times.warm_other)):
        with new_profile(browser) as context:
            kept.append(opened_from_the_list(context.new_page(), launched(context, stack), study))
    return times


def _timing(found: list[float]) -> Timing:
    seconds = [one / 1000 for one in found]
    return Timing.of(seconds, sum(seconds))


def _verdict(ratio: float, goal: float) -> str:
    return f"{'met' if ratio <= goal else 'NOT met'}: {ratio:.2f}"
