"""A study with a series of somebody else: lists show no more of it than reads and the gateway do (W5; groups 11 and 15)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import Ownership
from tests.contract.fed_actors import lacks_something
from tests.contract.imaging_fhir_actors import (
    CT_A,
    DX_A,
    MR_A,
    ImagingFhir,
    an_imaging_fhir,
    by_reference_and_number,
    only_at,
    tagged,
    uids_of,
)

SEARCHES: dict[str, dict[str, Any]] = {
    "all": {},
    "by identifier": {"identifier": f"urn:oid:{CT_A}"},
    "by id": {"id": CT_A},
    "first page": {"count": 1},
    "by modality": {"modality": "SR"},
}
SOURCES = pytest.mark.parametrize("fed", [None, {}], ids=["archives", "studies server"])


def says_whose_series(world: ImagingFhir, *numbers: str) -> None:
    """The series of the CT study name these patients, each in its turn."""
    if world.server is not None:
        world.fed.subject = lambda number: by_reference_and_number(world.north, number)
    for (series, _), number in zip(world.main.index[CT_A][1], numbers, strict=True):
        series.update(tagged(x00100020=number, x00100021="NORTH", x0008103E=f"series of {number}"))


@SOURCES
@pytest.mark.parametrize("ownership", list(Ownership))
@pytest.mark.parametrize("numbers", [("MRN-A", "MRN-B"), ("MRN-B", "MRN-B")], ids=["one series", "all series"])
@pytest.mark.parametrize("modalities", [["SR", "CT"], None], ids=["modalities", "no modalities"])
def test_groups_11_and_15_it_is_nowhere_to_be_seen_and_lists_say_that_they_lack_it(
    tmp_path: Any, ownership: Ownership, fed: dict[str, Any] | None, modalities: list[str] | None, numbers: tuple[str, str]
) -> None:
    with an_imaging_fhir(tmp_path / "state", ownership, fed=fed) as world:
        says_whose_series(world, *numbers)
        if modalities is None:  # some archives keep no list of them, so that the series are asked for while searching
            del world.main.index[CT_A][0]["00080061"]
        token = world.north.token()

        for path in (f"/studies/{CT_A}/metadata", f"/studies/{CT_A}/series/{CT_A}.1/metadata"):
            assert world.get(path, token).status == 403
        assert world.ask(f"/ImagingStudy/{CT_A}", token).status == 403
        for named, params in SEARCHES.items():
            answer = world.search(token, **params)
            assert uids_of(answer) == ([MR_A, DX_A] if named == "all" else []), named
            assert lacks_something(answer.json()), named
            assert b"MRN-B" not in answer.body
            assert f"{CT_A}.2".encode() not in answer.body


def test_group_15_the_copy_counts_too_that_this_token_may_not_have(tmp_path: Any) -> None:
    """Its scope is for another modality there."""
    with an_imaging_fhir(tmp_path / "state", Ownership.IDENTIFIER) as world:
        world.second.holds(CT_A, "MR")
        world.second.index[CT_A][1][0][0].update(tagged(x00100020="MRN-B"))
        token = world.north.token(scope="patient/ImagingStudy.rs?modality=CT")

        assert world.listed(token) == []
        assert world.ask(f"/ImagingStudy/{CT_A}", token).status == 403


@pytest.mark.parametrize("ownership", list(Ownership))
def test_group_11_a_list_says_that_it_lacks_what_another_archive_has_under_another_patient(
    tmp_path: Any, ownership: Ownership
) -> None:
    """One of both archives is wrong; the gateway may still give the images that are the patient's."""
    with an_imaging_fhir(tmp_path / "state", ownership) as world:
        world.second.holds(CT_A, "CT")
        world.second.index[CT_A][0].update(tagged(x00100020="MRN-B"))
        answer = world.search()

        assert uids_of(answer) == [MR_A, DX_A]
        assert lacks_something(answer.json())
        assert b"MRN-B" not in answer.body


@SOURCES
@pytest.mark.parametrize("ownership", list(Ownership))
def test_W5_series_that_name_the_patient_or_nobody_are_listed(
    tmp_path: Any, ownership: Ownership, fed: dict[str, Any] | None
) -> None:
    with an_imaging_fhir(tmp_path / "state", ownership, fed=fed) as world:
        says_whose_series(world, "MRN-A", "MRN-A")
        answer = world.search()

        assert uids_of(answer) == [CT_A, MR_A, DX_A]
        assert (answer.json()["total"], b"series of MRN-A" in answer.body) == (3, fed is None)


def test_F10_a_list_waits_where_the_archives_cannot_say_whose_series_they_are(tmp_path: Any) -> None:
    """Also where another server describes them."""
    with an_imaging_fhir(tmp_path / "state", fed={}) as world:
        says_whose_series(world, "MRN-A", "MRN-A")
        only_at(world.second, "/series", lambda: Response(status=500))

        assert world.search().status == 503
