"""Archive and FHIR compared: what differs is found and put right, and an archive that lists nothing empties nothing.

Spec: clinical rules §9, X17; DESIGN §2.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fhir_imaging.errors import UpstreamError
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import Days, Sighting, Work, WrittenStudy
from pacs_sync.reconcile import Comparing, Difference, Progress, Report, reconcile
from tests.sync_actors import Archive, Notes, Sync, a_study, a_sync

UIDS = [f"2.25.80{number}" for number in range(10)]


@pytest.fixture
def sync(tmp_path: Path) -> Iterator[Sync]:
    with a_sync(tmp_path) as made:
        made.archive.put(*(a_study(uid) for uid in UIDS))
        worker = made.worker()
        for uid in UIDS:
            made.bring(uid, worker=worker)
        made.fhir.requests.clear()
        yield made


def compared(sync: Sync, **how: Any) -> Report:
    return reconcile(sync.archive, sync.target(), sync.notes, Comparing(**how), clock=lambda: 0.0)


def repaired(sync: Sync) -> None:
    worker = sync.worker()
    for uid, work in sync.notes.queued:
        assert work is Work.COMPARED
        sync.bring(uid, worker=worker)
    sync.notes.queued.clear()


def test_nothing_differs_and_nothing_is_written(sync: Sync) -> None:
    report = compared(sync, repair=True, would_change=sync.worker().would_change)

    assert (report.standing, report.listed, report.queued, report.agrees) == (10, 10, 0, True)
    assert sync.fhir.writes == []


def test_everything_that_differs_is_found_reported_and_repaired(sync: Sync) -> None:
    missing, gone, different, double, released = UIDS[:5]
    stands = {one["identifier"][0]["value"].removeprefix("urn:oid:"): one for one in sync.fhir.all("ImagingStudy")}
    sync.fhir.records.delete("ImagingStudy", stands[missing]["id"])
    del sync.archive.studies_by_uid[gone]
    sync.archive.put(a_study(different, images=7))
    sync.fhir.records.create({name: value for name, value in stands[double].items() if name != "id"})
    sync.fhir.records.put({**stands[released], "status": "registered"})
    found: list[tuple[Difference, str]] = []

    def tell(difference: Difference, uid: StudyInstanceUID) -> None:
        found.append((difference, uid))

    only_told = compared(sync, would_change=sync.worker().would_change, found=tell)
    assert sorted(found) == [
        (Difference.COPIES, double),
        (Difference.DIFFERENT, different),
        (Difference.GONE, gone),
        (Difference.MISSING, missing),
    ]
    assert (only_told.queued, sync.notes.queued, only_told.agrees) == (0, [], False)

    compared(sync, repair=True, would_change=sync.worker().would_change)
    assert len(sync.notes.queued) == 5
    repaired(sync)

    assert compared(sync, would_change=sync.worker().would_change).agrees
    available = [one for one in sync.fhir.all("ImagingStudy") if one["status"] == "available"]
    assert len(available) == 9
    assert {one["status"] for one in sync.fhir.all("ImagingStudy")} == {"available", "entered-in-error"}


def test_an_archive_that_lists_nothing_takes_nothing_back_unless_it_is_trusted(sync: Sync) -> None:
    kept = dict(sync.archive.studies_by_uid)
    sync.archive.studies_by_uid.clear()

    report = compared(sync, repair=True)
    assert (report.does_not_trust, report.differences[Difference.GONE], sync.notes.queued) == (True, 10, [])

    sync.archive.studies_by_uid |= {uid: kept[uid] for uid in UIDS[:5]}
    assert not compared(sync, repair=True).does_not_trust
    assert len(sync.notes.queued) == 5

    sync.notes.queued.clear()
    sync.archive.studies_by_uid.clear()
    assert not compared(sync, repair=True, trust_archive=True).does_not_trust
    assert len(sync.notes.queued) == 10


def test_an_archive_that_fails_half_way_takes_nothing_back(sync: Sync) -> None:
    class FailsLater(Archive):
        def studies(self, days: Days | None = None) -> Iterator[Sighting]:
            yield Sighting(study=StudyInstanceUID(UIDS[0]))
            raise UpstreamError("away", server="archive", status=503, retryable=True)

    with pytest.raises(UpstreamError):
        reconcile(FailsLater(), sync.target(), sync.notes, Comparing(repair=True))

    assert sync.notes.queued == []


def test_one_that_is_ended_early_takes_nothing_back_and_says_so(sync: Sync) -> None:
    stop = Event()
    stop.set()

    report = reconcile(sync.archive, sync.target(), sync.notes, Comparing(repair=True), stop=stop)

    assert (report.is_whole, report.agrees, sync.notes.queued) == (False, False, [])


def test_another_archive_that_lists_ever_so_much_takes_nothing_back(sync: Sync) -> None:
    """A wrong address in the settings: a test archive, or the neighbour's."""
    uids = list(sync.archive.studies_by_uid)
    sync.archive.studies_by_uid.clear()
    sync.archive.put(*(a_study(f"2.25.99{number}") for number in range(50)))

    report = compared(sync, repair=True)

    assert (report.listed, report.differences[Difference.GONE], report.does_not_trust) == (50, len(uids), True)
    assert {uid for uid, _ in sync.notes.queued}.isdisjoint(uids)


def test_it_may_be_ended_on_either_side(sync: Sync) -> None:
    stop = Event()

    class Ends(Archive):
        def studies(self, days: Days | None = None) -> Iterator[Sighting]:
            stop.set()
            yield Sighting(study=StudyInstanceUID(UIDS[0]))

    assert not reconcile(Ends(), sync.target(), sync.notes, Comparing(repair=True), stop=stop).is_whole
    assert sync.notes.queued == []


def test_a_server_that_is_not_there_ends_it(sync: Sync) -> None:
    def away(uid: StudyInstanceUID) -> bool:
        raise UpstreamError("away", server="fhir")

    with pytest.raises(UpstreamError):
        compared(sync, would_change=away)


def test_a_study_alone_is_told_to_change_when_anything_of_it_would(sync: Sync) -> None:
    would_change = sync.worker().would_change
    absent, stands = StudyInstanceUID("2.25.8998"), sync.fhir.all("ImagingStudy")[0]
    uid = StudyInstanceUID(stands["identifier"][0]["value"].removeprefix("urn:oid:"))
    assert [would_change(absent), would_change(uid)] == [False, False]

    sync.archive.put(a_study(absent))
    assert would_change(absent)
    sync.fhir.records.create({name: value for name, value in stands.items() if name != "id"})
    assert would_change(uid)
    sync.archive.put(a_study(uid, number="NOBODY"))
    assert would_change(uid)
    del sync.archive.studies_by_uid[uid]
    assert would_change(uid)


def test_more_than_fit_at_once_are_queued_in_parts(sync: Sync) -> None:
    sync.archive.put(*(a_study(f"2.25.9{number}") for number in range(1200)))

    assert compared(sync, repair=True).queued == 1200


def test_what_waits_for_a_person_is_not_missing_and_what_cannot_be_read_is_not_called_equal(sync: Sync) -> None:
    sync.archive.put(a_study("2.25.8999", number="NOBODY"))

    def fails(uid: StudyInstanceUID) -> bool:
        raise UpstreamError("odd", server="archive", status=500)

    report = compared(sync, is_held=lambda uid: uid == "2.25.8999", would_change=fails)

    assert (report.held, report.differences[Difference.MISSING], report.unknown, report.agrees) == (1, 0, 10, False)


@pytest.mark.parametrize("number", [1_000, 20_000])
def test_memory_is_the_same_however_many_studies_there_are(number: int) -> None:
    class Endless(Archive):
        def studies(self, days: Days | None = None) -> Iterator[Sighting]:
            return (Sighting(study=StudyInstanceUID(f"2.25.{one}"), is_complete=True) for one in range(number))

    class Standing:
        def all_studies(self) -> Iterator[WrittenStudy]:
            for one in range(number):
                identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:2.25.{one}"}]
                yield WrittenStudy(id=str(one), version="1", content={"status": "available", "identifier": identifier})

    told: list[Progress] = []
    tracemalloc.start()
    try:
        report = reconcile(Endless(), Standing(), Notes(), Comparing(progress=lambda now: told.__setitem__(slice(None), [now])))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (report.agrees, told[-1]) == (True, Progress(standing=number, listed=number))
    assert peak < 2_000_000
