"""A whole site on two cores: 200 readers over frames of 128 kB from Orthanc while 20 hooks a second arrive, and where it bends.

``make bench ARGS="-k site"`` takes the ten minutes that the goal speaks of and up to ten more; ``--site-seconds 20
--site-step-seconds 5`` looks whether it works at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import cycle, islice
from typing import NamedTuple

import pytest

from imaging_cds.demo_plan import EHR_NAME
from tests.benchmarks.frame_load import got
from tests.benchmarks.gateway_images import FRAME_ACCEPT, SMALL, store
from tests.benchmarks.hooks import PATH, InTurn, full_hook, of_many_patients
from tests.benchmarks.load import Request, Timing
from tests.benchmarks.processor_time import cpu_reader, machine_cpu_s, memory_of_all_kb
from tests.benchmarks.report import Report
from tests.benchmarks.site_figures import Bend, Memory, Moment, Step
from tests.benchmarks.site_hooks import Hooks
from tests.benchmarks.site_load import Readers, Seen, Span
from tests.benchmarks.stack import CALLER, Stack, a_stack
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc
from tests.interop.outsiders import demo_images

READERS, HOOKS_PER_S = 200, 20.0
STEPS = range(200, 2001, 100)
COMING_S, STEP_COMING_S = 30.0, 10.0
"""In which the readers come, one after another: about each has to be decided first, and the access recorded."""
SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
TOKEN_LIFETIME_S = 7200
pytestmark = pytest.mark.timeout(3000)
ARCHIVE = "orthanc"
APPLICATION = "The application"
LOOKS = 60
"""How often a run's memory is looked at."""


class Site(NamedTuple):
    """Everything that runs. ``tokens`` has one for each reader who was ever there."""

    stack: Stack
    hooks: Hooks
    tokens: list[str]

    def readers(self, number: int) -> Readers:
        """Each with a token of their own, at another frame than their neighbour."""
        self.tokens.extend(self.stack.token(SCOPE, TOKEN_LIFETIME_S) for _ in range(number - len(self.tokens)))
        root = f"/imaging/{EHR_NAME}/dicom-web/{ARCHIVE}"

        def requests(offset: int, token: str) -> Iterator[bytes]:
            headers = {"Accept": FRAME_ACCEPT, "Authorization": f"Bearer {token}"}
            asked = [got(f"{root}{path}", headers) for path in SMALL.paths]
            return islice(cycle(asked), offset % len(asked), None)

        taken = [requests(*one) for one in enumerate(self.tokens[:number])]
        return Readers(port=self.stack.options.port, requests=taken, least=SMALL.frame_bytes)


class Outcome(NamedTuple):
    """What a run saw of each kind, and what it says together."""

    frames: Seen
    hooks: Seen
    step: Step

    @property
    def faults(self) -> list[str]:
        return [*self.frames.faults, *self.hooks.faults]


@pytest.fixture(scope="module")
def site(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    (home / "orthanc").mkdir()
    with running_orthanc(home / "orthanc") as orthanc:
        store(SMALL, orthanc)
        with a_stack(home / "demo", demo_images(pytestconfig), archives=[archive_of(orthanc)]) as running:
            running.services.store.put(SMALL.imaging_study())
            made = Site(running, hooks(running), [])
            work(made, 20, 3.0, 1.0)  # decisions made, rules read, connections open
            yield made


def archive_of(orthanc: Orthanc) -> dict[str, object]:
    return {"name": ARCHIVE, "dicomweb_root": orthanc.dicomweb, "user": USER, "password": orthanc.password}


def hooks(stack: Stack) -> Hooks:
    """Patient-view with a prefetch of 62 kB, each signed anew."""
    bodies, url = InTurn(of_many_patients(full_hook(stack))), f"{stack.app_url}{PATH}"

    def make() -> Request:
        now = int(time.time())
        token = stack.caller.jwt_for(url, iss=CALLER, iat=now, exp=now + 300)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return Request(path=PATH, method="POST", headers=headers, body=bodies.next())

    return Hooks(base_url=stack.app_url, make=make, per_s=HOOKS_PER_S)


def work(site: Site, number: int, seconds: float, coming_s: float) -> Outcome:
    """Frames and hooks at the same time."""
    reading, spent_s = site.readers(number), cpu_reader(site.stack.group, APPLICATION)
    server_before, own_before, busy_before, began = spent_s(), time.process_time(), machine_cpu_s(), time.perf_counter()
    span = Span.from_now(coming_s, seconds)
    with ThreadPoolExecutor(1) as aside:
        firing = aside.submit(site.hooks.fire, span)
        frames = reading.read(span)
        cards = firing.result()
    took = time.perf_counter() - began
    step = Step(
        readers=number,
        seconds=seconds,
        frames_p99_ms=frames.timing.p99_ms,
        hooks_p99_ms=cards.timing.p99_ms,
        frames_per_s=frames.timing.per_s,
        faults=len(frames.faults) + len(cards.faults),
        unasked=frames.unasked + cards.unasked,
        late_ms=Timing.of(frames.late_s, took).p99_ms,
        generator_cores=(time.process_time() - own_before) / took,
        server_cores=(spent_s() - server_before) / took,
        busy_cores=(machine_cpu_s() - busy_before) / took,
    )
    return Outcome(frames, cards, step)


@contextmanager
def watched(site: Site, seconds: float) -> Iterator[list[Moment]]:
    """The memory of the application's processes, again and again until the block ends."""
    moments: list[Moment] = []
    began, until = time.perf_counter(), threading.Event()

    def look() -> None:
        found = memory_of_all_kb(site.stack.group, APPLICATION)
        moments.append(Moment(time.perf_counter() - began, found["pss"] / 1024, found["rss"] / 1024))

    def keep_looking() -> None:
        while not until.wait(max(1.0, seconds / LOOKS)):
            look()

    look()
    with ThreadPoolExecutor(1) as aside:
        watching = aside.submit(keep_looking)
        try:
            yield moments
        finally:
            until.set()
        watching.result()


def test_bench_site_of_200_readers_and_20_hooks_a_second(site: Site, report: Report, pytestconfig: pytest.Config) -> None:
    seconds = float(pytestconfig.getoption("--site-seconds"))
    with watched(site, seconds) as moments:
        outcome = work(site, READERS, seconds, COMING_S)
    memory, step, frames = Memory.of(moments), outcome.step, outcome.frames.timing
    met = not outcome.faults and memory.is_flat

    report.add("site", "frames", frames, concurrency=READERS, remark=f"{seconds:.0f} s; {step.generator_in_words}")
    report.add("site", f"hooks, {HOOKS_PER_S:.0f} a second", outcome.hooks.timing, concurrency=READERS)
    for kind, seen in (("frames", outcome.frames), ("hooks", outcome.hooks)):
        name = f"{kind} before that, while the readers come within {COMING_S:.0f} s"
        report.add("site", name, seen.timing_while_coming, concurrency=READERS)
    report.remarks[f"goal, {READERS} readers and {HOOKS_PER_S:.0f} hooks a second without a fault, memory flat"] = (
        f"{'met' if met else 'NOT met'} for {seconds:.0f} s: {step.faults} faults, p99 of frames {frames.p99_ms:.0f} ms, "
        f"of hooks {step.hooks_p99_ms:.0f} ms; memory {memory.in_words}"
    )
    report.figures["site"] = {
        "step": asdict(step),
        "memory_mb": {at: moment._asdict() for at, moment in asdict(memory).items()},
        "faults": outcome.faults[:20],
    }
    assert outcome.faults == []
    assert memory.is_flat, memory.in_words


def test_bench_site_bends_somewhere(site: Site, report: Report, pytestconfig: pytest.Config) -> None:
    seconds = float(pytestconfig.getoption("--site-step-seconds"))
    steps: list[Step] = []
    for number in STEPS:
        outcome = work(site, number, seconds, STEP_COMING_S)
        steps.append(outcome.step)
        remark = f"{outcome.step.why_bad or 'good'}; {outcome.step.generator_in_words}"
        report.add("site bend", f"{number} readers: frames", outcome.frames.timing, concurrency=number, remark=remark)
        report.add("site bend", f"{number} readers: hooks", outcome.hooks.timing, concurrency=number)
        if outcome.step.why_bad:
            break
    bend = Bend(steps=tuple(steps))
    report.figures["site bend"] = bend.figures()
    report.remarks["goal, where a site on these cores bends"] = bend.in_words
    assert bend.last_good is not None, bend.in_words
