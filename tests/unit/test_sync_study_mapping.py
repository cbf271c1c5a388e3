"""What the site's settings make of an archive's accession numbers, and what a person reads of a study that others wrote too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pacs_sync.ports import WrittenStudy
from pacs_sync.several_studies import beside_others, of_another_patient
from pacs_sync.standing import Mark, maker_of
from pacs_sync.study_mapping import accession_system
from tests.sync_actors import ACCESSIONS, a_study, sync_settings

OF_NORTH = "https://north.example/accession"


@pytest.mark.parametrize(
    ("issuer", "system"),
    [(None, ACCESSIONS), ("NORTH", OF_NORTH), ("SOUTH", None)],
    ids=["no issuer", "a known issuer", "an unknown issuer"],
)
def test_X18_the_namespace_of_an_accession_number_is_its_issuer_s_and_never_another_s(
    issuer: str | None, system: str | None
) -> None:
    settings = replace(sync_settings("https://fhir.example"), accession_systems={"NORTH": OF_NORTH})
    assert accession_system(a_study(accession="A-17", accession_issuer=issuer), settings) == system


def stands(resource_id: str, meta: dict[str, Any], status: str = "available") -> WrittenStudy:
    return WrittenStudy(id=resource_id, version="1", content={"resourceType": "ImagingStudy", "status": status, "meta": meta})


BY_FIRST = Mark("first").put_on({})["meta"]


@pytest.mark.parametrize(
    ("meta", "maker"),
    [
        (BY_FIRST, "first"),
        ({"tag": BY_FIRST["tag"]}, "first"),
        ({"source": "urn:imaging-cds:sync:first#Xk3"}, "first"),
        ({"source": "https://ris.example/urn:imaging-cds:sync:first"}, None),
        ({"source": "urn:imaging-cds:export"}, None),
        ({}, None),
    ],
)
def test_who_made_it_is_told_where_one_of_our_synchronisations_says_so(meta: dict[str, Any], maker: str | None) -> None:
    assert maker_of({"meta": meta}) == maker


@pytest.mark.parametrize(
    ("in_the_way", "said"),
    [
        ([stands("1", BY_FIRST)], ("two archives", "synchronisation first", "ImagingStudy/1", "nothing is to be done")),
        (
            [stands("2.25.1", BY_FIRST, "entered-in-error")],
            ("withdrawn ImagingStudy/2.25.1", "delete that", 'ids = "server"'),
        ),
        ([stands("7", {"source": "https://ris.example"})], ("Another system wrote ImagingStudy/7", "let one of both write it")),
        ([stands("1", {}), stands("2", {})], ("ImagingStudy/1, ImagingStudy/2", "leave one of them")),
    ],
    ids=["in two archives", "withdrawn under the same id", "of another system", "several"],
)
def test_who_lists_what_is_held_reads_what_to_do_about_it(in_the_way: list[WrittenStudy], said: tuple[str, ...]) -> None:
    words = beside_others(in_the_way)
    assert all(one in words for one in said), words


def test_a_study_in_another_chart_is_to_be_corrected() -> None:
    words = of_another_patient([stands("7", {})])
    assert "ImagingStudy/7 of another system has its UID in another patient's chart: correct one of both" in words
