"""Every opening and every denial is one valid BALP event, and nothing that a caller sends can forge one (groups 34, 35)."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from flask import Response
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.audit import AuditAction, AuditOutcome, AuditRecord
from fhir_imaging.fhir_mapping.audit_event import audit_event
from tests.audit_actors import SERVER, an_access
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import BULK, FRAME, INSTANCE, METADATA, STUDY_A, STUDY_B, series_of

DCM = "http://dicom.nema.org/resources/ontology/DCM"


def recorded(world: World, before: int) -> list[AuditRecord]:
    """What came since, oldest first."""
    return world.audit()[: len(world.audit()) - before][::-1]


def roles(event: dict[str, Any]) -> dict[str, str]:
    """By DICOM role, whether it is the client or the server."""
    found = {}
    for agent in event["agent"]:
        code = agent["type"]["coding"][0]
        if code["system"] == DCM:
            is_server = agent["who"].get("identifier", {}).get("value") == SERVER.base_url
            found[code["code"]] = "server" if is_server else "client"
    return found


OPENINGS = [INSTANCE, FRAME, BULK, f"/studies/{STUDY_A}", f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"]


@pytest.mark.parametrize("path", OPENINGS)
def test_group_35_every_kind_of_opening_is_one_valid_event_with_the_roles_of_a_read(world: World, path: str) -> None:
    before, token = len(world.audit()), world.north.token()

    assert [world.get(path, token).status for _ in range(3)] == [200] * 3

    (record,) = recorded(world, before)
    event = audit_event(record, SERVER)
    AuditEvent.model_validate(event)
    assert event["meta"]["profile"][0].endswith("PatientRead")
    assert (record.action, event["action"], event["outcome"]) == ("study-opened", "R", "0")
    assert roles(event) == {"110152": "client", "110153": "server"}


@pytest.mark.parametrize("path", ["/studies", f"/studies/{STUDY_A}/series"])
def test_group_35_a_search_is_one_valid_event_with_the_roles_of_a_query(world: World, path: str) -> None:
    before = len(world.audit())

    assert world.get(path, world.north.token()).status == 200

    (record,) = recorded(world, before)
    event = audit_event(record, SERVER)
    AuditEvent.model_validate(event)
    assert event["meta"]["profile"][0].endswith("PatientQuery")
    assert (event["action"], event["outcome"]) == ("E", "0")
    assert roles(event) == {"110153": "client", "110152": "server"}


DENIALS: list[tuple[str, dict[str, Any] | None, str]] = [
    (METADATA, None, "token-missing"),
    (f"/studies/{STUDY_B}/metadata", {}, "study-not-of-patient"),
    (METADATA, {"scope": "openid"}, "insufficient-scope"),
    (METADATA, {"patient": None}, "no-patient-in-context"),
    (METADATA, {"exp": 1}, "token-invalid"),
    ("/studies", {"scope": "openid"}, "insufficient-scope"),
]


@pytest.mark.parametrize(("path", "claims", "reason"), DENIALS)
def test_group_35_every_denial_is_one_valid_event_without_a_profile(
    world: World, path: str, claims: dict[str, Any] | None, reason: str
) -> None:
    before = len(world.audit())

    answer = world.get(path, None if claims is None else world.north.token(**claims))

    assert answer.status in (401, 403)
    assert world.pacs.asked == []
    (record,) = recorded(world, before)
    event = audit_event(record, SERVER)
    AuditEvent.model_validate(event)
    assert (record.outcome, record.reason, event["outcome"], event["outcomeDesc"]) == ("denied", reason, "4", reason)
    assert "meta" not in event


# Methods (group 16)


METHODS = [("POST", "create", "C"), ("PUT", "update", "U"), ("DELETE", "delete", "D"), ("PATCH", "patch", "U")]


@pytest.mark.parametrize(
    ("method", "interaction", "action"), [*METHODS, ("TRACE", "operation", "E"), ("BREW", "operation", "E")]
)
@pytest.mark.parametrize("path", ["/studies", f"/studies/{STUDY_A}", METADATA])
def test_group_16_refused_method_is_on_record_with_who_tried_it(
    world: World, method: str, interaction: str, action: str, path: str
) -> None:
    before = len(world.audit())

    answer = world.send(method, world.root + path, {"Authorization": f"Bearer {world.north.token()}"})

    assert answer.status == 405
    assert world.pacs.asked == []
    (record,) = recorded(world, before)
    event = audit_event(record, SERVER)
    AuditEvent.model_validate(event)
    assert (record.action, record.outcome, record.reason) == ("method-refused", "denied", "method-not-allowed")
    assert record.method == ("other" if method == "BREW" else method)
    assert (record.user, record.patient_id) == ("Practitioner/p1", "pat-a")
    assert record.study_instance_uid == (None if path == "/studies" else STUDY_A)
    assert (event["subtype"][0]["code"], event["action"], event["outcome"]) == (interaction, action, "4")


@pytest.mark.parametrize("token", [None, "rubbish"])
def test_group_16_refused_method_of_somebody_unknown_is_on_record_too(world: World, token: str | None) -> None:
    before = len(world.audit())
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    answer = world.send("POST", f"{world.root}/studies", headers)
    nobodys = world.send("POST", "/imaging/nowhere/dicom-web/main/studies", headers)

    assert (answer.status, nobodys.status) == (405, 405)
    (record,) = recorded(world, before)
    assert (record.user, record.client_address) == (None, "127.0.0.1")
    AuditEvent.model_validate(audit_event(record, SERVER))


def test_group_16_refused_method_at_the_fhir_endpoint_is_on_record(world: World) -> None:
    before = len(world.audit())

    answer = world.send(
        "PUT", f"/imaging/north/fhir/ImagingStudy/{STUDY_A}", {"Authorization": f"Bearer {world.north.token()}"}
    )

    assert (answer.status, answer.json()["resourceType"]) == (405, "OperationOutcome")
    (record,) = recorded(world, before)
    assert (record.action, record.method, record.study_instance_uid) == ("method-refused", "PUT", STUDY_A)


def test_refused_method_stays_405_while_the_authorization_server_is_down(world: World) -> None:
    world.north.answers["/"] = lambda: Response(status=500)
    before = len(world.audit())
    token = world.north.token()

    answer = world.send("DELETE", f"{world.root}/studies/{STUDY_A}", {"Authorization": f"Bearer {token}"})

    assert answer.status == 405
    assert [one.reason for one in recorded(world, before)] == ["method-not-allowed"]


# What callers send cannot forge a record (group 34)


HOSTILE = "2.25.11\r\nSet-Cookie: x=1", "\x1b[2Jfaked", '"}\n{"resourceType":"AuditEvent"'


def test_group_34_nothing_of_a_request_begins_a_line_in_log_or_record(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="imaging_cds")
    before, token = len(world.audit()), world.north.token()
    for hostile in HOSTILE:
        headers = {"User-Agent": hostile, "X-Request-Id": hostile, "Authorization": f"Bearer {token}"}
        plain = {name: value.replace("\r", "").replace("\n", "") for name, value in headers.items()}
        quoted = "".join(f"%{byte:02X}" for byte in hostile.encode())
        world.send("GET", world.root + METADATA, plain)
        world.send("GET", f"{world.root}/studies/{quoted}/metadata", plain)
        world.send("GET", f"{world.root}/studies?StudyInstanceUID={quoted}", plain)

    for record in recorded(world, before):
        assert (record.request_id or "").isalnum()
        line = json.dumps(audit_event(record, SERVER))
        assert line.isprintable()
    for entry in caplog.records:
        if entry.name.startswith("imaging_cds"):
            assert entry.getMessage().isprintable()
            assert token not in entry.getMessage()
            assert "faked" not in entry.getMessage()


@pytest.mark.parametrize("jti", ["a\nb", "\x00", "\ud800", " ", "x" * 4000, "a|b"])
def test_group_34_token_with_an_odd_id_is_recorded_as_a_valid_event(world: World, jti: str) -> None:
    before = len(world.audit())

    answer = world.get(f"/studies/{STUDY_B}/metadata", world.north.token(jti=jti, sub="\ud800\x1b[0m", fhirUser=jti))

    assert answer.status in (401, 403)
    (record,) = recorded(world, before)
    AuditEvent.model_validate(audit_event(record, SERVER))


def test_group_35_role_and_purpose_of_the_token_are_in_the_event(world: World) -> None:
    purpose = {"system": "urn:oid:2.16.756.5.30.1.127.3.10.5", "code": "NORM"}
    iua = {"subject_role": [{"system": "urn:oid:2.16.756.5.30.1.127.3.10.6", "code": "HCP"}], "purpose_of_use": [purpose]}

    assert world.get(INSTANCE, world.north.token(extensions={"ihe_iua": iua})).status == 200

    event = audit_event(world.audit()[0], SERVER)
    AuditEvent.model_validate(event)
    user = next(one for one in event["agent"] if one["type"]["coding"][0]["code"] == "IRCP")
    assert user["role"] == [{"coding": [{"system": "urn:oid:2.16.756.5.30.1.127.3.10.6", "code": "HCP"}]}]
    assert user["purposeOfUse"] == [{"coding": [purpose]}]
    assert {one["code"] for one in user["type"]["coding"]} == {"IRCP", "UserOauthAgent"}


# A database that takes nothing more


@pytest.mark.parametrize(
    ("full", "mended"), [("query_only = ON", "query_only = OFF"), ("max_page_count = 1", "max_page_count = 0x7ffffffe")]
)
def test_group_34_full_or_read_only_database_refuses_access_and_recovers(world: World, full: str, mended: str) -> None:
    """A limit of pages does to SQLite what a full disk does; what still fits into the last page is recorded and allowed."""
    with ExitStack() as stack:
        pooled = [stack.enter_context(world.store.engine.connect()) for _ in range(3)]
        connections: list[Any] = [one.connection.driver_connection for one in pooled]
    for connection in connections:
        connection.execute(f"PRAGMA {full}")
    try:
        tokens = [world.north.token() for _ in range(20)]
        answers = [world.get(INSTANCE, token) for token in tokens]
        refused = next(token for token, answer in zip(tokens, answers, strict=True) if answer.status != 200)
        world.pacs.asked.clear()
        last = world.get(INSTANCE, refused)
    finally:
        for connection in connections:
            connection.execute(f"PRAGMA {mended}")

    assert last.status == 503
    assert last.headers["Retry-After"]
    assert world.pacs.retrievals() == []
    assert world.get(INSTANCE, refused).status == 200


# Any record


TEXT = st.none() | st.text(min_size=1, max_size=40)
RECORDS = st.builds(
    AuditRecord,
    recorded_at=st.integers(0, 4_000_000_000),
    ehr=st.just("north"),
    action=st.sampled_from(AuditAction),
    outcome=st.sampled_from(AuditOutcome),
    reason=TEXT,
    patient_id=st.none() | st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
    user=TEXT,
    client_id=TEXT,
    issuer=TEXT,
    study_instance_uid=st.sampled_from([None, STUDY_A]),
    query=TEXT,
    client_address=TEXT,
    request_id=TEXT,
    token_reference=TEXT,
    subject_role=st.none() | st.tuples(st.text(max_size=20)),
    purpose_of_use=st.none() | st.tuples(st.text(max_size=20), st.text(max_size=20)),
    method=st.sampled_from([None, "POST", "DELETE", "other"]),
)


@given(RECORDS)
def test_any_record_is_a_valid_event_on_one_line(record: AuditRecord) -> None:
    event = audit_event(record, SERVER, event_id="6f1c1f0e-0000-4000-8000-000000000001")

    AuditEvent.model_validate(event)
    assert json.dumps(event).isprintable()


def test_refused_server_is_a_security_alert_that_names_it() -> None:
    refused = replace(
        an_access(), action=AuditAction.ENDPOINT_REFUSED, outcome=AuditOutcome.DENIED, study_instance_uid=None, client_id=None
    )

    event = audit_event(replace(refused, reason="origin-not-allowed: https://evil.example"), SERVER)

    AuditEvent.model_validate(event)
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("110113", "110126")
    node = next(one for one in event["entity"] if one["role"]["code"] == "17")
    assert node["what"]["identifier"]["value"] == "https://evil.example"
    assert (event["outcome"], "meta" in event) == ("4", False)
