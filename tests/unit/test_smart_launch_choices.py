"""What is decided around a launch without asking anybody: scopes, client authentication, names of studies (APP-A ids)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.client_assertions import assertion_algorithm
from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.scopes import in_v1, parse_scopes
from fhir_imaging.settings import AssertionAlgorithm, ClientAuth, EhrSettings, ScopeStyle
from fhir_imaging.uids import study_uid
from smart_app.client_auth import disagreement
from smart_app.launch import LaunchKind, LaunchRequest, scopes_for
from smart_app.named_study import NamedStudy, means, named_by
from smart_app.one_patient import record_bases
from smart_app.token_response import read_launch_context, read_token_response

BASE = "https://ehr.example/fhir"


def an_ehr(**more: Any) -> EhrSettings:
    return EhrSettings(**{"name": "ehr", "fhir_base": BASE, "scopes": "openid patient/ImagingStudy.rs", **more})


def discovery(**more: Any) -> SmartMetadata:
    return SmartMetadata(authorization_endpoint="https://ehr.example/a", token_endpoint="https://ehr.example/t", **more)


def asked(ehr: EhrSettings, kind: LaunchKind = LaunchKind.EHR, *capabilities: str, study: str | None = None) -> str:
    request = LaunchRequest(ehr=ehr, iss=BASE, kind=kind, study=study_uid(study) if study else None)
    return scopes_for(request, capabilities)


@pytest.mark.parametrize(
    ("v2", "v1"),
    [
        ("patient/ImagingStudy.rs", "patient/ImagingStudy.read"),
        ("patient/Patient.r", "patient/Patient.read"),
        ("patient/Communication.c", "patient/Communication.write"),
        ("user/*.cruds", "user/*.*"),
        ("patient/Observation.rs?category=laboratory", "patient/Observation.read"),
        ("patient/ImagingStudy.read", "patient/ImagingStudy.read"),
        ("launch/patient", "launch/patient"),
        ("openid", "openid"),
        ("patient/Patient.sr", "patient/Patient.sr"),
        ("https://ehr.example/scope", "https://ehr.example/scope"),
    ],
)
def test_app_a16_a_scope_in_the_words_of_v1(v2: str, v1: str) -> None:
    assert in_v1(v2) == v1


def test_app_a16_v1_is_asked_where_the_ehr_offers_only_that_or_the_site_says_so() -> None:
    only_v1 = ("permission-v1", "permission-patient")

    assert asked(an_ehr(), LaunchKind.EHR, *only_v1) == "launch openid patient/ImagingStudy.read"
    assert asked(an_ehr(), LaunchKind.EHR, *only_v1, "permission-v2") == "launch openid patient/ImagingStudy.rs"
    assert asked(an_ehr()) == "launch openid patient/ImagingStudy.rs"
    assert asked(an_ehr(scope_style=ScopeStyle.V2), LaunchKind.EHR, *only_v1) == "launch openid patient/ImagingStudy.rs"
    assert asked(an_ehr(scope_style=ScopeStyle.V1)) == "launch openid patient/ImagingStudy.read"


def test_app_a16_scopes_that_become_one_are_asked_once() -> None:
    ehr = an_ehr(scopes="patient/Patient.r patient/Patient.s", scope_style=ScopeStyle.V1)

    assert asked(ehr) == "launch patient/Patient.read"


def test_app_a16_a_v1_scope_grants_what_was_wanted() -> None:
    assert parse_scopes(in_v1("patient/ImagingStudy.rs")).allows("ImagingStudy", "s")


def test_app_a19_a_study_is_picked_only_where_wanted_and_none_is_named_yet() -> None:
    picking = an_ehr(study_picker=True)

    assert asked(picking, LaunchKind.STANDALONE).split()[:2] == ["launch/patient", "launch/imagingstudy"]
    assert "launch/imagingstudy" not in asked(picking, LaunchKind.EHR)
    assert "launch/imagingstudy" not in asked(picking, LaunchKind.STANDALONE, study="1.2.3")
    assert "launch/imagingstudy" not in asked(an_ehr(), LaunchKind.STANDALONE)


def test_app_a19_scopes_of_the_vendors_own_go_as_they_are() -> None:
    own = "__imaging https://ehr.example/scopes/imaging"

    assert asked(an_ehr(scopes=own, scope_style=ScopeStyle.V1)) == f"launch {own}"


@pytest.mark.parametrize(
    ("chosen", "listed", "signed_with"),
    [
        (None, (), "ES384"),
        (None, ("RS384", "ES384"), "ES384"),
        (None, ("RS384",), "RS384"),
        (None, ("RS256",), "ES384"),
        (AssertionAlgorithm.ES384, ("RS384",), "ES384"),
        (AssertionAlgorithm.RS384, (), "RS384"),
    ],
)
def test_app_a24_the_algorithm_is_the_sites_else_one_that_the_ehr_lists(
    chosen: AssertionAlgorithm | None, listed: tuple[str, ...], signed_with: str
) -> None:
    metadata = discovery(token_signing_algorithms=listed)

    assert assertion_algorithm(an_ehr(assertion_algorithm=chosen), metadata, "ES384") == signed_with


@pytest.mark.parametrize(
    ("method", "methods", "algorithms", "words"),
    [
        (ClientAuth.PUBLIC, ("client_secret_basic",), (), None),
        (ClientAuth.SECRET_BASIC, (), (), None),
        (ClientAuth.SECRET_BASIC, ("client_secret_basic", "private_key_jwt"), (), None),
        (ClientAuth.SECRET_BASIC, ("private_key_jwt",), (), "client_auth here is client_secret_basic"),
        (ClientAuth.PRIVATE_KEY_JWT, ("private_key_jwt",), ("RS256",), "signed with ES384; the EHR lists RS256"),
        (ClientAuth.PRIVATE_KEY_JWT, ("client_secret_post",), (), "the EHR lists client_secret_post"),
    ],
)
def test_app_a26_what_the_ehr_lists_against_our_setting(
    method: ClientAuth, methods: tuple[str, ...], algorithms: tuple[str, ...], words: str | None
) -> None:
    metadata = discovery(token_auth_methods=methods, token_signing_algorithms=algorithms)
    said = disagreement(an_ehr(client_auth=method), metadata, "ES384")

    assert (said is None) if words is None else (said is not None and words in said)


def test_app_a29_reports_orders_and_identifiers_name_studies_too() -> None:
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:acsn", "value": "A-1"}
    context = read_launch_context(
        {
            "fhirContext": [
                {"reference": "DiagnosticReport/r1"},
                {"reference": "ServiceRequest/o1"},
                {"reference": "ServiceRequest/o1", "role": "launch"},
                {"reference": "DiagnosticReport/r2", "role": "comparison"},
                {"type": "ImagingStudy", "identifier": accession},
                {"type": "ServiceRequest", "identifier": {"system": "urn:placer", "value": "P-7"}},
                {"identifier": accession},
                {"identifier": {"system": "urn:other", "value": "1.2.3"}, "type": "Device"},
                {"canonical": "https://ehr.example/Questionnaire/1"},
                {"reference": "ServiceRequest/../x"},
                {"type": "DiagnosticReport", "identifier": {"value": "x" * 500}},
            ]
        }
    )

    assert context.studies == (
        NamedStudy(through="DiagnosticReport/r1"),
        NamedStudy(through="ServiceRequest/o1"),
        NamedStudy(accession="A-1"),
        NamedStudy(identifier_of="ServiceRequest", identifier="urn:placer|P-7"),
    )


@pytest.mark.parametrize(
    ("resource", "named"),
    [
        ({"imagingStudy": [{"reference": "ImagingStudy/s1"}]}, (NamedStudy(resource_id="s1"),)),
        ({"study": [{"reference": "https://images.example/fhir/ImagingStudy/s1"}]}, (NamedStudy(resource_id="s1"),)),
        (
            {"imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}}]},
            (NamedStudy(study_instance_uid="1.2.3"),),
        ),
        (
            {
                "basedOn": [{"reference": "ServiceRequest/o1"}, {"reference": "CarePlan/c1"}],
                "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A-1"}, {"value": "report-77"}],
            },
            (NamedStudy(through="ServiceRequest/o1"), NamedStudy(accession="A-1")),
        ),
        ({"resourceType": "ServiceRequest", "id": "o1"}, (NamedStudy(through="ServiceRequest/o1"),)),
        ({"study": [{"reference": "GenomicStudy/g"}]}, ()),
        ({"imagingStudy": "broken", "basedOn": [7]}, ()),
    ],
)
def test_app_a29_a_report_or_order_says_which_studies_it_means(resource: dict[str, Any], named: tuple[NamedStudy, ...]) -> None:
    assert named_by(resource) == named


@pytest.mark.parametrize(
    ("named", "is_meant"),
    [
        (NamedStudy(study_instance_uid="1.2.3"), True),
        (NamedStudy(study_instance_uid="1.2.4"), False),
        (NamedStudy(resource_id="s1"), True),
        (NamedStudy(resource_id="s2"), False),
        (NamedStudy(accession="A-1"), True),
        (NamedStudy(accession="A-2"), False),
        (NamedStudy(through="ServiceRequest/o1"), True),
        (NamedStudy(through="ServiceRequest/o2"), False),
    ],
)
def test_app_a29_a_study_is_recognised_by_each_of_its_names(named: NamedStudy, is_meant: bool) -> None:
    study = {
        "id": "s1",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}, {"value": "A-1"}],
        "basedOn": [{"reference": "ServiceRequest/o1"}],
    }

    assert means(named, study) is is_meant


def granted(**more: Any) -> dict[str, Any]:
    return {"access_token": "t", "token_type": "Bearer", "patient": "p1", **more}


@pytest.mark.parametrize(
    ("details", "contradicts"),
    [
        ([{"type": "smart_on_fhir", "locations": [BASE], "patient": "p2"}], True),
        ([{"type": "smart_on_fhir", "locations": [f"{BASE}/"], "patient": "p2"}], True),
        ([{"type": "smart_on_fhir", "locations": ["https://images.example/r4"], "patient": "p2"}], True),
        ([{"type": "smart_on_fhir", "locations": [BASE], "patient": "p1"}], False),
        ([{"type": "smart_on_fhir", "locations": [BASE]}], False),
        ([{"type": "smart_on_fhir", "locations": ["https://other.example/r4"], "patient": "p2"}], False),
        ([{"type": "something_else", "locations": [BASE], "patient": "p2"}], False),
        ("odd", False),
        ([7, {"type": "smart_on_fhir", "locations": "odd", "patient": "p2"}], False),
    ],
)
def test_app_a32_one_grant_may_not_name_two_patients_for_the_bases_that_are_asked(details: object, contradicts: bool) -> None:
    response = read_token_response(granted(authorization_details=details))
    bases = record_bases(an_ehr(imaging_base="https://images.example/r4"), discovery(), BASE)

    assert response is not None
    assert response.contradicts("p1", bases) is contradicts


@pytest.mark.parametrize(("sent", "kept"), [("org-7", "org-7"), ("a\nb", None), ("x" * 300, None), (7, None), (None, None)])
def test_app_a32_a_tenant_is_an_opaque_short_word(sent: object, kept: str | None) -> None:
    response = read_token_response(granted(tenant=sent, __vendor={"x": 1}, **{"https://ehr.example/more": True}))

    assert response is not None
    assert response.tenant == kept


@pytest.mark.parametrize("intent", ["reconcile-medications", "x" * 300, 7, ["a"], None])
def test_app_a30_an_intent_changes_nothing(intent: object) -> None:
    response = read_token_response(granted(intent=intent))

    assert response is not None
    assert response == read_token_response(granted())
    assert response.need_patient_banner
