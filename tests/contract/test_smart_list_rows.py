"""What the rows of the list carry for scripts and for people (smart-launch.md §8), by the page that a browser gets."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.contract.smart_actors import (
    GATEWAY,
    STUDY_A,
    FakeEhr,
    World,
    a_world,
    demo_record,
    imaging_study,
    report_on,
    wado_endpoint,
)


class Rows(HTMLParser):
    """The attributes of each row, and of ``main``; the headings in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, str]] = {}
        self.main: dict[str, str] = {}
        self.headings: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "main":
            self.main = values
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag == "li" and "study" in values.get("class", "").split():
            self.rows[values["data-uid"]] = values


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def listed(world: World, query: str = "") -> Rows:
    return Rows(world.clinician.get(f"/s/{world.clinician.session}/studies{query}").text)


def test_a_row_carries_what_scripts_need(world: World) -> None:
    page = Rows(world.clinician.launches(world.ehr).text)
    session = world.clinician.session

    row = page.rows[STUDY_A]
    assert row["id"] == f"study-{STUDY_A}"
    assert row["data-started"] == "2026-11-14T02:30:00Z"
    assert row["data-year"] == "2026"
    assert row["data-region"] == "chest"
    assert row["data-families"] == "ct"
    assert row["data-availability"] == "online"
    assert row["data-open"] == f"/s/{session}/viewer/{STUDY_A}"
    assert row["data-thumbnail"] == f"{GATEWAY}/studies/{STUDY_A}/series/2.25.1001.1/rendered?viewport=192,192"
    assert "part-solid nodule" in row["data-search"]
    assert page.main["data-session-path"] == f"/s/{session}"
    assert page.main["data-token"] == f"/s/{session}/token"
    assert "data-stream" not in page.main


def test_a_study_that_cannot_be_opened_has_neither_link_nor_thumbnail(world: World) -> None:
    world.ehr.fhir["ImagingStudy"][0]["availability"] = "OFFLINE"
    answer = world.clinician.launches(world.ehr)

    row = Rows(answer.text).rows[STUDY_A]
    assert (row["data-open"], row["data-thumbnail"], row["data-availability"]) == ("", "", "offline")
    assert "Kept offline: ask the archive" in answer.text
    assert "Open images" not in answer.text


def test_an_archived_study_says_so_beside_its_button(world: World) -> None:
    world.ehr.fhir["ImagingStudy"][0]["availability"] = "NEARLINE"
    answer = world.clinician.launches(world.ehr)

    assert "Open images" in answer.text
    assert "In the archive: opening may take some minutes" in answer.text


def test_headings_are_in_order(world: World) -> None:
    page = Rows(world.clinician.launches(world.ehr).text)

    outside_dialogs = [heading for heading in page.headings if heading != "h2"]
    assert outside_dialogs == ["h1", "h3"]


def test_the_study_opened_last_and_its_priors_are_marked(world: World) -> None:
    earlier = imaging_study("2.25.5", study_id="s5", started="2024-01-01")
    head = imaging_study("2.25.6", study_id="s6", started="2024-01-01", description="CT head", series=[])
    world.ehr.fhir["ImagingStudy"] += [earlier, head]
    world.clinician.launches(world.ehr)
    page = listed(world, f"?opened={STUDY_A}")

    assert page.rows[STUDY_A]["class"] == "study opened"
    assert "data-prior" in page.rows["2.25.5"]
    assert "data-prior" not in page.rows["2.25.6"]
    assert page.main["data-opened"] == STUDY_A


@pytest.mark.parametrize("odd", ["<script>", "1.2.3'", "../1.2", ""])
def test_group_27_what_is_no_uid_marks_nothing(world: World, odd: str) -> None:
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies", query_string={"opened": odd})

    assert page.status_code == 200
    assert "data-opened=" not in page.text.partition("<body")[2].partition('<div id="list-words"')[0]
    assert "<script>" not in page.text


def test_without_scripts_the_list_can_be_read_by_region(world: World) -> None:
    head = imaging_study("2.25.6", study_id="s6", started="2024-01-01", description="CT head", series=[])
    world.ehr.fhir["ImagingStudy"].append(head)
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies?by=region").text

    assert page.index(">Head</h2>") < page.index("CT head</a>") < page.index(">Chest</h2>") < page.index("CT chest</a>")


def test_group_32_scripts_may_ask_only_image_servers_that_a_study_names(tmp_path: Path) -> None:
    record = demo_record()
    record["ImagingStudy"].append(imaging_study("2.25.5", study_id="s5", endpoint=[{"reference": "Endpoint/other"}]))
    record["ImagingStudy"].append(imaging_study("2.25.6", study_id="s6", endpoint=[{"reference": "Endpoint/refused"}]))
    record["Endpoint"] += [
        wado_endpoint("https://pacs.example/dicom-web", "other"),
        wado_endpoint("https://elsewhere.example/dicom-web", "refused"),
    ]
    token_origins = ("https://pacs.example", "https://unused.example")
    with a_world(tmp_path, ehr=FakeEhr(fhir=record), token_origins=token_origins) as world:
        policy = world.clinician.launches(world.ehr).headers["Content-Security-Policy"]

    connect = next(part for part in policy.split("; ") if part.startswith("connect-src"))
    assert "https://pacs.example" in connect
    assert "unused.example" not in connect
    assert "elsewhere.example" not in connect
    assert world.ehr.base_url not in connect


def hostile(words: str) -> dict[str, Any]:
    return {**report_on(), "conclusion": words, "resultsInterpreter": [{"display": words}], "code": {"text": words}}


def test_group_27_words_from_the_ehr_stay_words(world: World) -> None:
    words = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    world.ehr.fhir["DiagnosticReport"] = [hostile(words)]
    world.ehr.fhir["ImagingStudy"] = [imaging_study(description=words, reasonCode=[{"text": words}])]
    page = world.clinician.launches(world.ehr)

    assert "alert(1)" in page.text
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert set(Rows(page.text).rows) == {STUDY_A}
