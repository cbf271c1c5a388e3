"""The picture and the page are drawn from the results, and stand as the results say."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.benchmarks.load import Timing
from tests.benchmarks.peer_servers import FIXED
from tests.benchmarks.peers_beside import PAIRS, beside
from tests.benchmarks.plot import svg
from tests.benchmarks.plot_marks import text
from tests.benchmarks.report import PAGE, PLOT, STANDING, as_json
from tests.benchmarks.results import Results, Row
from tests.benchmarks.site_figures import Bend, Memory, Moment
from tests.benchmarks.tables import BEGIN, END, between_markers, markdown
from tests.unit.test_bench_site_figures import GOOD

SVG = "{http://www.w3.org/2000/svg}"
OPEN = "card, authentication off"


def a_row(name: str, concurrency: int, p50_ms: float, per_s: float, cpu_ms: float | None = None) -> Row:
    timing = Timing(p50_ms=p50_ms, p95_ms=9, p99_ms=9, per_s=per_s, count=10, cpu_ms=cpu_ms)
    return Row(group="card", name=f"{name}, {concurrency} at once", concurrency=concurrency, timing=timing)


CARDS = Results(
    machine={},
    rows=(
        a_row(OPEN, 1, 4.0, 200, 3.0),
        a_row(FIXED, 1, 2.0, 500, 1.5),
        a_row(OPEN, 8, 20.0, 300),
        a_row(FIXED, 8, 20.0, 100),
        a_row(OPEN, 16, 40.0, 300),
        a_row(FIXED, 16, 60.0, 150),
    ),
)


def site(*p99_ms: float) -> dict[str, Any]:
    """Figures as the load run leaves them: a hundred readers more with each step."""
    steps = tuple(replace(GOOD, readers=200 + 100 * number, frames_p99_ms=ms) for number, ms in enumerate(p99_ms))
    memory = Memory.of([Moment(0.0, 210.0, 310.0)])
    return {
        "site": {"step": asdict(GOOD), "memory_mb": {at: one._asdict() for at, one in asdict(memory).items()}, "faults": []},
        "site bend": Bend(steps=steps).figures(),
    }


def elements(drawn: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(drawn).iter(f"{SVG}{name}"))  # noqa: S314 - drawn by ourselves


def marks(drawn: str, name: str, kind: str) -> list[ET.Element]:
    return [one for one in elements(drawn, name) if one.get("class") == kind]


def words(drawn: str) -> list[str]:
    return [one.text or "" for one in elements(drawn, "text")]


def test_one_at_a_time_compares_p50_and_several_their_throughput() -> None:
    found = [(one.concurrency, one.by_clock, one.by_cpu) for one in beside(CARDS)]

    assert found == [(1, 0.5, 0.5), (8, 3.0, None), (16, 2.0, None)]


def test_bars_go_to_the_right_where_we_are_faster_and_to_the_left_where_not() -> None:
    drawn = svg(CARDS)
    (faster,), (slower,) = marks(drawn, "rect", "faster"), marks(drawn, "rect", "slower")

    assert float(slower.get("x", "")) + float(slower.get("width", "")) == float(faster.get("x", ""))
    assert slower.get("width") == faster.get("width")  # half as fast and twice as fast
    assert {"0.50", "2.00"} <= set(words(drawn))
    assert "3.00" not in words(drawn)  # between the fewest and the most connections; the table has it


def test_the_curve_rises_with_what_was_measured_and_its_bend_is_marked() -> None:
    drawn = svg(replace(CARDS, figures=site(50.0, 400.0, 3000.0)))
    (line,), (bend,) = marks(drawn, "polyline", "frames"), marks(drawn, "rect", "bend")
    points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]

    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert float(bend.get("x", "")) == points[1][0]
    assert float(bend.get("x", "")) + float(bend.get("width", "")) == points[2][0]
    assert "300 good, 400 bad: p99 of frames 3.0 s" in words(drawn)
    assert any(said.startswith("200 readers for 30 s: 0 faults, p99 of frames 80 ms") for said in words(drawn))


@pytest.mark.parametrize("p99_ms", [(50.0,), (50.0, 60.0), (3000.0,)], ids=["one", "good", "bad-at-once"])
def test_odd_curves_are_drawn_too(p99_ms: tuple[float, ...]) -> None:
    drawn = svg(replace(CARDS, rows=(), figures=site(*p99_ms)))

    assert len(marks(drawn, "circle", "dot-frames")) == len(p99_ms)
    assert len(marks(drawn, "rect", "bend")) == (1 if p99_ms[0] > 1000 else 0)


def test_nothing_measured_is_nothing_drawn() -> None:
    assert words(svg(Results(machine={}))) == []


def test_the_picture_is_readable_in_light_and_dark_and_loads_nothing() -> None:
    drawn = svg(replace(CARDS, figures=site(50.0, 3000.0)))

    assert "@media (prefers-color-scheme: dark)" in drawn
    assert "svg { color-scheme: light dark; }" in drawn, "by itself it would stand on a white ground in the dark"
    assert not any(word in drawn for word in ("<script", "href", "url(", "@import"))
    assert 'class="ground"' not in drawn


def test_names_are_escaped() -> None:
    assert text(1, 2.25, "a < b & c") == '<text x="1" y="2.2">a &lt; b &amp; c</text>'


def standing() -> Results:
    return Results.read(json.loads(STANDING.read_text()))


def test_page_and_picture_stand_as_the_results_say() -> None:
    """Else: python -m tests.benchmarks.report --again"""
    results = standing()

    assert STANDING.read_text() == as_json(results)
    assert between_markers(PAGE.read_text(), markdown(results)) == PAGE.read_text()
    assert PLOT.read_text() == svg(results)
    assert f"]({PLOT.name})" in PAGE.read_text()
    assert PAGE.read_text().index(BEGIN) < PAGE.read_text().index(END)


def test_no_label_of_the_standing_picture_begins_left_of_it() -> None:
    """Labels end where the bars begin; letters of the picture's size are 6.4 units wide on average in any common font."""
    labels = [one for one in elements(svg(standing()), "text") if one.get("text-anchor") == "end"]

    assert labels
    assert [one.text for one in labels if len(one.text or "") * 6.4 > float(one.get("x", 0))] == []


def test_every_pair_is_of_lines_that_are_measured() -> None:
    found = {(one.group, one.ours, one.peer) for one in beside(standing())}

    assert found == {(group, *pair) for group, pairs in PAIRS.items() for pair in pairs}
