"""Lists that do not say all: counts that are not kept, entries without a resource, pages that come again (APP-A39; C4).

A silent empty list is the worst failure: what the server speaks of and does not send is told, and a study that is not in such a
list is not said to be another patient's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import jsonify, request

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from tests.contract.smart_actors import (
    STUDY_A,
    STUDY_B,
    FakeEhr,
    World,
    a_world,
    demo_record,
    imaging_study,
    report_on,
    wado_endpoint,
)

Page = dict[str, Any]


@dataclass
class TellingEhr(FakeEhr):
    """An EHR whose studies come in pages that a test writes; ``pages`` makes one of its number and the next page's address."""

    pages: Callable[[int, str], Page] = lambda _number, _next: {}
    asked: int = 0

    def _search(self, resource_type: str) -> Any:
        if resource_type != "ImagingStudy":
            return super()._search(resource_type)
        self.asked += 1
        number = int(request.args.get("page", 1))
        page = self.pages(number, f"{self.fhir_base}/ImagingStudy?page={number + 1}")
        return jsonify({"resourceType": "Bundle", "type": "searchset", **page})


@contextmanager
def telling(directory: Path, pages: Callable[[int, str], Page]) -> Iterator[World]:
    with a_world(directory, ehr=TellingEhr(fhir=demo_record(), pages=pages)) as world:
        yield world


def entry(study: dict[str, Any]) -> dict[str, Any]:
    return {"resource": study}


ENDPOINT = {"resource": wado_endpoint(), "search": {"mode": "include"}}
ERROR = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
DOUBTFUL: dict[str, Page] = {
    "a count and nothing": {"total": 3},
    "a count of more": {"total": 3, "entry": [entry(imaging_study()), ENDPOINT]},
    "an address and nothing": {"total": 1, "entry": [{"fullUrl": "https://ehr.example/fhir/ImagingStudy/1"}]},
    "a resource in the entry's place": {"entry": [imaging_study()]},
    "words for an entry": {"entry": ["ImagingStudy/1", None]},
    "an error that has a code only": {"total": 0, "entry": [{"resource": ERROR, "search": {"mode": "outcome"}}]},
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_app_a39_what_the_server_speaks_of_and_does_not_send_is_told(tmp_path: Path, what: str) -> None:
    with telling(tmp_path, lambda _number, _next: DOUBTFUL[what]) as world:
        page = world.clinician.launches(world.ehr)
        viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_B}")

    assert page.status_code == 200
    told = "The imaging server remarks: timeout" if "error" in what else "The imaging server speaks of "
    assert told in page.text
    assert "lists no imaging studies for this patient" not in page.text or "error" in what
    assert (viewer.status_code, "The list of studies cannot be had" in viewer.text) == (502, True)


def test_app_a39_a_list_that_says_all_says_nothing_more(tmp_path: Path) -> None:
    remark = {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}}
    whole = {"total": 2, "entry": [entry(imaging_study()), remark, ENDPOINT]}
    with telling(tmp_path, lambda _number, _next: whole) as world:
        page = world.clinician.launches(world.ehr)
        viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_B}")

    assert "speaks of" not in page.text
    assert (viewer.status_code, "not among this patient" in viewer.text) == (403, True)


def test_an_entry_that_stands_alone_without_its_list_is_read(tmp_path: Path) -> None:
    """As converters from XML write a list of one."""
    with telling(tmp_path, lambda _number, _next: {"total": 1, "entry": entry(imaging_study())}) as world:
        page = world.clinician.launches(world.ehr)

    assert "CT chest" in page.text


@pytest.mark.parametrize("entries", ["none", 7, True])
def test_entries_that_are_no_list_at_all_are_no_answer(tmp_path: Path, entries: object) -> None:
    with telling(tmp_path, lambda _number, _next: {"entry": entries}) as world:
        page = world.clinician.launches(world.ehr)

    assert (page.status_code, "The list of studies cannot be had" in page.text) == (502, True)


def stream_of(world: World) -> list[dict[str, Any]]:
    lines = world.clinician.get(f"/s/{world.clinician.session}/studies/stream").text.splitlines()
    return [json.loads(line) for line in lines if line]


def test_a_page_that_leads_to_itself_ends_the_list_and_is_told(tmp_path: Path) -> None:
    """Two hundred times the same study stood in the list."""

    def around(_number: int, _next: str) -> Page:
        return {"entry": [entry(imaging_study()), ENDPOINT], "link": [{"relation": "next", "url": "ImagingStudy?page=1"}]}

    with telling(tmp_path, around) as world:
        world.clinician.launches(world.ehr)
        lines = stream_of(world)
        assert isinstance(world.ehr, TellingEhr)
        asked = world.ehr.asked
        viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_B}")

    assert asked == 2
    assert lines[-1] == {"kind": "done", "found": 1}
    assert "There are more studies than the 1 that were fetched" in next(one["html"] for one in lines if one["kind"] == "notes")
    assert viewer.status_code == 502


def test_a_study_that_two_pages_have_is_one_row(tmp_path: Path) -> None:
    """A study that was added in between pushed the last of the first page on to the second."""

    def overlapping(number: int, following: str) -> Page:
        if number == 1:
            return {"entry": [entry(imaging_study()), ENDPOINT], "link": [{"relation": "next", "url": following}]}
        other = imaging_study(STUDY_B, study_id="study-b", description="MR knee")
        return {"entry": [entry(imaging_study()), entry(other), ENDPOINT]}

    with telling(tmp_path, overlapping) as world:
        world.clinician.launches(world.ehr)
        page = world.clinician.get(f"/s/{world.clinician.session}/studies?whole")

    assert page.text.count('<li class="study') == 2


def test_group_29_a_study_that_became_another_patients_between_two_pages_is_not_shown(tmp_path: Path) -> None:
    def moved(number: int, following: str) -> Page:
        if number == 1:
            return {"entry": [entry(imaging_study()), ENDPOINT], "link": [{"relation": "next", "url": following}]}
        return {"entry": [entry(imaging_study(patient="demo-b")), ENDPOINT]}

    with telling(tmp_path, moved) as world:
        world.clinician.launches(world.ehr)
        page = world.clinician.get(f"/s/{world.clinician.session}/studies?whole")
        viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert "CT chest" not in page.text
    assert "1 entry was left out" in page.text
    assert viewer.status_code == 403


def test_every_client_leaves_a_circle_of_pages(tmp_path: Path) -> None:
    def around(number: int, _next: str) -> Page:
        return {"entry": [entry(imaging_study())], "link": [{"relation": "next", "url": f"ImagingStudy?page={3 - number}"}]}

    with telling(tmp_path, around) as world, OutboundSession([world.ehr.base_url]) as session:
        client = FhirClient(world.ehr.fhir_base, session, access_token="access-of-a-test")
        pages = list(client.pages("ImagingStudy", []))

    assert len(pages) == 3
    assert pages[-1].next_url is not None, "whoever reads them sees that there may be more"


@pytest.mark.parametrize("entries", ["none", 7])
def test_a_client_takes_no_words_for_entries(tmp_path: Path, entries: object) -> None:
    with (
        telling(tmp_path, lambda _number, _next: {"entry": entries}) as world,
        OutboundSession([world.ehr.base_url]) as session,
    ):
        client = FhirClient(world.ehr.fhir_base, session, access_token="access-of-a-test")
        with pytest.raises(UpstreamError):
            client.search("ImagingStudy", [])


@dataclass
class ReportingEhr(FakeEhr):
    """An EHR whose reports come one on a page."""

    reports: tuple[dict[str, Any], ...] = ()

    def _search(self, resource_type: str) -> Any:
        if resource_type != "DiagnosticReport":
            return super()._search(resource_type)
        number = int(request.args.get("page", 0))
        link = [{"relation": "next", "url": f"{self.fhir_base}/DiagnosticReport?page={number + 1}"}]
        page = {"entry": [entry(self.reports[number])], "link": link if number + 1 < len(self.reports) else []}
        return jsonify({"resourceType": "Bundle", "type": "searchset", **page})


def pages_with(tmp_path: Path, *reports: dict[str, Any]) -> tuple[str, str, str]:
    """What list, stream and panel say."""
    with a_world(tmp_path, ehr=ReportingEhr(fhir=demo_record(), reports=reports)) as world:
        world.clinician.launches(world.ehr)
        base = f"/s/{world.clinician.session}/studies"
        found = [world.clinician.get(f"{base}{path}").text for path in ("?whole", "/stream", f"/{STUDY_A}/panel")]
    return found[0], found[1], found[2]


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/demo-b"},
        {"reference": "https://x.example/fhir/Patient/demo-a"},
        {"reference": "Group/1"},
        None,
    ],
)
def test_group_29_a_report_of_another_patient_stands_beside_no_study(tmp_path: Path, subject: dict[str, str] | None) -> None:
    """Only its words about a study were looked at, so a server that answered too much put them beside this patient's."""
    found = pages_with(tmp_path, {**report_on(), "subject": subject})

    assert "CT chest" in found[0]
    assert not any("Part-solid" in page for page in found)
    assert "1 report was left out because it does not belong to this patient" in found[0]
    assert "1 report was left out because it does not belong to this patient" in found[1]


def test_a_report_that_two_pages_have_counts_once_and_as_it_is_now(tmp_path: Path) -> None:
    whole, _, panel = pages_with(tmp_path / "twice", report_on(), report_on())
    amended, _, _ = pages_with(tmp_path / "amended", report_on(), {**report_on(), "conclusion": "No nodule."})
    withdrawn, _, _ = pages_with(tmp_path / "withdrawn", report_on(), {**report_on(), "status": "entered-in-error"})

    assert (whole.count("Part-solid"), panel.count("Part-solid")) == (1, 1)
    assert ("Part-solid" in amended, "No nodule." in amended) == (False, True)
    assert "Part-solid" not in withdrawn
