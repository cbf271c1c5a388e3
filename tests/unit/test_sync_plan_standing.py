"""What stands in FHIR: ours by either mark, what others added or decided left, and nothing told of a wrong chart."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.report_states import AI_ASSERTED
from pacs_sync.result_steps import Key, by_key, key_of, keys_in, resolved, step, study_key, unwanted
from pacs_sync.standing import (
    Mark,
    bare_study,
    differs,
    has_other_maker,
    only_signed_since,
    study_uids,
    subject_id,
    with_others_labels,
    with_what_others_said,
    withdrawn_result,
)

MARK = Mark("demo")
TAG = {"system": "urn:imaging-cds:sync", "code": "demo"}


@pytest.mark.parametrize(
    ("meta", "is_ours"),
    [
        ({"source": "urn:imaging-cds:sync:demo"}, True),
        ({"source": "urn:imaging-cds:sync:demo#Xk3"}, True),
        ({"tag": [TAG]}, True),
        ({"source": "urn:imaging-cds:sync:demo2"}, False),
        ({"tag": [{**TAG, "code": "other"}]}, False),
        ({}, False),
        (None, False),
    ],
)
def test_ours_is_known_by_source_or_tag_since_servers_keep_one_or_the_other(meta: Any, is_ours: bool) -> None:
    assert MARK.is_on({"meta": meta}) is is_ours


def test_marks_are_put_beside_what_is_there_and_only_once() -> None:
    marked = MARK.put_on({"meta": {"security": [1], "tag": [{"code": "x"}, TAG]}}, study=StudyInstanceUID("1.2"))

    assert marked["meta"]["security"] == [1]
    assert marked["meta"]["tag"] == [{"code": "x"}, TAG, {"system": "urn:dicom:uid", "code": "urn:oid:1.2"}]
    assert MARK.put_on(marked, study=StudyInstanceUID("1.2")) == marked


def test_a_maker_is_whoever_says_so_and_a_request_id_is_nobody() -> None:
    assert has_other_maker({"meta": {"source": "https://ris.example#1"}}, MARK)
    assert has_other_maker({"meta": {"tag": [{**TAG, "code": "other"}]}}, MARK)
    assert not has_other_maker({"meta": {"source": "#Xk3"}}, MARK)
    assert not has_other_maker({}, MARK)


def test_a_patient_is_named_by_any_form_of_a_reference_to_a_patient() -> None:
    of = {"Patient/a": "a", "https://ehr.example/fhir/Patient/a/_history/3": "a", "Group/a": None, "Patient/": None}

    assert {one: subject_id({"subject": {"reference": one}}) for one in of} == of
    assert subject_id({"subject": {"identifier": {"value": "1"}}}) is None


def test_uids_are_read_with_and_without_their_prefix() -> None:
    identifiers = [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}, {"system": "urn:dicom:uid", "value": "1.3"}]
    others = [{"system": "https://x.example", "value": "1.4"}, {"system": "urn:dicom:uid", "value": "?"}, "odd"]

    assert study_uids({"identifier": [*identifiers, *others]}) == {"1.2", "1.3"}


def test_what_a_server_adds_or_reorders_is_no_difference() -> None:
    ours = {"status": "available", "series": [{"uid": "1"}, {"uid": "2"}], "meta": {"source": "s"}}
    theirs = {**ours, "id": "1", "series": [{"uid": "2"}, {"uid": "1"}], "text": {"div": "x"}, "meta": {"versionId": "3"}}

    assert not differs(ours, theirs)
    assert differs({**ours, "status": "registered"}, theirs)


def test_what_others_added_stays_in_the_same_chart_and_never_follows_into_another() -> None:
    wanted = {
        "resourceType": "ImagingStudy",
        "subject": {"reference": "Patient/a"},
        "description": "new",
        "meta": {"source": "s"},
    }
    added = {"note": [{"text": "seen"}], "encounter": {"reference": "Encounter/1"}}
    labels = {"security": [{"code": "R"}]}
    there = {
        **wanted,
        **added,
        "description": "old",
        "started": "2020",
        "text": {"div": "old"},
        "meta": {**labels, "source": "s"},
    }

    assert with_what_others_said(wanted, there) == {**wanted, **added, "meta": {**labels, "source": "s"}}
    elsewhere = {**there, "subject": {"reference": "Patient/b"}}
    assert with_what_others_said(wanted, elsewhere) == {**wanted, "meta": {**labels, "source": "s"}}


def test_what_was_in_a_wrong_chart_keeps_nothing_that_tells_of_the_other_patient() -> None:
    accession = {"system": "https://ris.example", "value": "A-17"}
    uid = {"system": "urn:dicom:uid", "value": "urn:oid:1.2"}
    there = {
        "resourceType": "ImagingStudy",
        "id": "1",
        "meta": {},
        "status": "available",
        "subject": {},
        "description": "Chest",
    }

    assert bare_study({**there, "identifier": [uid, accession]}) == {
        **{name: value for name, value in there.items() if name != "description"},
        "identifier": [uid],
    }


AI = {"resourceType": "Observation", "status": "preliminary", "code": {"text": "Nodule"}, "valueString": "9 mm"}


@pytest.mark.parametrize(
    ("wanted", "there", "is_left"),
    [
        (AI, {**AI, "status": "final"}, True),
        (AI, {**AI, "status": "entered-in-error"}, True),
        (AI, {**AI, "status": "final", "valueString": "8 mm"}, False),
        (AI, {**AI, "status": "registered"}, False),
        (AI, AI, False),
        ({**AI, "status": "final"}, {**AI, "status": "amended"}, False),
        ({**AI, "status": "final"}, {**AI, "status": "entered-in-error"}, True),
        (AI, withdrawn_result(AI), False),
    ],
)
def test_what_a_person_decided_about_a_finding_is_left_while_nothing_else_differs(
    wanted: dict[str, Any], there: dict[str, Any], is_left: bool
) -> None:
    assert only_signed_since(wanted, there) is is_left


def a_result(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": kind, "identifier": [{"system": "https://r.example", "value": value}], **more}


def test_conditional_references_become_addresses_as_they_stand_and_as_they_are_escaped() -> None:
    device = Key("Device", "https://r.example", "d 1")
    resource = {
        "device": {"reference": "Device?identifier=https://r.example|d 1"},
        "focus": [{"reference": "Device?identifier=https%3A%2F%2Fr.example%7Cd%201"}],
        "subject": {"reference": "Patient/a"},
        "partOf": [{"reference": "ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2"}],
    }

    assert resolved(resource, {device: "Device/7"}) == {
        "device": {"reference": "Device/7"},
        "focus": [{"reference": "Device/7"}],
        "subject": {"reference": "Patient/a"},
        "partOf": resource["partOf"],
    }
    assert study_key(StudyInstanceUID("1.2")) in keys_in(resource)


def test_a_result_without_an_identifier_could_never_be_found_again() -> None:
    with pytest.raises(ValueError, match="identifier"):
        key_of({"resourceType": "Observation", "identifier": [{"value": "1"}]})

    first = a_result("Observation", "1", id="9")
    assert by_key([a_result("Observation", "1", id="10"), first, {"resourceType": "Observation", "id": "2"}]) == {
        key_of(first): first
    }


def test_steps_say_what_is_needed_and_what_is_to_be_taken_back() -> None:
    new = a_result("Observation", "1", status="preliminary", code={})
    there = {**new, "id": "9", "meta": {"versionId": "2"}}

    assert step(new, None, {}).is_needed
    assert not step(new, there, {}).is_needed
    assert step({**new, "code": {"text": "x"}}, there, {}).is_needed
    assert unwanted([there, {**there, "id": "10", "status": "entered-in-error"}], kept=["9"]) == []
    assert [one["status"] for one in unwanted([there], kept=[])] == ["entered-in-error"]


def test_a_result_keeps_the_labels_of_others_and_is_a_programs_only_where_we_say_so() -> None:
    """A report that was signed since is no program's assertion any more; that it is confidential somebody else said."""
    asserted = {"system": AI_ASSERTED.system, "code": AI_ASSERTED.code}
    secret = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    stands = {"meta": {"security": [asserted, secret]}}

    assert with_others_labels({"status": "final"}, stands) == {"status": "final", "meta": {"security": [secret]}}
    unsigned = {"meta": {"tag": [], "security": [asserted]}}
    assert with_others_labels(unsigned, stands) == {"meta": {"tag": [], "security": [asserted, secret]}}
    assert with_others_labels({"status": "final"}, {}) == {"status": "final"}
