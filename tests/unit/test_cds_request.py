"""Hook requests: what is refused names its member; what real clients get wrong is tolerated (R15, R16, R18, R23)."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.prefetch import PrefetchState, classify
from cds_service.protocol import HookShape, parse_request
from fhir_imaging.errors import InvalidRequest
from imaging_findings.facts import QUERIES
from tests.cds_actors import a_bundle, a_hook, a_lung_rads, a_patient

GRANT = {"access_token": "t0ken", "token_type": "Bearer", "expires_in": 300, "scope": "patient/Observation.rs", "subject": "x"}
FINDINGS = next(query for query in QUERIES if query.key == "findings")
PATIENT = next(query for query in QUERIES if query.key == "patient")
WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}
ERROR = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}


def context(**members: Any) -> dict[str, Any]:
    return {"userId": "Practitioner/gp", "patientId": "p"} | members


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"hook": "order-sign"}, "hook:"),
        ({"hook": None}, "hook:"),
        ({"hookInstance": None}, "hookInstance:"),
        ({"hookInstance": "not-a-uuid"}, "hookInstance:"),
        ({"context": None}, "context:"),
        ({"context": {"userId": "Practitioner/gp"}}, "context.patientId:"),
        ({"context": {"patientId": "p"}}, "context.userId:"),
        ({"context": context(patientId="p/../../x")}, "context.patientId:"),
        ({"context": context(patientId="p?x=1")}, "context.patientId:"),
        ({"context": context(encounterId="a b")}, "context.encounterId:"),
        ({"context": context(userId="Practitioner/a b")}, "context.userId:"),
        ({"fhirAuthorization": GRANT, "fhirServer": None}, "fhirServer:"),
        ({"fhirAuthorization": GRANT | {"access_token": None}}, "fhirAuthorization.access_token:"),
        ({"fhirAuthorization": GRANT | {"access_token": "a\r\nb"}}, "fhirAuthorization.access_token:"),
        ({"fhirAuthorization": GRANT | {"token_type": "MAC"}}, "fhirAuthorization.token_type:"),
        ({"fhirAuthorization": GRANT | {"patient": "other"}}, "fhirAuthorization.patient:"),
        ({"fhirAuthorization": GRANT | {"scope": None}}, "fhirAuthorization.scope:"),
        ({"fhirAuthorization": GRANT | {"subject": ""}}, "fhirAuthorization.subject:"),
        ({"fhirAuthorization": GRANT | {"expires_in": None}}, "fhirAuthorization.expires_in:"),
        ({"fhirAuthorization": GRANT | {"expires_in": "300"}}, "fhirAuthorization.expires_in:"),
        ({"fhirAuthorization": GRANT | {"expires_in": True}}, "fhirAuthorization.expires_in:"),
        ({"fhirAuthorization": GRANT | {"expires_in": 0}}, "fhirAuthorization.expires_in:"),
        ({"fhirAuthorization": "Bearer t0ken"}, "fhirAuthorization.access_token:"),
    ],
)
def test_r15_r16_a_refusal_names_the_member(members: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(a_hook(**members), hook="patient-view")

    assert refusal.value.detail.startswith(named)


def test_cds_r_1_an_authorization_without_a_server_is_an_error() -> None:
    body = a_hook(fhirAuthorization=GRANT)
    del body["fhirServer"]

    with pytest.raises(InvalidRequest, match=r"cds-r-1"):
        parse_request(body, hook="patient-view")


@pytest.mark.parametrize("scope", ["patient/Observation.rs", "patient/*.read openid"])
def test_cds_r_2_a_patient_scope_without_a_patient_is_only_a_warning(scope: str) -> None:
    request = parse_request(a_hook(fhirAuthorization=GRANT | {"scope": scope}), hook="patient-view")

    assert [warning.partition(":")[0] for warning in request.warnings] == ["cds-r-2"]
    assert parse_request(a_hook(fhirAuthorization=GRANT | {"patient": "p"}), hook="patient-view").warnings == ()
    assert parse_request(a_hook(fhirAuthorization=GRANT | {"scope": "user/*.rs"}), hook="patient-view").warnings == ()


def test_ord_1_a_user_without_a_type_is_only_a_warning() -> None:
    request = parse_request(a_hook(context=context(userId="COREPRACTITIONER1")), hook="patient-view")

    assert [warning.partition(":")[0] for warning in request.warnings] == ["ord-1"]


def test_prefetch_is_an_object() -> None:
    with pytest.raises(InvalidRequest, match="prefetch: must be an object"):
        parse_request(a_hook() | {"prefetch": []}, hook="patient-view")


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_is_an_object(body: object) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        parse_request(body, hook="patient-view")


def test_r23_prefixed_ids_and_bare_users_are_tolerated() -> None:
    stated = context(patientId="Patient/p", encounterId="Encounter/e", userId="COREPRACTITIONER1")

    request = parse_request(a_hook(context=stated), hook="patient-view")

    assert (request.patient_id, request.encounter_id) == ("p", "e")
    assert request.user.reference is None
    assert not request.user.is_patient_or_proxy


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r", "https://ehr.example.org/fhir/Patient/p"])
def test_patients_and_proxies_are_known_as_such(user: str) -> None:
    assert parse_request(a_hook(context=context(userId=user)), hook="patient-view").user.is_patient_or_proxy


def test_r3_unknown_members_and_extensions_are_left_alone() -> None:
    body = a_hook(extension={"org.example.x": {"y": 1}}, surprise=True, context=context(extension={"a": 1}))

    assert parse_request(body, hook="patient-view").patient_id == "p"


def test_r17_the_token_is_in_no_repr() -> None:
    request = parse_request(a_hook(fhirAuthorization=GRANT), hook="patient-view")

    assert "t0ken" not in repr(request)


@pytest.mark.parametrize(
    ("prefetch", "state", "count"),
    [
        ({}, PrefetchState.ABSENT, 0),
        ({"findings": None}, PrefetchState.EMPTY, 0),
        ({"findings": a_bundle()}, PrefetchState.EMPTY, 0),
        ({"findings": {"resourceType": "Bundle"}}, PrefetchState.EMPTY, 0),
        ({"findings": a_bundle(a_lung_rads("3"))}, PrefetchState.PRESENT, 1),
        ({"findings": a_bundle(a_lung_rads("3"), WARNING)}, PrefetchState.PRESENT, 1),
        ({"findings": a_bundle(a_lung_rads("3"), ERROR)}, PrefetchState.FAILED, 1),
        ({"findings": ERROR}, PrefetchState.FAILED, 0),
        ({"findings": a_bundle(a_lung_rads("3"), next_url="https://ehr.example.org/fhir?page=2")}, PrefetchState.PAGINATED, 1),
        ({"findings": a_patient()}, PrefetchState.MISMATCHED, 0),
        ({"findings": "text"}, PrefetchState.MISMATCHED, 0),
        ({"findings": {"response": {"status": "200"}, "resource": a_bundle(a_lung_rads("3"))}}, PrefetchState.PRESENT, 1),
        ({"findings": a_bundle(a_patient())}, PrefetchState.EMPTY, 0),
    ],
    ids=[
        "absent",
        "null",
        "no entries",
        "no entry member",
        "present",
        "with a warning",
        "error among the entries",
        "error alone",
        "paginated",
        "another type",
        "no resource",
        "legacy wrapper",
        "entries of another type",
    ],
)
def test_r18_each_prefetch_state(prefetch: dict[str, Any], state: PrefetchState, count: int) -> None:
    value = classify(FINDINGS, prefetch, "p")

    assert (value.state, len(value.resources)) == (state, count)


def test_another_patient_in_prefetch_is_not_used() -> None:
    assert classify(PATIENT, {"patient": a_patient("other")}, "p").state is PrefetchState.MISMATCHED


# --- what a hook may ask beside patientId


SYSTEM_FIRED = HookShape(hook="org.example.done", aliases=("done",), needs_user=False)


def test_an_alias_is_read_as_the_hook_itself() -> None:
    request = parse_request(a_hook(hook="done"), hook=SYSTEM_FIRED)

    assert request.hook == "org.example.done"
    with pytest.raises(InvalidRequest, match=r"^hook: this service answers org\.example\.done\.$"):
        parse_request(a_hook(hook="finished"), hook=SYSTEM_FIRED)


def test_a_system_may_fire_a_hook_that_needs_no_user() -> None:
    request = parse_request(a_hook(hook="done", context={"patientId": "p"}), hook=SYSTEM_FIRED)

    assert request.user.is_nobody
    assert request.user.reference is None
    assert not request.user.is_patient_or_proxy
    assert request.warnings == ()


@pytest.mark.parametrize("user", ["", " ", 1, [], "a b", "Practitioner/"])
def test_a_user_that_is_stated_must_be_readable_even_then(user: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^context\.userId:"):
        parse_request(a_hook(hook="done", context={"patientId": "p", "userId": user}), hook=SYSTEM_FIRED)


def test_a_patient_is_known_as_such_even_then() -> None:
    stated = {"patientId": "p", "userId": "Patient/p"}

    assert parse_request(a_hook(hook="done", context=stated), hook=SYSTEM_FIRED).user.is_patient_or_proxy


def test_r15_an_encounter_that_the_hook_requires_is_asked_for() -> None:
    shape = HookShape(hook="encounter-discharge", needs_encounter=True)

    assert parse_request(a_hook(hook=shape.hook), hook=shape).encounter_id == "e"
    with pytest.raises(InvalidRequest, match=r"^context\.encounterId: must be given"):
        parse_request(a_hook(hook=shape.hook, context=context()), hook=shape)


def test_more_drafts_than_anybody_signs_at_once_are_refused_by_their_field() -> None:
    drafts = [{"resource": {"resourceType": "ServiceRequest", "id": str(number)}} for number in range(251)]

    for number, refused in ((250, False), (251, True)):
        body = a_hook(context=context(draftOrders={"resourceType": "Bundle", "entry": drafts[:number]}))
        if refused:
            with pytest.raises(InvalidRequest, match=r"^context\.draftOrders: at most 250 entries"):
                parse_request(body, hook="patient-view")
        else:
            assert parse_request(body, hook="patient-view").patient_id == "p"
