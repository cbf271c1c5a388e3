"""One retrieval of a whole study of 1 GB: how long it takes, and what the memory of the workers on its way does meanwhile."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass

from tests.benchmarks.gateway_images import STUDY_ACCEPT, Images
from tests.benchmarks.gateway_stand import Stand, Way
from tests.benchmarks.load import TIMEOUT_S, Timing
from tests.benchmarks.processor_time import forget_peaks, memory_kb, workers_of

_BUFFER = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """``growth_mb``: the peak of a worker over what it had before, of the worker where it was most."""

    seconds: float
    length: int
    has_workers: bool
    growth_mb: float

    @property
    def timing(self) -> Timing:
        return Timing.of([self.seconds], self.seconds)

    @property
    def in_words(self) -> str:
        rate = f"{self.length / self.seconds / 1e6:.0f} MB/s"
        return f"{rate}, a worker's memory at most {self.growth_mb:+.0f} MB" if self.has_workers else rate


def retrieve(stand: Stand, way: Way, images: Images) -> Retrieval:
    """The study, read to its end and dropped; AssertionError when it did not come whole."""
    workers = [process for title in way.servers for process in workers_of(stand.group, title)]
    forget_peaks(workers)
    before = {process: memory_kb(process)["now"] for process in workers}
    began = time.perf_counter()
    length = _read(way, images)
    seconds = time.perf_counter() - began
    growth = [memory_kb(process)["peak"] - before[process] for process in workers]
    return Retrieval(seconds=seconds, length=length, has_workers=bool(workers), growth_mb=max(growth, default=0) / 1024)


def _read(way: Way, images: Images) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(way.base_url.rpartition(":")[2]), timeout=TIMEOUT_S)
    buffer, length, end = memoryview(bytearray(_BUFFER)), 0, b""
    try:
        connection.request("GET", f"{way.prefix}/studies/{images.study}", headers=dict(way.headers(STUDY_ACCEPT)))
        answer = connection.getresponse()
        assert answer.status == 200, (way.name, answer.status, answer.read(600))
        while number := answer.readinto(buffer):
            length += number
            end = (end + bytes(buffer[max(0, number - 200) : number]))[-200:]
    finally:
        connection.close()
    boundary = answer.headers.get_param("boundary")
    assert end.rstrip().endswith(f"--{boundary}--".encode()), (way.name, "the answer was cut")
    assert length > images.instances * images.frames * images.frame_bytes
    return length
