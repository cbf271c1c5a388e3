"""The gateway in front of Orthanc, beside Orthanc itself and nginx: frames a second, what a decision costs, a study of 1 GB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add

import pytest

from tests.benchmarks.frame_load import FrameLoad, got
from tests.benchmarks.gateway_goals import Goals
from tests.benchmarks.gateway_images import HUGE, SIZES, SMALL, Images
from tests.benchmarks.gateway_stand import DIRECT, STREAMING, Stand, Way, a_stand
from tests.benchmarks.gateway_study import retrieve
from tests.benchmarks.load import Client, Request, Sample, Timing, drive
from tests.benchmarks.report import Report

CONCURRENCIES = (1, 8, 16)
SECONDS = 0.4
ROUNDS = 12
COLD = 40
CEILING = "a file from nginx: the load generator's own ceiling"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with a_stand(tmp_path_factory.mktemp("gateway") / "stand") as running:
        yield running


def loads(stand: Stand, images: Images) -> dict[str, FrameLoad]:
    """Every way to these frames, by name; the ceiling first."""
    size = images.frame_bytes
    ceiling = FrameLoad(base_url=stand.static_url, requests=[got(f"/static/{size // 1024}", {})], least=size)
    return {CEILING: ceiling} | {way.name: load_of(stand, way, images) for way in stand.ways}


def load_of(stand: Stand, way: Way, images: Images) -> FrameLoad:
    requests = [got(f"{way.prefix}{path}", way.headers()) for path in images.paths]
    cpu_s = stand.cpu_of(way) if way.servers else None
    return FrameLoad(base_url=way.base_url, requests=requests, least=images.frame_bytes, cpu_s=cpu_s)


def in_turns(taken: Mapping[str, FrameLoad], concurrency: int) -> dict[str, Timing]:
    """What else the machine does hits all ways alike."""
    rounds = [{name: load.run(concurrency=concurrency, seconds=SECONDS) for name, load in taken.items()} for _ in range(ROUNDS)]
    samples: dict[str, Sample] = {name: reduce(add, (one[name] for one in rounds)) for name in taken}
    return {name: sample.timing for name, sample in samples.items()}


@pytest.mark.parametrize("size", SIZES)
def test_gateway_frames_per_second(stand: Stand, report: Report, size: str) -> None:
    taken, group = loads(stand, SIZES[size]), f"gateway {size}"
    for load in taken.values():  # decisions made, connections open, files in the page cache
        load.run(concurrency=4, seconds=0.5)
    goals = Goals(size)
    for concurrency in CONCURRENCIES:
        timings = in_turns(taken, concurrency)
        base = report.add(group, DIRECT, timings[DIRECT], concurrency=concurrency)
        for name in taken:
            if name != DIRECT:
                report.compare(base, name, timings[name])
        goals.see(concurrency, timings)
    report.remarks |= goals.lines()


def test_gateway_first_frame_of_a_token(stand: Stand, report: Report) -> None:
    """Cold: token, ownership and membership have to be found out, and the access recorded. Warm: they are known."""
    way = stand.way(STREAMING)
    tokens = iter([stand.token() for _ in range(COLD)])
    path = f"{way.prefix}{SMALL.paths[0]}"

    def cold(client: Client) -> None:
        client.send(Request(path=path, headers={**way.headers(), "Authorization": f"Bearer {next(tokens)}"}))

    load = load_of(stand, way, SMALL)
    load.run(concurrency=1, seconds=0.3)
    base = report.add("gateway cold", f"{STREAMING}, decision kept", load.run(concurrency=1, seconds=2.0).timing)
    report.compare(base, "first frame of a token", drive(way.base_url, cold, seconds=10.0, most=COLD))


def test_gateway_study_of_one_gigabyte(stand: Stand, report: Report) -> None:
    found = {way.name: retrieve(stand, way, HUGE) for way in stand.ways}
    base = report.add("gateway study", DIRECT, found[DIRECT].timing, remark=found[DIRECT].in_words)
    for name, retrieval in found.items():
        if name != DIRECT:
            report.compare(base, name, retrieval.timing, remark=retrieval.in_words)
    growth = max(one.growth_mb for one in found.values())
    said = "met" if growth < 80 else "NOT met"
    report.remarks["goal, below 80 MB more in a worker for 1 GB"] = f"{said}: {growth:.0f} MB"
