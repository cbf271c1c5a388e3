"""Reading IHE Invoke Image Display requests: every parameter, every fault, and what the field really sends (RAD-106)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.invoke_display import (
    MOST_STUDIES,
    Bound,
    DisplayFault,
    PatientIdentifier,
    PatientWanted,
    RequestRefused,
    StudiesWanted,
    read_request,
    without_wishes,
)

OF_PATIENT = "requestType=PATIENT&patientID=DEMO-1001^^^https://imaging-cds.example/demo/mrn"
MRN = PatientIdentifier("DEMO-1001", ("https://imaging-cds.example/demo/mrn",))


def read(query: str) -> StudiesWanted | PatientWanted | RequestRefused:
    return read_request(parse_qsl(query, keep_blank_values=True))


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("", DisplayFault.NO_REQUEST_TYPE),
        ("requestType=&studyUID=1.2", DisplayFault.NO_REQUEST_TYPE),
        ("requestType=SERIES&studyUID=1.2", DisplayFault.UNKNOWN_REQUEST_TYPE),
        ("requestType=STUDY", DisplayFault.NO_STUDY_KEY),
        ("requestType=STUDY&studyUID=,;", DisplayFault.NO_STUDY_KEY),
        ("requestType=STUDY&patientID=1^^^x", DisplayFault.NO_STUDY_KEY),
        ("requestType=STUDY&studyUID=1.2&accessionNumber=A1", DisplayFault.BOTH_STUDY_KEYS),
        ("requestType=STUDY&studyUID=1.2,x", DisplayFault.NOT_A_UID),
        ("requestType=STUDY&studyUID=1.2&studyUID=1.3", DisplayFault.GIVEN_TWICE),
        ("requestType=STUDY&studyUID=1.2&STUDYUID=1.3", DisplayFault.GIVEN_TWICE),
        ("requestType=STUDY&accessionNumber=" + "A" * 4001, DisplayFault.TOO_LONG),
        ("requestType=STUDY&accessionNumber=" + ",".join(map(str, range(MOST_STUDIES + 1))), DisplayFault.TOO_MANY),
        ("requestType=PATIENT", DisplayFault.NO_PATIENT_ID),
        ("requestType=PATIENT&studyUID=1.2", DisplayFault.NO_PATIENT_ID),
        ("requestType=PATIENT&patientID=^^^x", DisplayFault.PATIENT_ID_UNREADABLE),
        (f"{OF_PATIENT}&lowerDateTime=yesterday", DisplayFault.NOT_A_DATE),
        (f"{OF_PATIENT}&upperDateTime=2026-13-01", DisplayFault.NOT_A_DATE),
        (f"{OF_PATIENT}&lowerDateTime=2026", DisplayFault.NOT_A_DATE),
        (f"{OF_PATIENT}&patientBirthDate=03/02/1964", DisplayFault.NOT_A_DATE),
        (f"{OF_PATIENT}&lowerDateTime=2026-02-01&upperDateTime=2026-01-01", DisplayFault.DATES_CROSSED),
        (f"{OF_PATIENT}&mostRecentResults=0", DisplayFault.NOT_A_COUNT),
        (f"{OF_PATIENT}&mostRecentResults=-1", DisplayFault.NOT_A_COUNT),
        (f"{OF_PATIENT}&mostRecentResults=1.5", DisplayFault.NOT_A_COUNT),
        (f"{OF_PATIENT}&mostRecentResults=٣", DisplayFault.NOT_A_COUNT),
        (f"{OF_PATIENT}&modalitiesInStudy=C-T", DisplayFault.NOT_A_MODALITY),
        (f"{OF_PATIENT}&keyImagesOnly=yes", DisplayFault.NOT_A_FLAG),
        (f"{OF_PATIENT}&diagnosticQuality=1", DisplayFault.NOT_A_FLAG),
        (f"{OF_PATIENT}&viewerType=HANGING", DisplayFault.VIEWER_TYPE_UNKNOWN),
        (f"{OF_PATIENT}&viewerType=IHE_BIR", DisplayFault.BASIC_REVIEW_NOT_CLAIMED),
        ("requestType=STUDY&studyUID=1.2&diagnosticQuality=true", DisplayFault.NOT_DIAGNOSTIC),
        ("requestType=STUDY&viewerType=IHE_BIR", DisplayFault.NO_STUDY_KEY),
    ],
)
def test_iid_each_fault_has_its_own_words(query: str, fault: DisplayFault) -> None:
    assert read(query) == RequestRefused(fault)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("requestType=STUDY&studyUID=1.2.3", StudiesWanted(uids=("1.2.3",))),  # type: ignore[arg-type]
        ("requestType=STUDY&studyUID=1.2,1.3", StudiesWanted(uids=("1.2", "1.3"))),  # type: ignore[arg-type]
        ("requestType=STUDY&studyUID=1.2;1.3;1.2", StudiesWanted(uids=("1.2", "1.3"))),  # type: ignore[arg-type]
        ("requestType=STUDY&accessionNumber=A1, A2", StudiesWanted(accessions=("A1", "A2"))),
        ("requestType=STUDY&Accessionnumber=A1&idCDA=7", StudiesWanted(accessions=("A1",))),
        ("requestType=study&studyUID=1.2&studyUID=1.2", StudiesWanted(uids=("1.2",))),  # type: ignore[arg-type]
        ("requestType=STUDY&studyUID=1.2&accessionNumber=", StudiesWanted(uids=("1.2",))),  # type: ignore[arg-type]
        ("requestType=STUDY&accessionNumber=A1&keyImagesOnly=TRUE", StudiesWanted(accessions=("A1",), key_images_only=True)),
        ("requestType=STUDY&accessionNumber=A1&diagnosticQuality=false", StudiesWanted(accessions=("A1",))),
    ],
)
def test_iid_studies_are_named_by_one_key(query: str, wanted: StudiesWanted) -> None:
    assert read(query) == wanted


@pytest.mark.parametrize(
    ("patient_id", "identifier"),
    [
        ("DEMO-1001^^^https://imaging-cds.example/demo/mrn", MRN),
        ("DEMO-1001^^^https://imaging-cds.example/demo/mrn^MR", MRN),
        ("7", PatientIdentifier("7", ())),
        ("7^^^", PatientIdentifier("7", ())),
        ("7^^^DEMO", PatientIdentifier("7", ("DEMO",))),
        ("7^^^1.2.3", PatientIdentifier("7", ("1.2.3", "urn:oid:1.2.3"))),
        ("7^^^%261.2.3%26ISO", PatientIdentifier("7", ("1.2.3", "urn:oid:1.2.3"))),
        ("7^^^DEMO%261.2.3%26ISO", PatientIdentifier("7", ("DEMO", "1.2.3", "urn:oid:1.2.3"))),
    ],
)
def test_iid_a_patient_id_is_taken_apart_with_its_issuer(patient_id: str, identifier: PatientIdentifier) -> None:
    wanted = read(f"requestType=PATIENT&patientID={patient_id}")

    assert wanted == PatientWanted(patient=identifier)
    assert not wanted.narrows


def test_iid_every_parameter_of_a_patient_request_is_read() -> None:
    wanted = read(
        f"{OF_PATIENT}&patientName=SYNTHETIC^ALMA&patientBirthDate=1964-03-02&lowerDateTime=2024-01-01"
        "&upperDateTime=2026-01-31T08:30:00%2B07:00&mostRecentResults=3&modalitiesInStudy=ct,MR&keyImagesOnly=false"
    )

    assert wanted == PatientWanted(
        patient=MRN,
        birth_date=date(1964, 3, 2),
        lower=Bound(datetime(2024, 1, 1), is_date=True),  # noqa: DTZ001 - a bare date has no zone
        upper=Bound(datetime(2026, 1, 31, 8, 30, tzinfo=timezone(timedelta(hours=7))), is_date=False),
        most_recent=3,
        modalities=("CT", "MR"),
    )


@pytest.mark.parametrize(
    ("stated", "moment"),
    [
        ("20260131", datetime(2026, 1, 31)),  # noqa: DTZ001
        ("2026-01-31T08:30:00Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31T08:30:00+07:00", datetime(2026, 1, 31, 8, 30, tzinfo=timezone(timedelta(hours=7)))),
        ("2026-01-31 08:30:00", datetime(2026, 1, 31, 8, 30)),  # noqa: DTZ001
    ],
)
def test_iid_dates_are_read_as_they_arrive(stated: str, moment: datetime) -> None:
    wanted = read(f"{OF_PATIENT}&lowerDateTime={stated}")

    assert isinstance(wanted, PatientWanted)
    assert wanted.lower is not None
    assert wanted.lower.moment == moment


def test_iid_what_is_not_offered_can_be_left_out_of_the_request() -> None:
    query = parse_qsl("requestType=STUDY&studyUID=1.2&viewertype=IHE_BIR&diagnosticQuality=true")

    assert read_request(without_wishes(query)) == StudiesWanted(uids=("1.2",))  # type: ignore[arg-type]


NAMES = st.sampled_from(
    ["requestType", "studyUID", "accessionNumber", "patientID", "lowerDateTime", "mostRecentResults", "modalitiesInStudy", "x"]
)


@given(st.lists(st.tuples(NAMES, st.text(max_size=20) | st.sampled_from(["PATIENT", "STUDY", "1.2", "2026-01-01", "5"]))))
def test_iid_any_query_is_read_or_refused(query: list[tuple[str, str]]) -> None:
    assert isinstance(read_request(query), StudiesWanted | PatientWanted | RequestRefused)
