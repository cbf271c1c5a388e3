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


BARE: dict[str, Any] = {"resourceType": "ImagingStudy", "identifier": [R4["identifier"][1]]}
SERIES = {"uid": "1.2.3.1"}


@pytest.mark.parametrize(
    ("of_r4", "of_r5", "attribute", "read"),
    [
        ({"modality": [{"code": "MR"}]}, {"modality": [{"coding": [{"code": "MR"}]}]}, "modalities", ("MR",)),
        (
            {"series": [SERIES | {"modality": {"code": "MR"}}]},
            {"series": [SERIES | {"modality": {"coding": [{"code": "MR"}]}}]},
            "modalities",
            ("MR",),
        ),
        (
            {"series": [SERIES | {"bodySite": {"code": "51185008", "display": "Chest"}}]},
            {"series": [SERIES | {"bodySite": {"concept": {"coding": [{"code": "51185008", "display": "Chest"}]}}}]},
            "body_sites",
            ("Chest",),
        ),
        (
            {"series": [SERIES | {"bodySite": {"display": "Left knee"}}]},
            {"series": [SERIES | {"bodySite": {"reference": {"reference": "BodyStructure/1", "display": "Left knee"}}}]},
            "body_sites",
            ("Left knee",),
        ),
        (
            {"procedureCode": [{"text": "CT Chest"}]},
            {"procedure": [{"concept": {"text": "CT Chest"}}]},
            "procedure",
            "CT Chest",
        ),
        (
            {"procedureReference": {"reference": "Procedure/1", "display": "CT Chest"}},
            {"procedure": [{"reference": {"reference": "Procedure/1", "display": "CT Chest"}}]},
            "procedure",
            "CT Chest",
        ),
        ({"reasonCode": [{"text": "cough"}]}, {"reason": [{"concept": {"text": "cough"}}]}, "reasons", ("cough",)),
        (
            {"reasonReference": [{"reference": "Condition/1", "display": "Cough"}]},
            {"reason": [{"reference": {"reference": "Condition/1", "display": "Cough"}}]},
            "reasons",
            ("Cough",),
        ),
        (
            {"identifier": R4["identifier"]},
            {"basedOn": [{"type": "ServiceRequest", "identifier": R4["identifier"][0]}]},
            "accession",
            "A1",
        ),
        ({"endpoint": [{"reference": "#e"}]}, {"endpoint": [{"reference": "#e"}]}, "endpoint_references", ("#e",)),
        (
            {"series": [SERIES | {"endpoint": [{"reference": "Endpoint/s"}]}]},
            {"series": [SERIES | {"endpoint": [{"reference": "Endpoint/s"}]}]},
            "endpoint_references",
            ("Endpoint/s",),
        ),
        ({"started": "2026-03-15"}, {"started": "2026-03-15"}, "started_text", "2026-03-15"),
        ({"status": "available"}, {"status": "available"}, "status", "available"),
    ],
)
def test_each_field_that_differs_reads_alike(
    of_r4: dict[str, Any], of_r5: dict[str, Any], attribute: str, read: object
) -> None:
    """R4 and R4B have one shape of ImagingStudy, R5 another."""
    for resource in (BARE | of_r4, BARE | of_r5):
        study = read_study(resource)
        assert isinstance(study, ImagingStudy)
        assert getattr(study, attribute) == read


def test_c5_the_uid_is_picked_by_its_system_wherever_it_stands() -> None:
    identifiers = [
        {"system": "urn:ietf:rfc:3986", "value": "urn:oid:9.9.9"},
        {"value": "urn:oid:9.9.8"},
        R4["identifier"][0],
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
    ]
    for order in (identifiers, identifiers[::-1]):
        study = read_study(BARE | {"identifier": order})
        assert isinstance(study, ImagingStudy)
        assert study.study_instance_uid == "1.2.3"


def test_the_studys_own_endpoint_goes_before_those_of_its_series() -> None:
    series = [SERIES | {"endpoint": [{"reference": "Endpoint/s"}]}]
    study = read_study(BARE | {"endpoint": [{"reference": "Endpoint/e"}], "series": series})

    assert isinstance(study, ImagingStudy)
    assert study.endpoint_references == ("Endpoint/e",)


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
