"""Archives that search by Study Update DateTime (0008,041F), and those that only seem to."""

from __future__ import annotations

import pytest

from tests.archive_actors import HeldArchive, HeldStudy
from tests.source_actors import a_source, names, states, studies, sweep, uids

LAST_WEEK = "20260303"


def test_update_time_finds_what_came_late_with_an_old_study_date() -> None:
    """X17: a prior from another hospital."""
    archive = HeldArchive(studies(3, day=LAST_WEEK), has_update_times=True)
    with a_source(archive) as source:
        _, cursor = sweep(source)
        archive.studies.append(HeldStudy("2.25.4", day="20110704", updated="20260310115900"))
        found, cursor = sweep(source, cursor)
        assert "2.25.4" in uids(found)

        archive.studies[0].updated = "20260310143000"
        found, cursor = sweep(source, cursor)

    assert uids(found) == {"2.25.1", "2.25.4"}
    assert "0008041F=20260310095900-" in "".join(archive.asked), "two hours before the last that was seen"


def test_update_times_are_paged_and_never_move_the_cursor_before_the_last_page() -> None:
    archive = HeldArchive(
        [HeldStudy(f"2.25.{n}", day=LAST_WEEK, updated=f"202603100{n % 10}0000") for n in range(1, 31)], has_update_times=True
    )
    with a_source(archive, page_size=8) as source:
        look = source.look(None)
        assert not look.is_last
        after_restart, _ = sweep(source, look.cursor)

    assert uids(after_restart) | uids(look.sightings) == names(30)


def test_update_time_of_next_year_hides_nothing() -> None:
    archive = HeldArchive(studies(1, updated="20270101000000"), has_update_times=True)
    with a_source(archive) as source:
        _, cursor = sweep(source)
        archive.studies.append(HeldStudy("2.25.2", updated="20260310130000"))

        assert "2.25.2" in uids(sweep(source, cursor)[0])


def test_update_times_with_a_zone_are_asked_for_in_utc() -> None:
    archive = HeldArchive(studies(1, updated="20260310130000.5+0100"), has_update_times=True)
    with a_source(archive) as source:
        _, cursor = sweep(source)
        sweep(source, cursor)

    assert "0008041F=20260310100000%2B0000-" in archive.asked[-1]


def test_change_shows_by_its_update_time_alone() -> None:
    """Something that no field of the state holds was corrected."""
    archive = HeldArchive(studies(1), has_update_times=True)
    with a_source(archive) as source:
        before, cursor = sweep(source)
        archive.studies[0].updated = "20260310083000"
        after, _ = sweep(source, cursor)

    assert states(before) != states(after)


@pytest.mark.parametrize(
    "archive", [HeldArchive(studies(1)), HeldArchive(studies(1), has_update_times=True, searches_update_times=False)]
)
def test_archive_that_does_not_search_by_update_time_is_searched_by_study_date(archive: HeldArchive) -> None:
    """Some give the attribute and overlook it as a key: everything would be news for ever."""
    with a_source(archive) as source:
        sweep(source)
        asked = len(archive.asked)
        sweep(source)

    assert all("StudyDate=" in one for one in archive.asked[asked:])


def test_empty_archive_is_asked_for_update_times_again() -> None:
    archive = HeldArchive([], has_update_times=True)
    with a_source(archive) as source:
        found, cursor = sweep(source)
        assert found == []
        archive.studies += studies(1, day="20110704", updated="20260310115900")

        assert uids(sweep(source, cursor)[0]) == {"2.25.1"}
