"""A study that an archive does not list for a while is not gone: an index is rebuilt, or lags behind (issue 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pacs_sync.memory import StoredMemory
from pacs_sync.settings import PaceSettings
from tests.contract.sync_memory_actors import a_store
from tests.contract.sync_missing_actors import GONE_S, MINUTE_S, FlickeringArchive, Site
from tests.sync_actors import NOW, a_study, a_sync


@dataclass
class StudySite(Site):
    """Its archive loses whole studies."""

    archive: FlickeringArchive


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StudySite]:
    with a_sync(tmp_path / "fhir") as sync, a_store(tmp_path / "state") as store:
        sync.settings = replace(sync.settings, pace=PaceSettings(gone_s=GONE_S))
        archive = FlickeringArchive()
        archive.put(a_study())
        made = StudySite(sync, StoredMemory(store, "demo"), archive)
        made.is_told()
        assert made.works_until(NOW) == ["available"]
        yield made


@pytest.mark.parametrize("minutes", [1, 20, 59])
def test_a_study_that_is_not_found_while_the_index_is_rebuilt_stays(site: StudySite, minutes: int) -> None:
    """Comparisons and news of the study itself fall into that time too."""
    back_at = NOW + minutes * MINUTE_S
    site.archive.is_away = lambda: site.now < back_at
    site.sync.fhir.requests.clear()

    site.is_compared()
    states = site.works_until(NOW + 30)
    site.is_compared()
    states += site.works_until(NOW + 2 * GONE_S)

    assert set(states) == {"available"}
    assert site.sync.fhir.writes == []
    assert site.archive.looks[-2:] == [False, True], "it was looked for until it was found, and no longer"
    assert site.memory.pending(now=site.now) == 0


def test_a_study_that_flickers_at_every_other_look_stays(site: StudySite) -> None:
    site.archive.is_away = lambda: len(site.archive.looks) % 2 == 0
    states = []
    for _ in range(20):
        site.is_compared()
        states += site.works_until(site.now + GONE_S)
    assert set(states) == {"available"}


def test_a_study_that_is_gone_is_withdrawn_after_an_hour_of_looks_and_returns_with_its_images(site: StudySite) -> None:
    site.archive.is_away = lambda: True
    site.is_compared()

    before = site.works_until(NOW + GONE_S - 1)
    after = site.works_until(NOW + GONE_S)

    assert set(before) == {"available"}
    assert len(before) >= 5, "it was looked for again and again"
    assert after == ["entered-in-error"]
    assert site.memory.pending(now=site.now) == 0
    site.archive.is_away = lambda: False
    site.is_told("2")
    assert site.works_until(site.now) == ["available"]


def test_what_is_listed_all_the_time_is_never_withdrawn_though_nobody_finds_it_by_its_uid(site: StudySite) -> None:
    site.archive.is_away = lambda: True
    states = []
    for _ in range(10):
        site.is_told()
        states += site.works_until(site.now + GONE_S / 2)
    assert set(states) <= {"available"}


def test_a_new_study_that_is_listed_before_it_is_found_is_written_as_soon_as_it_is_found(tmp_path: Path) -> None:
    with a_sync(tmp_path / "fhir") as sync, a_store(tmp_path / "state") as store:
        site = StudySite(sync, StoredMemory(store, "demo"), FlickeringArchive())
        site.archive.put(a_study())
        site.archive.is_away = lambda: site.now < NOW + 12
        site.is_told()

        assert site.works_until(NOW + MINUTE_S) == ["none", "none", "none", "available"]
        assert site.memory.pending(now=site.now) == 0


def test_a_site_whose_archive_never_errs_may_withdraw_at_the_first_look(site: StudySite) -> None:
    site.sync.settings = replace(site.sync.settings, pace=PaceSettings(gone_s=0))
    site.archive.studies_by_uid.clear()
    site.is_compared()
    assert site.works_until(NOW) == ["entered-in-error"]
