"""Links of a finding's card to key images, measurements and segmentations of its study (issue 4: key images and AI)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cds_actors import (
    APP,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_hook,
    a_lung_rads,
    a_study,
    an_ai_lung_rads,
    whole_prefetch,
)

MEASUREMENTS, DOSE = "urn:oid:1.2.840.10008.5.1.4.1.1.88.34", "urn:oid:1.2.840.10008.5.1.4.1.1.88.67"


def a_series(modality: str, number: int, sop_class: str | None = None) -> dict[str, Any]:
    found = [{"sopClass": {"system": "urn:ietf:rfc:3986", "code": sop_class}}] if sop_class else []
    return {"uid": f"2.25.9.{number}", "modality": {"code": modality}, "instance": found}


def links_of(cds: CdsActor, series: list[Any], *others: dict[str, Any]) -> dict[str, str]:
    """What the one card links inside its study, by label."""
    prefetch = whole_prefetch(a_lung_rads("4B"), *others, studies=a_bundle(a_study(series=series)))
    (card,) = cds.cards(a_hook(prefetch))
    assert all(link["url"] == f"{APP}/launch" for link in card["links"] if link["type"] == "smart")
    return {link["label"]: link["appContext"] for link in card["links"] if "/" in link.get("appContext", "")}


def test_key_images_measurements_and_segmentation_have_a_link_each(cds: CdsActor) -> None:
    series = [a_series("CT", 1), a_series("SEG", 2), a_series("SR", 3, MEASUREMENTS), a_series("KO", 4)]

    assert links_of(cds, series) == {
        "Open the key images": f"studies/{STUDY_UID}/series/2.25.9.4",
        "Open the measurements": f"studies/{STUDY_UID}/series/2.25.9.3",
        "Open the segmentation": f"studies/{STUDY_UID}/series/2.25.9.2",
    }


def test_of_several_of_one_kind_the_one_listed_last_is_linked(cds: CdsActor) -> None:
    assert links_of(cds, [a_series("KO", 4), a_series("KO", 5)]) == {
        "Open the key images": f"studies/{STUDY_UID}/series/2.25.9.5"
    }


def test_measurements_are_not_linked_beside_the_slice_of_the_ai_that_made_them(cds: CdsActor) -> None:
    """AI is labelled: a link that only says "measurements" would not."""
    assert set(links_of(cds, [a_series("SR", 3, MEASUREMENTS)], an_ai_lung_rads("4A"))) == {"Open the AI result's slice"}


@pytest.mark.parametrize(
    "series",
    [
        [],
        [a_series("CT", 1)],
        [a_series("SR", 3, DOSE)],
        [a_series("SR", 3)],
        [a_series("KO", 4) | {"uid": "4/../5"}],
        [a_series("KO", 4) | {"uid": None}],
        [a_series("KO", 4) | {"modality": "KO"}],
        [a_series("SR", 3) | {"instance": "none"}, None, "KO", 7],
    ],
    ids=["none", "pictures", "dose report", "report of unknown kind", "no UID", "null", "no Coding", "no series at all"],
)
def test_what_points_at_no_picture_has_no_link(cds: CdsActor, series: list[Any]) -> None:
    assert links_of(cds, series) == {}
