"""Frames: gateway, archive and a proxy that checks nothing in turns; what the gate costs, warm and cold (STYLE 35)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle

import pytest

from tests.benchmarks.load import Client, Request, Timing, drive
from tests.benchmarks.report import Report
from tests.benchmarks.stack import PATIENT, SMALL_STUDY, Stack

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
CONNECTIONS = 8
SECONDS = 2.0
ROUNDS = 2
COLD = 40


def frame_paths(stack: Stack, study: str) -> list[str]:
    """Below the DICOMweb root: the first frame of every image of the study's largest series."""
    asked = Request(path=f"/dicom-web/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    with Client(stack.pacs_url) as client:
        found = json.loads(client.send(asked).body)
    series = [one["0020000E"]["Value"][0] for one in found]
    largest = max(set(series), key=series.count)
    uids = [one["00080018"]["Value"][0] for one in found if one["0020000E"]["Value"][0] == largest]
    return [f"/studies/{study}/series/{largest}/instances/{uid}/frames/1" for uid in uids]


def study_of_a(stack: Stack) -> str:
    """The study of patient A with 512 x 512 images."""
    studies = stack.services.store.search("ImagingStudy", {"patient": PATIENT})
    uids: list[str] = [one["identifier"][0]["value"].removeprefix("urn:oid:") for one in studies]
    return next(uid for uid in sorted(uids) if uid != SMALL_STUDY)


class Way:
    """One way to the same frames."""

    def __init__(self, name: str, base_url: str, prefix: str, paths: Sequence[str], token: str | None = None) -> None:
        self.name = name
        self._base_url = base_url
        self._paths = cycle([f"{prefix}{path}" for path in paths])
        self._headers = {"Accept": FRAME} | ({"Authorization": f"Bearer {token}"} if token else {})

    def run(self, *, concurrency: int, seconds: float = SECONDS) -> Timing:
        return drive(self._base_url, self.get, concurrency=concurrency, seconds=seconds)

    def get(self, client: Client) -> None:
        answer = client.send(Request(path=next(self._paths), headers=self._headers))
        assert len(answer.body) > 100_000


def ways(stack: Stack, paths: Sequence[str]) -> tuple[Way, Way, Way]:
    gateway = "/imaging/sandbox/dicom-web/demo"
    return (
        Way("archive", stack.pacs_url, "/dicom-web", paths),
        Way("proxy that checks nothing", stack.proxy_url, "/dicom-web", paths),
        Way("gateway", stack.app_url, gateway, paths, stack.token(SCOPE)),
    )


def mean(timings: Sequence[Timing]) -> Timing:
    """Of several rounds in turns, so that what else the machine does hits all ways alike."""
    number = len(timings)
    return Timing(
        p50_ms=sum(one.p50_ms for one in timings) / number,
        p95_ms=sum(one.p95_ms for one in timings) / number,
        p99_ms=sum(one.p99_ms for one in timings) / number,
        per_s=sum(one.per_s for one in timings) / number,
        count=sum(one.count for one in timings),
    )


@pytest.mark.parametrize("size", ["512 kB", "128 kB"])
def test_frames_per_second(stack: Stack, report: Report, size: str) -> None:
    study = SMALL_STUDY if size == "128 kB" else study_of_a(stack)
    taken = ways(stack, frame_paths(stack, study))
    rounds: dict[str, list[Timing]] = {way.name: [] for way in taken}
    for way in taken:
        way.run(concurrency=4, seconds=0.4)
    for _ in range(ROUNDS):
        for way in taken:
            rounds[way.name].append(way.run(concurrency=CONNECTIONS))
    base = report.add("frames", f"{size}: archive", mean(rounds["archive"]), concurrency=CONNECTIONS)
    forwarded, guarded = mean(rounds["proxy that checks nothing"]), mean(rounds["gateway"])
    report.compare(base, f"{size}: proxy that checks nothing", forwarded)
    remark = f"{guarded.per_s / forwarded.per_s:.2f} of the proxy's"
    report.compare(base, f"{size}: gateway", guarded, remark=remark)


def test_what_the_gate_costs(stack: Stack, report: Report) -> None:
    """Warm: token, ownership and membership decided already. Cold: the first frame that a token ever asked for."""
    paths = frame_paths(stack, SMALL_STUDY)
    taken = ways(stack, paths)
    timings: dict[str, list[Timing]] = {way.name: [] for way in taken}
    for way in taken:
        way.run(concurrency=1, seconds=0.3)
    for _ in range(ROUNDS):
        for way in taken:
            timings[way.name].append(way.run(concurrency=1, seconds=1.0))
    base = report.add("frame-cost", "archive", mean(timings["archive"]))
    forwarded = report.compare(base, "proxy that checks nothing", mean(timings["proxy that checks nothing"]))
    warm = mean(timings["gateway"])
    cost = warm.p50_ms - forwarded.timing.p50_ms
    report.compare(base, "gateway, decision kept", warm, remark=f"{cost:+.2f} ms beside the proxy")
    report.compare(base, "gateway, first frame of a token", cold_frames(stack, paths))


def cold_frames(stack: Stack, paths: Sequence[str]) -> Timing:
    tokens = iter([stack.token(SCOPE) for _ in range(COLD)])
    path = f"/imaging/sandbox/dicom-web/demo{paths[0]}"

    def get(client: Client) -> None:
        client.send(Request(path=path, headers={"Accept": FRAME, "Authorization": f"Bearer {next(tokens)}"}))

    return drive(stack.app_url, get, seconds=5.0, most=COLD)
