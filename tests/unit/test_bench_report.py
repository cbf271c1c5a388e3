"""The benchmarks' own arithmetic: quantiles, ratios, and a page that keeps everything but its table."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.benchmarks.load import Client, Request, Timing, drive, timed
from tests.benchmarks.report import BEGIN, END, Report, between_markers, markdown, read_rows


def a_timing(p50_ms: float, per_s: float) -> Timing:
    return Timing(p50_ms=p50_ms, p95_ms=2 * p50_ms, per_s=per_s, count=10)


def test_quantiles_are_of_the_measured_durations() -> None:
    timing = Timing.of([number / 1000 for number in range(1, 101)], elapsed_s=2.0)

    assert (timing.p50_ms, timing.p95_ms, timing.per_s, timing.count) == (51.0, 96.0, 50.0, 100)
    with pytest.raises(ValueError, match="nothing"):
        Timing.of([], elapsed_s=1.0)


def test_one_at_a_time_is_compared_by_time_and_many_by_throughput() -> None:
    report = Report()
    alone = report.add("card", "static", a_timing(2, 500))
    together = report.add("frames", "archive", a_timing(10, 800), concurrency=8)

    assert report.compare(alone, "card", a_timing(5, 200)).ratio == 2.5
    assert report.compare(together, "gateway", a_timing(20, 400)).ratio == 0.5
    assert not report.is_complete


def test_rows_survive_their_json() -> None:
    report = Report()
    report.compare(report.add("card", "static", a_timing(2, 500)), "card", a_timing(5, 200), remark="signed")

    again = read_rows(json.loads(json.dumps({"rows": [asdict(row) for row in report.rows]})))

    assert again == report.rows
    assert "| card (signed) | 1 | 5.00 | 10.0 | 200 | 2.50 | p50 of “static” | 10 |" in markdown({"state": "SQLite"}, again)


def test_only_what_is_between_the_markers_is_written_anew() -> None:
    page = between_markers(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new\n")

    assert page == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert between_markers(page, "new\n") == page
    with pytest.raises(ValueError, match="markers"):
        between_markers("no markers", "new\n")


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
