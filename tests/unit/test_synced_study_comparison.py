"""What counts as a change of a written resource, and how one is taken back (M9)."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.imagingstudy import ImagingStudy as R5ImagingStudy
from fhir.resources.R4B.imagingstudy import ImagingStudy as R4BImagingStudy
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.fhir_mapping.comparison import comparable
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study, withdrawn
from fhir_imaging.fhir_versions import FhirVersion, Status
from tests.examples import examples
from tests.sync_strategies import contexts, studies
from tests.unit.test_synced_study import CONTEXT, STUDY

MADE = synced_study(STUDY, CONTEXT, FhirVersion.R4)
STORED: dict[str, Any] = {
    **MADE,
    "id": "77",
    "meta": {
        "versionId": "3",
        "lastUpdated": "2026-10-01T12:00:00Z",
        "source": "urn:imaging-cds:sync:main#Yh3kQ",
        "tag": [{"system": "urn:example:tags", "code": "kept"}],
        "profile": ["urn:example:profile"],
    },
    "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>CT</div>"},
}


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same with every list and every object in another order."""
    if isinstance(value, dict):
        names = chance.sample(sorted(value), len(value))
        return {name: shuffled(value[name], chance) for name in names}
    if isinstance(value, list):
        return [shuffled(one, chance) for one in chance.sample(value, len(value))]
    return value


def test_what_a_server_adds_is_no_difference() -> None:
    assert comparable(STORED) == comparable(MADE)


@settings(max_examples=examples(25), deadline=None)
@given(study=studies, context=contexts, chance=st.randoms(use_true_random=False))
def test_the_order_of_equal_things_is_no_difference(
    study: ArchivedStudy, context: SyncedContext, chance: random.Random
) -> None:
    made = synced_study(study, context, FhirVersion.R5)

    assert comparable(shuffled(made, chance)) == comparable(made)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "registered"},
        {"subject": {"reference": "Patient/p2"}},
        {"meta": {"source": "urn:imaging-cds:sync:other"}},
        {"meta": {}},
        {"meta": "odd"},
        {"numberOfInstances": 4},
        {"endpoint": []},
        {"note": [{"text": "somebody else's"}]},
    ],
    ids=str,
)
def test_what_anybody_said_differently_is_one(change: dict[str, Any]) -> None:
    assert comparable({**STORED, **change}) != comparable(MADE)


def test_a_later_series_is_a_difference_deep_down() -> None:
    other = copy.deepcopy(STORED)
    other["series"][0]["numberOfInstances"] = 61

    assert comparable(other) != comparable(MADE)


def test_any_json_can_be_compared() -> None:
    assert comparable({}) != comparable({"a": "\ud800"})


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.ENTERED_IN_ERROR])
@pytest.mark.parametrize("version", [FhirVersion.R4, FhirVersion.R4B, FhirVersion.R5])
def test_m9_what_is_taken_back_says_so_and_is_otherwise_the_same(version: FhirVersion, status: Status) -> None:
    made = synced_study(STUDY, replace(CONTEXT, resource_id="1.2.3"), version)
    taken = withdrawn({**made, "meta": STORED["meta"], "text": STORED["text"]}, status, version, is_gone=True)

    assert taken == {
        **made,
        "status": status.value,
        "meta": {name: STORED["meta"][name] for name in ("tag", "profile")} | {"source": "urn:imaging-cds:sync:main"},
    }
    (R5ImagingStudy if version is FhirVersion.R5 else R4BImagingStudy).model_validate(taken)
    assert withdrawn(taken, status, version, is_gone=True) == taken


def test_r6_what_the_archive_has_no_more_is_inactive_and_a_wrong_chart_is_an_error() -> None:
    made = synced_study(STUDY, CONTEXT, FhirVersion.R6)

    assert withdrawn(made, Status.ENTERED_IN_ERROR, FhirVersion.R6, is_gone=True)["status"] == "inactive"
    assert withdrawn(made, Status.ENTERED_IN_ERROR, FhirVersion.R6)["status"] == "entered-in-error"


def test_a_resource_without_meta_can_be_taken_back_too() -> None:
    assert withdrawn({"status": "available"}, Status.CANCELLED, FhirVersion.R4) == {"status": "cancelled"}
