"""Who opened what is recorded, and its FHIR form is a valid BALP AuditEvent (smart-imaging.md §6, groups 34 and 35)."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.audit_outbox import reports
from fhir_imaging.fhir_mapping.audit_event import AuditedServer, audit_event
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store
from imaging_server.access import AccessGrant, FhirPatientId
from imaging_server.auditing import AccessAudit, Attempt
from imaging_server.resource import parse_path
from tests.balp_profiles import PATIENT_QUERY, PATIENT_READ, TOKEN_MINIMAL
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import STUDY_A, STUDY_B, instance_of, series_of

SERVER = AuditedServer(base_url="https://imaging.example/imaging/north", fhir_base="https://ehr.example/fhir")
DCM = "http://dicom.nema.org/resources/ontology/DCM"
READ = AuditRecord(
    recorded_at=1_800_000_000,
    ehr="north",
    action=AuditAction.STUDY_OPENED,
    outcome=AuditOutcome.ALLOWED,
    patient_id="pat-a",
    user="Practitioner/p1",
    client_id="viewer",
    issuer="https://ehr.example/auth",
    study_instance_uid="2.25.1",
    client_address="10.0.0.7",
    request_id="request-1",
    token_reference="jti-1",
)
QUERY = replace(READ, action=AuditAction.SEARCHED, study_instance_uid=None, query="studies?PatientID=MRN-A")
DENIED = replace(READ, outcome=AuditOutcome.DENIED, reason="study-not-of-patient")
EDGES = [
    READ,
    QUERY,
    DENIED,
    replace(QUERY, outcome=AuditOutcome.DENIED, reason="insufficient-scope"),
    replace(DENIED, reason="authorization-unavailable"),
    replace(DENIED, reason="authorization-unavailable: and 3 more like it"),
    replace(READ, user=None, client_address=None),
    replace(READ, user="https://other.example/fhir/Practitioner/9", token_reference="digest:abc"),
    replace(READ, user="user-17", client_address="gateway.internal"),
    replace(READ, token_reference="jti with spaces/and more"),
    replace(READ, action=AuditAction.STUDY_DESCRIBED),
    replace(READ, action=AuditAction.STUDY_PREVIEWED),
    AuditRecord(recorded_at=0, ehr="north", action=AuditAction.SEARCHED, outcome=AuditOutcome.DENIED, reason="token-missing"),
    AuditRecord(recorded_at=0, ehr="north", action=AuditAction.STUDY_OPENED, outcome=AuditOutcome.DENIED, reason="x"),
]


def agent(event: dict[str, Any], role: str) -> dict[str, Any]:
    return next(one for one in event["agent"] if one["type"]["coding"][0]["code"] == role)


@pytest.mark.parametrize("record", EDGES, ids=range(len(EDGES)))
def test_every_record_makes_a_valid_r4_audit_event(record: AuditRecord) -> None:
    event = audit_event(record, SERVER)

    AuditEvent.model_validate(event)
    assert len(event["agent"]) >= 2
    assert all("type" in one for one in event["agent"])


def test_read_claims_the_balp_profile_and_holds_what_it_demands() -> None:
    event = audit_event(READ, SERVER)

    assert event["meta"]["profile"] == [PATIENT_READ, TOKEN_MINIMAL]
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("rest", "read")
    assert (event["action"], event["outcome"], event["recorded"]) == ("R", "0", "2027-01-15T08:00:00Z")
    assert agent(event, "110152")["network"] == {"address": "10.0.0.7", "type": "2"}
    assert agent(event, "110152")["who"]["identifier"]["value"] == "viewer"
    assert agent(event, "110153")["network"]["address"] == SERVER.base_url
    user = agent(event, "IRCP")
    assert user["who"]["reference"] == "https://ehr.example/fhir/Practitioner/p1"
    assert (user["requestor"], user["policy"]) == (True, ["urn:ietf:params:oauth:jti:jti-1"])
    assert "network" not in user
    patient, study, transaction = event["entity"]
    assert patient["what"]["reference"] == "https://ehr.example/fhir/Patient/pat-a"
    assert (patient["type"]["code"], patient["role"]["code"]) == ("1", "1")
    assert study["what"]["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:2.25.1"}
    assert (study["type"]["code"], study["role"]["code"]) == ("2", "4")
    assert transaction["what"]["identifier"]["value"] == "request-1"


def test_query_reverses_the_roles_and_holds_the_raw_request() -> None:
    event = audit_event(QUERY, SERVER)

    assert event["meta"]["profile"] == [PATIENT_QUERY, TOKEN_MINIMAL]
    assert (event["subtype"][0]["code"], event["action"]) == ("search", "E")
    assert agent(event, "110153")["who"]["identifier"]["value"] == "viewer"
    assert agent(event, "110152")["network"]["address"] == SERVER.base_url
    query = event["entity"][1]
    assert (query["type"]["code"], query["role"]["code"]) == ("2", "24")
    assert base64.b64decode(query["query"]).decode() == "studies?PatientID=MRN-A"
    assert "what" not in query


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("study-not-of-patient", "4"),
        ("authorization-unavailable", "8"),
        ("authorization-unavailable: and 3 more like it", "8"),
    ],
)
def test_denial_is_its_own_event_without_the_profile(reason: str, outcome: str) -> None:
    event = audit_event(replace(DENIED, reason=reason), SERVER)

    assert (event["outcome"], event["outcomeDesc"]) == (outcome, reason)
    assert "meta" not in event


# The gateway's own records


def test_study_opened_in_many_requests_is_recorded_once_for_each_token(world: World) -> None:
    """P8."""
    before = len(world.audit())
    for token in (world.north.token(), world.north.token()):
        for path in (
            "/metadata",
            f"/series/{series_of(STUDY_A)}",
            f"/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A)}",
        ):
            assert world.get(f"/studies/{STUDY_A}{path}", token).status == 200

    records = world.audit()[: len(world.audit()) - before]
    opened, described = (("study-opened", "allowed", STUDY_A), ("study-described", "allowed", STUDY_A))
    assert [(one.action, one.outcome, one.study_instance_uid) for one in records] == [opened, described] * 2
    assert len({one.token_reference for one in records}) == 2


def test_p8_group_35_who_else_opens_it_is_on_record_also_where_all_tokens_have_one_jti(world: World) -> None:
    """RFC 7519 §4.1.7 wants another for each token, which the server that issues them may not do."""
    users = [(f"{world.north.fhir_base}/Practitioner/{one}", client) for one, client in (("p1", "v"), ("p2", "v"), ("p2", "w"))]
    before = len(world.audit())
    for user, client in users:
        for _ in range(2):
            token = world.north.token(jti="the same", fhirUser=user, client_id=client)
            assert world.get(f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}", token).status == 200

    records = world.audit()[: len(world.audit()) - before]
    assert [(one.user, one.client_id) for one in reversed(records)] == [
        *(("Practitioner/p1", "v"), ("Practitioner/p2", "v"), ("Practitioner/p2", "w"))
    ]


def test_a_study_is_opened_with_its_first_pixel_and_not_before(world: World) -> None:
    """P8: what a viewer or list loads ahead of a click is recorded, and as what it is."""
    token = world.north.token()
    series = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
    before = len(world.audit())

    assert world.get(f"{series}/metadata", token).status == 200
    ahead = [one.action for one in world.audit()[: len(world.audit()) - before]]
    assert world.get(f"{series}/instances/{instance_of(STUDY_A)}", token).status == 200

    assert ahead == ["study-described"]
    assert [one.action for one in world.audit()[: len(world.audit()) - before]] == ["study-opened", "study-described"]
    detail = audit_event(replace(READ, action=AuditAction.STUDY_DESCRIBED), SERVER)["entity"][1]["detail"]
    assert detail == [{"type": "disclosed", "valueString": "description of the study, no images"}]


def test_record_names_who_what_and_where_from(world: World) -> None:
    claims = world.north.claims()

    world.get(f"/studies/{STUDY_A}/metadata", world.north.token(jti=claims["jti"]), X_Request_Id="request-0815")

    record = world.audit()[0]
    assert (record.user, record.client_id, record.patient_id) == ("Practitioner/p1", "viewer", "pat-a")
    assert (record.issuer, record.token_reference) == (world.north.issuer, claims["jti"])
    assert (record.request_id, record.client_address) == ("request-0815", "127.0.0.1")


def test_opaque_token_is_referred_to_by_a_keyed_digest(world: World) -> None:
    """P7: never by a part of the token."""
    claims = world.south.claims(jti=None)
    world.south.introspected["opaque-token-value"] = {**claims, "active": True}
    headers = {"Authorization": "Bearer opaque-token-value"}

    world.send("GET", f"/imaging/south/dicom-web/main/studies/{STUDY_A}/metadata", headers)

    reference = world.audit()[0].token_reference or ""
    assert reference.startswith("digest:")
    assert "opaque" not in reference
    assert len(reference) == len("digest:") + 64


def test_every_denial_is_recorded_each_time(world: World) -> None:
    before = len(world.audit())
    token = world.north.token()
    for _ in range(3):
        world.get(f"/studies/{STUDY_B}/metadata", token)
    world.get(f"/studies/{STUDY_A}/metadata")
    world.get(f"/studies/{STUDY_A}/metadata", "rubbish")
    world.get("/studies", world.north.token(scope="openid"))

    records = world.audit()[: len(world.audit()) - before]
    assert [one.reason for one in reversed(records)] == [
        *["study-not-of-patient"] * 3,
        "token-missing",
        "token-invalid",
        "insufficient-scope",
    ]
    assert {one.outcome for one in records} == {"denied"}
    for record in records:
        AuditEvent.model_validate(audit_event(record, SERVER))


def test_nested_search_is_recorded_as_a_search_once_and_opening_apart(world: World) -> None:
    token = world.north.token()
    before = len(world.audit())
    for path in ("series", "instances", "series", "metadata", f"series/{series_of(STUDY_A)}"):
        world.get(f"/studies/{STUDY_A}/{path}", token)

    recorded = [one.action for one in world.audit()[: len(world.audit()) - before]]
    assert recorded == ["study-opened", "study-described", "searched"]


def test_access_that_cannot_be_recorded_does_not_happen(world: World) -> None:
    """Group 34: the audit log fails closed; once it works again, the study is recorded after all."""
    token = world.north.token()
    with world.store.write() as connection:
        connection.execute(text("ALTER TABLE audit_event RENAME TO audit_event_gone"))
    try:
        answers = [world.get(f"/studies/{STUDY_A}/metadata", token), world.get("/studies", token)]
    finally:
        with world.store.write() as connection:
            connection.execute(text("ALTER TABLE audit_event_gone RENAME TO audit_event"))
    before = len(world.audit())
    again = world.get(f"/studies/{STUDY_A}/metadata", token)

    assert [one.status for one in answers] == [503, 503]
    assert world.pacs.retrievals()[:-1] == []
    assert (again.status, len(world.audit())) == (200, before + 1)


# The log itself


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    store = Store.open(StateSettings(state_dir=tmp_path / "state"))
    store.migrate()
    yield AuditLog(store)
    store.close()


def test_record_is_appended_once_until_its_window_has_passed(log: AuditLog) -> None:
    kept = [log.append_once(READ, key="k", until=now + 100, now=now) for now in (1000, 1050, 1099, 1100, 1150)]
    other = log.append_once(READ, key="another", until=1200, now=1150)

    assert kept == [True, False, False, True, False]
    assert other is True
    assert len(list(log.find(AuditFilter()))) == 3


def test_group_35_a_clock_that_was_ahead_hides_no_access_afterwards(log: AuditLog) -> None:
    """What another machine recorded a moment ago by a clock of its own is on record all the same."""
    ahead = log.append_once(READ, key="k", until=90_100, now=90_000)
    kept = [log.append_once(READ, key="k", until=now + 100, now=now) for now in (1000, 1050, 1100, 1070)]

    assert ahead is True
    assert kept == [True, False, True, False]


def test_group_34_an_access_is_on_record_whatever_somebody_removed_from_the_tables(tmp_path: Path) -> None:
    """SQLite gives the number of a newest record that is gone to the next one, under which a sink still waits for something."""
    store = Store.open(StateSettings(state_dir=tmp_path / "other"), OutboxRules(sinks=("file",)))
    store.migrate()
    log = AuditLog(store)
    log.append(READ)
    with store.write() as connection:
        connection.execute(text("DELETE FROM audit_event"))

    kept = log.append_once(READ, key="k", until=1100, now=1000)
    log.append(DENIED)
    found, (waiting,) = list(log.find(AuditFilter())), reports(store, ("file",))
    store.close()

    assert kept is True
    assert found == [DENIED, READ]
    assert waiting.pending == 2


def test_group_34_a_database_that_takes_no_record_is_not_one_that_has_it(log: AuditLog, tmp_path: Path) -> None:
    store = Store.open(StateSettings(state_dir=tmp_path / "state"))
    with store.write() as connection:
        connection.execute(text("CREATE UNIQUE INDEX nothing_more ON audit_event (ehr)"))
    store.close()
    log.append(READ)

    with pytest.raises(SQLAlchemyError):
        log.append_once(READ, key="k", until=1100, now=1000)


def test_p8_each_window_has_its_record_also_where_two_workers_take_turns(tmp_path: Path) -> None:
    """What another worker recorded counts as long as it does there, and no longer."""
    store = Store.open(StateSettings(state_dir=tmp_path / "other"))
    store.migrate()
    now = [1_800_000_000.0]
    first, second = (AccessAudit(AuditLog(store), window_s=1, clock=lambda: now[0]) for _ in range(2))
    resource = parse_path(f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}")
    assert resource is not None
    attempt = Attempt(ehr="north", resource=resource, query=None, client_address=None, request_id="r")
    grant = AccessGrant(
        ehr="north",
        issuer="https://ehr.example/auth",
        patient_id=FhirPatientId("pat-a"),
        scopes=parse_scopes("patient/ImagingStudy.rs"),
        user=None,
        client_id=None,
        expires_at=1_800_003_600,
        token_reference="jti-1",
    )
    first.allowed(attempt, grant)
    now[0] += 0.9
    second.allowed(attempt, grant)
    time.sleep(0.2)
    now[0] += 0.2
    second.allowed(attempt, grant)
    found = list(AuditLog(store).find(AuditFilter()))
    store.close()

    assert [one.recorded_at for one in found] == [1_800_000_001, 1_800_000_000]


def test_record_found_by_patient_user_and_study(log: AuditLog) -> None:
    log.append(READ)
    log.append(DENIED)

    assert list(log.find(AuditFilter(patient_id="pat-a", user="Practitioner/p1", study_instance_uid="2.25.1"))) == [
        DENIED,
        READ,
    ]
    assert list(log.find(AuditFilter(patient_id="pat-b"))) == []


@pytest.mark.parametrize("query", ["viewport=2000,2000", "%76iewport=2000,2000", "view%70ort=2000%2C2000"])
def test_p8_a_large_thumbnail_opens_the_study_however_its_size_is_written(world: World, query: str) -> None:
    answer = world.get(f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/thumbnail?{query}", world.north.token())

    assert (answer.status, world.audit()[0].action) == (200, "study-opened")


@pytest.mark.parametrize(
    ("query", "action"),
    [
        ("viewport=192,192", "study-previewed"),
        ("viewport=256,256&window=40,400,linear", "study-previewed"),
        ("viewport=257,64", "study-opened"),
        ("viewport=192,192,0,0,64,64", "study-opened"),
        ("viewport=192,192&viewport=2000,2000", "study-opened"),
        ("viewport=0,0", "study-opened"),
        ("", "study-opened"),
    ],
)
def test_a_small_rendered_picture_is_a_preview_and_a_cut_out_is_not(query: str, action: str, tmp_path: Path) -> None:
    """P8: lists show previews; whoever asks for pieces or large pictures has opened the study."""
    store = Store.open(StateSettings(state_dir=tmp_path))
    store.migrate()
    resource = parse_path(f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/rendered")
    assert resource is not None
    attempt = Attempt(ehr="north", resource=resource, query=f"{resource.path}?{query}", client_address=None, request_id="r")

    AccessAudit(AuditLog(store), window_s=60).denied(attempt, None, "token-missing")
    (record,) = AuditLog(store).find(AuditFilter())
    store.close()

    assert record.action == action
