"""Every event holds what the BALP profiles ask for that it claims, and claims none that it does not hold (group 35, P7, P8)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.audit import ORIGIN_NOT_ALLOWED, AuditAction, AuditOutcome, AuditRecord
from fhir_imaging.fhir_mapping.audit_event import audit_event
from smart_app.refused_endpoints import NO_WEB_ADDRESS
from tests.audit_actors import SERVER, an_access
from tests.balp_profiles import PATIENT_QUERY, PATIENT_READ, TOKEN_MINIMAL, faults
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import BULK, FRAME, INSTANCE, METADATA, STUDY_A, STUDY_B

READ = an_access(request_id="request-1", subject_role=("urn:oid:1.2|HCP",), purpose_of_use=("TREAT",))
QUERY = replace(READ, action=AuditAction.SEARCHED, study_instance_uid=None, query="studies?")
NESTED = replace(QUERY, study_instance_uid=STUDY_A, query=f"studies/{STUDY_A}/series?limit=1")
ALLOWED = {
    "read": (READ, PATIENT_READ),
    "described": (replace(READ, action=AuditAction.STUDY_DESCRIBED), PATIENT_READ),
    "previewed": (replace(READ, action=AuditAction.STUDY_PREVIEWED), PATIENT_READ),
    "query": (QUERY, PATIENT_QUERY),
    "nested query": (NESTED, PATIENT_QUERY),
    "no user": (replace(READ, user=None), PATIENT_READ),
    "no app": (replace(READ, client_id=None, issuer=None), PATIENT_READ),
    "no address": (replace(READ, client_address=None, request_id=None), PATIENT_READ),
    "opaque token": (replace(QUERY, token_reference="digest:abc"), PATIENT_QUERY),
    "user by sub": (replace(READ, user="user-17"), PATIENT_READ),
}


@pytest.mark.parametrize(("record", "profile"), ALLOWED.values(), ids=ALLOWED)
def test_balp_every_success_holds_its_profile(record: AuditRecord, profile: str) -> None:
    event = audit_event(record, SERVER)

    assert event["meta"]["profile"][0] == profile
    assert faults(event) == []


@pytest.mark.parametrize(
    ("record", "claimed"),
    [
        (READ, True),
        (replace(READ, token_reference="digest:abc"), False),
        (replace(READ, token_reference=None), False),
        (replace(READ, user=None), False),
    ],
)
def test_balp_p7_the_token_s_profile_is_claimed_for_a_jti_and_a_user(record: AuditRecord, claimed: bool) -> None:
    """P7: the profile for opaque tokens asks for a part of the token; a keyed digest is no such part."""
    assert (TOKEN_MINIMAL in audit_event(record, SERVER)["meta"]["profile"]) is claimed


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": AuditOutcome.DENIED, "reason": "study-not-of-patient"},
        {"outcome": AuditOutcome.DENIED, "reason": "authorization-unavailable"},
        {"patient_id": None},
        {"study_instance_uid": None},
        {"action": AuditAction.SEARCHED, "query": None},
        {"action": AuditAction.METHOD_REFUSED},
    ],
    ids=str,
)
def test_balp_what_a_profile_does_not_cover_claims_none(changes: dict[str, Any]) -> None:
    assert "meta" not in audit_event(replace(READ, **changes), SERVER)


@pytest.mark.parametrize(
    ("said", "identifier"),
    [
        (": https://evil.example:8443", {"system": "urn:ietf:rfc:3986", "value": "https://evil.example:8443"}),
        (f": {NO_WEB_ADDRESS}", {"value": NO_WEB_ADDRESS}),
    ],
    ids=["origin", "words"],
)
def test_group_25_a_refused_server_is_a_uri_only_where_its_address_names_one(said: str, identifier: dict[str, str]) -> None:
    record = replace(READ, action=AuditAction.ENDPOINT_REFUSED, outcome=AuditOutcome.DENIED, reason=ORIGIN_NOT_ALLOWED + said)

    (node,) = [one["what"] for one in audit_event(record, SERVER)["entity"] if one["type"]["code"] == "2"]
    assert node == {"identifier": identifier, "display": "server that is not allowed"}


def damaged() -> Iterator[tuple[str, AuditRecord, Callable[[dict[str, Any]], object]]]:
    """Each rule of a profile, broken alone: were they not looked at, the tests above would show nothing."""
    client, server, user, patient, study = 0, 1, 2, 0, 1
    for record in (READ, QUERY):
        for name in ("who", "network"):
            yield f"client {name}", record, lambda event, name=name: event["agent"][client].pop(name)
            yield f"server {name}", record, lambda event, name=name: event["agent"][server].pop(name)
        yield "user who", record, lambda event: event["agent"][user].pop("who")
        yield "user network", record, lambda event: event["agent"][user].update(network={"address": "x"})
        yield "user is no requestor", record, lambda event: event["agent"][user].update(requestor=False)
        yield "policy", record, lambda event: event["agent"][user].pop("policy")
        yield "policy is no jti", record, lambda event: event["agent"][user].update(policy=["urn:x:y"])
        yield "no server", record, lambda event: event["agent"][server]["type"]["coding"][0].update(code="110150")
        yield "two clients", record, lambda event: event["agent"].append(event["agent"][client])
        yield "patient", record, lambda event: event["entity"].pop(patient)
        yield "patient's role", record, lambda event: event["entity"][patient]["role"].update(code="4")
        yield "two patients", record, lambda event: event["entity"].append(event["entity"][patient])
        yield "study or query", record, lambda event: event["entity"].pop(study)
        yield "its role", record, lambda event: event["entity"][study]["role"].update(code="1")
        yield "two of them", record, lambda event: event["entity"].append(event["entity"][study])
        yield "outcome", record, lambda event: event.update(outcome="4")
        yield "action", record, lambda event: event.update(action="C")
        yield "subtype", record, lambda event: event["subtype"][0].update(code="create")
        yield "type", record, lambda event: event["type"].update(code="object")
        yield "recorded", record, lambda event: event.pop("recorded")
        yield "request id", record, lambda event: event["entity"][2]["what"]["identifier"].pop("value")
    yield "what", READ, lambda event: event["entity"][study].pop("what")
    yield "query", QUERY, lambda event: event["entity"][study].pop("query")
    yield "what of a query", QUERY, lambda event: event["entity"][study].update(what={"display": "x"})
    yield "detail of a query", QUERY, lambda event: event["entity"][study].update(detail=[])


DAMAGED = list(damaged())


@pytest.mark.parametrize(
    ("record", "damage"), [one[1:] for one in DAMAGED], ids=[f"{one[1].action.value}: {one[0]}" for one in DAMAGED]
)
def test_balp_checker_sees_each_rule_broken(record: AuditRecord, damage: Callable[[dict[str, Any]], object]) -> None:
    event = copy.deepcopy(audit_event(record, SERVER))
    damage(event)

    assert faults(event)


# What the gateway and the imaging FHIR endpoint record


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway")) as made:
        yield made


ACCESSES = [
    (METADATA, PATIENT_READ),
    (FRAME, PATIENT_READ),
    (INSTANCE, PATIENT_READ),
    (BULK, PATIENT_READ),
    (f"/studies/{STUDY_A}", PATIENT_READ),
    ("/studies", PATIENT_QUERY),
    ("/studies?PatientName=*", PATIENT_QUERY),
    (f"/studies/{STUDY_A}/series", PATIENT_QUERY),
    ("fhir/ImagingStudy?patient=pat-a", PATIENT_QUERY),
    (f"fhir/ImagingStudy/{STUDY_A}", PATIENT_READ),
]


@pytest.mark.parametrize(("path", "profile"), ACCESSES)
@pytest.mark.parametrize("ehr", ["north", "south"])
def test_balp_group_35_every_kind_of_access_holds_its_profile(world: World, ehr: str, path: str, profile: str) -> None:
    """North's tokens have a ``jti``; south's are opaque."""
    world.start_anew()
    stub = world.north if ehr == "north" else world.south
    token = world.north.token()
    if ehr == "south":
        world.south.introspected[token := f"opaque-{time.perf_counter_ns()}"] = {**world.south.claims(jti=None), "active": True}
    root = f"/imaging/{ehr}/" if path.startswith("fhir") else f"/imaging/{ehr}/dicom-web/main"
    before = len(world.audit())

    assert world.send("GET", root + path, {"Authorization": f"Bearer {token}"}).status == 200

    records = world.audit()[: len(world.audit()) - before]
    event = audit_event(records[0], replace(SERVER, fhir_base=stub.fhir_base))
    AuditEvent.model_validate(event)
    assert event["meta"]["profile"] == ([profile, TOKEN_MINIMAL] if ehr == "north" else [profile])
    assert faults(event) == []


def test_balp_p8_a_denial_names_the_token_s_patient_and_nothing_of_the_study_s(world: World) -> None:
    world.start_anew()
    world.get(f"/studies/{STUDY_B}/metadata", world.north.token())

    event = audit_event(world.audit()[0], SERVER)

    assert (event["outcome"], event["outcomeDesc"], "meta" in event) == ("4", "study-not-of-patient", False)
    assert "pat-a" in str(event)
    assert "pat-b" not in str(event)


TEXT = st.none() | st.text(min_size=1, max_size=40)


@given(
    st.builds(
        AuditRecord,
        recorded_at=st.integers(0, 4_000_000_000),
        ehr=st.just("north"),
        action=st.sampled_from(AuditAction),
        outcome=st.just(AuditOutcome.ALLOWED),
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
    )
)
def test_balp_whatever_an_event_claims_it_holds(record: AuditRecord) -> None:
    event = audit_event(record, SERVER)

    AuditEvent.model_validate(event)
    assert "meta" not in event or faults(event) == []
