"""A report series that an archive does not list for a while is not gone: what it found stays until an hour of looks is over.

Spec: clinical rules §6 (results follow their reports), §9 (nobody tells of a deletion).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.archived_study import ArchivedSeries, PatientNumber
from fhir_imaging.uids import SeriesInstanceUID
from pacs_sync.memory import StoredMemory
from pacs_sync.settings import PaceSettings
from pacs_sync.study_results import StudyResults
from tests.contract.sync_memory_actors import a_store
from tests.contract.sync_missing_actors import GONE_S, MINUTE_S, ArchiveOfSeries, Site
from tests.sr_actors import SCHEMES, STARTED, STUDY, AReport, a_nodule, lung_rads
from tests.sync_actors import NOW, Sync, a_patient, a_study, a_sync

FIRST, SECOND = SeriesInstanceUID("2.25.6101"), SeriesInstanceUID("2.25.6102")


def a_series(uid: SeriesInstanceUID) -> ArchivedSeries:
    return ArchivedSeries(uid=uid, archives=("demo",), number=100, modality="SR", instance_count=1)


class Reports:
    """What the archive holds, and what of it is not listed just now."""

    def __init__(self, site: Site, archive: ArchiveOfSeries) -> None:
        self.site = site
        self.sync = site.sync
        self.archive = archive
        self.away: set[str] = set()
        archive.lists = lambda one: one.uid not in self.away

    def hold(self, reports: dict[SeriesInstanceUID, AReport], *, number: str = "SYN-1", **more: Any) -> None:
        made = a_study(STUDY)
        series = (*made.series, *map(a_series, reports))
        patients = (PatientNumber(number=number, issuer="DEMO"),)
        self.archive.put(replace(made, started=STARTED, patients=patients, series=series, **more))
        self.archive.reports |= {uid: [one.json()] for uid, one in reports.items()}

    def states(self, kind: str = "Observation") -> list[str]:
        return sorted(one["status"] for one in self.sync.fhir.all(kind))

    def listed(self) -> set[str]:
        return {one["uid"] for one in self.sync.fhir.one("ImagingStudy")["series"]}


@contextmanager
def a_site(sync: Sync, state: Path) -> Iterator[Reports]:
    archive = ArchiveOfSeries()
    with a_store(state) as store:
        site = Site(sync, StoredMemory(store, "demo"), archive, study=STUDY)
        site.reads = lambda target: StudyResults(archive, target, sync.settings)
        yield Reports(site, archive)


@pytest.fixture(params=[False, True], ids=["one-by-one", "transactions"])
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    with a_sync(tmp_path / "fhir", transactions=request.param) as made:
        made.settings = replace(made.settings, coding_schemes=SCHEMES, pace=PaceSettings(gone_s=GONE_S))
        made.fhir.records.put(a_patient("syn", "SYN-1"))
        made.fhir.records.put(a_patient("other", "SYN-2"))
        yield made


@pytest.fixture
def reports(sync: Sync, tmp_path: Path) -> Iterator[Reports]:
    """One report stands in FHIR, preliminary."""
    with a_site(sync, tmp_path / "state") as made:
        made.hold({FIRST: AReport()})
        made.site.is_told()
        assert made.site.works_until(NOW, "Observation") == ["preliminary"]
        yield made


@pytest.mark.parametrize("minutes", [1, 20, 59])
def test_results_of_a_series_that_is_not_listed_while_the_index_is_rebuilt_stay(reports: Reports, minutes: int) -> None:
    site, back_at = reports.site, NOW + minutes * MINUTE_S
    reports.archive.lists = lambda one: one.modality != "SR" or site.now >= back_at
    reports.sync.fhir.requests.clear()

    site.is_compared()
    states = site.works_until(NOW + 30, "Observation")
    site.is_told("2")
    states += site.works_until(NOW + 2 * GONE_S, "Observation")

    assert len(states) > 2
    assert set(states) == {"preliminary"}
    assert reports.sync.fhir.writes == [], "nothing differs but what is not listed just now"
    assert site.memory.pending(now=site.now) == 0, "once it is found nobody looks again"


def test_results_of_a_series_that_is_gone_are_taken_back_after_an_hour_of_looks(reports: Reports) -> None:
    """Lists that have the study, and its own news, prove nothing of the series."""
    site = reports.site
    reports.away = {FIRST}
    site.is_compared()
    before = site.works_until(NOW + GONE_S / 2, "Observation")
    site.is_told("2")
    before += site.works_until(NOW + GONE_S - 1, "Observation")
    listed_before = reports.listed()

    after = site.works_until(NOW + GONE_S, "Observation")

    assert len(before) >= 5, "it was looked for again and again"
    assert set(before) == {"preliminary"}
    assert after == ["entered-in-error"]
    assert (FIRST in listed_before, FIRST in reports.listed()) == (True, False)
    assert reports.states("DiagnosticReport") == ["entered-in-error"]
    assert site.memory.pending(now=site.now) == 0
    reports.away = set()
    site.is_told("3")
    assert site.works_until(site.now, "Observation") == ["preliminary"]


def test_each_absence_has_an_hour_of_its_own(reports: Reports) -> None:
    site = reports.site
    for _ in range(3):
        reports.away = {FIRST}
        site.is_compared()
        assert set(site.works_until(site.now + GONE_S * 0.8, "Observation")) == {"preliminary"}
        reports.away = set()
        site.is_compared()
        assert set(site.works_until(site.now + 1, "Observation")) == {"preliminary"}


def test_what_is_new_meanwhile_is_written_at_once(reports: Reports) -> None:
    """A program's second run often comes with the first one's series deleted."""
    second = AReport(number=2, groups=[a_nodule(lung_rads(), lesion="2.25.6002")])
    reports.hold({FIRST: AReport(), SECOND: second}, description="Chest, late images")
    reports.away = {FIRST}
    reports.site.is_told("2")
    reports.site.works_until(NOW)

    assert reports.states() == ["preliminary", "preliminary"]
    assert reports.listed() == {f"{STUDY}.1", FIRST, SECOND}
    study = reports.sync.fhir.one("ImagingStudy")
    assert (study["description"], study["numberOfSeries"], study["numberOfInstances"]) == ("Chest, late images", 3, 5)

    reports.site.works_until(NOW + GONE_S)
    assert reports.states() == ["entered-in-error", "preliminary"]
    assert reports.listed() == {f"{STUDY}.1", SECOND}


def test_what_a_person_signed_is_not_unsigned_because_only_the_draft_is_listed(reports: Reports) -> None:
    draft = AReport()
    signed = AReport(number=2, verified_by="Signer^Sara", replaces=[draft.dataset()])
    reports.hold({FIRST: draft, SECOND: signed})
    reports.site.is_told("2")
    assert reports.site.works_until(NOW, "Observation") == ["final"]
    report = reports.sync.fhir.one("DiagnosticReport")

    reports.away = {SECOND}
    reports.site.is_told("3")
    assert set(reports.site.works_until(NOW + GONE_S - 1, "Observation")) == {"final"}
    assert reports.sync.fhir.one("DiagnosticReport") == report


def test_what_a_person_took_back_does_not_return_by_its_draft(reports: Reports) -> None:
    draft = AReport()
    second = AReport(number=2, groups=[a_nodule(lung_rads("3"))], replaces=[draft.dataset()])
    reports.hold({FIRST: draft, SECOND: second})
    reports.site.is_told("2")
    reports.site.works_until(NOW)
    for kind in ("Observation", "DiagnosticReport"):
        reports.sync.fhir.records.put({**reports.sync.fhir.one(kind), "status": "entered-in-error"})

    reports.away = {SECOND}
    reports.site.is_told("3")
    assert set(reports.site.works_until(NOW + GONE_S - 1, "Observation")) == {"entered-in-error"}


def test_a_patient_who_changed_is_not_waited_for(reports: Reports) -> None:
    reports.hold({FIRST: AReport()}, number="SYN-2")
    reports.away = {FIRST}
    reports.site.is_told("2")

    assert reports.site.works_until(NOW, "Observation") == ["entered-in-error"]
    assert reports.sync.fhir.one("ImagingStudy")["subject"]["reference"] == "Patient/other"


def test_another_machine_that_never_saw_it_keeps_the_results_too(reports: Reports, tmp_path: Path) -> None:
    """What is lacking stands in FHIR: whoever is killed after it wrote the study leaves it for the next one to see."""
    reports.away = {FIRST}
    reports.hold({FIRST: AReport()}, description="Chest, late images")
    reports.site.is_told("2")
    reports.site.works_until(NOW)
    with a_site(reports.sync, tmp_path / "another") as other:
        other.hold({FIRST: AReport()}, description="Chest, late images")
        other.away = {FIRST}
        other.site.is_told("2")
        assert set(other.site.works_until(NOW + GONE_S - 1, "Observation")) == {"preliminary"}
        assert other.site.works_until(NOW + GONE_S, "Observation") == ["entered-in-error"]


def test_a_site_whose_archive_never_errs_may_take_results_back_at_the_first_look(reports: Reports) -> None:
    reports.sync.settings = replace(reports.sync.settings, pace=PaceSettings(gone_s=0))
    reports.away = {FIRST}
    reports.site.is_compared()
    assert reports.site.works_until(NOW, "Observation") == ["entered-in-error"]
