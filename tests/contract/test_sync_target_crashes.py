"""Whoever dies between any two writes of a study leaves what the next one finishes; several synchronisations share a server.

Spec: issue 6 (safe to kill at any moment); clinical rules X16, X17.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from fhir_imaging.errors import UpstreamError
from pacs_sync.ports import HoldReason
from pacs_sync.reconcile import Comparing, reconcile
from pacs_sync.settings import ResourceIds
from tests.contract.test_sync_target_manners import RESULTS
from tests.sync_actors import STUDY, Sync, a_study, a_sync

KINDS = ("ImagingStudy", "Observation", "DiagnosticReport")
Change = Callable[[Sync], None]


def comes(sync: Sync) -> None:
    sync.archive.put(a_study(modality="SR"))


def moves(sync: Sync) -> None:
    sync.archive.put(a_study(number="DEMO-1002", modality="SR"))


def is_nobodys(sync: Sync) -> None:
    sync.archive.put(a_study(number="NOBODY", modality="SR"))


def goes(sync: Sync) -> None:
    sync.archive.studies_by_uid.clear()


def loses_its_reports(sync: Sync) -> None:
    sync.archive.put(a_study(modality="CT"))
    sync.results.resources.clear()


def dies_at(sync: Sync, write: int, *, is_done: bool) -> bool:
    """Brings the study, and dies at this write, before or after it was done. False where there are not so many."""
    left = [write]

    def dies(response: Response | None) -> Response | None:
        is_write = request.method != "GET" and not request.path.endswith("/_search")
        left[0] -= is_write
        return Response(status=503) if is_write and left[0] == -1 else response

    if is_done:
        sync.fhir.change = lambda response: dies(response) or response
    else:
        sync.fhir.instead = lambda: dies(None)
    try:
        sync.bring()
    except UpstreamError:
        assert left[0] < 0
    finally:
        sync.fhir.change, sync.fhir.instead = lambda response: response, lambda: None
    return left[0] < 0


def stands(sync: Sync) -> dict[str, list[tuple[str, str]]]:
    return {kind: [(one["status"], one["subject"]["reference"]) for one in sync.fhir.all(kind)] for kind in KINDS}


@pytest.mark.parametrize(("ids", "is_done"), [(ResourceIds.SERVER, True), (ResourceIds.STUDY_UID, False)])
@pytest.mark.parametrize(
    ("change", "ends"),
    [
        (comes, ("available", "preliminary", "pat-a")),
        (moves, ("available", "preliminary", "pat-b")),
        (is_nobodys, ("entered-in-error", "entered-in-error", "pat-a")),
        (goes, ("entered-in-error", "entered-in-error", "pat-a")),
        (loses_its_reports, ("available", "entered-in-error", "pat-a")),
    ],
)
def test_whoever_comes_after_a_death_finishes_and_then_nothing_is_left_to_do(
    tmp_path: Path, change: Change, ends: tuple[str, str, str], ids: ResourceIds, is_done: bool
) -> None:
    status, of_results, patient = ends
    write, died = 0, True
    while died:
        with a_sync(tmp_path / str(write), ids=ids) as sync:
            sync.results.resources = {STUDY: RESULTS}
            if change is not comes:
                comes(sync)
                sync.bring()
            change(sync)
            died = dies_at(sync, write, is_done=is_done)
            sync.bring()
            results = [(of_results, f"Patient/{patient}")]
            assert stands(sync) == dict(zip(KINDS, [[(status, f"Patient/{patient}")], results, results], strict=True))
            sync.fhir.requests.clear()
            sync.bring()
            assert sync.fhir.writes == []
        write += 1
    assert write >= 3


@pytest.mark.parametrize("ids", ResourceIds)
@pytest.mark.parametrize("transactions", [False, True])
def test_a_second_synchronisation_on_the_server_leaves_the_firsts_alone(
    tmp_path: Path, ids: ResourceIds, transactions: bool
) -> None:
    with a_sync(tmp_path, ids=ids, transactions=transactions) as first:
        second = Sync(fhir=first.fhir, settings=replace(first.settings, name="second", pacs="second"))
        first.results.resources = second.results.resources = {STUDY: RESULTS, "2.25.9": results_of("2.25.9")}
        comes(first)
        first.bring()
        before = everything(first)
        second.archive.put(a_study(modality="SR"), a_study("2.25.9", modality="SR"))

        second.bring()
        second.bring("2.25.9")
        second.archive.studies_by_uid.clear()
        second.bring()
        second.bring("2.25.9")
        report = reconcile(second.archive, second.target(), second.notes, Comparing(repair=True, trust_archive=True))
        second.close()

        assert [held.reason for _, held in second.notes.held_] == [HoldReason.SEVERAL_STUDIES]
        assert (report.standing, report.queued) == (1, 0)
        assert [one for one in before if one not in everything(first)] == []
        first.fhir.requests.clear()
        first.bring()
        assert first.fhir.writes == []


def results_of(uid: str) -> list[dict[str, Any]]:
    """Those of another study, each by another identifier."""
    words = json.dumps(RESULTS).replace(STUDY, uid)
    for name in ("device", "finding", "report"):
        words = words.replace(f': "{name}"', f': "{name}-{uid}"').replace(f"|{name}", f"|{name}-{uid}")
    return list(json.loads(words))


def everything(sync: Sync) -> list[dict[str, Any]]:
    return copy.deepcopy([one for kind in (*KINDS, "Device", "Endpoint") for one in sync.fhir.all(kind)])
