"""The database server stopped and started again under load: 503 while it is away, then everything as before, no record lost.

Real workers and a real PostgreSQL server (issue 5, fault tests; group 34).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from fhir_imaging.audit import AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from tests.audit_actors import StubAuditServer
from tests.interop.postgresql_actors import PostgresqlServer, a_postgresql_server
from tests.security.audited_installation import Installation, audit_counterparts
from tests.security.gateway_stubs import INSTANCE, STUDY_B, StubEhr, StubPacs

pytestmark = pytest.mark.interop
CALLERS = 4
TRIED = f"/studies/{STUDY_B}/metadata"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    with a_postgresql_server() as running:
        yield running


@pytest.fixture
def counterparts() -> Iterator[tuple[StubEhr, StubPacs, StubAuditServer]]:
    with audit_counterparts() as made:
        made[0].studies[STUDY_B] = "pat-b"
        yield made


@dataclass(frozen=True, slots=True)
class Asked:
    """One request with a token of its own."""

    path: str
    jti: str
    status: int | None
    began: float
    ended: float


@dataclass
class Load:
    """Callers who open the patient's study, and now and then try another's, each time with a new token."""

    site: Installation
    asked: list[Asked] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._ask_on_and_on) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask_on_and_on(self) -> None:
        number = 0
        while not self._is_over.is_set():
            number += 1
            path, jti, began = (TRIED if number % 4 == 0 else INSTANCE), str(uuid4()), time.monotonic()
            status = self.site.asks(path, jti)
            self.asked.append(Asked(path, jti, status, began, time.monotonic()))
            time.sleep(0.01)

    def more(self, status: int, number: int, within_s: float = 60) -> None:
        """Returns when so many further answers had this status."""
        before = self.count(status)
        self.site.wait_until(lambda: self.count(status) >= before + number, within_s)

    def count(self, status: int) -> int:
        return sum(one.status == status for one in list(self.asked))

    def ids(self, status: int) -> set[str]:
        return {one.jti for one in self.asked if one.status == status}


@pytest.mark.parametrize("end", [PostgresqlServer.stop, PostgresqlServer.crash], ids=["stopped", "crashed"])
def test_database_restarted_under_load_loses_no_record_and_needs_no_restart_of_ours(
    tmp_path: Path,
    database: PostgresqlServer,
    counterparts: tuple[StubEhr, StubPacs, StubAuditServer],
    end: Callable[[PostgresqlServer], None],
) -> None:
    ehr, pacs, server = counterparts
    address = database.new_database()
    database.commits_before_it_answers(address)
    site = Installation(tmp_path, ehr, pacs, server, database_url=address)
    with site.running() as process, Load(site) as load:
        workers = workers_of(process.pid)
        load.more(200, 40)
        load.more(403, 5)
        for _ in range(2):
            end(database)
            away = time.monotonic()
            load.more(503, 30)
            assert site.status("/readyz", {}) == 503
            retrieved, back = len(pacs.retrievals()), time.monotonic()
            database.start()
            load.more(200, 40)
            assert site.status("/readyz", {}) == 200
            meanwhile = [one for one in load.asked if away < one.began and one.ended < back]
            assert {one.status for one in meanwhile} == {503}
            assert retrieved <= len(load.ids(200)) + CALLERS, "nothing was fetched that could not be recorded"
        assert workers_of(process.pid) == workers
        site.wait_for_delivery(load.ids(200) | load.ids(403))

    assert {one.status for one in load.asked} == {200, 403, 503}
    recorded = records(tmp_path, address)
    opened = Counter(one.token_reference for one in recorded if one.outcome is AuditOutcome.ALLOWED)
    denied = {
        one.token_reference for one in recorded if one.study_instance_uid == STUDY_B and one.outcome is AuditOutcome.DENIED
    }
    assert load.ids(200) <= opened.keys()
    assert load.ids(403) <= denied
    assert set(opened.values()) == {1}
    assert set(site.written().values()) == {1}


def workers_of(server: int) -> list[int]:
    """Process ids."""
    return [int(one) for one in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def records(directory: Path, database_url: str) -> list[AuditRecord]:
    store = Store.open(StateSettings(state_dir=directory / "state", database_url=database_url))
    try:
        return list(AuditLog(store).find(AuditFilter(limit=None)))
    finally:
        store.close()
