"""The synchronisation's queue on PostgreSQL, shared by processes that lock rows with SKIP LOCKED (issue 6; DESIGN §9)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.held import WaitingForPeople
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Held, HoldReason, Sighting, Subject, Work
from tests.interop.postgresql_actors import PROCESSES, WorkerProcesses
from tests.interop.postgresql_sync_actors import LEASE_S, SYNC, bring_studies, lease_the_look, note_studies, take_and_die

pytestmark = pytest.mark.interop
SUBJECT = Subject(patient_id="demo-a", system="urn:example:mrn", number="DEMO-1001")


@pytest.fixture
def memory(store: Store) -> StoredMemory:
    return StoredMemory(store, SYNC, lease_s=LEASE_S)


def the_studies(number: int) -> list[str]:
    return [f"2.25.{one}" for one in range(number)]


def test_several_processes_bring_each_study_once(
    memory: StoredMemory, settings: StateSettings, processes: WorkerProcesses
) -> None:
    studies = the_studies(300)
    assert note_all(memory, studies, state="1") == 300

    brought = processes.all_at_once(bring_studies, settings, 7)

    assert sorted(one for part in brought for one in part) == sorted(studies)
    assert sum(1 for part in brought if part) > 1
    assert memory.pending(now=200) == 0


def test_several_processes_that_note_the_same_studies_queue_each_once(
    memory: StoredMemory, settings: StateSettings, processes: WorkerProcesses
) -> None:
    """Two that look in the same moment may both count a study, which then waits once."""
    studies = the_studies(1200)

    queued = processes.all_at_once(note_studies, settings, studies)

    assert sum(queued) >= 1200
    assert memory.pending(now=100) == 1200
    assert memory.cursor() == "seen"
    assert note_all(memory, studies, state="1") == 0


def test_what_processes_took_and_did_not_finish_is_due_again_each_once(
    memory: StoredMemory, settings: StateSettings, processes: WorkerProcesses
) -> None:
    note_all(memory, the_studies(30), state="1")
    lost = processes.all_at_once(take_and_die, settings, 5)
    taken = sorted(one for part in lost for one in part)

    assert len(taken) == len(set(taken)) == 5 * PROCESSES
    assert len(memory.take(now=200, limit=99)) == 30 - len(taken)
    again = memory.take(now=200 + LEASE_S, limit=99)
    assert [task.attempts for task in again] == [2] * 30


def test_a_study_noted_while_workers_have_it_is_never_forgotten(memory: StoredMemory) -> None:
    """The last state of each study is looked at after it was noted, whatever the threads do meanwhile."""
    studies, states = the_studies(20), 15
    looked_at: dict[str, int] = {}

    def work(_: int) -> None:
        for _turn in range(60):
            for task in memory.take(now=200, limit=3):
                looked_at[task.study] = current[0]
                memory.done(task, now=200)

    current = [0]
    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work, number) for number in range(3)]
        for state in range(1, states + 1):
            current[0] = state  # the archive has it before it tells of it
            note_all(memory, studies, state=str(state))
        for worker in workers:
            worker.result()
    work(0)

    assert memory.pending(now=200) == 0
    assert looked_at == dict.fromkeys(studies, states)


def test_one_process_of_all_looks_at_the_archive(
    memory: StoredMemory, settings: StateSettings, processes: WorkerProcesses
) -> None:
    assert sum(processes.all_at_once(lease_the_look, settings, 5)) == 1
    assert memory.bookmarks.lease("look", now=129, seconds=30) is None
    assert memory.bookmarks.lease("look", now=130, seconds=30) is not None


def test_a_held_study_is_resolved_by_one_person_of_two(store: Store, memory: StoredMemory) -> None:
    note_all(memory, the_studies(1), state="1")
    (task,) = memory.take(now=200, limit=1)
    memory.hold(task, Held(reason=HoldReason.NO_PATIENT), now=200)
    people = WaitingForPeople(store, SYNC)
    (held,) = people.held()

    with ThreadPoolExecutor(4) as pool:
        resolved = list(pool.map(lambda _: people.resolve(held.study, SUBJECT, now=201), range(4)))

    (task,) = memory.take(now=201, limit=9)
    assert resolved.count(True) == 1
    assert (task.work, task.assigned) == (Work.RELEASED, SUBJECT)


def note_all(memory: StoredMemory, studies: list[str], *, state: str) -> int:
    return memory.note([Sighting(study=StudyInstanceUID(one), state=state) for one in studies], cursor=None, now=100)


def test_noting_renewing_and_retrying_the_same_studies_at_once_never_ends_in_a_deadlock(
    store: Store, memory: StoredMemory
) -> None:
    studies = the_studies(60)
    note_all(memory, studies, state="0")
    people = WaitingForPeople(store, SYNC)
    for task in memory.take(now=200, limit=20):
        memory.failed(task, "refused", now=200, again_in_s=None)
    tasks = memory.take(now=200, limit=40)

    def note(number: int) -> None:
        note_all(memory, studies[number % 7 :] + studies[: number % 7], state=f"{number}")

    with ThreadPoolExecutor(6) as pool:
        at_once = [pool.submit(note, number) for number in range(1, 20)]
        at_once += [pool.submit(memory.renew, tasks, now=201) for _ in range(20)]
        at_once += [pool.submit(people.retry, now=201) for _ in range(10)]
        for one in at_once:
            one.result()

    assert memory.pending(now=201) == 60
