"""Who opens the sandbox EHR while its patients are being prepared is asked to wait; FHIR answers all the time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehr_sandbox.arrivals import STALE_S, Arrivals, Arriving
from tests.chart_actors import ChartActor
from tests.contract.sandbox_client import a_sandbox

OF_PROGRAMS = ("/fhir/metadata", "/fhir/.well-known/smart-configuration", "/auth/jwks", "/cds-client/jwks.json")
COMING = Arriving(step="Studies coming in from the archive", done=120, total=1000)


@pytest.fixture
def arrivals(chart: ChartActor) -> Iterator[Arrivals]:
    told = Arrivals(chart.services.settings.state_dir)
    yield told
    told.over()


def status(chart: ChartActor, path: str) -> int:
    return chart.http.get(f"{chart.ehr}{path}", timeout=5).status_code


@pytest.mark.parametrize("path", ["/", "/patients/demo-a", "/patients/nobody"])
def test_the_pages_for_people_say_how_far_it_is(chart: ChartActor, arrivals: Arrivals, path: str) -> None:
    arrivals.tell(COMING)

    page = chart.http.get(f"{chart.ehr}{path}", timeout=5)

    assert (page.status_code, page.headers["Retry-After"]) == (503, "2")
    assert "no-store" in page.headers["Cache-Control"]
    assert COMING.step in page.text
    assert "120 of 1000" in page.text
    assert 'value="120" max="1000"' in page.text
    assert "Alma" not in page.text
    assert 'http-equiv="refresh"' not in page.text, "nothing reloads under the reader's eyes (WCAG 2.2.4)"


def test_how_much_it_is_stays_open_until_somebody_knows(chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(Arriving(step="Starting the <archive>"))

    page = chart.http.get(f"{chart.ehr}/", timeout=5).text

    assert "Starting the &lt;archive&gt;" in page
    assert "<progress" in page
    assert "value=" not in page.partition("<progress")[2].partition(">")[0]


def test_a_search_waits_too_and_what_the_page_needs_does_not(chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(COMING)
    search = chart.http.post(f"{chart.ehr}/", data={"words": "Alma"}, headers={"Origin": chart.ehr}, timeout=5)

    assert search.status_code == 503
    assert status(chart, "/cds-client/jwks.json") == 200
    assert status(chart, "/chart-static/chart-waiting.js") == 200


def test_programs_do_not_wait(tmp_path: Path) -> None:
    with a_sandbox(tmp_path) as ehr:
        Arrivals(ehr.services.settings.state_dir).tell(COMING)
        base = ehr.services.settings.base_url
        answers = {path: ehr.http.get(f"{base}{path}", timeout=5).status_code for path in ("/", *OF_PROGRAMS)}

    assert answers == {"/": 503, **dict.fromkeys(OF_PROGRAMS, 200)}


def test_the_page_is_told_how_it_goes_on_and_when_it_is_over(chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(COMING)
    told = chart.http.get(f"{chart.ehr}/arriving", timeout=5).json()
    arrivals.over()

    assert told == {"over": False, "step": COMING.step, "done": 120, "total": 1000}
    assert chart.http.get(f"{chart.ehr}/arriving", timeout=5).json() == {"over": True}
    assert status(chart, "/patients/demo-a") == 200


def test_another_site_learns_nothing_of_it(chart: ChartActor, arrivals: Arrivals) -> None:
    arrivals.tell(COMING)
    answer = chart.http.get(f"{chart.ehr}/arriving", headers={"Origin": "https://evil.example"}, timeout=5)

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_whoever_died_over_it_keeps_nobody_waiting(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path)
    arrivals.tell(COMING)
    assert arrivals.now() == COMING

    late = (tmp_path / "arriving.json").stat().st_mtime - STALE_S - 1
    os.utime(tmp_path / "arriving.json", (late, late))
    assert arrivals.now() is None
    arrivals.tell(COMING)
    assert arrivals.now() == COMING
    arrivals.over()
    arrivals.over()
    assert arrivals.now() is None


@pytest.mark.parametrize("written", ["", "[]", "{", '{"step": "x", "more": 1}', "7"])
def test_what_cannot_be_read_keeps_nobody_waiting(tmp_path: Path, written: str) -> None:
    (tmp_path / "arriving.json").write_text(written)

    assert Arrivals(tmp_path).now() is None
