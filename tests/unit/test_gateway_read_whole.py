"""Searches that an archive answers in pages, rightly or not: what is whole, what is not, and when reading ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from imaging_server import whole_answers
from imaging_server.resource import DicomResource
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, Matches
from imaging_server.whole_answers import MAX_PAGES, read_whole


def match(number: int, person: str = "MRN-A") -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [f"2.25.{number}"]}, "00100020": {"vr": "LO", "Value": [person]}}


class Pages:
    """An archive that gives these pages in turn, the last one again and again; ``offsets`` is what it was asked for."""

    def __init__(self, *pages: Matches) -> None:
        self._pages = pages
        self.offsets: list[int] = []

    def search(self, _resource: DicomResource, query: Sequence[tuple[str, str]], *, limit: int) -> Matches:
        assert limit == 7
        self.offsets.append(int(dict(query).get("offset", "0")))
        return self._pages[min(len(self.offsets), len(self._pages)) - 1]

    def whole(self) -> Matches:
        return read_whole(cast(Archive, self), STUDY_SEARCH, [("PatientID", "MRN-A")], limit=7)


def a_page(*numbers: int, more: bool = False) -> Matches:
    return Matches(tuple(match(number) for number in numbers), not more)


def test_one_whole_answer_is_asked_for_once() -> None:
    archive = Pages(a_page(1, 2))

    assert archive.whole() == a_page(1, 2)
    assert archive.offsets == [0]


def test_pages_are_read_to_the_last() -> None:
    archive = Pages(a_page(1, 2, more=True), a_page(3, 4, more=True), a_page(5))

    assert archive.whole() == a_page(1, 2, 3, 4, 5)
    assert archive.offsets == [0, 2, 4]


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([a_page(1, more=True)], [1]),
        ([a_page(1, more=True), a_page(1)], [1]),
        ([a_page(1, 2, more=True), a_page(2, 3)], [1, 2]),
        ([a_page(1, more=True), a_page(more=True)], [1]),
        ([a_page(more=True)], []),
    ],
    ids=["the same page again", "the same page, called whole", "pages that overlap", "empty, and more", "nothing, and more"],
)
def test_what_does_not_lead_to_the_end_is_not_whole(pages: list[Matches], found: list[int]) -> None:
    assert Pages(*pages).whole() == Matches(tuple(match(number) for number in found), False)


def test_an_empty_last_page_ends_it() -> None:
    """As archives do that only notice with the next question that there is nothing left."""
    assert Pages(a_page(1, more=True), a_page()).whole() == a_page(1)


def test_one_study_under_two_patients_is_two_matches() -> None:
    shared = Pages(a_page(1, more=True), Matches((match(1, "MRN-B"),)))

    assert shared.whole().datasets == (match(1), match(1, "MRN-B"))


def test_reading_ends_by_pages_and_by_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Pages(*(a_page(number, more=True) for number in range(100)))
    monkeypatch.setattr(whole_answers, "MAX_MATCHES", 3)
    crowded = Pages(*(a_page(2 * number, 2 * number + 1, more=True) for number in range(100)))
    few = crowded.whole()
    monkeypatch.setattr(whole_answers, "MAX_MATCHES", 1000)
    many = endless.whole()

    assert (len(many.datasets), many.complete) == (MAX_PAGES, False)
    assert (len(few.datasets), few.complete) == (4, False)
