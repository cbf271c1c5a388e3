"""Whatever happens in whatever order, the queue loses no study and no worker shares one (issue 6)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from fhir_imaging.store.engine import Store
from pacs_sync.counts import counts
from pacs_sync.held import WaitingForPeople
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Held, HoldReason, Task, Work
from tests.contract.sync_memory_actors import IN_ARCHIVE, SUBJECT, a_sighting, a_store, a_uid
from tests.examples import examples

LEASE_S = 60.0
numbers = st.integers(0, 3)
pauses = st.sampled_from([0.0, 5.0, 100.0])


@dataclass(slots=True)
class Study:
    """What must hold of one study."""

    state: str = ""
    is_looked_at: bool = True
    """Whether somebody looked at it after its last news, and said what became of it."""
    holder: Task | None = None
    leased_until: float = 0.0
    is_missing: bool = False
    """Whether the archive did not have it when it was asked last, and has not listed it since."""
    aside: str = ""
    """"held" or "dead", while it waits for a person."""
    news_while_taken: bool = False


class Queue(RuleBasedStateMachine):
    """Each study is waiting, under way, laid aside, or looked at since its last news."""

    tasks = Bundle("tasks")

    store: ClassVar[Store]
    syncs: ClassVar[Iterator[int]] = count()

    def __init__(self) -> None:
        super().__init__()
        self.sync = f"any-{next(self.syncs)}"
        self.memory = StoredMemory(self.store, self.sync, lease_s=LEASE_S)
        self.people = WaitingForPeople(self.store, self.sync)
        self.now = 1000.0
        self.studies: dict[int, Study] = {}

    @rule(seconds=st.sampled_from([1.0, 10.0, LEASE_S, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=numbers, state=st.sampled_from(["a", "b"]), later=pauses)
    def the_archive_tells(self, number: int, state: str, later: float) -> None:
        study = self.studies.setdefault(number, Study())
        is_news = study.state != state or study.is_missing
        assert self.memory.note([a_sighting(number, state)], cursor=None, now=self.now, due_in_s=later) == is_news
        study.state, study.is_missing = state, False
        if is_news:
            self._queued(study)

    @rule(number=numbers, work=st.sampled_from([Work.COMPARED, Work.RELEASED]))
    def it_is_queued(self, number: int, work: Work) -> None:
        self.memory.enqueue([a_uid(number)], work, now=self.now)
        self._queued(self.studies.setdefault(number, Study()))

    @rule(target=tasks)
    def one_is_taken(self) -> Task | None:
        taken = self.memory.take(now=self.now, limit=1)
        for task in taken:
            study = self.studies[int(task.study.removeprefix("2.25."))]
            assert not study.aside
            assert study.leased_until <= self.now, "no two workers have one study"
            assert (task.missing_s is not None) == study.is_missing
            study.holder, study.leased_until, study.news_while_taken = task, self.now + LEASE_S, False
        return taken[0] if taken else None

    @rule(task=tasks)
    def it_is_held_longer(self, task: Task | None) -> None:
        if task is not None:
            self.memory.renew([task], now=self.now)
            study = self._held_by(task)
            if study is not None:
                study.leased_until = self.now + LEASE_S

    @rule(task=consumes(tasks), again=st.none() | pauses)
    def it_is_done(self, task: Task | None, again: float | None) -> None:
        if task is not None:
            self.memory.done(task, now=self.now, again_in_s=again)
            study = self._ended(task, is_looked_at=again is None)
            if study is not None:
                study.is_missing = False

    @rule(task=consumes(tasks))
    def it_is_missed(self, task: Task | None) -> None:
        if task is not None:
            self.memory.missed(task, now=self.now, again_in_s=5)
            study = self._ended(task)
            if study is not None:
                study.is_missing = True

    @rule(task=consumes(tasks), again=st.none() | pauses)
    def it_fails(self, task: Task | None, again: float | None) -> None:
        if task is not None:
            self.memory.failed(task, "no", now=self.now, again_in_s=again)
            self._ended(task, aside="dead" if again is None else "")

    @rule(task=consumes(tasks))
    def it_is_given_back(self, task: Task | None) -> None:
        if task is not None:
            self.memory.give_back(task, now=self.now, again_in_s=5)
            self._ended(task)

    @rule(task=consumes(tasks))
    def it_is_held(self, task: Task | None) -> None:
        if task is not None:
            self.memory.hold(task, Held(reason=HoldReason.NO_PATIENT, patient=IN_ARCHIVE), now=self.now)
            study = self._ended(task, aside="held")
            if study is not None:
                study.is_missing = False

    @rule(number=numbers)
    def a_person_resolves(self, number: int) -> None:
        study = self.studies.get(number, Study())
        assert self.people.resolve(a_uid(number), SUBJECT, now=self.now) == (study.aside == "held")
        if study.aside == "held":
            study.aside = ""

    @rule()
    def a_person_retries(self) -> None:
        dead = [one for one in self.studies.values() if one.aside == "dead"]
        assert self.people.retry(now=self.now) == len(dead)
        for one in dead:
            one.aside = ""

    @invariant()
    def every_study_is_somewhere(self) -> None:
        held = {one.study for one in self.people.held()}
        dead = {one.study for one in self.people.dead()}
        assert held == {a_uid(number) for number, one in self.studies.items() if one.aside == "held"}
        assert dead == {a_uid(number) for number, one in self.studies.items() if one.aside == "dead"}
        pending = [one for one in self.studies.values() if not one.aside and not one.is_looked_at]
        assert self.memory.pending(now=self.now) == len(pending)
        (told,) = counts(self.store, [self.sync], now=self.now)
        under_way = [one for one in self.studies.values() if one.holder is not None and one.leased_until > self.now]
        assert (told.under_way, told.waiting) == (len(under_way), len(pending) - len(under_way))

    def _queued(self, study: Study) -> None:
        study.is_looked_at, study.aside = False, ""
        study.news_while_taken = study.holder is not None

    def _held_by(self, task: Task) -> Study | None:
        study = self.studies[int(task.study.removeprefix("2.25."))]
        return study if study.holder is not None and study.holder.ticket == task.ticket else None

    def _ended(self, task: Task, *, is_looked_at: bool = False, aside: str = "") -> Study | None:
        study = self._held_by(task)
        if study is not None:
            study.holder, study.leased_until = None, 0.0
            study.is_looked_at = is_looked_at and not study.news_while_taken
            study.aside = "" if study.news_while_taken else aside
            study.news_while_taken = False
        return study


class TestAnyOrder(Queue.TestCase):
    """All runs share a database, each with a synchronisation of its own."""

    settings = settings(max_examples=examples(30), stateful_step_count=30, deadline=None)

    @classmethod
    def setUpClass(cls) -> None:
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        Queue.store = cls.enterClassContext(a_store(Path(directory) / "state"))
