"""The chart's pages, and the apps that are launched from them: only registered ones, and nothing of the patient in a URL."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from ehr_sandbox.ehr import create_ehr
from tests.chart_actors import ChartActor, a_card, keys_of_cards
from tests.chart_clicks import opened


def launched(chart: ChartActor, fields: dict[str, Any]) -> requests.Response:
    return chart.posts("/patients/demo-a/launches", fields)


def launch_context(chart: ChartActor, url: str) -> Any:
    handle = parse_qs(urlsplit(url).query)["launch"][0]
    return chart.services.authorization.records.take_launch(handle, "imaging-cds", time.time())


def test_smart_link_is_launched_with_its_app_context_out_of_the_url_R30(chart: ChartActor) -> None:
    link = {"label": "Open", "type": "smart", "appContext": "2.25.1", "url": f"{chart.cds.base_url}/launch?v=1"}
    opening, (key,) = opened(chart, a_card(links=[link]))

    url = launched(chart, {"opening": opening, "card": key, "link": 0}).json()["url"]

    assert url.startswith(f"{chart.cds.base_url}/launch?v=1&launch=")
    assert "2.25.1" not in url
    assert parse_qs(urlsplit(url).query)["iss"] == [f"{chart.ehr}/fhir"]
    assert "%3A%2F%2F" in url
    context = launch_context(chart, url)
    assert context.app_context == "2.25.1"
    assert (context.patient, context.encounter, context.user) == (
        "demo-a",
        "demo-a-encounter",
        "Practitioner/demo-gp",
    )


def test_imaging_app_is_launched_in_the_chart_of_the_patient(chart: ChartActor) -> None:
    url = launched(chart, {"opening": chart.opens()}).json()["url"]

    assert launch_context(chart, url).patient == "demo-a"


def test_study_is_launched_by_reference_A29(chart: ChartActor) -> None:
    url = launched(chart, {"opening": chart.opens(), "study": "demo-a-ct"}).json()["url"]

    assert launch_context(chart, url).fhir_context == ({"reference": "ImagingStudy/demo-a-ct"},)


def test_study_of_another_patient_is_not_launched(chart: ChartActor) -> None:
    assert launched(chart, {"opening": chart.opens(), "study": "demo-b-ct"}).status_code == 404


@pytest.mark.parametrize("path", ["/other", "/launch/more", "@evil.example/launch"])
def test_unregistered_app_is_not_launched(chart: ChartActor, path: str) -> None:
    link = {"label": "Open", "type": "smart", "url": f"{chart.cds.base_url}{path}"}
    chart.cds.response = {"cards": [a_card(links=[link])]}
    opening = chart.opens()
    html = chart.sees_guidance(opening)

    assert "data-launch" not in html
    for key in keys_of_cards(html):
        assert launched(chart, {"opening": opening, "card": key, "link": 0}).status_code == 403


def test_absolute_link_opens_a_new_tab_without_opener_R30(chart: ChartActor) -> None:
    link = {"label": "Landing page", "type": "absolute", "url": "https://app.example/open?x=1&y=2"}
    chart.cds.response = {"cards": [a_card(links=[link])]}

    html = chart.sees_guidance(chart.opens())

    assert 'href="https://app.example/open?x=1&amp;y=2" target="_blank" rel="noopener noreferrer"' in html


def test_foreign_host_name_is_refused(chart: ChartActor) -> None:
    answer = chart.http.get(f"{chart.ehr}/", headers={"Host": "evil.example"}, allow_redirects=False, timeout=5)

    assert answer.status_code in (302, 421)
    assert "Synthetic" not in answer.text


def test_page_allows_no_foreign_script_and_is_not_kept(chart: ChartActor) -> None:
    headers = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=5).headers

    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert f"frame-src 'self' {chart.cds.base_url};" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"


def test_unknown_patient_is_explained(chart: ChartActor) -> None:
    answer = chart.http.get(f"{chart.ehr}/patients/nobody", timeout=5)

    assert answer.status_code == 404
    assert "There is no such patient here." in answer.text


def test_patients_are_found_by_name_without_a_name_in_the_url(chart: ChartActor) -> None:
    answer = chart.http.post(f"{chart.ehr}/", data={"words": "alma"}, headers={"Origin": chart.ehr}, timeout=5)

    assert "Synthetic, Alma" in answer.text
    assert "Synthetic, Bruno" not in answer.text
    assert "alma" not in answer.url


def test_chart_is_a_part_of_the_whole_ehr(chart: ChartActor) -> None:
    ehr = create_ehr(chart.services.settings).test_client()

    page = ehr.get("/patients/demo-a", base_url=chart.ehr)
    keys = ehr.get("/cds-client/jwks.json", base_url=chart.ehr)

    assert "Synthetic, Alma" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert keys.get_json()["keys"][0]["crv"] == "P-384"


@pytest.mark.parametrize("path", ["/patients/not~an~id", "/patients/demo-a/wire/nothing"])
def test_address_that_means_nothing_is_explained(chart: ChartActor, path: str) -> None:
    assert chart.http.get(f"{chart.ehr}{path}", timeout=5).status_code in (404, 410)
