"""The app and launch contexts of every shape: patient, fhirContext, banner (SBX-S11 against APP-A28, A29, A30)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import pytest

from ehr_sandbox.settings import Faults
from smart_app.explanations import Reason
from smart_app.named_views import NOT_FOUND_NOTICE
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import STUDY_A, STUDY_B, imaging_study

ORDER = {
    "resourceType": "ServiceRequest",
    "id": "order-a",
    "status": "completed",
    "intent": "order",
    "subject": {"reference": "Patient/demo-a"},
    "code": {"text": "CT chest"},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC) as made:
        made.services.store.put(ORDER)
        made.services.store.put(
            imaging_study(STUDY_B, study_id="study-b", basedOn=[{"reference": "ServiceRequest/order-a"}], description="CT neck")
        )
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


def opened(hospital: Hospital) -> str:
    return hospital.clinician.addresses[-1]


def test_s11_a28_a_patient_that_is_missing_is_explained_and_never_guessed(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(missing_patient=True))

    assert_explained(page, Reason.NO_PATIENT)
    assert "CT chest" not in page.text
    assert not any("/s/" in address for address in hospital.clinician.addresses)


def test_s11_a29_fhir_context_absent_leads_to_the_list(hospital: Hospital) -> None:
    page = hospital.launches()

    assert opened(hospital).endswith("/studies")
    assert "CT neck" in page.text


@pytest.mark.parametrize(
    ("context", "study"),
    [
        (({"reference": "ImagingStudy/study-a"},), STUDY_A),
        (({"reference": "ImagingStudy/study-b", "type": "ImagingStudy"},), STUDY_B),
        (({"reference": "DiagnosticReport/report-a"},), STUDY_A),
        (({"reference": "ServiceRequest/order-a"},), STUDY_B),
        (({"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_B}"}, "type": "ImagingStudy"},), STUDY_B),
    ],
    ids=["study", "study with type", "report", "order", "identifier"],
)
def test_s11_a29_a_study_a_report_or_an_order_in_fhir_context_opens_its_study(
    hospital: Hospital, context: tuple[dict[str, Any], ...], study: str
) -> None:
    page = hospital.launches(fhir_context=context)

    assert page.status_code == 200
    assert opened(hospital).split("?")[0].endswith(f"/viewer/{study}")


def test_s11_a29_plain_strings_of_smart_2_0_are_read_alike(hospital: Hospital) -> None:
    hospital.launches(fhir_context=({"reference": "ImagingStudy/study-b"},), faults=Faults(fhir_context_as_text=True))

    assert opened(hospital).split("?")[0].endswith(f"/viewer/{STUDY_B}")


def test_s11_a29_another_role_is_no_wish_to_open(hospital: Hospital) -> None:
    context = ({"reference": "ImagingStudy/study-b", "role": "https://ehr.example/role/background"},)
    hospital.launches(fhir_context=context)

    assert opened(hospital).endswith("/studies")


def test_s11_a29_of_several_named_studies_the_first_is_opened(hospital: Hospital) -> None:
    page = hospital.launches(fhir_context=({"reference": "ImagingStudy/study-b"}, {"reference": "ImagingStudy/study-a"}))

    assert page.status_code == 200
    assert opened(hospital).split("?")[0].endswith(f"/viewer/{STUDY_B}")


def test_s11_a29_a_study_that_is_not_this_patients_is_not_opened(hospital: Hospital) -> None:
    page = hospital.launches(fhir_context=({"reference": "ImagingStudy/of-somebody-else"},))

    assert page.status_code == 200
    assert opened(hospital).endswith("/named")
    assert NOT_FOUND_NOTICE in html.unescape(page.text)
    assert "of-somebody-else" not in page.text


@pytest.mark.parametrize(("asked", "is_full"), [(True, True), (None, True), (False, False)])
def test_s11_a30_the_full_banner_stands_over_the_images_unless_the_ehr_shows_its_own(
    hospital: Hospital, *, asked: bool | None, is_full: bool
) -> None:
    named = ({"reference": "ImagingStudy/study-a"},)
    page = hospital.launches(need_patient_banner=asked, fhir_context=named)

    assert page.status_code == 200
    assert ('<dl class="facts">' in page.text) is is_full
    assert "SYNTHETIC, Alma" in page.text, "one line of identity stays in any case"
