"""A FHIR server that finds more than it gives, and links no further page, is not taken to have said all.

Medplum's router does so (interop/test_sync_medplum.py); what it leaves out would be written a second time, or queued for ever.

Spec: FHIR R4 Search (Bundle.total) and RESTful API (paging); clinical rule X14.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Response, request

from fhir_imaging.errors import UpstreamError
from tests.sync_actors import STUDY, Sync, a_study, a_sync


@pytest.fixture
def sync(tmp_path: Path) -> Iterator[Sync]:
    with a_sync(tmp_path) as made:
        yield made


def cut_off(sync: Sync, kind: str, *, total: int | None) -> None:
    """From now on the server gives one of these, with this total, and no link."""

    def change(response: Response) -> Response:
        if request.path.partition("/fhir/")[2].partition("/")[0] == kind and response.json is not None:
            bundle = {**response.json, "entry": response.json.get("entry", [])[:1], "link": []}
            bundle.pop("total", None)
            response.set_data(json.dumps(bundle if total is None else {**bundle, "total": total}))
        return response

    sync.fhir.change = change


def test_a_comparison_does_not_take_the_rest_for_missing(sync: Sync) -> None:
    sync.archive.put(a_study(), a_study("2.25.7002"))
    sync.bring()
    sync.bring("2.25.7002")
    cut_off(sync, "ImagingStudy", total=2)

    with pytest.raises(UpstreamError, match="found 2 ImagingStudy, gave 1 and no link to the rest") as raised:
        list(sync.target().all_studies())

    assert "relation next" in str(raised.value)


def test_no_study_is_written_where_the_patients_are_not_all_told(sync: Sync) -> None:
    sync.archive.put(a_study())
    cut_off(sync, "Patient", total=2)

    with pytest.raises(UpstreamError, match="found 2 Patient, gave 1"):
        sync.bring(STUDY)

    assert sync.fhir.all("ImagingStudy") == []


@pytest.mark.parametrize("total", [None, 0, 1])
def test_a_total_that_says_no_more_than_is_given_is_believed(sync: Sync, total: int | None) -> None:
    sync.archive.put(a_study())
    sync.bring()
    cut_off(sync, "ImagingStudy", total=total)

    assert len(list(sync.target().all_studies())) == 1
