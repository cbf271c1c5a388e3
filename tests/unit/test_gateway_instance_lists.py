"""Lists of instances that a worker keeps: bounded by what they hold and not by their number alone (group 23)."""

from __future__ import annotations

from functools import partial

from imaging_server.study_contents import InstanceLists


def uids(number: int) -> frozenset[str]:
    return frozenset(f"2.25.{one}" for one in range(number))


def asked_anew(lists: InstanceLists, keys: list[str]) -> list[str]:
    """The keys whose lists are no longer kept."""
    gone: list[str] = []

    def ask(key: str) -> frozenset[str]:
        gone.append(key)
        return frozenset()

    for key in keys:
        lists.get((key,), partial(ask, key), seconds=lambda _: 0)
    return gone


def test_the_oldest_go_when_all_together_hold_too_many() -> None:
    lists = InstanceLists(max_uids=100)
    for key in ("a", "b", "c", "d"):
        lists.get((key,), lambda: uids(40), seconds=lambda _: 60)

    assert asked_anew(lists, ["a", "b", "c", "d"]) == ["a", "b"]


def test_one_that_is_longer_than_all_may_be_stays_alone() -> None:
    """It would be asked for again with each frame of its series otherwise."""
    lists = InstanceLists(max_uids=100)
    lists.get(("a",), lambda: uids(40), seconds=lambda _: 60)
    lists.get(("b",), lambda: uids(500), seconds=lambda _: 60)

    assert asked_anew(lists, ["a", "b"]) == ["a"]
