"""The synchronisation's queue on SQLite: nothing lost, nothing twice, nothing readable (issue 6)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cds_service import feedback_store
from fhir_imaging.store.engine import SQLITE_FILE, Store
from pacs_sync import tables
from pacs_sync.held import WaitingForPeople
from pacs_sync.memory import Outcome, StoredMemory
from pacs_sync.ports import Held, HoldReason, Sighting, Task, Work
from tests.contract.sync_memory_actors import IN_ARCHIVE, SUBJECT, a_sighting, a_store, a_uid, taken_numbers

LEASE_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with a_store(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def memory(store: Store) -> StoredMemory:
    return StoredMemory(store, "demo", lease_s=LEASE_S)


def test_the_migrations_make_exactly_the_tables_that_the_program_uses(store: Store) -> None:
    assert feedback_store.issued_card.metadata is tables.sync_study.metadata
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


# Noting


def test_a_study_is_queued_once_however_often_it_is_told(memory: StoredMemory) -> None:
    assert memory.note([a_sighting(1), a_sighting(1), a_sighting(2)], cursor="a", now=10) == 2
    assert memory.note([a_sighting(1), a_sighting(2)], cursor="b", now=11) == 0
    assert memory.note([a_sighting(2, "2")], cursor=None, now=12) == 1

    assert memory.cursor() == "b"
    assert memory.pending(now=12) == 2
    assert taken_numbers(memory, now=12) == [1, 2]
    assert taken_numbers(memory, now=12) == []


def test_a_study_that_became_complete_is_news_though_its_state_is_the_same(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (growing,) = memory.take(now=10, limit=9)
    memory.done(growing, now=11)

    assert memory.note([a_sighting(1)], cursor=None, now=12) == 0
    assert memory.note([a_sighting(1, is_complete=True)], cursor=None, now=13) == 1
    (complete,) = memory.take(now=13, limit=9)
    memory.done(complete, now=13)

    assert (growing.is_complete, complete.is_complete) == (False, True)
    assert complete.quiet_s == pytest.approx(3)
    assert memory.note([a_sighting(1)], cursor=None, now=14) == 0, "a list that does not say it takes nothing back"
    assert memory.note([a_sighting(1, "2")], cursor=None, now=15) == 1
    assert [task.is_complete for task in memory.take(now=15, limit=9)] == [False]


def test_what_cannot_be_compared_is_always_news(memory: StoredMemory) -> None:
    """Orthanc tells of events, not of states: a late image of a complete study must not be overlooked (T5)."""
    for now in (10, 20):
        assert memory.note([a_sighting(1, ""), a_sighting(1, "", is_complete=True)], cursor=None, now=now) == 1
        (task,) = memory.take(now=now, limit=9)
        assert task.is_complete
        memory.done(task, now=now)


def test_a_study_may_be_due_later_and_what_waits_longer_comes_first(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10, due_in_s=30)
    memory.note([a_sighting(2)], cursor=None, now=20)

    assert memory.next_due_s(now=15) == pytest.approx(5)
    assert taken_numbers(memory, now=20) == [2]
    assert memory.next_due_s(now=20) == pytest.approx(20)
    assert taken_numbers(memory, now=40) == [1]


def test_news_make_a_waiting_study_due_sooner_never_later(memory: StoredMemory) -> None:
    memory.note([a_sighting(1), a_sighting(2)], cursor=None, now=10, due_in_s=30)
    memory.note([a_sighting(1, "2")], cursor=None, now=11, due_in_s=60)
    memory.note([a_sighting(2, "2")], cursor=None, now=11)

    assert taken_numbers(memory, now=11) == [2]
    assert taken_numbers(memory, now=40) == [1]


# Working


def test_a_change_while_a_worker_has_the_study_is_looked_at_afterwards(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (task,) = memory.take(now=10, limit=9)

    assert memory.note([a_sighting(1, "2")], cursor=None, now=11) == 1
    assert memory.take(now=11, limit=9) == [], "two workers never have one study"
    memory.done(task, now=12)

    (again,) = memory.take(now=12, limit=9)
    memory.done(again, now=13)
    assert memory.pending(now=13) == 0
    assert memory.next_due_s(now=13) is None


@pytest.mark.parametrize("end", ["failed", "dead", "held", "given back", "missed"])
def test_a_change_while_a_worker_has_the_study_counts_however_that_ends(memory: StoredMemory, end: str) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (task,) = memory.take(now=10, limit=9)
    memory.note([a_sighting(1, "2")], cursor=None, now=11)

    if end == "held":
        memory.hold(task, Held(reason=HoldReason.NO_PATIENT), now=12)
    elif end == "given back":
        memory.give_back(task, now=12, again_in_s=900)
    elif end == "missed":
        memory.missed(task, now=12, again_in_s=900)
    else:
        memory.failed(task, "refused", now=12, again_in_s=900 if end == "failed" else None)

    assert [(one.study, one.attempts) for one in memory.take(now=12, limit=9)] == [(a_uid(1), 1)]


def test_a_killed_worker_gives_its_study_back_and_what_it_says_later_does_not_count(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (first,) = memory.take(now=10, limit=9)
    memory.done(first, now=10)
    memory.note([a_sighting(1, "2")], cursor=None, now=10)
    (lost,) = memory.take(now=10, limit=9)

    assert memory.take(now=10 + LEASE_S - 1, limit=9) == []
    (task,) = memory.take(now=10 + LEASE_S, limit=9)

    assert task.attempts == 2
    assert (memory.still_has(lost), memory.still_has(task)) == (False, True)
    memory.done(lost, now=80)
    memory.failed(lost, "too late", now=80, again_in_s=None)
    memory.hold(lost, Held(reason=HoldReason.MIXED), now=80)
    memory.give_back(lost, now=80, again_in_s=0)
    memory.missed(lost, now=80, again_in_s=0)
    assert memory.pending(now=80) == 1
    memory.done(task, now=81)
    assert memory.pending(now=81) == 0
    assert memory.outcomes() == {Outcome.DONE: 2}


def test_a_worker_that_lives_holds_its_study_longer(memory: StoredMemory) -> None:
    memory.note([a_sighting(1), a_sighting(2)], cursor=None, now=10)
    tasks = memory.take(now=10, limit=9)

    memory.renew([task for task in tasks if task.study == a_uid(1)], now=60)

    assert taken_numbers(memory, now=75) == [2]
    memory.renew(tasks, now=80)
    assert memory.take(now=60 + LEASE_S, limit=9) == []
    assert taken_numbers(memory, now=75 + LEASE_S) == [2], "it is another worker's"


def test_a_failed_study_comes_back_later_counts_attempts_and_dies(store: Store, memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (first,) = memory.take(now=10, limit=9)
    memory.failed(first, "refused with 500", now=10, again_in_s=5)

    assert memory.take(now=14, limit=9) == []
    (second,) = memory.take(now=15, limit=9)
    memory.failed(second, "refused with 422", now=16, again_in_s=None)

    (dead,) = WaitingForPeople(store, "demo").dead()
    assert (first.attempts, second.attempts) == (1, 2)
    assert (dead.study, dead.reason, dead.attempts, dead.since.timestamp()) == (a_uid(1), "refused with 422", 2, 16)
    assert (memory.pending(now=16), memory.next_due_s(now=16)) == (0, None)
    assert memory.outcomes() == {Outcome.FAILED: 1, Outcome.DEAD: 1}


def test_a_dead_study_comes_back_when_a_person_or_the_archive_says_so(store: Store, memory: StoredMemory) -> None:
    people = WaitingForPeople(store, "demo")
    memory.note([a_sighting(number) for number in range(4)], cursor=None, now=10)
    for task in memory.take(now=10, limit=9):
        memory.failed(task, "refused", now=10, again_in_s=None)

    assert memory.note([a_sighting(0)], cursor=None, now=11) == 0
    assert memory.note([a_sighting(0, "2")], cursor=None, now=11) == 1
    assert people.retry(a_uid(1), now=12) == 1
    assert people.retry(a_uid(1), now=12) == 0
    assert people.retry(now=13) == 2

    tasks = memory.take(now=13, limit=9)
    assert tasks[0].study == a_uid(0), "the longest waiting comes first"
    assert sorted((task.study, task.work, task.attempts) for task in tasks) == [
        (a_uid(0), Work.CHANGED, 1),
        *((a_uid(number), Work.RELEASED, 1) for number in (1, 2, 3)),
    ]
    assert list(people.dead()) == []


def test_an_attempt_that_could_not_be_made_is_not_counted(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    for now in range(10, 60, 5):
        (task,) = memory.take(now=now, limit=9)
        memory.give_back(task, now=now, again_in_s=5)

    assert task.attempts == 1
    assert memory.outcomes() == {}


def test_a_study_that_is_not_complete_is_looked_at_again(memory: StoredMemory) -> None:
    memory.note([a_sighting(1)], cursor=None, now=10)
    (task,) = memory.take(now=10, limit=9)
    memory.done(task, now=11, again_in_s=60)

    assert memory.take(now=70, limit=9) == []
    (again,) = memory.take(now=71, limit=9)
    assert (again.attempts, again.quiet_s) == (1, pytest.approx(61))


def test_since_when_the_archive_has_not_had_a_study_is_remembered_until_it_has_it(memory: StoredMemory) -> None:
    """Over failures, comparisons and other workers too; a study that is merely listed is asked for once more at once."""

    def asked(now: float) -> Task:
        (task,) = memory.take(now=now, limit=9)
        return task

    memory.note([a_sighting(1, is_complete=True)], cursor=None, now=10)
    first = asked(10)
    memory.missed(first, now=10, again_in_s=5)
    assert memory.take(now=14, limit=9) == []
    second = asked(15)
    memory.failed(second, "no answer", now=15, again_in_s=5)
    memory.enqueue([a_uid(1)], Work.COMPARED, now=16)
    third = asked(16)
    memory.missed(third, now=16, again_in_s=600)

    assert memory.note([a_sighting(1)], cursor=None, now=20) == 1
    listed = asked(20)
    memory.missed(listed, now=20, again_in_s=600)
    again = asked(620)
    memory.done(again, now=620)
    memory.enqueue([a_uid(1)], Work.COMPARED, now=700)
    last = asked(700)

    assert [one.missing_s for one in (first, second, third, listed, again, last)] == [None, 5, 6, None, 600, None]
    assert {one.attempts for one in (first, third, listed, again, last)} == {1}
    assert {one.is_complete for one in (listed, again, last)} == {True}, "what was said of the same state before still holds"
    assert memory.outcomes() == {Outcome.FAILED: 1, Outcome.DONE: 1}


def test_since_when_the_archive_lacks_a_report_series_is_remembered_though_it_lists_the_study(memory: StoredMemory) -> None:
    """Over failures, news and times when the whole study is missing, until it lacks nothing or the study waits for a person."""
    told: list[float | None] = []

    def asked(now: float) -> Task:
        memory.note([a_sighting(1, state=str(now), is_complete=True)], cursor=None, now=now)
        (task,) = memory.take(now=now, limit=9)
        told.append(task.lacking_s)
        return task

    memory.done(asked(10), now=10, again_in_s=5, is_lacking=True)
    memory.failed(asked(12), "no answer", now=12, again_in_s=5)
    memory.missed(asked(14), now=14, again_in_s=5)
    memory.done(asked(16), now=16, again_in_s=5, is_lacking=True)
    memory.done(asked(20), now=20)
    memory.done(asked(30), now=30, is_lacking=True)
    memory.hold(asked(40), Held(reason=HoldReason.NO_PATIENT), now=40)
    asked(50)

    assert told == [None, 2, 4, 6, 10, None, 10, None]


def test_a_comparison_is_not_forgotten_because_the_archive_tells_of_a_change(memory: StoredMemory) -> None:
    assert memory.enqueue([a_uid(1), a_uid(2)], Work.COMPARED, now=10) == 2
    memory.note([a_sighting(1), a_sighting(3)], cursor=None, now=11)
    memory.enqueue([a_uid(3)], Work.COMPARED, now=12)

    works = {task.study: task.work for task in memory.take(now=12, limit=9)}

    assert works == {a_uid(number): Work.COMPARED for number in (1, 2, 3)}


def test_a_study_of_a_comparison_that_the_archive_never_told_is_noted_like_any_other(memory: StoredMemory) -> None:
    memory.enqueue([a_uid(1)], Work.COMPARED, now=10)
    (task,) = memory.take(now=10, limit=9)
    memory.done(task, now=10)

    assert memory.note([a_sighting(1)], cursor=None, now=11) == 1
    assert memory.note([a_sighting(1)], cursor=None, now=11) == 0


# Held


def held_task(memory: StoredMemory, *, state: str, now: float, held: Held) -> None:
    memory.note([a_sighting(1, state)], cursor=None, now=now)
    (task,) = memory.take(now=now, limit=9)
    memory.hold(task, held, now=now)


def test_a_held_study_waits_for_a_person_who_sees_why_and_since_when(store: Store, memory: StoredMemory) -> None:
    held = Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE, detail="Nobody has this number.")
    held_task(memory, state="1", now=10, held=held)
    held_task(memory, state="2", now=20, held=held)

    (shown,) = WaitingForPeople(store, "demo").held()

    assert (shown.study, shown.reason, shown.patient) == (a_uid(1), HoldReason.NO_PATIENT, IN_ARCHIVE)
    assert (shown.detail, shown.since.timestamp(), shown.assigned) == ("Nobody has this number.", 10, None)
    assert memory.pending(now=20) == 0
    assert memory.outcomes() == {Outcome.HELD: 1}


def test_a_persons_word_counts_for_later_images_until_the_archive_names_another_patient(
    store: Store, memory: StoredMemory
) -> None:
    people = WaitingForPeople(store, "demo")
    held_task(memory, state="1", now=10, held=Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE))

    assert people.resolve(a_uid(1), SUBJECT, now=11)
    assert not people.resolve(a_uid(1), SUBJECT, now=11)
    (task,) = memory.take(now=11, limit=9)
    assert (task.work, task.assigned, task.assigned_for) == (Work.RELEASED, SUBJECT, IN_ARCHIVE)
    memory.done(task, now=11)
    assert list(people.held()) == []

    memory.note([a_sighting(1, "late image")], cursor=None, now=12)
    (late,) = memory.take(now=12, limit=9)
    assert (late.work, late.assigned, late.assigned_for) == (Work.CHANGED, SUBJECT, IN_ARCHIVE)

    other = replace(IN_ARCHIVE, number="DEMO-1002")
    memory.hold(late, Held(reason=HoldReason.NO_PATIENT, patient=other), now=12)
    assert people.resolve(a_uid(1), "retry", now=13)
    (renamed,) = memory.take(now=13, limit=9)
    assert (renamed.assigned, renamed.assigned_for) == (None, None)


def test_a_persons_word_is_kept_while_the_study_is_held_for_something_else(store: Store, memory: StoredMemory) -> None:
    people = WaitingForPeople(store, "demo")
    held_task(memory, state="1", now=10, held=Held(reason=HoldReason.NO_NUMBER))
    people.resolve(a_uid(1), SUBJECT, now=11)
    held_task(memory, state="2", now=12, held=Held(reason=HoldReason.SEVERAL_STUDIES))

    (shown,) = people.held()

    assert (shown.reason, shown.since.timestamp(), shown.assigned) == (HoldReason.SEVERAL_STUDIES, 12, SUBJECT)


def test_a_persons_word_can_be_taken_back(store: Store, memory: StoredMemory) -> None:
    people = WaitingForPeople(store, "demo")
    held_task(memory, state="1", now=10, held=Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE))
    people.resolve(a_uid(1), SUBJECT, now=11)
    (task,) = memory.take(now=11, limit=9)

    assert people.take_back(a_uid(1), now=12)
    memory.done(task, now=13)

    (again,) = memory.take(now=13, limit=9)
    assert (again.work, again.assigned) == (Work.RELEASED, None)
    assert not people.take_back(a_uid(1), now=14)


def test_lists_for_people_are_read_over_several_pages_each_once(
    store: Store, memory: StoredMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_sync.held.PAGE", 3)
    memory.note([a_sighting(number) for number in range(10)], cursor=None, now=10)
    for number, task in enumerate(memory.take(now=10, limit=99)):
        memory.hold(task, Held(reason=HoldReason.NO_NUMBER), now=10 + number // 4)

    held = [one.study for one in WaitingForPeople(store, "demo").held()]

    assert sorted(held) == sorted(a_uid(number) for number in range(10))


# Sharing and privacy


def test_synchronisations_share_nothing(store: Store, memory: StoredMemory) -> None:
    other = StoredMemory(store, "other")
    memory.note([a_sighting(1)], cursor="mine", now=10)

    assert (other.cursor(), other.pending(now=10), other.take(now=10, limit=9)) == (None, 0, [])
    assert other.note([a_sighting(1)], cursor="theirs", now=10) == 1
    assert memory.cursor() == "mine"


def test_of_many_workers_each_study_is_taken_by_one(memory: StoredMemory) -> None:
    memory.note((a_sighting(number) for number in range(200)), cursor=None, now=10)

    def work(_: int) -> list[int]:
        mine: list[int] = []
        while tasks := memory.take(now=10, limit=3):
            for task in tasks:
                mine.append(int(task.study.removeprefix("2.25.")))
                memory.done(task, now=10)
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = [number for mine in pool.map(work, range(4)) for number in mine]

    assert sorted(taken) == list(range(200))
    assert memory.outcomes() == {Outcome.DONE: 200}


def test_nothing_about_a_study_can_be_read_in_the_database(store: Store, memory: StoredMemory, tmp_path: Path) -> None:
    secret_uid = "1.2.840.99.4711"
    memory.note([Sighting(study=a_uid(1), state="secret-state")], cursor=f"cursor-{secret_uid}", now=10)
    memory.enqueue([type(a_uid(1))(secret_uid)], Work.COMPARED, now=11)
    first, second = memory.take(now=11, limit=9)
    memory.hold(first, Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE, detail="secret-detail"), now=11)
    WaitingForPeople(store, "demo").resolve(first.study, SUBJECT, now=11)
    memory.failed(second, "secret-failure", now=12, again_in_s=None)
    store.close()

    content = b"".join(path.read_bytes() for path in (tmp_path / "state").glob(f"{SQLITE_FILE}*"))
    for secret in (secret_uid, "2.25.1", "secret-", "DEMO-1001", "demo-a", "urn:example:mrn"):
        assert secret.encode() not in content


def test_what_another_master_key_sealed_is_forgotten_and_begun_anew(store: Store, memory: StoredMemory, tmp_path: Path) -> None:
    memory.note([a_sighting(1)], cursor="a", now=10)
    store.close()
    (tmp_path / "state" / "master.key").unlink()

    with a_store(tmp_path / "state") as other_store:
        other = StoredMemory(other_store, "demo")
        assert (other.cursor(), other.take(now=10, limit=9), other.pending(now=10)) == (None, [], 0)
        assert other.note([a_sighting(1)], cursor="b", now=10) == 1
        assert taken_numbers(other, now=10) == [1]


def test_a_look_is_leased_to_one_until_it_ends_or_is_given_back(store: Store, memory: StoredMemory) -> None:
    marks, others = memory.bookmarks, StoredMemory(store, "other").bookmarks
    lease = marks.lease("look", now=100, seconds=30)
    assert lease is not None
    assert marks.lease("look", now=129, seconds=30) is None
    assert others.lease("look", now=100, seconds=30) is not None
    assert marks.moved_at("look") is None

    assert marks.renew("look", lease, now=129, seconds=30)
    memory.note([], cursor="a", now=130)
    assert marks.lease("look", now=158, seconds=30) is None, "a place that moves keeps the lease"
    assert marks.moved_at("look") == 130
    assert marks.lease("look", now=159, seconds=30) is not None
    assert not marks.renew("look", lease, now=160, seconds=30)
    marks.give_back("look", lease)
    assert marks.lease("look", now=161, seconds=30) is None, "it was not his to give"
