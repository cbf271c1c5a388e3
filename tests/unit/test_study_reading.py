"""ImagingStudy of R4 and R5 read alike, odd ones explained (smart-imaging C5, clinical section 7)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.study import ImagingStudy, UnreadableStudy, parse_datetime, patient_id_of, points_to_patient, read_study

R4: dict[str, Any] = {
    "resourceType": "ImagingStudy",
    "id": "ct-1",
    "identifier": [
        {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:acc", "value": "A1"},
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
    ],
    "status": "available",
    "subject": {"reference": "Patient/p1"},
    "started": "2026-03-15T10:00:00+01:00",
    "modality": [{"code": "SR"}, {"code": "CT"}],
    "numberOfSeries": 2,
    "numberOfInstances": 121,
    "procedureCode": [{"coding": [{"code": "29252-4", "display": "CT Chest"}]}],
    "reasonCode": [{"text": "nodule"}],
    "endpoint": [{"reference": "Endpoint/e1"}],
    "series": [
        {"uid": "1.2.3.1", "number": 1, "modality": {"code": "CT"}, "numberOfInstances": 120, "bodySite": {"display": "Chest"}},
        {"uid": "not a uid"},
    ],
}
R5 = R4 | {
    "identifier": [R4["identifier"][1]],
    "basedOn": [{"identifier": {"type": {"coding": [{"code": "ACSN"}]}, "value": "A1"}}],
    "modality": [{"coding": [{"code": "SR"}]}, {"coding": [{"code": "CT"}]}],
    "procedureCode": None,
    "procedure": [{"concept": {"coding": [{"display": "CT Chest"}]}}],
    "reasonCode": None,
    "reason": [{"concept": {"text": "nodule"}}],
    "series": [R4["series"][0] | {"modality": {"coding": [{"code": "CT"}]}, "bodySite": {"concept": {"text": "Chest"}}}],
}


@pytest.mark.parametrize("resource", [R4, R5], ids=["R4", "R5"])
def test_a_study_reads_alike_in_both_versions(resource: dict[str, Any]) -> None:
    study = read_study(resource)

    assert isinstance(study, ImagingStudy)
    assert study.study_instance_uid == "1.2.3"
    assert study.accession == "A1"
    assert study.modalities == ("CT", "SR")
    assert study.patient_id == "p1"
    assert (study.procedure, study.reasons, study.body_sites) == ("CT Chest", ("nodule",), ("Chest",))
    assert [one.uid for one in study.series] == ["1.2.3.1"]
    assert study.started is not None
    assert study.started.utcoffset() is not None


@pytest.mark.parametrize(
    ("identifiers", "said"),
    [
        ([], "no Study Instance UID"),
        ([{"value": "urn:oid:1.2"}], "no Study"),
        ([R4["identifier"][1], {"system": "urn:dicom:uid", "value": "9"}], "more than one"),
    ],
)
def test_a_study_without_one_uid_says_so(identifiers: list[Any], said: str) -> None:
    study = read_study(R4 | {"identifier": identifiers})

    assert isinstance(study, UnreadableStudy)
    assert said in study.problem


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*R4, "uid", "code", "coding", "value", "reference"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_odd_content_never_raises(value: object) -> None:
    for name in R4:
        read_study(R4 | {name: value})


@pytest.mark.parametrize("code", [[], {}, 1, None])
def test_an_odd_identifier_type_hides_no_study(code: object) -> None:
    odd = {"type": {"coding": [{"code": code}]}, "value": "A0"}
    study = read_study(R4 | {"identifier": [odd, *R4["identifier"]]})

    assert isinstance(study, ImagingStudy)
    assert study.accession == "A1"


def test_partial_dates_and_nonsense() -> None:
    assert str(parse_datetime("2026-03")) == "2026-03-01 00:00:00"
    assert str(parse_datetime("2026")) == "2026-01-01 00:00:00"
    assert parse_datetime("20260315") is not None
    assert parse_datetime("soon") is None


@pytest.mark.parametrize(
    ("reference", "patient"),
    [
        ("Patient/1", "1"),
        ("https://x/fhir/Patient/1/_history/2", "1"),
        ("Group/1", None),
        ("1", None),
        (None, None),
        ("Patient/", None),
    ],
)
def test_patient_ids_come_from_patient_references_only(reference: str | None, patient: str | None) -> None:
    assert patient_id_of(reference) == patient


@pytest.mark.parametrize(
    ("reference", "is_meant"),
    [
        ("Patient/1", True),
        ("Patient/1/_history/2", True),
        ("https://x/fhir/Patient/1", True),
        ("https://x/fhir/Patient/1/_history/2", True),
        ("https://y/fhir/Patient/1", False),
        ("https://x/fhir/other/Patient/1", False),
        ("other/Patient/1", False),
        ("Patient/2", False),
        ("Patient/1 ", False),
        ("1", False),
        (None, False),
    ],
)
def test_the_same_id_on_another_server_is_another_person(reference: str | None, is_meant: bool) -> None:
    """Group 8: an absolute reference means the patient only where it leads into this EHR's own base."""
    assert points_to_patient(reference, "1", ("https://x/fhir/",)) is is_meant
