"""The threads that fill the study list: kept between lists and over sessions, and none at work once a list is answered."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from smart_app.gathering import BusyPolicy, Gathering, _asking_threads
from smart_app.study_search import GatheredRecords, SearchWanted, Servers, Wanted
from tests.contract.smart_actors import World, a_world

NAME = "study-list"
AT_ONCE = BusyPolicy(retries=0, longest_wait_s=0.0, sleep=lambda _seconds: None)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def gathered(wanted: Wanted, servers: Servers) -> GatheredRecords:
    gathering = Gathering(wanted, lambda _token: servers, "access-x", AT_ONCE)
    gathering.follow()
    for _ in gathering.events():
        pass
    return gathering.records()


def asking_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith(NAME)}


def test_the_next_list_is_asked_for_by_the_threads_of_the_first(world: World) -> None:
    world.clinician.launches(world.ehr)
    first = asking_threads()
    for _ in range(3):
        assert world.clinician.get(f"/s/{world.clinician.session}/studies").status_code == 200

    assert first
    # A thread that still ends its last question is not idle yet, so one list may add a thread or two, but never replaces any.
    assert first <= asking_threads()


def test_an_unforeseen_failure_of_one_question_waits_for_the_others(world: World) -> None:
    """The session's token is used by nobody after the list is answered."""
    done = threading.Event()

    class Broken(FhirClient):
        def read(self, resource_type: str, resource_id: str, *, timeout_s: float | None = None) -> dict[str, Any]:
            raise RuntimeError(f"{resource_type} cannot be read")

    class Slow(FhirClient):
        def search(
            self, resource_type: str, params: Sequence[tuple[str, str]], *, timeout_s: float | None = None
        ) -> SearchPage:
            threading.Event().wait(0.3)
            done.set()
            return SearchPage(())

    outbound = world.app.services.outbound
    slow, broken = (client(world.ehr.fhir_base, outbound, access_token="access-x") for client in (Slow, Broken))

    with pytest.raises(RuntimeError):
        gathered(Wanted(patient_id="demo-a", reports=False), Servers(slow, broken))

    assert done.is_set()


def test_a_process_that_has_asked_still_ends() -> None:
    """Kept threads are closed with the process: they do not hold up the end of a worker."""
    program = "\n".join(
        (
            "import os",
            "from smart_app.gathering import _asking_threads",
            "pool = _asking_threads(os.getpid())",
            "print(pool.submit(lambda: 'asked').result())",
        )
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)

    assert ended.stdout == "asked\n"


def test_a_forked_worker_has_threads_of_its_own() -> None:
    mine = os.getpid()
    assert _asking_threads(mine) is _asking_threads(mine)
    assert _asking_threads(mine) is not _asking_threads(mine + 1)


def test_many_searches_are_all_asked(world: World) -> None:
    """More questions than one list ever has: every key has its answer."""
    outbound = world.app.services.outbound
    client = FhirClient(world.ehr.fhir_base, outbound, access_token="access-x")
    searches = tuple(SearchWanted(f"k{n}", "DiagnosticReport", (("patient", "demo-a"),)) for n in range(12))

    records = gathered(Wanted(patient_id="demo-a", searches=searches), Servers(client, client))

    assert records.problems == {}
    assert set(records.searches) == {one.key for one in searches}
    assert all(len(found) == 1 for found in records.searches.values())
