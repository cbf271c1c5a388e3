"""FHIR servers that write what they are told in a manner of their own: whatever has not changed is not written again.

Spec: clinical rules X16; issue 6 (deterministic when repeated); FHIR R4 §2.24.0 (dateTime), §2.6.3 (nothing blank).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from pacs_sync.settings import ResourceIds
from tests.sync_actors import STUDY, Sync, a_study, a_sync, json_response

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.*[Z+-].*")
IDENTIFIED = "identifier=urn:dicom:uid|urn:oid"
RESULTS = [
    {"resourceType": "Device", "identifier": [{"system": "urn:x", "value": "device"}]},
    {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:x", "value": "finding"}],
        "status": "preliminary",
        "code": {"text": "Nodule"},
        "effectiveDateTime": "2026-05-10T08:00:00+00:00",
        "device": {"reference": "Device?identifier=urn:x|device"},
        "derivedFrom": [{"reference": f"ImagingStudy?{IDENTIFIED}:{STUDY}"}],
    },
    {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": "urn:x", "value": "report"}],
        "status": "preliminary",
        "code": {"text": "CAD"},
        "result": [{"reference": "Observation?identifier=urn:x|finding"}],
    },
]
Manner = Callable[[str | None, Any, str], Any]
"""Of one member with its name, and the base of the server."""


def whole_addresses(name: str | None, value: Any, base: str) -> Any:
    return f"{base}/{value}" if name == "reference" and "://" not in value else value


def in_utc(_: str | None, value: Any, base: str) -> Any:
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        return value
    return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def kinds_of_references(_: str | None, value: Any, base: str) -> Any:
    return {"type": "Anything", **value} if isinstance(value, dict) and "reference" in value else value


def trimmed(_: str | None, value: Any, base: str) -> Any:
    return value.strip() if isinstance(value, str) else value


def without_source(name: str | None, value: Any, base: str) -> Any:
    return {one: member for one, member in value.items() if one != "source"} if name == "meta" else value


def in_manner(value: Any, manner: Manner, base: str, name: str | None = None) -> Any:
    value = manner(name, value, base)
    if isinstance(value, dict):
        return {one: in_manner(member, manner, base, one) for one, member in value.items()}
    return [in_manner(member, manner, base) for member in value] if isinstance(value, list) else value


@pytest.fixture(params=[(ids, together) for ids in ResourceIds for together in (False, True)], ids=str)
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    ids, together = request.param
    with a_sync(tmp_path, ids=ids, transactions=together) as made:
        yield made


@pytest.mark.parametrize("manner", [whole_addresses, in_utc, kinds_of_references, trimmed, without_source])
def test_what_a_server_says_in_its_own_manner_is_not_written_again(sync: Sync, manner: Manner) -> None:
    def change(response: Response) -> Response:
        if response.is_json and response.get_data():
            response.set_data(json.dumps(in_manner(json.loads(response.get_data()), manner, sync.fhir.base)))
        return response

    sync.fhir.change = change
    sync.archive.put(a_study(started="2026-05-10T10:00:00+02:00", modality="SR", accession="A-1", description="Chest "))
    sync.results.resources = {STUDY: RESULTS}
    worker = sync.worker()
    sync.bring(worker=worker)
    assert len(sync.fhir.all("Observation")) == len(sync.fhir.all("DiagnosticReport")) == 1
    sync.fhir.requests.clear()

    sync.bring(worker=worker)
    sync.bring(worker=sync.worker())

    assert sync.fhir.writes == []
    assert not worker.would_change(sync.archive.studies_by_uid[STUDY].uid)


@pytest.mark.parametrize("sync", [(ResourceIds.STUDY_UID, False)], indirect=True)
def test_a_server_that_gives_ids_of_its_own_gets_everything_once(sync: Sync) -> None:
    def own_ids() -> Response | None:
        _, _, kind, *rest = request.path.split("/")
        if request.method != "PUT" or any(one["id"] == rest[0] for one in sync.fhir.all(kind)):
            return None
        made = sync.fhir.records.create({name: value for name, value in json.loads(request.get_data()).items() if name != "id"})
        return json_response(made, 201)

    sync.fhir.instead = own_ids
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources = {STUDY: RESULTS}
    for _ in range(3):
        sync.fhir.requests.clear()
        sync.bring()

    assert sync.fhir.writes == []
    assert sync.fhir.one("ImagingStudy")["endpoint"] == [{"reference": f"Endpoint/{sync.fhir.one('Endpoint')['id']}"}]
    assert [len(sync.fhir.all(kind)) for kind in ("Device", "Observation", "DiagnosticReport")] == [1, 1, 1]


def test_a_reference_to_another_server_is_another_reference(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()
    stands = sync.fhir.one("ImagingStudy")
    sync.fhir.records.put({**stands, "subject": {**stands["subject"], "reference": "https://other.example/fhir/Patient/pat-a"}})

    sync.bring()

    assert sync.fhir.one("ImagingStudy")["subject"]["reference"] == "Patient/pat-a"
