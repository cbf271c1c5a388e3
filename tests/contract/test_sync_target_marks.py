"""A FHIR server that drops the mark by which what we wrote is known: nothing is written twice there (issue 6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from fhir_imaging.errors import ConfigurationError
from pacs_sync.settings import ResourceIds
from tests.sync_actors import STUDY, FhirServer, Sync, a_study, a_sync


def everything(_: str, member: str) -> bool:
    return member in ("tag", "source")


def tags(_: str, member: str) -> bool:
    return member == "tag"


def tags_of_studies(kind: str, member: str) -> bool:
    return kind == "ImagingStudy" and member == "tag"


@contextmanager
def a_forgetful_server(directory: Path, drops: Callable[[str, str], bool], **target: Any) -> Iterator[Sync]:
    """The sandbox's store, which says of no resource what was dropped of it."""
    with a_sync(directory, **target) as sync:
        sync.fhir.change = lambda response: _without(response, drops)
        yield sync


def _without(response: Response, drops: Callable[[str, str], bool]) -> Response:
    if request.path.endswith("/metadata") or not response.is_json or not response.get_data():
        return response
    response.set_data(json.dumps(_dropped(response.get_json(), drops)))
    return response


def _dropped(value: Any, drops: Callable[[str, str], bool]) -> Any:
    if isinstance(value, list):
        return [_dropped(one, drops) for one in value]
    if not isinstance(value, dict):
        return value
    kind = str(value.get("resourceType"))
    return {
        name: {key: one for key, one in member.items() if not drops(kind, key)}
        if name == "meta" and isinstance(member, dict)
        else _dropped(member, drops)
        for name, member in value.items()
    }


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("ids", ResourceIds)
@pytest.mark.parametrize("drops", [everything, tags])
def test_no_study_is_written_where_the_mark_is_dropped(
    tmp_path: Path, drops: Callable[[str, str], bool], ids: ResourceIds, together: bool
) -> None:
    with a_forgetful_server(tmp_path, drops, ids=ids, transactions=together) as sync:
        sync.archive.put(a_study())
        worker = sync.worker()

        for _ in range(3):
            with pytest.raises(ConfigurationError, match=r"drops meta\.tag.*Have the server keep tags and search by _tag"):
                sync.bring(worker=worker)

        assert sync.fhir.all("ImagingStudy") == []
        assert len(sync.fhir.all("Endpoint")) == 1
        assert len(sync.fhir.writes) == 1, "what was dropped is believed for a while"


@pytest.mark.parametrize("together", [False, True])
def test_a_server_that_drops_the_mark_of_studies_alone_has_one_of_them_at_most(tmp_path: Path, together: bool) -> None:
    """Nor is it written anew by the next process; its Endpoint may be there since a time when marks were kept."""
    with a_forgetful_server(tmp_path, tags_of_studies, transactions=together) as sync:
        sync.archive.put(a_study(), a_study("2.25.7002"))
        for uid in (STUDY, "2.25.7002"):
            worker = sync.worker()
            for _ in range(2):
                with pytest.raises(ConfigurationError):
                    sync.bring(uid, worker=worker)
        uids = [one["identifier"][0]["value"] for one in sync.fhir.all("ImagingStudy")]
        assert len(uids) == len(set(uids))
        assert len(sync.fhir.writes) == 3, "the Endpoint, and the first study of each process"


def test_a_server_that_keeps_marks_is_asked_once_for_each_type(tmp_path: Path) -> None:
    with a_sync(tmp_path) as sync:
        sync.archive.put(*(a_study(f"2.25.{number}") for number in range(1, 6)))
        worker = sync.worker()
        for number in range(1, 6):
            sync.bring(f"2.25.{number}", worker=worker)
        assert sorted(read_back(sync.fhir)) == ["Endpoint", "ImagingStudy"]


def read_back(fhir: FhirServer) -> list[str]:
    """Types of which one resource was read by its id."""
    paths = [path.removeprefix("/fhir/").rstrip("?").split("/") for method, path, _, _ in fhir.requests if method == "GET"]
    return [parts[0] for parts in paths if len(parts) == 2 and parts[0] != "Patient"]
