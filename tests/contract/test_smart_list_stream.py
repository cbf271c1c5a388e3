"""A long list: the newest studies at once, the rest as it comes, and nothing claimed before it is known (C7, F1; A38, A39)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Response, jsonify, request
from werkzeug.test import TestResponse

from smart_app import list_stream
from tests.contract.smart_actors import FakeEhr, World, a_world, busy, demo_record, imaging_study, report_on
from tests.contract.test_smart_findings import lung_rads

PAGE = 2


@dataclass
class PagingEhr(FakeEhr):
    """An EHR that gives studies and reports two at a time, in the order in which it has them."""

    page_answers: list[Response] = field(default_factory=list)
    """Answers to the next requests for further pages, in their place."""

    delays: dict[str, float] = field(default_factory=dict)
    """Seconds before a search of this resource type is answered."""

    def _search(self, resource_type: str) -> Any:
        time.sleep(self.delays.get(resource_type, 0))
        if resource_type not in ("ImagingStudy", "DiagnosticReport") or "identifier" in request.args:
            return super()._search(resource_type)
        offset = int(request.args.get("page", 0))
        if offset and self.page_answers:
            self.fhir_requests.append(request.full_path)
            return self.page_answers.pop(0)
        answer = super()._search(resource_type)
        if not isinstance(answer, Response) or answer.status_code != 200:
            return answer
        body = answer.get_json()
        found = [one for one in body["entry"] if one.get("search", {}).get("mode") != "include"]
        others = [one for one in body["entry"] if one not in found]
        body["entry"] = [*found[offset : offset + PAGE], *others]
        if offset + PAGE < len(found):
            patient = request.args.get("patient")
            url = f"{self.fhir_base}/{resource_type}?patient={patient}&page={offset + PAGE}&_include=ImagingStudy:endpoint"
            body["link"] = [{"relation": "next", "url": url}]
        return jsonify(body)


def studies(number: int) -> list[dict[str, Any]]:
    return [
        imaging_study(f"2.25.{100 + n}", study_id=f"s{n}", started=f"20{25 - n:02d}-05-01", description=f"CT chest {n}")
        for n in range(number)
    ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    record = {**demo_record(), "ImagingStudy": [imaging_study(), *studies(4)]}
    with a_world(tmp_path, ehr=PagingEhr(fhir=record)) as made:
        yield made


def paging(world: World) -> PagingEhr:
    assert isinstance(world.ehr, PagingEhr)
    return world.ehr


def stream_of(world: World, query: str = "") -> list[dict[str, Any]]:
    return lines_of(world.clinician.get(f"/s/{world.clinician.session}/studies/stream{query}"))


def lines_of(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.mimetype == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == "no-store"
    return [json.loads(line) for line in answer.text.splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def searched(world: World) -> list[str]:
    return [path for path in world.ehr.fhir_requests if path.startswith("/fhir/ImagingStudy")]


def test_the_first_page_is_shown_before_the_second_is_asked_for(world: World) -> None:
    page = world.clinician.launches(world.ehr)

    assert page.text.count('<li class="study') == PAGE
    assert f'data-stream="/s/{world.clinician.session}/studies/stream"' in page.text
    assert "_sort=-started" in searched(world)[0]
    assert len(searched(world)) == 1


def test_the_first_page_claims_nothing_about_findings(world: World) -> None:
    world.ehr.fhir["Observation"] = [lung_rads("3")]
    page = world.clinician.launches(world.ehr)

    assert "still being looked at" in page.text
    assert "Lung-RADS" not in page.text
    assert "studies?whole=1" in page.text


def test_the_stream_goes_on_where_the_page_ended(world: World) -> None:
    world.clinician.launches(world.ehr)
    lines = stream_of(world)

    rows = of_kind(lines, "rows")
    assert [line["found"] for line in rows] == [4, 5]
    assert [line["total"] for line in rows] == [5, 5]
    assert "CT chest 1" in rows[0]["html"]
    assert "CT chest 0" not in "".join(line["html"] for line in rows)
    assert lines[-1] == {"kind": "done", "found": 5}
    assert len(searched(world)) == 3


def test_findings_come_last_by_the_judgement_of_the_whole_record(world: World) -> None:
    world.ehr.fhir["Observation"] = [lung_rads("3")]
    world.clinician.launches(world.ehr)
    lines = stream_of(world)

    kinds = [line["kind"] for line in lines]
    (findings,) = of_kind(lines, "findings")
    assert kinds[-3:] == ["findings", "notes", "done"]
    assert "Lung-RADS 3" in findings["rows"]["2.25.1001"]


def test_reports_of_rows_that_are_shown_come_after_them(world: World) -> None:
    world.ehr.fhir["DiagnosticReport"] = [
        {**report_on(f"s{n}"), "id": f"r{n}", "conclusion": f"Conclusion {n}."} for n in (2, 3, 1, 0)
    ]
    world.clinician.launches(world.ehr)
    lines = stream_of(world)

    told: dict[str, str] = {}
    for line in lines:
        told |= line["rows"] if line["kind"] == "reports" else {}
    html = "".join([*told.values(), *(line["html"] for line in of_kind(lines, "rows"))])
    assert all(f"Conclusion {n}." in html for n in range(1, 4))
    assert "Conclusion 0." in told["2.25.100"]


def test_a_stream_without_a_page_before_it_gives_the_whole_list(world: World) -> None:
    world.clinician.launches(world.ehr)
    stream_of(world)
    again = stream_of(world)

    html = "".join(line["html"] for line in of_kind(again, "rows"))
    assert html.count('<li class="study') == 5
    assert again[-1]["found"] == 5


def test_without_scripts_the_whole_list_is_one_page(world: World) -> None:
    world.ehr.fhir["Observation"] = [lung_rads("3")]
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies?whole=1")

    assert page.text.count('<li class="study') == 5
    assert "data-stream" not in page.text
    assert "Lung-RADS 3" in page.text


def test_a_short_list_is_one_page(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=PagingEhr(fhir=demo_record())) as world:
        page = world.clinician.launches(world.ehr)

    assert "data-stream" not in page.text
    assert "still being looked at" not in page.text


def test_a_short_list_does_not_wait_for_slow_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_stream, "PATIENCE_S", 0.1)
    with a_world(tmp_path, ehr=PagingEhr(fhir=demo_record())) as world:
        world.ehr.fhir["Observation"] = [lung_rads("3")]
        paging(world).delays["Observation"] = 1.0
        page = world.clinician.launches(world.ehr)
        lines = stream_of(world)

    assert "CT chest" in page.text
    assert "still being looked at" in page.text
    assert "Lung-RADS" not in page.text
    assert "Lung-RADS 3" in of_kind(lines, "findings")[0]["rows"]["2.25.1001"]
    assert lines[-1] == {"kind": "done", "found": 1}


def test_studies_that_do_not_come_in_time_are_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_stream, "FIRST_PAGE_S", 0.1)
    with a_world(tmp_path, ehr=PagingEhr(fhir=demo_record())) as world:
        paging(world).delays["ImagingStudy"] = 1.0
        page = world.clinician.launches(world.ehr)
        time.sleep(1)

    assert page.status_code >= 500
    assert "That does not mean there are none" in page.text


def test_c7_a_busy_server_is_told_with_its_seconds_and_asked_again(world: World) -> None:
    waits: list[float] = []
    object.__setattr__(world.app.services, "sleep", waits.append)
    world.clinician.launches(world.ehr)
    paging(world).page_answers = [busy(20), busy(20)]
    lines = stream_of(world)

    assert {"kind": "busy", "seconds": 20} in lines
    assert set(waits) == {20.0}
    assert lines[-1] == {"kind": "done", "found": 5}


def test_a39_a_token_refused_on_a_later_page_is_renewed_once(world: World) -> None:
    world.clinician.launches(world.ehr)
    world.clock.passes(seconds=30)
    paging(world).page_answers = [Response("{}", 401)]
    lines = stream_of(world)

    assert lines[-1] == {"kind": "done", "found": 5}
    assert world.ehr.token_requests[-1]["grant_type"] == "refresh_token"


def test_a39_a_token_that_stays_refused_ends_the_stream_and_says_why(world: World) -> None:
    world.clinician.launches(world.ehr)
    world.clock.passes(seconds=30)
    paging(world).page_answers = [Response("{}", 401), Response("{}", 401)]
    lines = stream_of(world)

    assert lines[-1]["kind"] == "failed"
    assert "The session has ended" in lines[-1]["html"]


def test_a_server_that_fails_halfway_is_not_taken_for_the_end_of_the_list(world: World) -> None:
    world.clinician.launches(world.ehr)
    paging(world).page_answers = [Response("<b>broken</b>", 500)] * 5
    lines = stream_of(world)

    assert lines[-1]["kind"] == "failed"
    assert "not complete" in lines[-1]["html"]
    assert "<b>broken" not in lines[-1]["html"]
    assert not of_kind(lines, "findings")


def test_group_29_the_stream_is_for_the_browser_of_the_session_only(world: World) -> None:
    world.clinician.launches(world.ehr)
    answer = world.another_clinician().get(f"/s/{world.clinician.session}/studies/stream")

    assert answer.status_code == 401
    assert [line["kind"] for line in lines_of(answer)] == ["failed"]


def test_priors_of_the_study_opened_last_are_marked_when_all_is_known(world: World) -> None:
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies?opened=2.25.101")
    lines = stream_of(world, "?opened=2.25.101")

    assert "studies/stream?opened=2.25.101" in page.text
    last = of_kind(lines, "rows")[-1]["html"]
    assert 'class="study prior" id="study-2.25.102"' in last
    assert "data-prior" in last


def test_whoever_leaves_ends_the_asking(world: World) -> None:
    world.clinician.launches(world.ehr)
    answer = world.clinician.client.get(
        f"/s/{world.clinician.session}/studies/stream", base_url="http://localhost:8000", buffered=False
    )
    next(iter(answer.response))
    answer.close()

    assert len(searched(world)) < 4


def test_a_study_with_an_odd_subject_on_a_later_page_is_left_out_and_that_is_said(world: World) -> None:
    world.ehr.fhir["ImagingStudy"][3] = imaging_study("2.25.9", study_id="s9", patient="demo-b")
    world.clinician.launches(world.ehr)
    lines = stream_of(world)

    assert "2.25.9" not in "".join(line["html"] for line in of_kind(lines, "rows"))
    assert "left out because it does not belong to this patient" in of_kind(lines, "notes")[0]["html"]
