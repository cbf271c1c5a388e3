"""The benchmarks' own arithmetic: quantiles, ratios, and a page that keeps everything but its table."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from tests.benchmarks.lean import LeanClient, posted
from tests.benchmarks.load import Client, Load, Request, Sample, Timing, drive, timed
from tests.benchmarks.report import Report, as_json, machine
from tests.benchmarks.results import GROUPS, Results
from tests.benchmarks.tables import BEGIN, END, between_markers, markdown


def a_timing(p50_ms: float, per_s: float) -> Timing:
    return Timing(p50_ms=p50_ms, p95_ms=2 * p50_ms, p99_ms=3 * p50_ms, per_s=per_s, count=10)


def test_quantiles_are_of_the_measured_durations() -> None:
    timing = Timing.of([number / 1000 for number in range(1, 101)], elapsed_s=2.0, cpu_s=0.7)

    assert (timing.p50_ms, timing.p95_ms, timing.p99_ms) == (51.0, 96.0, 100.0)
    assert (timing.per_s, timing.count, timing.cpu_ms) == (50.0, 100, 7.0)
    with pytest.raises(ValueError, match="nothing"):
        Timing.of([], elapsed_s=1.0)


def test_runs_in_turns_add_up_to_one() -> None:
    first = Sample(durations_s=(0.001, 0.002), elapsed_s=1.0, cpu_s=0.1)
    second = Sample(durations_s=(0.003,), elapsed_s=2.0, cpu_s=0.2)

    timing = (first + second).timing

    assert (timing.p50_ms, timing.count, timing.per_s) == (2.0, 3, 1.0)
    assert timing.cpu_ms == pytest.approx(100)
    assert (first + Sample(durations_s=(), elapsed_s=1.0)).timing.cpu_ms is None


def test_one_at_a_time_is_compared_by_time_and_many_by_throughput() -> None:
    report = Report()
    alone = report.add("card", "static", a_timing(2, 500))
    together = report.add("frames", "archive", a_timing(10, 800), concurrency=8)

    assert report.compare(alone, "card", a_timing(5, 200)).ratio == 2.5
    assert report.compare(together, "gateway", a_timing(20, 400)).ratio == 0.5
    assert not Results(machine={}, rows=tuple(report.rows)).is_complete


def test_results_survive_their_json() -> None:
    report = Report(remarks={"goal": "met"}, figures={"card": {"any": 1}})
    report.compare(report.add("card", "static", a_timing(2, 500)), "card", a_timing(5, 200), remark="signed")
    found = Results(machine={"state": "SQLite"}, rows=tuple(report.rows), remarks=report.remarks, figures=report.figures)

    again = Results.read(json.loads(as_json(found)))

    assert again == found
    assert "| card (signed) | 1 | 5.00 | 10.0 | 15.0 | 200 |  | 2.50 | p50 of “static” | 10 |" in markdown(again)
    assert markdown(again).startswith("- state: SQLite\n- goal: met\n")


def test_machine_and_versions_are_told() -> None:
    told = machine()

    assert {"measured", "processor", "system", "load", "python", "libraries", "programs"} <= set(told)
    assert "flask " in told["libraries"]


def test_only_what_is_between_the_markers_is_written_anew() -> None:
    page = between_markers(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new\n")

    assert page == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert between_markers(page, "new\n") == page
    with pytest.raises(ValueError, match="markers"):
        between_markers("no markers", "new\n")


def test_a_part_that_was_measured_apart_replaces_only_its_tables() -> None:
    earlier, later = Report(), Report()
    earlier.add("card", "static", a_timing(2, 500))
    earlier.add("launch", "launch URL to study list", a_timing(60, 15))
    later.add("launch", "launch URL to study list", a_timing(40, 20))
    before = {"measured": "2026-11-01", "load": "1.0", "libraries": "flask 3"}
    after = {"measured": "2026-11-21", "load": "9.0", "libraries": "flask 3"}
    standing = Results(
        machine=before, rows=tuple(earlier.rows), remarks={"goal of launches": "NOT met"}, figures={"launch": 1, "card": 2}
    )
    part = Results(machine=after, rows=tuple(later.rows), remarks={"goal of launches": "met"}, figures={"launch": 3})

    both = standing.with_part(part)
    page = markdown(both)

    assert "| static | 1 | 2.00 |" in page
    assert "| launch URL to study list | 1 | 40.0 |" in page
    assert "| launch URL to study list | 1 | 60.0 |" not in page
    assert page.startswith("- measured: 2026-11-01\n- load: 1.0\n- libraries: flask 3\n- goal of launches: met\n")
    assert "- measured apart (launch): 2026-11-21, load 9.0\n" in page
    assert both.figures == {"launch": 3, "card": 2}
    assert both.with_part(part) == both


def test_a_part_that_was_measured_with_other_versions_says_so() -> None:
    told = {"measured": "2026-11-21", "load": "9.0", "libraries": "flask 3"}
    report = Report()
    report.add("launch", "launch URL to study list", a_timing(40, 20))
    part = Results(machine=told | {"libraries": "flask 4"}, rows=tuple(report.rows))

    assert Results(machine=told).with_part(part).apart == {"launch": "2026-11-21, load 9.0; libraries flask 4"}


def test_a_whole_run_replaces_everything() -> None:
    report = Report()
    for group in GROUPS:
        report.add(group, "one", a_timing(2, 500))
    whole = Results(machine={"measured": "2026-11-22", "load": "1.0"}, rows=tuple(report.rows))

    assert whole.is_complete
    assert Results(machine={}, remarks={"goal": "old"}, apart={"card": "old"}).with_part(whole) == whole


def test_only_this_machine_is_loaded_and_within_bounds() -> None:
    with pytest.raises(ValueError, match="this machine"):
        Client("http://ehr.example.org:80")
    for bounds in ({"concurrency": 17}, {"seconds": 60.0}, {"concurrency": 0}):
        with pytest.raises(ValueError, match="too much"):
            drive("http://127.0.0.1:9", lambda client: client.send(Request(path="/")), **bounds)


def test_calls_in_this_process_are_counted() -> None:
    calls: list[int] = []

    assert timed(lambda: calls.append(1), times=7).count == 7
    assert len(calls) == 7


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/echo" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def echo_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_lean_client_reads_whole_answers_of_any_size(echo_url: str) -> None:
    with LeanClient(echo_url) as client:
        for body in (b"", b"{}", b"x" * 700_000):
            assert client.send(posted("/echo", {"Authorization": "Bearer one"}, body)) == body
    with LeanClient(echo_url) as client, pytest.raises(AssertionError, match="404"):
        client.send(posted("/elsewhere", {}, b""))


def test_processor_time_is_that_of_the_run_alone(echo_url: str) -> None:
    readings = iter((5.0, 5.6))
    ready = posted("/echo", {}, b"{}")
    load = Load(base_url=echo_url, connect=LeanClient, unit=lambda client: client.send(ready), cpu_s=lambda: next(readings))

    timing = load.run(seconds=1.0, most=6).timing

    assert timing.count == 6
    assert timing.cpu_ms == pytest.approx(100)
