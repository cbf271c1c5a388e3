"""Questions to archives side by side: the first fault makes the whole answer wait, and nobody waits for ever (F10)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from fhir_imaging.errors import InvalidRequest, TooManyRequests, UpstreamError, UpstreamTimeout
from fhir_imaging.followed import FOLLOWED
from imaging_server.archive_workers import KEPT_FREE, REQUESTS_AT_ONCE, WORKERS, ArchiveWorkers, asking_for


@pytest.fixture
def workers() -> Iterator[ArchiveWorkers]:
    made = ArchiveWorkers(patience_s=0.3)
    yield made
    made.close()


def test_answers_come_in_the_order_of_the_questions(workers: ArchiveWorkers) -> None:
    def slowly() -> str:
        time.sleep(0.05)
        return "first"

    assert workers.together([("main", slowly), ("second", lambda: "second")]) == ["first", "second"]
    assert workers.together([]) == []


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamTimeout("late", server="http://pacs.internal.example"),
        UpstreamError("broken", server="http://pacs.internal.example", status=500),
        InvalidRequest("not understood"),
    ],
)
def test_any_fault_is_a_503_without_the_archives_name(workers: ArchiveWorkers, fault: Exception) -> None:
    def fails() -> str:
        raise fault

    with pytest.raises(UpstreamError) as seen:
        workers.together([("main", lambda: "fine"), ("second", fails)])

    assert seen.value.retryable
    assert not isinstance(seen.value, UpstreamTimeout)
    assert "internal" not in seen.value.detail


def test_F10_what_takes_too_long_waits_no_longer_than_the_patience(workers: ArchiveWorkers) -> None:
    over = threading.Event()
    began = time.monotonic()

    with pytest.raises(UpstreamError) as seen:
        workers.together([("main", over.wait)])

    over.set()
    assert seen.value.retryable
    assert time.monotonic() - began < 5


def test_F10_all_rounds_of_questions_of_one_request_share_its_patience() -> None:
    """Studies, then series, then instances: each round just within the time was several times the time."""
    workers = ArchiveWorkers(patience_s=1.0)
    rounds: list[list[None]] = []
    began = time.monotonic()

    def one_request() -> None:
        with asking_for("one"):
            for _ in range(10):
                rounds.append(workers.together([("main", lambda: time.sleep(0.4))]))

    with pytest.raises(UpstreamError):
        one_request()
    took = time.monotonic() - began
    with asking_for("one"):
        again = workers.together([("main", lambda: "the next request has its own time")])
    workers.close()

    assert len(rounds) <= 2
    assert took >= 1.0
    assert again


def test_an_archive_that_hangs_holds_up_no_other(workers: ArchiveWorkers) -> None:
    """Group 23."""
    over = threading.Event()
    with pytest.raises(UpstreamError):
        workers.together([("hanging", over.wait) for _ in range(3 * WORKERS)])

    assert workers.together([("main", lambda: "fine")]) == ["fine"]
    over.set()


@dataclass
class SlowArchive:
    """Counts whose questions are under way, and answers none before it is told to."""

    let_go: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    under_way: list[str] = field(default_factory=list)

    def question(self, caller: str) -> Callable[[], str]:
        def ask() -> str:
            with self.changed:
                self.under_way.append(caller)
                self.changed.notify_all()
            assert self.let_go.wait(20)
            return caller

        return ask

    def has(self, number: int) -> bool:
        """Whether so many questions come to be under way."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.under_way) >= number, 10)


@pytest.fixture
def patient_workers() -> Iterator[ArchiveWorkers]:
    made = ArchiveWorkers(patience_s=20)
    yield made
    made.close()


def asked_by(workers: ArchiveWorkers, archive: SlowArchive, caller: str, number: int) -> list[str]:
    with asking_for(caller):
        return workers.together([("main", archive.question(caller)) for _ in range(number)])


def test_group_23_one_caller_does_not_take_all_threads_of_a_slow_archive(patient_workers: ArchiveWorkers) -> None:
    archive = SlowArchive()
    with ThreadPoolExecutor(3) as requests:
        greedy = requests.submit(asked_by, patient_workers, archive, "greedy", 50)
        assert archive.has(WORKERS - KEPT_FREE)
        others = [requests.submit(asked_by, patient_workers, archive, f"other {number}", 1) for number in range(2)]
        assert archive.has(WORKERS)
        under_way = sorted(archive.under_way)
        archive.let_go.set()

        assert under_way == ["greedy"] * (WORKERS - KEPT_FREE) + ["other 0", "other 1"]
        assert greedy.result() == ["greedy"] * 50
        assert [one.result() for one in others] == [["other 0"], ["other 1"]]


def test_group_23_callers_with_much_to_ask_have_their_turns(patient_workers: ArchiveWorkers) -> None:
    """The second one need not wait until all is answered that the first one asked before."""
    answered: list[str] = []

    def question(caller: str) -> Callable[[], None]:
        return lambda: answered.append(caller)

    archive = SlowArchive()
    with ThreadPoolExecutor(3) as requests:
        held = requests.submit(asked_by, patient_workers, archive, "held", WORKERS)
        assert archive.has(WORKERS - KEPT_FREE)

        def ask(caller: str) -> None:
            with asking_for(caller):
                patient_workers.together([("main", question(caller)) for _ in range(40)])

        first = requests.submit(ask, "first")
        first.result()
        second = requests.submit(ask, "second")
        second.result()
        archive.let_go.set()
        held.result()

    assert answered.count("first") == answered.count("second") == 40, (
        "both were answered while the archive was slow for a third"
    )


def test_group_23_a_caller_has_so_many_requests_waiting_and_no_more(patient_workers: ArchiveWorkers) -> None:
    archive = SlowArchive()
    with ThreadPoolExecutor(REQUESTS_AT_ONCE + 1) as requests:
        waiting: list[Future[list[str]]] = []
        for number in range(REQUESTS_AT_ONCE):
            waiting.append(requests.submit(asked_by, patient_workers, archive, "greedy", 1))
            assert archive.has(min(number + 1, WORKERS - KEPT_FREE))
        with pytest.raises(TooManyRequests) as refused:
            asked_by(patient_workers, archive, "greedy", 1)
        archive.let_go.set()

        assert refused.value.retry_after_s >= 1
        assert [one.result() for one in waiting] == [["greedy"]] * REQUESTS_AT_ONCE
        assert asked_by(patient_workers, archive, "greedy", 1) == ["greedy"], "and goes on when they are answered"


def test_what_nobody_waits_for_any_more_is_not_asked(workers: ArchiveWorkers) -> None:
    archive = SlowArchive()
    with pytest.raises(UpstreamError):
        asked_by(workers, archive, "impatient", 50)
    archive.let_go.set()

    assert asked_by(workers, archive, "another", 1) == ["another"]
    assert archive.under_way.count("impatient") == WORKERS - KEPT_FREE


def test_each_question_is_part_of_the_request_that_asked_it_whoever_starts_it(patient_workers: ArchiveWorkers) -> None:
    """The second request's questions begin where those of the first end, in their threads."""
    archive = SlowArchive()
    seen: list[tuple[str, object]] = []

    def ask(request: str, number: int, archived: Callable[[], str]) -> None:
        def question() -> None:
            archived()
            seen.append((request, FOLLOWED.get()))

        FOLLOWED.set(request)
        patient_workers.together([("main", question) for _ in range(number)])

    with ThreadPoolExecutor(2) as requests:
        first = requests.submit(ask, "first", WORKERS, archive.question("first"))
        assert archive.has(WORKERS - KEPT_FREE)
        second = requests.submit(ask, "second", WORKERS, lambda: "at once")
        archive.let_go.set()
        first.result()
        second.result()
    patient_workers.together([("main", lambda: seen.append(("nobody", FOLLOWED.get())))])

    assert Counter(seen) == {("first", "first"): WORKERS, ("second", "second"): WORKERS, ("nobody", None): 1}
