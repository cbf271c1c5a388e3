"""The pure rules of the chart: prefetch templates, card checks, launch URLs, banners."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ehr_sandbox.chart_card_checks import check_response
from ehr_sandbox.chart_hooks import hook_request, scope_for
from ehr_sandbox.chart_launch import with_launch
from ehr_sandbox.chart_markdown import draw_markdown
from ehr_sandbox.chart_prefetch import (
    InstanceRead,
    TypeSearch,
    UnresolvedTemplate,
    prefetch_tokens,
    resolve_template,
)
from ehr_sandbox.chart_summary import current_encounter, observation_row, order_row, read_banner
from ehr_sandbox.hook_client import CdsService
from ehr_sandbox.wire_log import pretty, redact

TOKENS = prefetch_tokens({"userId": "Practitioner/gp", "patientId": "a b&c", "draftOrders": {"entry": []}})


def card(**members: Any) -> dict[str, Any]:
    return {"summary": "s", "indicator": "info", "source": {"label": "l"}} | members


def faults(**members: Any) -> list[str]:
    return list(check_response({"cards": [card(**members)]}).cards[0].faults)


def test_tokens_are_primitive_context_members_and_the_user_by_type_R10_R11() -> None:
    assert TOKENS == {
        "context.userId": "Practitioner/gp",
        "context.patientId": "a b&c",
        "userPractitionerId": "gp",
    }


@pytest.mark.parametrize(
    ("template", "query"),
    [
        ("Practitioner/{{userPractitionerId}}", InstanceRead("Practitioner", "gp")),
        ("Practitioner/{{ userPractitionerId }}", InstanceRead("Practitioner", "gp")),
        (
            "Observation?patient={{context.patientId}}&code=http://loinc.org|1-1,2-2&date=ge2020&date=le2021",
            TypeSearch(
                "Observation",
                (
                    ("patient", "a b&c"),
                    ("code", "http://loinc.org|1-1,2-2"),
                    ("date", "ge2020"),
                    ("date", "le2021"),
                ),
            ),
        ),
    ],
)
def test_template_becomes_one_query_R10(template: str, query: object) -> None:
    assert resolve_template(template, TOKENS) == query


@pytest.mark.parametrize(
    "template",
    [
        "Patient/{{context.unknown}}",
        "Patient/{{userPatientId}}",
        "Observation?date=ge{{today() - 90 days}}",
        "https://evil.example/Patient/1",
        "../metadata",
        "Patient",
        "Patient/a/_history/1",
        "Patient?",
        "ServiceRequest?_id={{context.draftOrders}}",
    ],
)
def test_template_that_cannot_be_resolved_is_refused(template: str) -> None:
    with pytest.raises(UnresolvedTemplate):
        resolve_template(template, TOKENS)


def test_minimal_card_is_valid() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"summary": ""}, "R2"),
        ({"detail": None}, "R2"),
        ({"links": []}, "R2"),
        ({"extension": []}, "R3"),
        ({"summary": "x" * 140}, "R25"),
        ({"summary": 5}, "R25"),
        ({"indicator": "success"}, "R25"),
        ({"source": {}}, "R26"),
        ({"source": {"label": "l", "url": "/about"}}, "R26"),
        ({"source": {"label": "l", "icon": "javascript:alert(1)"}}, "R26"),
        ({"source": {"label": "l", "topic": {"code": "c"}}}, "R26"),
        ({"suggestions": [{"label": "l"}]}, "cds-resp-6"),
        ({"suggestions": [{"label": "l"}], "selectionBehavior": "all"}, "R27"),
        ({"suggestions": [{"isRecommended": True, "label": "l"}] * 2, "selectionBehavior": "at-most-one"}, "cds-resp-1"),
        ({"suggestions": [{"uuid": "u"}], "selectionBehavior": "any"}, "R28"),
        ({"suggestions": ["l"], "selectionBehavior": "any"}, "R28"),
        (
            {"suggestions": [{"label": "l", "actionSelectionBehavior": "one"}], "selectionBehavior": "any"},
            "cds-resp-7",
        ),
        ({"links": [{"label": "l", "url": "https://a.example", "type": "absolute", "appContext": "x"}]}, "cds-resp-3"),
        ({"links": [{"label": "l", "url": "javascript:alert(1)", "type": "absolute"}]}, "R30"),
        ({"links": [{"label": "l", "url": "https://a.example", "type": "app"}]}, "R30"),
        ({"overrideReasons": [{"code": "c", "system": "s"}]}, "cds-resp-4"),
        ({"overrideReasons": [{"display": "d", "system": "s"}]}, "R31"),
    ],
)
def test_each_broken_rule_is_named(members: dict[str, Any], rule: str) -> None:
    assert any(fault.startswith(f"{rule}:") for fault in faults(**members))


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        ({"type": "create", "resource": {"resourceType": "ServiceRequest"}}, "cds-resp-5"),
        ({"type": "append", "description": "d"}, "R29"),
        ({"type": "create", "description": "d"}, "R29"),
        ({"type": "update", "description": "d", "resource": {"resourceType": "ServiceRequest"}}, "R29"),
        ({"type": "delete", "description": "d"}, "R29"),
    ],
)
def test_each_broken_rule_of_an_action_is_named(action: dict[str, Any], rule: str) -> None:
    found = faults(selectionBehavior="any", suggestions=[{"label": "l", "actions": [action]}])

    assert any(fault.startswith(f"{rule}:") for fault in found)


def test_oddities_are_remarked_and_drawn() -> None:
    checked = check_response({"cards": [card(autoLaunchable=True, detail="<b>x</b>")], "systemActions": [{"type": "x"}]})

    assert checked.all_faults() == ()
    assert any("autoLaunchable" in remark for remark in checked.all_remarks())
    assert any("raw HTML" in remark for remark in checked.all_remarks())
    assert any("systemActions" in remark for remark in checked.all_remarks())


def test_second_card_of_one_uuid_is_refused() -> None:
    checked = check_response({"cards": [card(uuid="u"), card(uuid="u")]})

    assert [bool(checked_card.faults) for checked_card in checked.cards] == [False, True]


@pytest.mark.parametrize(
    "detail",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a <b onclick=x>b</b>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,x)",
        "![x](https://tracker.example/x.png)",
        '<https://a.example/"onmouseover=x>',
    ],
)
def test_markdown_brings_in_no_markup_of_its_own_R25(detail: str) -> None:
    html = draw_markdown(detail)

    for dangerous in ("<script", "<img", "<b ", 'href="javascript', 'href="data', '"onmouseover'):
        assert dangerous not in html


def test_markdown_headings_stay_below_the_card_title_and_links_leave_by_a_new_tab() -> None:
    html = draw_markdown("# Big\n\n[x](https://a.example)\n\n| a |\n|---|\n| b |")

    assert "<h4>Big</h4>" in html
    assert 'href="https://a.example" target="_blank" rel="noopener noreferrer"' in html
    assert "<table>" in html


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/launch", "https://a.example/launch?launch=h&iss=http%3A%2F%2Fehr%2Ffhir"),
        ("https://a.example/launch?x=1", "https://a.example/launch?x=1&launch=h&iss=http%3A%2F%2Fehr%2Ffhir"),
        ("https://a.example/launch?iss=evil#f", "https://a.example/launch?launch=h&iss=http%3A%2F%2Fehr%2Ffhir"),
    ],
)
def test_launch_and_iss_are_appended_encoded(url: str, expected: str) -> None:
    assert with_launch(url, "h", "http://ehr/fhir") == expected


@pytest.mark.parametrize(
    ("today", "age"), [(date(2026, 2, 27), 61), (date(2026, 2, 28), 61), (date(2026, 3, 1), 62), (date(2028, 2, 29), 64)]
)
def test_age_counts_completed_years(today: date, age: int) -> None:
    assert read_banner({"birthDate": "1964-02-29"}, today).age_years == age


def test_odd_patient_still_has_a_banner() -> None:
    banner = read_banner({"name": "x", "birthDate": "1964", "gender": 3, "identifier": [None, {}]}, date(2026, 1, 1))

    assert (banner.name, banner.age_years, banner.sex, banner.mrn) == ("Unnamed patient", None, "Unknown sex", "")


def test_chart_is_opened_in_the_latest_running_encounter() -> None:
    encounters = [
        {"id": "old", "status": "in-progress", "period": {"start": "2025-01-01"}},
        {"id": "new", "status": "in-progress", "period": {"start": "2026-01-01"}},
        {"id": "done", "status": "finished", "period": {"start": "2026-06-01"}},
    ]

    assert current_encounter(encounters) == "new"
    assert current_encounter(encounters[2:]) is None


def test_secrets_are_redacted_wherever_they_stand() -> None:
    assert redact('{"a": "tok", "b": "x tok y"}', ("tok", "")) == '{"a": "[redacted]", "b": "x [redacted] y"}'


def test_body_that_is_no_json_is_shown_as_it_is() -> None:
    assert pretty("<html>") == "<html>"


def test_order_says_for_when_it_is() -> None:
    row = order_row({"occurrencePeriod": {"start": "2026-09-26", "end": "2027-03-26"}, "status": "draft"})

    assert row.facts == ("for 2026-09-26 to 2027-03-26",)


def test_result_shows_its_components() -> None:
    diameter = {"code": {"text": "Diameter"}, "valueQuantity": {"value": 7, "unit": "mm"}}

    assert observation_row({"component": [diameter, {"code": {"text": "empty"}}]}).facts == ("Diameter: 7 mm",)


def test_request_without_token_and_prefetch_has_no_empty_member_R2_R16() -> None:
    service = CdsService(hook="patient-view", service_id="s", title="s", prefetch={})

    request = hook_request(service=service, context={"patientId": "a"}, prefetch={}, fhir_base="http://ehr/fhir", grant=None)

    assert set(request) == {"hook", "hookInstance", "fhirServer", "context"}


def test_scopes_follow_the_prefetch_templates_R16() -> None:
    service = CdsService(
        hook="patient-view", service_id="s", title="s", prefetch={"m": "MedicationRequest?patient={{context.patientId}}"}
    )

    scopes = scope_for(service).split()

    assert "patient/MedicationRequest.rs" in scopes
    assert "patient/Patient.r" in scopes
