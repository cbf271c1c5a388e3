"""What clicking on cards does: draft orders, feedback, launches, and who may click at all."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from ehr_sandbox.ehr import create_ehr
from tests.chart_actors import ChartActor, a_card, a_chart, a_suggesting_card, a_suggestion, keys_of_cards

REASON = {
    "system": "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes",
    "code": "action-completed",
    "display": "Recommended action was already completed",
}


@pytest.fixture(scope="module")
def running_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        yield actor


@pytest.fixture
def chart(running_chart: ChartActor) -> ChartActor:
    running_chart.forgets_everything()
    return running_chart


def opened(chart: ChartActor, *cards: dict[str, Any]) -> tuple[str, list[str]]:
    """The opening of patient A's chart and the keys of its cards."""
    chart.cds.response = {"cards": list(cards)}
    opening = chart.opens()
    return opening, keys_of_cards(chart.sees_guidance(opening))


def accepted(chart: ChartActor, opening: str, key: str, position: int = 0) -> dict[str, Any]:
    fields = {"opening": opening, "card": key, "suggestion": position}
    answer = chart.posts("/patients/demo-a/cards/accept", fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def orders(chart: ChartActor) -> list[dict[str, Any]]:
    return chart.services.store.search("ServiceRequest", {"patient": "demo-a"})


def test_accepted_suggestion_creates_the_draft_order_and_is_told_R29_R34(chart: ChartActor) -> None:
    card, suggestion = a_suggesting_card(a_suggestion()), a_suggestion()
    opening, (key,) = opened(chart, card)

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is True
    (order,) = orders(chart)
    assert order["status"] == "draft"
    assert order["code"]["coding"][0]["code"] == "29252-4"
    (entry,) = chart.cds.feedback()
    assert entry["card"] == card["uuid"]
    assert entry["outcome"] == "accepted"
    assert entry["acceptedSuggestions"] == [{"id": suggestion["uuid"]}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["outcomeTimestamp"])


def test_draft_order_stands_in_the_chart(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    accepted(chart, opening, key)

    page = chart.http.get(f"{chart.ehr}/patients/demo-a/orders", timeout=5).text

    assert "CT chest without contrast" in page
    assert "draft" in page


def test_suggestion_is_accepted_once(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    accepted(chart, opening, key)

    again = accepted(chart, opening, key)

    assert again["done"] is False
    assert len(orders(chart)) == 1
    assert len(chart.cds.feedback()) == 1


def test_at_most_one_suggestion_is_accepted_R27(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion(), a_suggestion(uuid="second", label="Other")))
    accepted(chart, opening, key, 0)

    assert accepted(chart, opening, key, 1)["done"] is False
    assert len(orders(chart)) == 1


def test_any_suggestions_are_accepted_one_by_one_R27(chart: ChartActor) -> None:
    card = a_suggesting_card(a_suggestion(), a_suggestion(uuid="second"), selectionBehavior="any")
    opening, (key,) = opened(chart, card)

    assert accepted(chart, opening, key, 0)["done"] is True
    assert accepted(chart, opening, key, 1)["done"] is True
    assert len(orders(chart)) == 2


def order_with(**members: Any) -> dict[str, Any]:
    suggestion = a_suggestion()
    suggestion["actions"][0]["resource"] |= members
    return suggestion


@pytest.mark.parametrize(
    ("suggestion", "reason"),
    [
        (order_with(subject={"reference": "Patient/demo-b"}), "for another patient"),
        (order_with(subject={"display": "somebody"}), "names no patient"),
        (order_with(status="active"), "is not a draft"),
        (order_with(intent="wish"), "has no valid intent"),
        (order_with(resourceType="Condition"), "is no order that can be drafted"),
        (order_with(reasonReference=[{"reference": "ImagingStudy/demo-b-ct"}]), "record of another patient"),
        (order_with(reasonReference=[{"reference": "Observation/nowhere"}]), "which does not exist here"),
        (order_with(encounter={"reference": "https://elsewhere.example/Encounter/1"}), "outside this EHR"),
        (
            a_suggestion(actions=[{"type": "delete", "description": "Delete", "resourceId": "ImagingStudy/demo-a-ct"}]),
            "it wants to delete",
        ),
        (
            a_suggestion(
                actions=[
                    {
                        "type": "update",
                        "description": "Update",
                        "resource": {"resourceType": "Patient", "id": "demo-a"},
                    }
                ]
            ),
            "it wants to update",
        ),
    ],
)
def test_actions_beyond_draft_orders_of_this_patient_are_refused(
    chart: ChartActor, suggestion: dict[str, Any], reason: str
) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(suggestion))

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is False
    assert reason.removeprefix("it ") in outcome["text"]
    assert orders(chart) == []
    assert chart.cds.feedback() == []


def test_one_refused_action_stops_all(chart: ChartActor) -> None:
    good, bad = a_suggestion()["actions"][0], order_with(status="active")["actions"][0]
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion(actions=[good, bad])))

    assert accepted(chart, opening, key)["done"] is False
    assert orders(chart) == []


def test_suggestion_without_ids_is_accepted_without_feedback(chart: ChartActor) -> None:
    suggestion = a_suggestion()
    del suggestion["uuid"]
    opening, (key,) = opened(chart, a_suggesting_card(suggestion))

    assert accepted(chart, opening, key)["done"] is True
    assert chart.cds.feedback() == []


def test_feedback_that_fails_does_not_undo_the_order(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    chart.cds.feedback_status = 500

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is True
    assert "could not be told" in outcome["text"]
    assert len(orders(chart)) == 1


def test_dismissal_is_told_with_reason_and_comment_R31_R34(chart: ChartActor) -> None:
    card = a_card(overrideReasons=[REASON])
    opening, (key,) = opened(chart, card)

    fields = {"opening": opening, "card": key, "reason": 0, "comment": " done elsewhere "}
    answer = chart.posts("/patients/demo-a/cards/dismiss", fields)

    assert answer.status_code == 200
    (entry,) = chart.cds.feedback()
    assert entry["card"] == card["uuid"]
    assert entry["outcome"] == "overridden"
    assert entry["overrideReason"] == {"reason": REASON, "userComment": "done elsewhere"}
    assert entry["outcomeTimestamp"].endswith("Z")
    assert chart.posts("/patients/demo-a/cards/dismiss", fields).status_code == 409


def test_dismissal_without_reason_has_no_empty_member_R2_cds_fb_3(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_card())

    chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key, "comment": ""})

    (entry,) = chart.cds.feedback()
    assert "overrideReason" not in entry


def test_card_without_uuid_is_dismissed_silently(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_card(uuid=None))

    answer = chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key})

    assert answer.status_code == 200
    assert chart.cds.feedback() == []


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


POSTS = [
    "/patients/demo-a/hooks/patient-view",
    "/patients/demo-a/cards/accept",
    "/patients/demo-a/cards/dismiss",
    "/patients/demo-a/launches",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}])
def test_post_of_another_origin_is_refused(chart: ChartActor, path: str, headers: dict[str, str]) -> None:
    answer = chart.posts(path, {"opening": chart.opens(), "card": "k", "suggestion": 0}, **headers)

    assert answer.status_code == 403
    assert chart.cds.asked == []


@pytest.mark.parametrize("path", POSTS)
def test_opening_of_another_patient_opens_nothing(chart: ChartActor, path: str) -> None:
    opening = chart.opens("demo-b")

    assert chart.posts(path, {"opening": opening, "card": "k", "suggestion": 0}).status_code == 410


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("fields", [[], {"opening": 1}, {}])
def test_malformed_post_is_refused(chart: ChartActor, path: str, fields: Any) -> None:
    assert chart.posts(path, fields).status_code in (400, 410)


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
