"""The app's pure values: token responses, launch context, banner, token receivers, settings (APP-A ids)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhir_imaging.clients.smart_metadata import AssociatedEndpoint, SmartMetadata
from fhir_imaging.settings import EhrSettings
from smart_app.explanations import EXPLANATIONS, Reason
from smart_app.launch import (
    LaunchKind,
    LaunchRefusal,
    LaunchRequest,
    PendingLaunch,
    accept_ehr_launch,
    accept_standalone_launch,
    is_same_issuer,
    scopes_for,
)
from smart_app.named_study import NamedStudy
from smart_app.patient_banner import read_banner
from smart_app.settings import SmartAppSettings
from smart_app.token_origins import associated_origins, outbound_origins, token_receivers
from smart_app.token_response import read_app_context, read_launch_context, read_token_response

EHR = EhrSettings(name="ehr", fhir_base="https://ehr.example/fhir")
TODAY = date(2026, 11, 21)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_a27_the_token_type_is_compared_in_any_case(token_type: str) -> None:
    response = read_token_response({"access_token": "t", "token_type": token_type})

    assert response is not None
    assert response.scope is None
    assert response.expires_in_s is None


@pytest.mark.parametrize(
    "body", [{}, {"access_token": "t"}, {"token_type": "Bearer"}, {"access_token": 7, "token_type": "bearer"}]
)
def test_a27_an_incomplete_response_is_none(body: dict[str, Any]) -> None:
    assert read_token_response(body) is None


@pytest.mark.parametrize(("sent", "read"), [(300, 300), ("570", 570), (0, None), (-1, None), (True, None), ("soon", None)])
def test_a27_expires_in_is_read_tolerantly(sent: object, read: int | None) -> None:
    response = read_token_response({"access_token": "t", "token_type": "bearer", "expires_in": sent})

    assert response is not None
    assert response.expires_in_s == read


@pytest.mark.parametrize(
    ("sent", "read"),
    [("p-1", "p-1"), ("Patient/p-1", "p-1"), ("../p", None), ("", None), (["p"], None), ("p/q", None), ("x" * 65, None)],
)
def test_a28_the_patient_is_a_fhir_id_or_nothing(sent: object, read: str | None) -> None:
    response = read_token_response({"access_token": "t", "token_type": "bearer", "patient": sent})

    assert response is not None
    assert response.patient == read


@pytest.mark.parametrize(
    ("sent", "shown"), [({}, True), ({"need_patient_banner": True}, True), ({"need_patient_banner": False}, False)]
)
def test_a30_the_banner_is_shown_unless_the_ehr_says_otherwise(sent: dict[str, Any], shown: bool) -> None:
    response = read_token_response({"access_token": "t", "token_type": "bearer", **sent})

    assert response is not None
    assert response.need_patient_banner is shown


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("1.2.3", NamedStudy(study_instance_uid="1.2.3")),
        ("studies/1.2.3", NamedStudy(study_instance_uid="1.2.3")),
        ("/studies/1.2.3/series/1.4", NamedStudy(study_instance_uid="1.2.3", series_instance_uid="1.4")),
        (
            "studies/1.2.3/series/1.4/instances/1.5",
            NamedStudy(study_instance_uid="1.2.3", series_instance_uid="1.4", sop_instance_uid="1.5"),
        ),
        ("studies/1.2.3/instances/1.5", None),
        ("studies/1..3", None),
        ("studies/" + "1." * 40 + "1", None),
        ("1.2.3\n", NamedStudy(study_instance_uid="1.2.3")),
        ("studies/1.2.3/../../evil", None),
        ("https://evil.example/studies/1.2.3", None),
        ("", None),
        (None, None),
        ({"study": "1.2.3"}, None),
    ],
)
def test_an_app_context_holds_uids_or_nothing(words: object, named: NamedStudy | None) -> None:
    assert read_app_context(words) == named


def test_a29_only_studies_that_were_launched_on_count() -> None:
    context = read_launch_context(
        {
            "fhirContext": [
                {"reference": "ImagingStudy/1", "role": "comparison"},
                {"reference": "https://other.example/ImagingStudy/2"},
                {"reference": "Observation/3"},
                {"reference": "ImagingStudy/4"},
                {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}, "type": "ImagingStudy"},
                "ImagingStudy/5",
                7,
                None,
            ],
            "appContext": "1.9",
        }
    )

    assert context.studies == (
        NamedStudy(study_instance_uid="1.9"),
        NamedStudy(resource_id="4"),
        NamedStudy(study_instance_uid="1.2.3"),
        NamedStudy(resource_id="5"),
    )


def test_a4_a5_what_may_be_launched() -> None:
    accepted = accept_ehr_launch((EHR,), "https://ehr.example/fhir", "h")

    assert isinstance(accepted, LaunchRequest)
    assert accepted.iss == "https://ehr.example/fhir"
    assert accept_ehr_launch((EHR,), "https://ehr.example/fhir/", "h") == LaunchRefusal(Reason.UNKNOWN_EHR)
    assert accept_ehr_launch((EHR,), None, "h") == LaunchRefusal(Reason.LAUNCH_PARAMETERS)
    assert accept_ehr_launch((EHR,), EHR.fhir_base, "x" * 5000) == LaunchRefusal(Reason.LAUNCH_PARAMETERS)
    assert accept_standalone_launch((EHR,), EHR.fhir_base, "../x") == LaunchRefusal(Reason.NOT_A_STUDY)
    assert accept_standalone_launch((EHR,), None, None) == LaunchRefusal(Reason.LAUNCH_PARAMETERS)
    assert accept_standalone_launch((EHR,), "https://x.example", None) == LaunchRefusal(Reason.UNKNOWN_EHR)


def test_a13_the_launch_scope_follows_the_kind_of_launch() -> None:
    standalone = LaunchRequest(ehr=EHR, iss=EHR.fhir_base, kind=LaunchKind.STANDALONE)

    assert scopes_for(standalone).split()[0] == "launch/patient"
    assert "launch" not in scopes_for(standalone).split()


def test_rfc9207_an_absent_issuer_says_nothing() -> None:
    assert is_same_issuer(None, ("a",))
    assert is_same_issuer("a", ("a", None))
    assert not is_same_issuer("b", ("a", None))


def test_a_finished_launch_keeps_no_secret_and_survives_storage() -> None:
    pending = PendingLaunch(
        ehr="ehr",
        iss=EHR.fhir_base,
        kind=LaunchKind.EHR,
        code_verifier="verifier",
        nonce="nonce",
        binding="b",
        scopes="launch",
        created_at=1,
    )
    finished = pending.finished(session="s")

    assert PendingLaunch.from_record(pending.to_record()) == pending
    assert finished.is_finished
    assert (finished.code_verifier, finished.nonce) == ("", None)


def a_patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **more}


@pytest.mark.parametrize(
    ("birth_date", "born", "age"),
    [
        ("1964-03-02", "2 Mar 1964", "62 years"),
        ("1964-11-22", "22 Nov 1964", "61 years"),
        ("1964", "1964", "about 62 years"),
        ("2026-01-20", "20 Jan 2026", "10 months"),
        ("2026-11-18", "18 Nov 2026", "3 days"),
        ("2030-01-01", "1 Jan 2030", None),
        ("unknown", None, None),
    ],
)
def test_the_banner_states_birth_date_and_age(birth_date: str, born: str | None, age: str | None) -> None:
    banner = read_banner(a_patient(birthDate=birth_date), "p", TODAY)

    assert (banner.born, banner.age) == (born, age)


def test_the_age_of_the_deceased_stops() -> None:
    banner = read_banner(a_patient(birthDate="1950-01-01", deceasedDateTime="2020-06-01"), "p", TODAY)

    assert banner.deceased
    assert banner.age == "70 years"


def test_m10_only_an_identifier_typed_mr_is_the_record_number() -> None:
    mr = {"type": {"coding": [{"code": "MR"}]}, "value": "M-1"}

    assert read_banner(a_patient(identifier=[{"value": "first"}, mr]), "p", TODAY).mrn == "M-1"
    assert read_banner(a_patient(identifier=[{"value": "first"}]), "p", TODAY).mrn is None


def test_the_banner_says_what_it_knows_without_the_right_to_read() -> None:
    banner = read_banner(None, "p-9", TODAY)

    assert banner.name == "Patient p-9"
    assert not banner.is_verified
    assert banner.line == "Patient p-9"


def test_another_patients_resource_is_never_the_banner() -> None:
    assert read_banner(a_patient(id="other", name=[{"family": "Other"}]), "p", TODAY).name == "Patient p"


@pytest.mark.parametrize(
    "answer", [{"resourceType": "OperationOutcome", "issue": []}, {"resourceType": "Patient"}, {"id": "p"}, {}]
)
def test_what_is_no_patient_of_this_id_verifies_nobody(answer: dict[str, Any]) -> None:
    banner = read_banner({**answer, "name": [{"family": "Other"}]}, "p", TODAY)

    assert (banner.name, banner.is_verified) == ("Patient p", False)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"use": "official", "family": "Nguyễn", "given": ["Thị", "An"]}], "NGUYỄN, Thị An"),
        ([{"use": "nickname", "given": ["Annie"]}, {"use": "official", "family": "Doe"}], "DOE"),
        ([{"text": "An Nguyen"}], "An Nguyen"),
        ([{"use": "old", "family": "Former"}], "Patient p (no name recorded)"),
        ("nobody", "Patient p (no name recorded)"),
    ],
)
def test_names_are_read_in_order_of_use(names: object, shown: str) -> None:
    assert read_banner(a_patient(name=names), "p", TODAY).name == shown


def metadata(*urls: str) -> SmartMetadata:
    associated = tuple(AssociatedEndpoint(url, ()) for url in urls)
    return SmartMetadata(authorization_endpoint="a", token_endpoint="t", associated_endpoints=associated)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example/fhir",
        "http://localhost:9000/fhir",
        "https://localhost/fhir",
        "https://127.0.0.1/fhir",
        "https://10.1.2.3/fhir",
        "https://192.168.1.9:8443/fhir",
        "https://169.254.169.254/latest",
        "https://[::1]/fhir",
        "https://[fd00::7]/fhir",
        "https://user@images.example/fhir",
        "javascript:alert(1)",
        "ftp://images.example",
        "//images.example",
    ],
)
def test_group_25_an_ehr_is_not_believed_about_unsafe_servers(url: str) -> None:
    assert associated_origins(EHR, metadata(url)) == frozenset()


@pytest.mark.parametrize(
    "host",
    [
        "localhost.",
        "LocalHost.",
        "app.localhost.",
        "127.1",
        str(0x7F000001),
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "169.254.169.254.",
        "0xa9fea9fe",
        "10.0.0.1.",
        "192.168.1",
        "0",
        "\uff11\uff12\uff17.0.0.1",
        "[::ffff:127.0.0.1]",
        "images.example; script-src *",
    ],
    ids=ascii,
)
def test_group_25_nor_about_their_addresses_in_another_spelling(host: str) -> None:
    """Browsers and resolvers read each of them as this machine, or one inside."""
    assert associated_origins(EHR, metadata(f"https://{host}/fhir")) == frozenset()


@pytest.mark.parametrize(
    "host", ["images.example", "images.example.", "pacs_1.example", "4images.example", "xn--bcher-kva.example"]
)
def test_group_25_a_name_is_believed(host: str) -> None:
    assert associated_origins(EHR, metadata(f"https://{host}/fhir")) == {f"https://{host}"}


def test_a37_who_may_receive_the_token() -> None:
    ehr = EhrSettings(name="e", fhir_base="https://ehr.example/fhir", token_origins=("https://pacs.example",))
    receivers = token_receivers(ehr, metadata("https://images.example/fhir"), "https://app.example")

    assert receivers == {"https://ehr.example", "https://pacs.example", "https://images.example", "https://app.example"}


def test_a_local_ehr_may_name_local_servers() -> None:
    ehr = EhrSettings(name="e", fhir_base="http://127.0.0.1:8001/fhir")

    assert associated_origins(ehr, metadata("http://localhost:8000/imaging")) == {"http://localhost:8000"}


def test_only_configured_servers_are_reached() -> None:
    assert outbound_origins((EHR,), "https://app.example") == {"https://ehr.example", "https://app.example"}


@pytest.mark.parametrize(
    "wrong", [{"public_base_url": "https://app.example/"}, {"public_base_url": "app"}, {"assertion_algorithm": "RS256"}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slash|http|ES384"):
        SmartAppSettings(**{"public_base_url": "https://app.example", **wrong})


def test_every_reason_has_its_own_page() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert len({one.title for one in EXPLANATIONS.values()}) == len(EXPLANATIONS)
