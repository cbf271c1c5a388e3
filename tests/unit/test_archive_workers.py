"""Questions to archives side by side: the first fault makes the whole answer wait, and nobody waits for ever (F10)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from fhir_imaging.errors import InvalidRequest, UpstreamError, UpstreamTimeout
from imaging_server.archive_workers import WORKERS, ArchiveWorkers


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


def test_an_archive_that_hangs_holds_up_no_other(workers: ArchiveWorkers) -> None:
    """Group 23."""
    over = threading.Event()
    with pytest.raises(UpstreamError):
        workers.together([("hanging", over.wait) for _ in range(3 * WORKERS)])

    assert workers.together([("main", lambda: "fine")]) == ["fine"]
    over.set()
