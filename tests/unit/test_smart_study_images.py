"""What a row of the study list says of images, body region and attachments (smart-launch.md §8; SMART Imaging Access C3-C6)."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.study_table import known_regions
from smart_app.study_images import Availability
from smart_app.study_regions import _SHOWN_AS, REGION_WORDS
from tests.unit.test_smart_study_list import GATEWAY, a_study, an_endpoint, the_list


def the_row(server: dict[str, Any] | None = None, **more: Any) -> Any:
    (row,) = the_list(a_study(**more), endpoint=server).rows
    return row


@pytest.mark.parametrize(
    ("study", "availability", "can_open"),
    [
        ({}, Availability.ONLINE, True),
        ({"availability": "ONLINE"}, Availability.ONLINE, True),
        ({"availability": "NEARLINE"}, Availability.ARCHIVED, True),
        ({"availability": "OFFLINE"}, Availability.OFFLINE, False),
        ({"availability": "UNAVAILABLE"}, Availability.GONE, False),
        ({"availability": {"odd": 1}}, Availability.ONLINE, True),
        (
            {"extension": [{"url": "https://ehr.example/Instance-Availability", "valueCode": "OFFLINE"}]},
            Availability.OFFLINE,
            False,
        ),
        ({"endpoint": []}, Availability.NO_SERVER, False),
        ({"endpoint": [], "status": "registered"}, Availability.PENDING, False),
        ({"numberOfInstances": 0}, Availability.PENDING, False),
    ],
)
def test_how_near_the_images_are_is_said_in_words(study: dict[str, Any], availability: Availability, can_open: bool) -> None:
    row = the_row(**study)

    assert (row.availability, row.can_open) == (availability, can_open)
    assert row.images
    assert (row.thumbnail is not None) is can_open


@pytest.mark.parametrize(
    ("endpoint", "availability"),
    [
        ({"status": "suspended"}, Availability.SERVER_OFF),
        ({"address": "https://elsewhere.example/dicom-web"}, Availability.NOT_PERMITTED),
        ({"connectionType": {"code": "ihe-iid"}}, Availability.NOT_USABLE),
        ({"connectionType": {"code": "hl7-fhir-rest"}}, Availability.NO_SERVER),
    ],
)
def test_a_server_that_cannot_be_used_is_kept_apart_from_an_archive(endpoint: dict[str, Any], availability: str) -> None:
    assert the_row(an_endpoint(**endpoint)).availability == availability


@pytest.mark.parametrize(
    "address",
    [
        "https://Images.Example/imaging/ehr/dicom-web/main",
        "https://images.example:443/imaging/ehr/dicom-web/main",
        "HTTPS://images.example:0443/imaging/ehr/dicom-web/main/",
    ],
)
def test_c3_an_address_is_handed_on_as_browsers_write_it(address: str) -> None:
    """The viewer compares letter by letter what it gives the token to, and gave it to none of these."""
    row = the_row(an_endpoint(address=address))

    assert (row.address, row.availability) == (GATEWAY, Availability.ONLINE)
    assert row.thumbnail == f"{GATEWAY}/studies/1.2.3/rendered?viewport=192,192"


@pytest.mark.parametrize("path", ["/a/../b", "/a/./b", "/..", "/a/%2e%2E/b", "/a/.%2e", "/a?key=1", "/a#b", "?key=1", "/a//b"])
def test_c3_an_address_that_browsers_would_ask_for_otherwise_is_not_usable(path: str) -> None:
    row = the_row(an_endpoint(address=f"https://images.example{path}"))

    assert (row.address, row.availability) == (None, Availability.NOT_USABLE)


def series(uid: str, modality: str, instances: int | None = None) -> dict[str, Any]:
    return {"uid": uid, "modality": {"code": modality}, "numberOfInstances": instances}


def test_the_thumbnail_is_of_the_largest_series_that_holds_images() -> None:
    row = the_row(series=[series("1.1", "CT", 2), series("1.2", "SEG", 900), series("1.3", "CT", 300)])

    assert row.thumbnail == f"{GATEWAY}/studies/1.2.3/series/1.3/rendered?viewport=192,192"


def test_a_study_without_a_series_list_has_a_thumbnail_of_its_own() -> None:
    assert the_row().thumbnail == f"{GATEWAY}/studies/1.2.3/rendered?viewport=192,192"


@pytest.mark.parametrize("more", [{"series": [series("1.1", "SR")]}, {"modality": [{"code": "SR"}]}])
def test_a_study_of_reports_alone_has_no_thumbnail(more: dict[str, Any]) -> None:
    assert the_row(**{"modality": [{"code": "SR"}], **more}).thumbnail is None


def test_what_stands_beside_the_images_is_counted() -> None:
    listed = [series("1.1", "CT"), series("1.2", "KO"), series("1.3", "SR"), series("1.4", "SR"), series("1.5", "SEG")]
    row = the_row(series=listed, modality=[{"code": "CT"}, {"code": "PR"}])

    assert "1 key object" in row.details
    assert "2 structured reports" in row.details
    assert "1 segmentation" in row.details
    assert "also saved views" in row.details


@pytest.mark.parametrize(
    ("study", "regions", "region", "families"),
    [
        ({"description": "CT chest"}, ("chest",), "chest", ("ct",)),
        ({"description": "MRI of the left knee", "modality": [{"code": "MR"}]}, ("knee",), "leg", ("mr",)),
        ({"description": "", "modality": [{"code": "DX"}]}, ("other",), "other", ("xr",)),
        ({"description": "", "modality": [{"code": "XC"}]}, ("other",), "other", ("other",)),
    ],
)
def test_region_and_family_are_those_of_the_cards(
    study: dict[str, Any], regions: tuple[str, ...], region: str, families: tuple[str, ...]
) -> None:
    row = the_row(**study)

    assert (row.regions, row.region, row.families) == (regions, region, families)


def test_every_region_of_the_judgement_has_a_place_in_the_list() -> None:
    assert {_SHOWN_AS.get(region, region) for region in known_regions()} <= set(REGION_WORDS)


def test_the_list_can_be_read_by_region_from_head_to_foot() -> None:
    studies = the_list(
        a_study("1.1", description="CT chest", started="2020-01-01"),
        a_study("1.2", description="CT head", started="2021-01-01"),
        a_study("1.3", description="CT chest", started="2022-01-01"),
    )

    assert [(words, [row.study_instance_uid for row in rows]) for words, rows in studies.regions] == [
        ("Head", ["1.2"]),
        ("Chest", ["1.3", "1.1"]),
    ]


def test_priors_are_earlier_studies_of_the_same_region_and_kind() -> None:
    studies = the_list(
        a_study("1.1", description="CT chest", started="2026-01-01"),
        a_study("1.2", description="CT chest and abdomen", started="2025-01-01"),
        a_study("1.3", description="CT head", started="2025-01-01"),
        a_study("1.4", description="Chest X-ray", modality=[{"code": "DX"}], started="2025-01-01"),
        a_study("1.5", description="CT chest", started="2026-06-01"),
    )

    assert studies.priors_of("1.1") == {"1.2"}
    assert studies.priors_of("1.9") == frozenset()
    assert studies.priors_of(None) == frozenset()
