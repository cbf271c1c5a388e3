"""A synchronisation at work over SQLite with real threads: once, for ever, and over many days (issue 6)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.store.engine import Store
from pacs_sync.backfill import Progress, windows
from pacs_sync.bookmarks import BACKFILL, COMPARISON, LOOK
from pacs_sync.counts import counts
from pacs_sync.held import WaitingForPeople
from pacs_sync.memory import Outcome, StoredMemory
from pacs_sync.ports import Days, Held, HoldReason, Task
from pacs_sync.run import Runner
from pacs_sync.settings import PaceSettings
from pacs_sync.workers import UNFINISHED, Working
from tests.contract.sync_memory_actors import IN_ARCHIVE, SUBJECT, a_sighting, a_store, a_uid
from tests.contract.sync_run_actors import ArchiveInMemory, Bringer, refused, unreachable

PACE = PaceSettings(
    interval_s=0.1,
    window_days=7,
    page_size=4,
    workers=3,
    max_pending=6,
    max_attempts=4,
    first_retry_s=0.01,
    longest_retry_s=0.05,
)
TODAY = date(2026, 11, 21)
PATIENCE_S = 20.0


@dataclass(slots=True)
class World:
    """One synchronisation with its archive."""

    store: Store
    archive: ArchiveInMemory
    memory: StoredMemory
    bring: Bringer

    def runner(self, pace: PaceSettings = PACE) -> Runner:
        return Runner(self.archive, Working(memory=self.memory, process=self.bring, pace=pace, jitter=lambda: 1.0))

    def is_level(self) -> bool:
        return self.bring.written == self.archive.states


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_store(tmp_path / "state") as store:
        archive, memory = ArchiveInMemory(), StoredMemory(store, "demo", lease_s=2.0)
        yield World(store, archive, memory, Bringer(archive, memory, now=time.time))


def eventually(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(0.01)


def working(world: World) -> Working:
    return Working(memory=world.memory, process=world.bring, pace=PACE)


@contextmanager
def watching(
    runner: Runner, compare: Callable[[threading.Event], None] | None = None, grace_s: float = 5.0
) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=runner.watch, args=(stop,), kwargs={"compare": compare, "grace_s": grace_s})
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


# Once


def test_one_run_brings_everything_over_and_the_next_nothing(world: World) -> None:
    for number in range(10):
        world.archive.put(a_uid(number), "1")

    first, second = world.runner().once(), world.runner().once()
    world.archive.put(a_uid(3), "2")
    third = world.runner().once()

    assert (first.queued, first.done, first.failed, first.waiting) == (10, 10, 0, 0)
    assert (second.queued, second.done) == (0, 0)
    assert (third.queued, third.done) == (1, 1)
    assert world.is_level()
    assert set(world.bring.attempts.values()) == {1, 2}


def test_a_run_waits_for_what_comes_back_soon_and_not_for_what_comes_late(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    world.bring.again_in_s = 60

    summary = world.runner().once(settle_s=1)

    assert (summary.done, summary.waiting) == (1, 1)
    world.archive.complete.add(a_uid(1))
    assert world.runner().once(settle_s=1).waiting == 0
    assert world.bring.completed == {a_uid(1)}


def test_failed_attempts_come_back_and_refused_studies_are_laid_aside(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for number in range(6):
        world.archive.put(a_uid(number), "1")

    def trouble(task: Task) -> None:
        if task.study == a_uid(1) and task.attempts < 3:
            raise refused(500)
        if task.study == a_uid(2):
            raise refused(422)
        if task.study == a_uid(3):
            raise ValueError("Synthetic^Alma")
        if task.study == a_uid(4):
            raise refused(409)

    world.bring.trouble = trouble
    summary = world.runner().once()

    assert (summary.done, summary.failed, summary.dead, summary.waiting) == (3, 2 + 2 + 2 + 3, 3, 0)
    dead = {one.study: one for one in WaitingForPeople(world.store, "demo").dead()}
    assert {study: one.attempts for study, one in dead.items()} == {a_uid(2): 3, a_uid(3): 3, a_uid(4): 4}
    assert dead[a_uid(2)].reason == "It was refused. (fhir, 422)"
    assert dead[a_uid(3)].reason.startswith("ValueError at trouble, line ")
    assert "Synthetic" not in caplog.text


def test_a_held_study_is_counted_and_waits(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    held = Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE)
    hold = Working(memory=world.memory, process=lambda task: world.memory.hold(task, held, now=1.0), pace=PACE)
    runner = Runner(world.archive, hold)

    summary = runner.once()

    assert (summary.done, summary.held, summary.waiting) == (0, 1, 0)
    assert WaitingForPeople(world.store, "demo").resolve(a_uid(1), SUBJECT, now=2.0)
    assert world.runner().once().done == 1


def test_an_outage_pauses_everything_and_costs_no_study_an_attempt(world: World) -> None:
    for number in range(8):
        world.archive.put(a_uid(number), "1")
    back_at = time.monotonic() + 1.0

    def trouble(task: Task) -> None:
        if time.monotonic() < back_at:
            raise unreachable() if int(task.study[5:]) % 2 else refused(503)
        assert task.attempts == 1

    world.bring.trouble = trouble
    summary = world.runner(replace(PACE, first_retry_s=0.1, longest_retry_s=0.2)).once(settle_s=5)

    assert (summary.done, summary.failed, summary.dead, summary.waiting) == (8, 0, 0, 0)
    assert sum(world.bring.attempts.values()) <= 8 + 12 * PACE.workers, "nobody hammered a server that is away"


def test_a_run_ends_while_a_server_is_away_for_long(world: World) -> None:
    world.archive.put(a_uid(1), "1")

    def trouble(_: Task) -> None:
        raise UpstreamError("Come back later.", server="fhir", status=503, retryable=True, retry_after_s=3600)

    world.bring.trouble = trouble
    summary = world.runner().once(settle_s=0.5)

    assert (summary.done, summary.dead, summary.waiting) == (0, 0, 1)


def test_one_study_that_never_gets_an_answer_stops_no_other_one(world: World) -> None:
    for number in range(30):
        world.archive.put(a_uid(number), "1")

    def trouble(task: Task) -> None:
        if task.study == a_uid(0):
            raise unreachable()

    world.bring.trouble = trouble
    for workers in (1, 3):
        for number in range(30):
            world.archive.put(a_uid(number), f"of {workers}")
        summary = world.runner(replace(PACE, workers=workers, longest_retry_s=60)).once(settle_s=0.1)
        assert summary.done == 29
        assert summary.dead + summary.waiting == 1


def test_a_study_whose_workers_all_died_is_laid_aside(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    world.runner().look()
    for now in range(PACE.max_attempts):
        assert world.memory.take(now=time.time() + 10 * now, limit=1)

    later = Runner(world.archive, replace(working(world), clock=lambda: time.time() + 1000))
    summary = later.once()

    assert (summary.dead, summary.done) == (1, 0)
    assert [one.reason for one in WaitingForPeople(world.store, "demo").dead()] == [UNFINISHED]


def test_a_study_noted_again_while_it_is_brought_over_is_brought_again(world: World) -> None:
    world.archive.put(a_uid(1), "1")

    def change(task: Task) -> None:
        if world.bring.attempts[task.study] == 1:
            world.bring.written[task.study] = "1"
            world.archive.put(a_uid(1), "2")
            world.memory.note([a_sighting(1, "2")], cursor=None, now=time.time())

    world.bring.trouble = change
    assert world.runner().once().done == 2
    assert world.is_level()


def test_a_look_keeps_what_was_read_before_the_archive_failed(world: World) -> None:
    for number in range(7):
        world.archive.put(a_uid(number), "1")
    runner = world.runner()

    world.archive.page_size = 3
    failing = world.archive.look

    def fail_at_6(cursor: str | None) -> object:
        if cursor == "6":
            raise unreachable("archive")
        return failing(cursor)

    broken = Runner(_Looks(fail_at_6), working(world))  # type: ignore[arg-type]
    with pytest.raises(UpstreamError):
        broken.once()

    assert world.memory.cursor() == "6"
    assert runner.once().queued == 1
    assert world.is_level()


class _Looks:
    def __init__(self, look: Callable[[str | None], object]) -> None:
        self.look = look


def test_a_source_that_never_says_that_it_is_done_is_not_asked_for_ever(world: World) -> None:
    asked = []

    def look(cursor: str | None) -> object:
        asked.append(cursor)
        return replace(world.archive.look(None), cursor="same", is_last=False)

    assert Runner(_Looks(look), working(world)).look() == 0  # type: ignore[arg-type]
    assert asked == [None, "same"]


def test_a_database_that_fails_ends_a_run(world: World) -> None:
    world.archive.put(a_uid(1), "1")

    def trouble(_: Task) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    world.bring.trouble = trouble
    with pytest.raises(OperationalError):
        world.runner().once(settle_s=10)


# For ever


def test_watching_brings_what_is_new_outlives_failures_and_stops_soon(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    world.archive.failures = [unreachable("archive"), OperationalError("INSERT", {}, Exception("gone"))]
    fails = iter([OperationalError("UPDATE", {}, Exception("gone"))])

    def trouble(_: Task) -> None:
        for failure in fails:
            raise failure

    world.bring.trouble = trouble
    with watching(world.runner()) as stop:
        eventually(world.is_level)
        world.archive.put(a_uid(2), "1")
        world.archive.put(a_uid(1), "2")
        eventually(world.is_level)
        stopped_at = time.monotonic()
        stop.set()
    assert time.monotonic() - stopped_at < 3
    assert world.memory.pending(now=time.time()) == 0


def test_watching_wakes_when_something_is_due_and_need_not_look_for_it(world: World) -> None:
    with watching(world.runner(replace(PACE, interval_s=3600))):
        eventually(lambda: len(world.archive.asked) == 1)
        world.archive.put(a_uid(1), "1")
        world.memory.note([a_sighting(1)], cursor=None, now=time.time(), due_in_s=0.2)
        eventually(world.is_level)
    assert len(world.archive.asked) == 1


def test_what_does_not_end_in_time_is_left_to_the_next_process(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    release, begun = threading.Event(), threading.Event()

    def trouble(_: Task) -> None:
        if not begun.is_set():
            begun.set()
            release.wait(PATIENCE_S)

    world.bring.trouble = trouble
    with watching(world.runner(), grace_s=0.2) as stop:
        assert begun.wait(PATIENCE_S)
        stop.set()
    assert world.bring.written == {}

    second = Bringer(world.archive, StoredMemory(world.store, "demo"), now=time.time)
    summary = Runner(world.archive, Working(memory=second.memory, process=second, pace=PACE)).once(settle_s=5)
    release.set()

    eventually(world.is_level)
    assert (summary.done, second.written) == (1, world.archive.states)
    assert world.memory.outcomes() == {}, "who lost his lease has nothing to say"


def test_a_slow_study_is_held_while_its_process_lives(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    memory = StoredMemory(world.store, "demo", lease_s=0.3)
    slow = Bringer(world.archive, memory, trouble=lambda _: time.sleep(1.5), now=time.time)

    Runner(world.archive, Working(memory=memory, process=slow, pace=PACE)).once()

    assert slow.attempts == {a_uid(1): 1}


def test_of_several_processes_one_looks(world: World) -> None:
    lease = world.memory.bookmarks.lease(LOOK, now=time.time(), seconds=1.0)
    assert lease is not None
    with watching(world.runner()):
        time.sleep(0.4)
        assert world.archive.asked == []
        eventually(lambda: bool(world.archive.asked))


def test_everything_is_compared_every_so_many_hours_by_one_process(world: World) -> None:
    compared: list[float] = []

    def compare(stop: threading.Event) -> None:
        assert not stop.is_set()
        compared.append(time.time())

    pace = replace(PACE, reconcile_hours=1.0)
    marks = world.memory.bookmarks
    with watching(world.runner(pace), compare):
        eventually(lambda: marks.moved_at(COMPARISON) is not None)
        time.sleep(0.3)
    assert compared == [], "what was begun just now has nothing to compare"

    marks.move(COMPARISON, None, now=time.time() - 3601)
    with watching(world.runner(pace), compare), watching(world.runner(pace), compare):
        eventually(lambda: bool(compared))
        eventually(lambda: (marks.moved_at(COMPARISON) or 0) > time.time() - 60)
        time.sleep(0.3)
    assert len(compared) == 1


def test_a_comparison_that_fails_stops_nothing(world: World) -> None:
    tries: list[int] = []

    def compare(_: threading.Event) -> None:
        tries.append(1)
        raise unreachable() if len(tries) == 1 else ValueError("Synthetic^Alma")

    world.memory.bookmarks.move(COMPARISON, None, now=1.0)
    with watching(world.runner(), compare):
        eventually(lambda: bool(tries))
        world.archive.put(a_uid(1), "1")
        eventually(world.is_level)
    assert len(tries) == 1
    assert world.memory.bookmarks.moved_at(COMPARISON) == 1.0


def test_a_long_comparison_is_held_by_its_process_and_ends_with_it(world: World) -> None:
    begun: list[int] = []

    def compare(stop: threading.Event) -> None:
        begun.append(1)
        stop.wait(PATIENCE_S)

    world.memory.bookmarks.move(COMPARISON, None, now=1.0)
    world.memory.lease_s = 0.5
    with watching(world.runner(), compare), watching(world.runner(), compare):
        eventually(lambda: bool(begun))
        time.sleep(1.5)
    assert len(begun) == 1
    assert world.memory.bookmarks.moved_at(COMPARISON) == 1.0, "it was not whole"


def test_nothing_is_compared_where_nobody_wants_it(world: World) -> None:
    compared: list[int] = []
    world.memory.bookmarks.move(COMPARISON, None, now=1.0)
    with watching(world.runner(replace(PACE, reconcile_hours=0)), lambda _: compared.append(1)):
        eventually(lambda: len(world.archive.asked) > 2)
    assert compared == []


def test_a_fhir_server_that_cannot_be_written_kills_no_study(world: World) -> None:
    world.archive.put(a_uid(1), "1")
    world.archive.put(a_uid(2), "1")

    def trouble(_: Task) -> None:
        raise ConfigurationError(["It is a server of FHIR STU3."])

    world.bring.trouble = trouble
    summary = world.runner(replace(PACE, longest_retry_s=60)).once(settle_s=0.2)

    assert (summary.failed, summary.dead, summary.waiting) == (0, 0, 2)


# Many days


def test_windows_cover_each_day_once_from_the_newest(world: World) -> None:
    days = Days(first=date(2026, 1, 1), last=date(2026, 1, 17))
    assert [(one.first.day, one.last.day) for one in windows(days, 7)] == [(11, 17), (4, 10), (1, 3)]
    assert list(windows(Days(first=days.last, last=days.first), 7)) == []
    assert len(list(windows(Days(first=date.min, last=date(1, 1, 9)), 7))) == 2


def many_days(world: World, number: int) -> Days:
    for one in range(number):
        world.archive.put(a_uid(one), "1", TODAY - timedelta(days=one))
    return Days(first=TODAY - timedelta(days=number - 1), last=TODAY)


def test_a_back_fill_brings_all_days_and_waits_while_much_is_pending(world: World) -> None:
    days = many_days(world, 40)
    told: list[Progress] = []
    summary = world.runner().backfill(days, progress=told.append)

    assert (summary.queued, summary.done, summary.waiting) == (40, 40, 0)
    assert world.is_level()
    assert max(one.pending for one in told) < PACE.max_pending + PACE.page_size
    assert (told[0].days_done, told[0].days, told[0].day) == (0, 40, None)
    assert (told[-1].days_done, told[-1].days, told[-1].day, told[-1].found) == (40, 40, days.first, 40)
    assert [one.days_done for one in told] == sorted(one.days_done for one in told)
    assert [one.last for one in world.archive.asked if isinstance(one, Days)] == [
        TODAY - timedelta(days=7 * week) for week in range(6)
    ]


def test_an_interrupted_back_fill_goes_on_where_it_was_and_a_finished_one_begins_anew(world: World) -> None:
    days = many_days(world, 40)
    stop = threading.Event()

    def stop_at_the_third_week(now: Progress) -> None:
        if now.days_done >= 14:
            stop.set()

    assert world.runner().backfill(Days(first=days.last, last=days.first)).queued == 0
    world.runner().backfill(days, stop, progress=stop_at_the_third_week)
    begun = len(world.archive.asked)
    world.runner().backfill(days)
    first_asked = world.archive.asked[begun]

    assert isinstance(first_asked, Days)
    assert first_asked.last == TODAY - timedelta(days=14)
    assert world.is_level()
    assert set(world.bring.attempts.values()) == {1}
    begun = len(world.archive.asked)
    assert world.runner().backfill(days).queued == 0
    assert len(world.archive.asked) == begun + 6
    assert world.memory.bookmarks.place(LOOK) is None
    assert world.memory.bookmarks.place(BACKFILL) is not None


def test_studies_of_the_past_are_complete_and_those_of_these_days_may_still_grow(world: World) -> None:
    today = datetime.now(UTC).date()
    for number, days_ago in enumerate((0, 30)):
        world.archive.put(a_uid(number), "1", today - timedelta(days=days_ago))

    world.runner().backfill(Days(first=today - timedelta(days=40), last=today))

    assert world.bring.completed == {a_uid(1)}


def test_a_back_fill_outlives_an_archive_that_fails_now_and_then(world: World) -> None:
    days = many_days(world, 20)
    world.archive.failures = [unreachable("archive"), refused(500)]
    assert world.runner().backfill(days).done == 20

    world.archive.failures = [unreachable("archive")] * 10
    with pytest.raises(UpstreamError):
        world.runner().backfill(days)


def test_a_back_fill_can_be_stopped_while_it_waits_for_room(world: World) -> None:
    days = many_days(world, 40)
    stop = threading.Event()
    world.bring.trouble = lambda _: time.sleep(0.05)

    def stop_when_full(now: Progress) -> None:
        if now.pending >= PACE.max_pending:
            stop.set()

    summary = world.runner(replace(PACE, workers=1)).backfill(days, stop, progress=stop_when_full)

    assert summary.queued < 40
    assert summary.waiting > 0


# Numbers


def test_the_numbers_say_how_it_fares(world: World) -> None:
    memory, now = world.memory, 1000.0
    memory.note([a_sighting(number) for number in range(6)], cursor="a", now=now)
    memory.note([a_sighting(6)], cursor="b", now=now, due_in_s=60)
    done, failed, dead, held, *_ = memory.take(now=now, limit=5)
    memory.done(done, now=now)
    memory.failed(failed, "no", now=now, again_in_s=5)
    memory.failed(dead, "no", now=now, again_in_s=None)
    memory.hold(held, Held(reason=HoldReason.MIXED), now=now)

    ours, others = counts(world.store, ["demo", "other"], now=now + 1)

    assert (ours.waiting, ours.under_way, ours.dead, ours.lag_s) == (3, 1, 1, 1)
    assert {reason: number for reason, number in ours.held.items() if number} == {HoldReason.MIXED: 1}
    assert (ours.looked_at, ours.compared_at) == (now, None)
    assert ours.outcomes == dict.fromkeys(Outcome, 1)
    assert (others.waiting, others.under_way, others.dead, others.lag_s, others.looked_at) == (0, 0, 0, 0, None)
    assert set(others.outcomes.values()) == set(others.held.values()) == {0}
    assert counts(world.store, ["demo"], now=now + 61)[0].under_way == 0
