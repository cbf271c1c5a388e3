"""Looking for news at any DICOMweb archive: windows, pages, states, and archives with habits of their own."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from flask import Response

from fhir_imaging.errors import UpstreamError
from pacs_sync.ports import Days, Look
from tests.archive_actors import HeldArchive, HeldSeries, HeldStudy
from tests.source_actors import NOW, a_source, names, states, studies, sweep, uids

YESTERDAY, LAST_WEEK = "20260309", "20260303"
EVER = Days(first=date(2026, 1, 1), last=date(2026, 3, 31))


def test_a_look_finds_the_days_around_today_and_no_other() -> None:
    """The archive's day may be ahead of ours; what is older comes by comparison only (X17)."""
    days = ["20260307", "20260308", "20260309", "20260310", "20260311", "20260312"]
    archive = HeldArchive([HeldStudy(f"2.25.{day}", day=day) for day in days])
    with a_source(archive, overlap_days=2) as source:
        found, cursor = sweep(source)
        again, _ = sweep(source, cursor)

    assert uids(found) == {f"2.25.{day}" for day in days[1:5]}
    assert not any(one.is_complete for one in found)
    assert again == found
    assert "StudyDate=20260308-20260311" in archive.asked[-1]


def test_study_101_is_found() -> None:
    """X17: one page of a hundred is not the day."""
    archive = HeldArchive(studies(101))
    with a_source(archive) as source:
        found, _ = sweep(source)
        assert not source.look(None).is_last

    assert uids(found) == names(101)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 30])
@pytest.mark.parametrize("habit", [{}, {"cap": 5}, {"cap": 5, "says_more": True}, {"overlooks_limit": True}])
def test_all_of_any_number_are_found_whatever_the_archives_limit(count: int, habit: dict[str, int]) -> None:
    archive = HeldArchive(studies(count), **habit)  # type: ignore[arg-type]
    with a_source(archive, page_size=8) as source:
        found, _ = sweep(source)

        assert uids(found) == names(count)
        assert uids(list(source.studies())) == names(count)
        assert uids(list(source.studies(EVER))) == names(count)


def test_nothing_is_told_twice_for_the_sake_of_the_overlap() -> None:
    with a_source(HeldArchive(studies(300)), page_size=40) as source:
        assert len(list(source.studies())) == 300


def test_archive_that_once_gave_a_full_page_is_not_asked_whether_a_short_one_was_the_last() -> None:
    archive = HeldArchive([*studies(8, day=LAST_WEEK), *studies(3, first=9)])
    with a_source(archive, page_size=8) as source:
        sweep(source)
        assert len(archive.paths("studies")) - 1 == 2, "one more for update times"
        list(source.studies())
        del archive.asked[:]
        sweep(source)

    assert len(archive.asked) == 1


def test_archive_that_gives_everything_whatever_is_asked_is_read_once() -> None:
    archive = HeldArchive(studies(20), overlooks_limit=True, overlooks_offset=True)
    with a_source(archive, page_size=8) as source:
        assert sorted(one.study for one in source.studies()) == sorted(names(20))
    with a_source(HeldArchive(studies(5), overlooks_offset=True), page_size=8) as source:
        assert uids(sweep(source)[0]) == names(5)


@pytest.mark.parametrize("habit", [{}, {"cap": 5, "says_more": True}])
def test_archive_that_gives_the_same_page_again_is_an_error_and_no_endless_list(habit: dict[str, int]) -> None:
    archive = HeldArchive(studies(30), overlooks_offset=True, **habit)  # type: ignore[arg-type]
    with a_source(archive, page_size=8) as source:
        with pytest.raises(UpstreamError, match="offset") as failure:
            sweep(source)
        with pytest.raises(UpstreamError, match="offset"):
            list(source.studies())
    assert not failure.value.retryable
    assert len(archive.paths("studies")) < 10


@pytest.mark.parametrize("change", ["comes", "goes"])
def test_what_comes_or_goes_while_pages_are_read_hides_no_other(change: str) -> None:
    """At each page one more study stands before all others, or one of the first ones is deleted."""
    archive = HeldArchive(studies(200))

    def happens(path: str) -> None:
        if change == "comes":
            archive.studies.insert(0, HeldStudy(f"2.25.9{len(archive.asked)}"))
        elif archive.asked:
            del archive.studies[0]

    archive.before = happens
    with a_source(archive, page_size=40) as source:
        found = list(source.studies())

    assert uids(found) >= {one.uid for one in archive.studies if not one.uid.startswith("2.25.9")}


def test_back_fill_goes_window_by_window() -> None:
    first = date(2026, 1, 1)
    archive = HeldArchive([HeldStudy(f"2.25.{n}", day=f"{first + timedelta(days=n):%Y%m%d}") for n in range(1, 31)])
    with a_source(archive, window_days=7) as source:
        found = list(source.studies(Days(first=date(2026, 1, 5), last=date(2026, 1, 20))))

    assert [one.study for one in found] == [f"2.25.{n}" for n in range(4, 20)]
    windows = {one.partition("StudyDate=")[2].partition("&")[0] for one in archive.asked if "StudyDate" in one}
    assert windows == {"20260105-20260111", "20260112-20260118", "20260119-20260120"}


def test_everything_includes_studies_without_a_date() -> None:
    archive = HeldArchive([HeldStudy("2.25.1"), HeldStudy("2.25.2", day=""), HeldStudy("2.25.3", day="19870101")])
    with a_source(archive) as source:
        assert uids(list(source.studies())) == names(3)
        assert uids(list(source.studies(EVER))) == {"2.25.1"}
    assert any("StudyDate" not in one for one in archive.paths("studies"))


def test_window_at_the_end_of_all_days_ends() -> None:
    with a_source(HeldArchive(studies(1))) as source:
        assert list(source.studies(Days(first=date.max, last=date.max))) == []
        assert list(source.studies(Days(first=date(2026, 3, 11), last=date(2026, 3, 10)))) == []
        assert list(source.studies(Days(first=date(1, 1, 1), last=date(1, 1, 3)))) == []


def a_change(archive: HeldArchive, kind: str) -> None:
    study = archive.studies[0]
    if kind == "late instance":
        study.series[0].instances += 1
    elif kind == "late series":
        study.series.append(HeldSeries(f"{study.uid}.2", modality="SR", instances=1))
    elif kind == "correction":
        study.description = "CT chest and abdomen"
    elif kind == "merge":
        study.patient = "MRN-2"
    elif kind == "re-identified":
        study.issuer = "OTHER"


@pytest.mark.parametrize("kind", ["late instance", "late series", "correction", "merge", "re-identified"])
def test_what_happens_to_a_study_shows_in_its_state(kind: str) -> None:
    """X17, X24: late series, corrections, merges. The state of the study that nothing happened to stays."""
    archive = HeldArchive(studies(2))
    with a_source(archive) as source:
        before = states(sweep(source)[0])
        assert states(sweep(source)[0]) == before
        assert states(list(source.studies())) == before
        a_change(archive, kind)
        after = states(sweep(source)[0])

    assert after["2.25.1"] != before["2.25.1"]
    assert after["2.25.2"] == before["2.25.2"]


def test_order_of_modalities_is_no_change() -> None:
    archive = HeldArchive([HeldStudy("2.25.1", series=[HeldSeries("1.1", "CT"), HeldSeries("1.2", "PT")])])
    with a_source(archive) as source:
        before = states(sweep(source)[0])
        archive.studies[0].series.reverse()

        assert states(sweep(source)[0]) == before


def test_nothing_readable_of_a_patient_stands_in_state_or_cursor() -> None:
    archive = HeldArchive(studies(30, patient="MRN-SECRET-1"))
    with a_source(archive, page_size=8) as source:
        look = source.look(None)

    assert all("MRN" not in one.state and len(one.state) == 32 for one in look.sightings)
    assert not any(one.study in look.cursor for one in look.sightings)
    assert len(look.cursor) < 200


@pytest.mark.parametrize("kind", ["late instance", "late series"])
def test_archive_without_counts_is_asked_for_its_series(kind: str) -> None:
    archive = HeldArchive(studies(2), counts=False)
    with a_source(archive) as source:
        before = states(sweep(source)[0])
        a_change(archive, kind)
        after = states(sweep(source)[0])

    assert after["2.25.1"] != before["2.25.1"]
    assert after["2.25.2"] == before["2.25.2"]
    assert archive.paths("2.25.1/series")


def test_study_that_cannot_be_counted_stops_no_other() -> None:
    """Without a state it counts as news: whoever brings it over finds out what is wrong with it."""
    archive = HeldArchive(studies(2), counts=False)
    archive.instead = lambda path: Response("broken", 500) if path == "studies/2.25.1/series" else None
    with a_source(archive) as source:
        found = states(sweep(source)[0])
        archive.instead = lambda path: Response("down", 503) if path.endswith("series") else None
        with pytest.raises(UpstreamError):
            sweep(source)

    assert found["2.25.1"] == ""
    assert found["2.25.2"]


def test_archive_that_refuses_unknown_fields_is_asked_without() -> None:
    archive = HeldArchive(studies(3), refuses_includefield=True)
    with a_source(archive) as source:
        assert uids(sweep(source)[0]) == names(3)
        refused = len(archive.asked)
        assert uids(sweep(source)[0]) == names(3)

    assert not any("includefield" in one for one in archive.asked[refused:])


def test_question_that_is_wrong_in_another_way_stays_an_error() -> None:
    archive = HeldArchive(studies(1), instead=lambda path: Response("no", 400))
    with a_source(archive) as source, pytest.raises(UpstreamError):
        source.look(None)


@pytest.mark.parametrize("status", [404, 401, 503])
def test_archive_that_is_not_there_has_no_empty_news(status: int) -> None:
    archive = HeldArchive(studies(1), instead=lambda path: Response("no", status))
    with a_source(archive) as source:
        for ask in (lambda: source.look(None), lambda: list(source.studies()), lambda: list(source.studies(EVER))):
            with pytest.raises(UpstreamError):
                ask()


@pytest.mark.parametrize("cursor", ["", "12345", "no json", "[]", '{"offset": "x"}', '{"offset": -5}'])
def test_cursor_of_another_kind_begins_anew(cursor: str) -> None:
    with a_source(HeldArchive(studies(2))) as source:
        look: Look = source.look(cursor)

    assert uids(look.sightings) == names(2)


def test_match_without_a_uid_is_left_out() -> None:
    archive = HeldArchive([*studies(1), HeldStudy("not a uid"), HeldStudy("2.25.2")])
    with a_source(archive) as source:
        assert uids(sweep(source)[0]) == names(2)


def test_today_is_the_clocks() -> None:
    archive = HeldArchive(studies(1))
    with a_source(archive, now=lambda: NOW + timedelta(days=30)) as source:
        assert sweep(source)[0] == []
