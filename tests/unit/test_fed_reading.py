"""ImagingStudy of another FHIR server: whose it is in every shape of subject, and that nothing it says breaks ours (F3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.fhir_mapping.imaging_study import StudyContext, imaging_study
from fhir_imaging.settings import EhrSettings, StudiesServerSettings, SubjectBy
from imaging_server.fed_reading import Subject, endpoint_addresses, last_updated_ms, told_study
from imaging_server.fed_servers import check_fed_servers
from imaging_server.fhir_bundles import instant, page_of
from imaging_server.fhir_search import Token, identifier_tokens, parse_study_search
from imaging_server.fhir_sources import FoundStudy
from tests.examples import examples
from tests.imaging_profiles import SMART_IMAGING_STUDY, broken

EHR, MRN = "https://ehr.example/fhir", "https://mrn.example"
PATIENT_A = Subject(
    references=frozenset({f"{EHR}/Patient/a"}), namespaces=(f"{EHR}/Patient/",), system=MRN, numbers=frozenset({"1"})
)
LOCAL = replace(PATIENT_A, references=frozenset({"Patient/a"}), namespaces=("Patient/", f"{EHR}/Patient/"))
NUMBER_ONLY = replace(PATIENT_A, references=frozenset(), unproven=PATIENT_A.references)
UID = {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.1"}]}


def number(value: Any, system: str = MRN) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


@pytest.mark.parametrize(
    ("who", "subject", "is_of"),
    [
        (PATIENT_A, {"reference": f"{EHR}/Patient/a"}, True),
        (PATIENT_A, {"reference": f"{EHR}/Patient/a/_history/3"}, True),
        (PATIENT_A, number("1"), True),
        (PATIENT_A, {"reference": "Patient/77", **number("1")}, True),
        (PATIENT_A, {"reference": f"{EHR}/Patient/b"}, False),
        (PATIENT_A, {"reference": f"{EHR}/Patient/b", **number("1")}, False),
        (PATIENT_A, {"reference": f"{EHR}/Patient/a", **number("2")}, False),
        (PATIENT_A, {"reference": f"{EHR}/Patient/a", **number(["1"])}, False),
        (PATIENT_A, {"reference": "Patient/a"}, None),
        (PATIENT_A, {"reference": "https://other.example/fhir/Patient/a"}, None),
        (PATIENT_A, number("1", "https://other.example"), None),
        (PATIENT_A, {"display": "Alma"}, None),
        (PATIENT_A, "Patient/a", None),
        (PATIENT_A, None, None),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/a", **number("1")}, True),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/a/_history/3", **number("1")}, True),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/a"}, None),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/a", **number("2")}, False),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/b", **number("1")}, False),
        (NUMBER_ONLY, {"reference": f"{EHR}/Patient/ab", **number("1")}, False),
        (LOCAL, {"reference": "Patient/a"}, True),
        (LOCAL, {"reference": "Patient/b"}, False),
        (LOCAL, {"reference": f"{EHR}/Patient/b"}, False),
    ],
)
def test_F2_a_study_is_a_patients_only_where_something_says_so_and_nothing_denies_it(
    who: Subject, subject: Any, is_of: bool | None
) -> None:
    assert who.is_of({"subject": subject}) is is_of


def test_a_study_without_one_uid_is_nobodys() -> None:
    assert told_study({"identifier": []}) is None
    assert told_study({"identifier": [*UID["identifier"], {"system": "urn:dicom:uid", "value": "urn:oid:2.25.2"}]}) is None


def test_parts_that_cannot_be_read_are_counted_as_missing() -> None:
    series = [{"uid": "2.25.1.1", "instance": [{"uid": "2.25.1.1.1"}]}, {"uid": "none"}]
    told = told_study({**UID, "series": series, "started": "2026-02-31", "modality": [{"code": "ct?"}, {"code": "MR"}]})
    assert told is not None

    study, whole = told
    assert ([one.uid for one in study.series], whole) == (["2.25.1.1"], False)
    assert (study.started, study.listed_modalities) == (None, ("MR",))


SITE = {"system": "https://codes.example", "code": "c-17", "display": "Chest"}
KIND = {"system": "https://codes.example", "code": "p-4", "display": "CT of the chest"}
NUMBER = {
    "type": {"coding": [{"system": "https://types.example", "code": "ACSN"}]},
    "system": "https://acc.example",
    "value": "A1",
}
SAID_IN = {
    "R4": {
        "identifier": [*UID["identifier"], NUMBER],
        "procedureCode": [{"coding": [{"display": "no code"}, KIND]}, {"text": "in words"}],
        "reasonCode": [{"coding": [{"code": "without-system"}], "text": "Cough"}],
        "series": [{"uid": "2.25.1.1", "bodySite": SITE, "laterality": SITE}],
    },
    "R5": {
        **UID,
        "basedOn": [{"identifier": NUMBER}],
        "procedure": [{"concept": {"coding": [KIND]}}, {"concept": {"text": "in words"}}],
        "reason": [{"concept": {"text": "Cough"}}, {"reference": {"reference": "Condition/1"}}],
        "series": [{"uid": "2.25.1.1", "bodySite": {"concept": {"coding": [SITE]}}, "laterality": {"coding": [SITE]}}],
    },
    "R6": {
        **UID,
        "basedOn": [{"identifier": NUMBER}],
        "procedure": [{"concept": {"coding": [KIND]}}, {"concept": {"text": "in words"}}],
        "reason": [{"concept": {"text": "Cough"}}],
        "series": [{"uid": "2.25.1.1", "bodySite": [{"concept": {"coding": [SITE]}}], "laterality": {"coding": [SITE]}}],
    },
}


@pytest.mark.parametrize("release", SAID_IN)
def test_what_a_server_of_each_release_knows_beyond_the_archives_indexes_is_told_in_R4(release: str) -> None:
    resource = {**SAID_IN[release], "referrer": {"reference": "Practitioner/7", "display": "Dr. Synthetic"}}
    told = told_study(resource)
    assert told is not None

    made = imaging_study(replace(told[0], archives=("main",)), StudyContext(subject=f"{EHR}/Patient/a"))

    (accession,) = [one for one in made["identifier"] if "type" in one]
    assert (accession["system"], accession["value"]) == ("https://acc.example", "A1")
    assert identifier_tokens(told[0])[-1] == Token("https://acc.example", "A1")
    assert made["procedureCode"] == [{"coding": [KIND]}, {"text": "in words"}]
    assert made["reasonCode"] == [{"text": "Cough"}]
    assert made["referrer"] == {"display": "Dr. Synthetic"}  # an id of that server means nothing here
    assert (made["series"][0]["bodySite"], made["series"][0]["laterality"]) == (SITE, SITE)
    ImagingStudy.model_validate(made)


@pytest.mark.parametrize(
    ("stated", "ms"),
    [
        ("2026-11-21T17:00:00Z", 1795280400000),
        ("2026-11-21T18:00:00.123456789+01:00", 1795280400123),
        ("0001-01-01T00:00:00Z", -62135596800000),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("9999-12-31T23:59:59.999Z", None),
        ("9999-12-31T23:59:59.998Z", 253402300799998),
        ("2026-11-21T17:00:00+15:00", None),
        ("2026-11-21T24:00:00Z", None),
        ("2026-11-21", None),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_F1_last_update_is_an_instant_or_unknown(stated: Any, ms: int | None) -> None:
    assert last_updated_ms({"meta": {"lastUpdated": stated}}) == ms


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("2026-11-21", True),
        ("0001-01-01", True),
        ("9999-12-31", True),
        ("2026-11-21T17:00:00.5+14:00", True),
        ("2026-11-21T17:00:00-13:59", True),
        ("2026-11-21T17:00:00+14:01", False),
        ("2026-11-21T17:00:00+15:00", False),
        ("2026-11-21T17:00:00+23:59", False),
        ("2026-11-21T24:00:00Z", False),
        ("2026-11-21T17:00:60Z", False),
        ("0001-01-01T00:00:00+14:00", False),
        ("9999-12-31T23:59:59-14:00", False),
        ("0000-01-01", False),
    ],
)
def test_F3_a_study_and_a_series_start_when_a_calendar_has_it_and_else_at_no_time(stated: str, told: bool) -> None:
    said = told_study({**UID, "started": stated, "series": [{"uid": "2.25.9", "started": stated}]})
    assert said is not None

    assert {said[0].started, said[0].series[0].started} == {stated if told else None}


@pytest.mark.parametrize("reference", ["#e", "Endpoint/e", "https://fed.example/r4/Endpoint/e", "urn:uuid:1"])
def test_C4_an_endpoint_is_found_in_every_form(reference: str) -> None:
    endpoint = {"resourceType": "Endpoint", "id": "e", "address": "https://gateway.example/studies/2.25.1"}
    others = {name: endpoint for name in ("Endpoint/e", "urn:uuid:1")}
    study = {**UID, "endpoint": [{"reference": reference}], "contained": [endpoint] if reference == "#e" else []}

    assert endpoint_addresses(study, {} if reference == "#e" else others) == {"https://gateway.example"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["2.25.7", "urn:oid:1.2"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "uid", "number", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
YEARS = st.sampled_from(["0000", "0001", "1969", "2026", "9999"])
TIMES = st.builds(
    "{}-{}{}{}{}".format,
    YEARS,
    st.sampled_from(["01-01", "02-29", "12-31"]),
    st.sampled_from(["", "T00:00:00", "T23:59:59", "T23:59:60", "T24:00:00"]),
    st.sampled_from(["", ".9", ".999", ".999999", ".9999999999"]),
    st.sampled_from(["", "Z", "+14:00", "-14:00", "-00:00", "+14:01", "+15:00", "-23:59", "+24:00"]),
)
"""Moments in and beyond what FHIR, and what Python, can tell."""
PARTS = (
    "status",
    "modality",
    "series",
    "description",
    "numberOfSeries",
    "numberOfInstances",
    "endpoint",
    "contained",
    "referrer",
    "procedureCode",
    "procedure",
    "reasonCode",
    "basedOn",
)
TERMS = st.recursive(
    st.dictionaries(st.sampled_from(["system", "code", "display", "text", "version"]), st.text(max_size=4) | st.just("urn:x")),
    lambda inner: (
        st.fixed_dictionaries({"coding": st.lists(inner, max_size=2)})
        | st.fixed_dictionaries({"concept": inner})
        | st.lists(inner, max_size=2)
    ),
    max_leaves=4,
)
"""Coded terms in the shapes of every release, and nearly so."""
ACCESSIONS = st.builds(
    lambda system, value: [{"identifier": {"type": {"coding": [{"code": "ACSN"}]}, "system": system, "value": value}}],
    st.text(max_size=4),
    st.text(max_size=4),
)
SERIES = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["uid", "number", "modality", "description", "started", "numberOfInstances", "instance", "bodySite", "laterality"]
        ),
        JSON
        | TERMS
        | TIMES
        | st.just("2.25.9")
        | st.just([{"uid": "2.25.9.1", "sopClass": {"code": "urn:oid:1.2"}, "number": 1}]),
    ),
    max_size=3,
)


SEARCHES = [
    parse_study_search([("patient", "a"), ("_sort", sort), (name, "ge2026"), (name, "lt2027-01-01T00:00:00Z")])
    for sort, name in (("started", "started"), ("-started", "_lastUpdated"))
]


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(PARTS), JSON | TERMS | ACCESSIONS), SERIES, TIMES | JSON, TIMES | JSON)
def test_F3_whatever_stands_in_a_resource_ours_stays_valid(
    stated: dict[str, Any], series: list[Any], started: Any, updated: Any
) -> None:
    """Also its place in a list: by its time and by when it was updated."""
    resource = {**stated, **UID, "series": series, "started": started, "meta": {"lastUpdated": updated}}
    told = told_study(resource)
    endpoint_addresses(resource, {})
    assert told is not None
    study = replace(told[0], archives=("main",))
    found = FoundStudy(study=study, last_updated_ms=last_updated_ms(resource) or 0, states={})

    for by in SEARCHES:
        assert page_of([found], by, None).total <= 1
    context = StudyContext(subject=f"{EHR}/Patient/a", last_updated=instant(found.last_updated_ms), is_subset=True)
    made = imaging_study(study, context)

    ImagingStudy.model_validate(made)
    assert broken(made, {k: v for k, v in SMART_IMAGING_STUDY.items() if k != "no fewer series than are listed"}) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fhir_base": "fed.example"}, "must be an http(s) address"),
        ({"fhir_base": "https://app.example/imaging/north/fhir"}, "this imaging server itself"),
        ({"subjects": ()}, "at least one way"),
        ({"subjects": (SubjectBy.PATIENT_IDENTIFIER, SubjectBy.IDENTIFIER)}, "must say whose"),
        ({"bearer_token": "t", "backend_client_id": "c"}, "give one of them"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    server = StudiesServerSettings(**{"fhir_base": "https://fed.example/r4", **changes})
    ehr = EhrSettings(name="north", fhir_base=EHR, studies_server=server)

    with pytest.raises(ConfigurationError, match="studies_server") as refused:
        check_fed_servers([ehr], "https://app.example")

    assert said in str(refused.value)


def test_numbers_alone_are_enough_where_the_site_says_whose_they_are() -> None:
    server = StudiesServerSettings(fhir_base="https://fed.example/r4", subjects=(SubjectBy.PATIENT_IDENTIFIER,))

    check_fed_servers([EhrSettings(name="north", fhir_base=EHR, studies_server=server)], "https://app.example", {"north"})
