"""Who stands behind a structured report: persons who sign, and programs that never do (clinical rules, section 6)."""

from __future__ import annotations

import pytest

from pacs_sync.report_document import NothingToBring
from pacs_sync.structured_report import read_report
from tests.sr_actors import (
    AReport,
    Json,
    a_nodule,
    document,
    is_labelled,
    lung_rads,
    mapped,
    observation,
)


def test_trap_verified_is_signed_only_by_a_person_and_only_when_complete() -> None:
    signed = document(AReport(verified_by="Reader^Ruth^^Dr"))
    partial = document(AReport(verified_by="Reader^Ruth^^Dr", is_complete=False))
    by_itself = document(AReport(verified_by="Nodule Finder^"))

    assert signed.is_signed
    assert [(one.name, one.organization, one.at) for one in signed.signatures] == [
        ("Dr Ruth Reader", "Synthetic Hospital", "2026-11-18T11:00:00+01:00")
    ]
    assert (partial.is_verified, partial.is_signed) == (True, False)
    assert (by_itself.is_verified, by_itself.is_signed) == (True, False)


@pytest.mark.parametrize(
    "name",
    [
        "NoduleFinder",
        "nodule^finder",
        "Finder^Nodule",
        "Nodule-Finder",
        "Nodule Finder 2.1",
        "Nodule Finder AI",
        "Synthetic Maker",
    ],
)
def test_a_program_that_verifies_its_own_report_signs_nothing_however_it_writes_its_name(name: str) -> None:
    report = AReport(verified_by=name if "^" in name else f"{name}^")

    assert not document(report).is_signed
    assert observation(mapped(report))["status"] == "preliminary"
    assert is_labelled(observation(mapped(report)))


def test_the_equipment_that_made_a_report_does_not_sign_it_and_a_person_of_its_makers_name_does() -> None:
    report = AReport(verified_by="Insight^Chest", device=None, groups=[a_nodule(lung_rads(), algorithm=None)]).json()
    by_person = AReport(verified_by="Maker^Ruth").json()

    assert not signed(report | {"00081090": {"Value": ["Chest Insight 3"]}})
    assert signed(report)
    assert signed(by_person)


@pytest.mark.parametrize("place", ["report", "list"])
@pytest.mark.parametrize("person", [None, "Reader^Ruth"])
def test_a_program_that_is_named_once_for_all_made_what_names_nobody(place: str, person: str | None) -> None:
    report = AReport(device=None, person=person, groups=[a_nodule(lung_rads(), algorithm=None)]).json()
    holder = report if place == "report" else next(one for one in report["0040A730"]["Value"] if is_list(one))
    holder["0040A730"]["Value"].append(said("111001", "Nodule Finder"))
    found = read_report(report)

    assert not isinstance(found, NothingToBring)
    assert [one.algorithm and one.algorithm.name for one in found.groups] == ["Nodule Finder"]


def signed(report: Json) -> bool:
    read = read_report(report)
    assert not isinstance(read, NothingToBring)
    return read.is_signed


def is_list(item: Json) -> bool:
    return bool(item["0040A043"]["Value"][0]["00080100"]["Value"] == ["126010"])


def said(code: str, words: str) -> Json:
    return {
        "0040A010": {"vr": "CS", "Value": ["HAS CONCEPT MOD"]},
        "0040A040": {"vr": "CS", "Value": ["TEXT"]},
        "0040A043": {"vr": "SQ", "Value": [{"00080100": {"Value": [code]}, "00080102": {"Value": ["DCM"]}}]},
        "0040A160": {"vr": "UT", "Value": [words]},
    }


@pytest.mark.parametrize(
    ("tag", "stated", "is_signed"),
    [
        ("0040A496", ["FINAL"], True),
        ("0040A496", ["PRELIMINARY"], False),
        ("0040A493", ["VERIFIED", "UNVERIFIED"], False),
        ("0040A491", ["COMPLETE", "PARTIAL"], False),
    ],
)
def test_trap_a_preliminary_report_and_one_of_two_minds_are_not_signed(tag: str, stated: list[str], is_signed: bool) -> None:
    report = AReport(verified_by="Reader^Ruth").json() | {tag: {"vr": "CS", "Value": stated}}

    assert signed(report) is is_signed
    assert is_labelled(observation(mapped(report))) is not is_signed


def test_a_person_signs_in_whatever_script_the_name_is_written() -> None:
    report = AReport(verified_by="Reader^Ruth").json()
    report["0040A073"]["Value"][0]["0040A075"] = {"vr": "PN", "Value": [{"Ideographic": "\u5c71\u7530^\u592a\u90ce"}]}
    found = read_report(report)

    assert not isinstance(found, NothingToBring)
    assert (found.is_signed, [one.name for one in found.signatures]) == (True, ["\u5c71\u7530 \u592a\u90ce"])
