"""Lists kept for their stream: for one reader, for moments, and not many; what is dropped is asked for no more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

import pytest

from smart_app import lists_under_way
from smart_app.lists_under_way import ListsUnderWay, ListUnderWay
from smart_app.patient_imaging import Inquiry


@dataclass
class Asking:
    """An inquiry as far as it is kept."""

    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


def a_list() -> tuple[ListUnderWay, Asking]:
    asking = Asking()
    return ListUnderWay(cast(Inquiry, asking), {}), asking


def test_a_list_goes_to_one_reader_of_its_session() -> None:
    kept = ListsUnderWay()
    one, asking = a_list()
    kept.keep("session", one)

    assert kept.take("another") is None
    assert kept.take("session") is one
    assert kept.take("session") is None
    assert not asking.is_closed


def test_a_newer_list_of_the_session_ends_the_older_one() -> None:
    kept = ListsUnderWay()
    (older, old_asking), (newer, _) = a_list(), a_list()
    kept.keep("session", older)
    kept.keep("session", newer)

    assert old_asking.is_closed
    assert kept.take("session") is newer


def test_what_nobody_fetches_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists_under_way, "KEPT_S", 0.05)
    kept = ListsUnderWay()
    one, asking = a_list()
    kept.keep("session", one)
    deadline = time.monotonic() + 10
    while not asking.is_closed and time.monotonic() < deadline:
        time.sleep(0.01)

    assert asking.is_closed
    assert kept.take("session") is None


def test_a_list_of_a_session_that_ended_is_dropped_at_once() -> None:
    kept = ListsUnderWay()
    (one, asking), (other, other_asking) = a_list(), a_list()
    kept.keep("ended", one)
    kept.keep("another", other)
    kept.drop("ended")
    kept.drop("unknown")

    assert asking.is_closed
    assert kept.take("ended") is None
    assert not other_asking.is_closed
    assert kept.take("another") is other


def test_not_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists_under_way, "_MOST", 2)
    kept = ListsUnderWay()
    made = [a_list() for _ in range(3)]
    for number, (one, _) in enumerate(made):
        kept.keep(f"session-{number}", one)

    assert [asking.is_closed for _, asking in made] == [True, False, False]
    assert kept.take("session-0") is None
    assert kept.take("session-2") is made[2][0]
    assert kept.take("session-1") is made[1][0]
