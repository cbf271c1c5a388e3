"""``imaging-cds explain``: the rules behind a request's cards, and the reason behind each silence; no network, no state."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from imaging_cds.cli import main
from tests.cds_actors import (
    LOINC,
    a_bundle,
    a_condition,
    a_hook,
    a_lung_rads,
    a_patient,
    a_study,
    an_order,
    concept,
    whole_prefetch,
)

AT = "2026-11-21T09:00:00"


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints for a request, after checking its exit code."""

    def run(body: object, *options: str, code: int = 0) -> str:
        path = tmp_path / "request.json"
        path.write_text(json.dumps(body))
        assert main(["explain", str(path), "--at", AT, *options]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


def test_a_rule_that_fires_is_named_with_its_card(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lung_rads("3"))))

    assert printed.startswith("imaging-findings on patient-view, patient p\n")
    assert "  lung-rads-2022/3 [warning] Lung-RADS 3 (LDCT 2026-10-01)" in printed
    assert "Silent: nothing was left out" in printed


def test_a_finding_with_an_order_is_suppressed_and_the_order_named(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lung_rads("3"), orders=a_bundle(an_order()))))

    assert "Fired: no rule" in printed
    assert "  Observation/finding: " in printed
    assert "already ordered (ServiceRequest/order)" in printed


def test_an_unusable_resource_is_told(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lungs_of_somebody_else())))

    assert "Observation/finding: it belongs to another patient" in printed


def a_lungs_of_somebody_else() -> dict[str, Any]:
    return a_lung_rads("3", subject={"reference": "Patient/other"})


def test_each_key_says_what_came(said: Any) -> None:
    prefetch = {"patient": a_patient(), "findings": a_bundle(a_lung_rads("3")), "orders": None}

    printed = said(a_hook(prefetch))

    assert "  findings (required): present, 1 resources\n" in printed
    assert "  orders (optional): empty, 0 resources\n" in printed
    assert "  studies (optional): absent, 0 resources - not in the prefetch" in printed


def test_the_time_can_be_another_one(said: Any) -> None:
    body = a_hook(whole_prefetch(a_lung_rads("3")))

    assert "overdue" not in said(body)
    assert "overdue since" in said(body, "--at", "2028-01-01")


def test_required_data_that_is_missing_is_an_error_in_words(said: Any) -> None:
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}

    printed = said(a_hook({"patient": a_patient()}, fhirAuthorization=grant), code=1)

    assert "findings: not in the prefetch, and an explanation fetches nothing - send prefetch.findings" in printed
    assert "fhirAuthorization" not in printed, "no token would help: explain asks nobody"


def test_patients_and_proxies_are_told_nothing_and_the_reason_is_given(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(), context={"userId": "Patient/p", "patientId": "p"}))

    assert "Nothing is said: the user is a patient or proxy" in printed


def test_warnings_about_the_request_are_printed(said: Any) -> None:
    assert "warning: ord-1" in said(a_hook(whole_prefetch(), context={"userId": "gp", "patientId": "p"}))


def a_signing(**answers: Any) -> dict[str, Any]:
    """A chest CT being signed 51 days after the one on record."""
    draft = an_order(id="new", status="draft", code=concept(LOINC, "24627-2"))
    chart = dict.fromkeys(query.key for query in SERVICES["imaging-order-sign"].queries) | {"patient": a_patient()}
    context = {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": a_bundle(draft)}
    return a_hook(chart | {"studies": a_bundle(a_study())} | answers, hook="order-sign", context=context)


def test_the_service_is_found_by_the_requests_hook(said: Any) -> None:
    printed = said(a_signing())

    assert printed.startswith("imaging-order-sign on order-sign, patient p\n")
    assert "Fired: 1" in printed
    assert "already imaged on 2026-10-01" in printed


def test_r22_orders_that_are_no_imaging_are_said_to_be_left_alone(said: Any) -> None:
    signing = a_signing()
    signing["context"]["draftOrders"] = a_bundle({"resourceType": "MedicationRequest", "id": "drug"})

    printed = said(signing)

    assert "Nothing is said: none of the orders to judge is a known imaging examination" in printed
    assert "Data:" not in printed


def test_a_repeat_that_is_not_told_is_explained(said: Any) -> None:
    """O4: oncology images often, and knows why."""
    cancer = a_condition("http://hl7.org/fhir/sid/icd-10", "C50.9")

    printed = said(a_signing(conditions=a_bundle(cancer)))

    assert "Fired: no rule" in printed
    assert "Silent: 1\n  ServiceRequest/new: " in printed
    assert "(ImagingStudy/study)" in printed


def test_json_for_programs(said: Any) -> None:
    explained = json.loads(said(a_hook(whole_prefetch(a_lung_rads("3"))), "--json"))

    assert explained["fired"][0]["rule_id"] == "lung-rads-2022/3"
    assert {key["key"]: key["state"] for key in explained["keys"]}["findings"] == "present"


def test_a_request_from_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sent = io.BytesIO(json.dumps(a_hook(whole_prefetch(a_lung_rads("3")))).encode())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=sent))

    assert main(["explain", "-", "--at", AT]) == 0
    assert "lung-rads-2022/3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "options", "told"),
    [
        ([], (), "fits 0 services"),
        ({"hook": "patient-chat"}, (), "fits 0 services"),
        (a_hook(), ("--service", "other"), "no CDS service other"),
        (a_hook(hook="order-sign"), ("--service", "imaging-findings"), "this service answers patient-view"),
    ],
)
def test_what_is_no_request_is_refused_in_words(said: Any, body: object, options: tuple[str, ...], told: str) -> None:
    assert told in said(body, *options, code=1)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[" * 200_000])
def test_what_is_no_json_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)

    assert main(["explain", str(tmp_path / "x.json")]) == 1
    assert "is not JSON" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "missing.json")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_request_cannot_steer_the_terminal(said: Any) -> None:
    prefetch = whole_prefetch(a_lung_rads("3", id="x\x1b[2Jy", subject={"reference": "Patient/other"}))

    assert "\x1b" not in said(a_hook(prefetch))


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        ('{"hook": "patient-view", "hook": "order-sign"}', "hook"),
        ('{"hook": "patient-view", "context": {"patientId": "p", "patientId": "q"}}', "patientId"),
        ('{"hook": "patient-view", "prefetch": {"patient": null, "patient": null}}', "patient"),
    ],
)
def test_a_member_given_twice_is_refused_as_by_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], twice: str, name: str
) -> None:
    (tmp_path / "x.json").write_text(twice)

    assert main(["explain", str(tmp_path / "x.json")]) == 1
    assert f"has the member {name} twice in one object" in capsys.readouterr().err


def test_what_is_no_number_in_json_is_refused_as_by_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text('{"hook": NaN}')

    assert main(["explain", str(tmp_path / "x.json")]) == 1
    assert "is not JSON" in capsys.readouterr().err
