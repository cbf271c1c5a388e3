"""What a list costs its servers: each thing asked for and read once, and nothing after the end (C4; group 29)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import jsonify, request

from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.site_policy import product_policy
from smart_app import list_stream
from smart_app.explanations import Reason
from smart_app.patient_imaging import Inquiry
from smart_app.session_tokens import SessionTokens
from tests.contract.smart_actors import STUDY_A, World, a_world, busy, demo_record, imaging_study, make_app
from tests.contract.test_smart_list_stream import PagingEhr, of_kind, stream_of, studies


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    record = {**demo_record(), "ImagingStudy": [imaging_study(), *studies(4)]}
    with a_world(tmp_path, ehr=PagingEhr(fhir=record)) as made:
        yield made


@pytest.mark.parametrize("reader", ["Practitioner/demo-gp", "Patient/demo-a"])
def test_opening_one_study_asks_for_that_study_and_whose_it_is_only(tmp_path: Path, reader: str) -> None:
    """Neither for reports nor for findings, of which a list shows what its reader may see."""
    released = replace(product_policy(), release=ReleaseRule(patient_results=PatientResults.RELEASED))
    with a_world(tmp_path, app={"policy": released}) as world:
        world.ehr.id_token_changes = {"fhirUser": f"{world.ehr.fhir_base}/{reader}"}
        world.clinician.launches(world.ehr)
        world.ehr.fhir_requests.clear()
        page = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert page.status_code == 200
    assert sorted(path.split("/")[2].partition("?")[0] for path in world.ehr.fhir_requests) == ["ImagingStudy", "Patient"]


@dataclass
class EndpointsFirst(PagingEhr):
    """An EHR that sends each Endpoint once, with the first page that needs it."""

    def _search(self, resource_type: str) -> Any:
        answer = super()._search(resource_type)
        if resource_type == "ImagingStudy" and "page" in request.args:
            body = answer.get_json()
            body["entry"] = [one for one in body["entry"] if one["resource"]["resourceType"] != "Endpoint"]
            return jsonify(body)
        return answer


@pytest.mark.parametrize("is_resumed", [True, False])
def test_c4_an_endpoint_of_an_earlier_page_counts_for_a_row_as_it_comes(tmp_path: Path, is_resumed: bool) -> None:
    with a_world(tmp_path, ehr=EndpointsFirst(fhir={**demo_record(), "ImagingStudy": studies(6)})) as world:
        world.clinician.launches(world.ehr)
        if not is_resumed:
            stream_of(world)
        rows = of_kind(stream_of(world), "rows")

    assert len(rows) == (2 if is_resumed else 3), "no row is sent again"
    assert all(line["html"].count("Open images") == line["html"].count('<li class="study') * 2 for line in rows)


def test_each_report_is_read_once_however_often_the_list_is_built(world: World) -> None:
    """Reading one may mean to decode megabytes."""
    world.clinician.launches(world.ehr)
    services, session_id = world.app.services, world.clinician.session
    with world.app.flask.test_request_context(), Inquiry(services, SessionTokens(services).live(session_id)) as inquiry:
        inquiry.gathering.follow()
        for _ in inquiry.gathering.events():
            pass
        answers = [inquiry.answer(is_whole=is_whole) for is_whole in (False, True)]
    first, second = (row.reports for one in answers for row in one.studies.rows if row.reports)

    assert first[0] is second[0]


@dataclass
class BusyReports(PagingEhr):
    """An EHR that answers every question for reports by asking to come back in a second, or some."""

    seconds: int = 1

    def _search(self, resource_type: str) -> Any:
        if resource_type != "DiagnosticReport":
            return super()._search(resource_type)
        self.fhir_requests.append(request.full_path)
        return busy(self.seconds)


def test_group_29_signing_out_ends_the_asking_for_a_list_that_nobody_fetched_yet(tmp_path: Path) -> None:
    """The first page is on the screen, and a busy server is being waited for, when the user signs out."""
    record = {**demo_record(), "ImagingStudy": studies(4)}
    with a_world(tmp_path, ehr=BusyReports(fhir=record), app={"busy_retries": 20}) as world:
        world.clinician.launches(world.ehr)
        stranger = world.another_clinician().post(f"/s/{world.clinician.session}/logout")
        before = len(reports_asked(world))
        time.sleep(1.5)
        still = len(reports_asked(world))
        signed_out = world.clinician.post(f"/s/{world.clinician.session}/logout")
        at_the_end = len(reports_asked(world))
        time.sleep(2.5)

        assert stranger.status_code != 200
        assert before < still, "a stranger's sign-out ends nothing"
        assert signed_out.status_code == 200
        assert len(reports_asked(world)) == at_the_end


@pytest.mark.parametrize("ends", ["signed out", "ended by the EHR"])
def test_group_29_a_running_stream_ends_with_its_session_wherever_that_ends(tmp_path: Path, ends: str) -> None:
    """The stream waits for a busy server in one worker; another worker over the same store takes the sign-out."""
    with a_world(tmp_path, ehr=BusyReports(fhir={**demo_record(), "ImagingStudy": studies(4)}, seconds=4)) as world:
        world.clinician.launches(world.ehr)
        session_id = world.clinician.session
        lines = world.clinician.get(f"/s/{session_id}/studies/stream", buffered=False).iter_encoded()
        told = next(line for line in lines if b'"busy"' in line)
        other_worker = make_app(tmp_path, (world.ehr.settings(),), world.clock).services
        with closing(other_worker.store), closing(other_worker.outbound):
            if ends == "signed out":
                SessionTokens(other_worker).end(session_id)
            else:
                SessionTokens(other_worker).change(session_id, lambda one: one.stopped(Reason.SESSION_ENDED))
        at_the_end, begun = len(reports_asked(world)), time.monotonic()
        rest = [line for line in lines if line.strip()]
        waited = time.monotonic() - begun
        time.sleep(4)

        assert json.loads(told)["seconds"] == 4
        assert json.loads(rest[-1])["kind"] == "failed"
        assert waited < 3.5
        assert len(reports_asked(world)) == at_the_end


def test_a_quiet_stream_says_now_and_then_that_it_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty line: the server learns by it whether anybody still reads, and readers pass it over."""
    monkeypatch.setattr(list_stream, "LOOK_AROUND_S", 0.1)
    world.clinician.launches(world.ehr)
    assert isinstance(world.ehr, PagingEhr)
    world.ehr.delays["ImagingStudy"] = 0.5
    lines = world.clinician.get(f"/s/{world.clinician.session}/studies/stream").text.splitlines()

    assert "" in lines
    assert json.loads(lines[-1]) == {"kind": "done", "found": 5}


def reports_asked(world: World) -> list[str]:
    return [path for path in world.ehr.fhir_requests if path.startswith("/fhir/DiagnosticReport")]
