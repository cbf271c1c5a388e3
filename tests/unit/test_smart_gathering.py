"""One list asked for page by page: what a server refuses is asked otherwise, what is cut or late is said (C1, C7; A39; F1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_imaging.clients.fhir import FhirClient, SearchPage
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from smart_app import gathering as limits
from smart_app.gathering import BusyPolicy, Gathering, ServerBusy
from smart_app.study_search import PATIENT, REPORTS, STUDIES, SearchWanted, Servers, Wanted

BASE = "https://ehr.example/fhir"
Asked = tuple[str, tuple[tuple[str, str], ...]]


def refusal(status: int) -> UpstreamRefused:
    return UpstreamRefused("no", server=BASE, status=status)


def a_page(resource_type: str = STUDIES, number: int = 1, next_page: str | None = None, **more: Any) -> SearchPage:
    found = tuple({"resourceType": resource_type, "id": f"{resource_type}-{number}-{n}"} for n in range(number))
    return SearchPage(found, next_url=f"{BASE}/{next_page}" if next_page else None, **more)


@dataclass
class Script:
    """What a server answers: by resource type the answers in turn, the last one again and again; and what it was asked."""

    answers: dict[str, list[SearchPage | Exception]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def give(self, name: str, parameters: Sequence[tuple[str, str]], token: str) -> SearchPage:
        self.asked.append((name, tuple(parameters)))
        self.tokens.append(token)
        scripted = self.answers.get(name, [a_page(name)])
        answer = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asked_of(self, name: str) -> list[dict[str, str]]:
        return [dict(parameters) for asked, parameters in self.asked if asked == name]


class ScriptedClient(FhirClient):
    def __init__(self, script: Script, token: str) -> None:
        super().__init__(BASE, OutboundSession([BASE]))
        self._script = script
        self._used = token

    def search(self, resource_type: str, params: Sequence[tuple[str, str]], *, timeout_s: float | None = None) -> SearchPage:
        return self._script.give(resource_type, params, self._used)

    def follow(self, next_url: str, *, timeout_s: float | None = None) -> SearchPage:
        return self._script.give(next_url.removeprefix(f"{BASE}/"), (), self._used)

    def read(self, resource_type: str, resource_id: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        return {**self._script.give(resource_type, (), self._used).matches[0], "id": resource_id}


AT_ONCE = BusyPolicy(retries=1, longest_wait_s=5, sleep=lambda _seconds: None)


def a_gathering(
    script: Script,
    renew: Callable[[str, str], str | None] = lambda _key, _token: None,
    busy: BusyPolicy = AT_ONCE,
    **wanted: Any,
) -> Gathering:
    def servers(token: str) -> Servers:
        client = ScriptedClient(script, token)
        return Servers(client, client)

    return Gathering(Wanted(**{"patient_id": "p1", **wanted}), servers, "first", busy, renew)


def gathered(script: Script, **more: Any) -> Gathering:
    made = a_gathering(script, **more)
    made.follow()
    for _ in made.events():
        pass
    return made


def test_f1_the_newest_hundred_are_asked_for_first_with_their_endpoints() -> None:
    script = Script()
    gathered(script)

    (asked,) = script.asked_of(STUDIES)
    assert asked == {"patient": "p1", "_sort": "-started", "_count": "100", "_include": "ImagingStudy:endpoint"}


def test_a_server_that_refuses_an_order_is_asked_without_one() -> None:
    script = Script({STUDIES: [refusal(400), a_page()], REPORTS: [refusal(400), a_page(REPORTS)]})
    records = gathered(script).records()

    assert script.asked_of(STUDIES)[1] == {"patient": "p1", "_include": "ImagingStudy:endpoint"}
    assert script.asked_of(REPORTS)[1] == {"patient": "p1"}
    assert records.problems == {}
    assert records.studies is not None
    assert not records.studies.without_endpoints


def test_a_server_that_refuses_endpoints_too_is_asked_for_studies_alone() -> None:
    script = Script({STUDIES: [refusal(400), refusal(400), a_page()]})
    records = gathered(script).records()

    assert script.asked_of(STUDIES)[2] == {"patient": "p1"}
    assert records.studies is not None
    assert records.studies.without_endpoints


@pytest.mark.parametrize("status", [400, 403])
def test_a_search_that_is_refused_whatever_is_asked_is_a_problem(status: int) -> None:
    records = gathered(Script({STUDIES: [refusal(status)]})).records()

    assert records.studies is None
    assert set(records.problems) == {STUDIES}


def test_pages_are_followed_only_when_somebody_wants_them() -> None:
    script = Script({STUDIES: [a_page(next_page="2")], "2": [a_page(number=2)]})
    made = a_gathering(script)
    for _ in made.events():
        pass
    before = len(script.asked)
    has_more, is_done = made.has_more(STUDIES), made.is_done
    made.follow()
    for _ in made.events():
        pass

    assert before == 3
    assert (has_more, is_done) == (True, False)
    assert (made.has_more(STUDIES), made.is_done) == (False, True)
    studies = made.records().studies
    assert studies is not None
    assert len(studies.resources) == 3


def test_an_endless_answer_is_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_PAGES", 4)
    further = {f"page-{number}": [a_page(next_page=f"page-{number + 1}")] for number in range(9)}
    script = Script({STUDIES: [a_page(next_page="page-0")], **further})
    records = gathered(script).records()

    assert records.cut == {STUDIES}
    assert [len(script.asked_of(f"page-{number}")) for number in range(9)] == [1, 1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("last", ["page-0", "page-1"])
def test_a_page_that_leads_back_ends_the_answer_and_that_is_said(last: str) -> None:
    pages = {"page-0": [a_page(next_page="page-1")], "page-1": [a_page(next_page=last)]}
    script = Script({STUDIES: [a_page(next_page="page-0")], **pages})
    records = gathered(script).records()

    assert records.cut == {STUDIES}
    assert [len(script.asked_of(page)) for page in pages] == [1, 1]


def test_a_link_that_is_no_address_ends_the_answer_and_that_is_said() -> None:
    records = gathered(Script({STUDIES: [SearchPage(({"resourceType": STUDIES},), next_url="no address")]})).records()

    assert records.cut == {STUDIES}
    assert records.problems == {}


def test_pages_that_failed_leave_what_came_and_say_that_it_is_cut() -> None:
    script = Script({REPORTS: [a_page(REPORTS, next_page="2")], "2": [UpstreamError("broken", server=BASE, status=500)]})
    records = gathered(script).records()

    assert records.reports is not None
    assert len(records.reports) == 1
    assert records.cut == {REPORTS}
    assert set(records.problems) == {REPORTS}


def test_what_has_not_come_in_time_counts_as_not_to_be_had() -> None:
    script = Script({STUDIES: [a_page(next_page="2")]})
    made = a_gathering(script, reports=False)
    list(made.events(lambda: made.has_answered(STUDIES)))
    records = made.records()

    assert records.cut == {STUDIES}
    assert all(isinstance(one, UpstreamTimeout) for one in records.problems.values())
    list(made.events())


def test_c7_a_busy_server_is_told_and_asked_again() -> None:
    busy = UpstreamError("busy", server=BASE, status=503, retryable=True, retry_after_s=3)
    made = a_gathering(Script({STUDIES: [busy, a_page()]}))
    events = list(made.events())

    assert ServerBusy(STUDIES, 3) in events
    assert made.records().problems == {}


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("busy", server=BASE, status=503, retryable=True, retry_after_s=60),
        UpstreamError("broken", server=BASE, status=500),
    ],
)
def test_c7_a_wait_that_is_too_long_is_not_waited(error: UpstreamError) -> None:
    script = Script({STUDIES: [error]})
    records = gathered(script).records()

    assert len(script.asked_of(STUDIES)) == 1
    assert records.problems[STUDIES] is error


def test_c7_whoever_stops_ends_the_wait_for_a_busy_server_and_asks_it_no_more() -> None:
    busy = UpstreamError("busy", server=BASE, status=503, retryable=True, retry_after_s=30)
    script = Script({STUDIES: [busy]})
    made = a_gathering(script, busy=BusyPolicy(retries=4, longest_wait_s=60), reports=False, patient=False)
    began = time.monotonic()
    for event in made.events():
        if isinstance(event, ServerBusy):
            made.stop()

    assert time.monotonic() - began < 10
    assert made.is_done
    assert len(script.asked_of(STUDIES)) == 1
    assert made.records().problems[STUDIES] is busy


def test_a39_a_refused_question_is_asked_once_more_with_another_token() -> None:
    renewed: list[tuple[str, str]] = []

    def renew(key: str, refused: str) -> str | None:
        renewed.append((key, refused))
        return "second"

    script = Script({STUDIES: [refusal(401), a_page()], REPORTS: [refusal(401)]})
    records = gathered(script, renew=renew).records()

    assert len(renewed) == 1, "the second refusal finds the token renewed already"
    assert set(records.problems) == {REPORTS}
    assert [len(script.asked_of(key)) for key in (STUDIES, REPORTS)] == [2, 2]


def test_a39_what_was_refused_before_the_token_was_renewed_is_asked_again_too() -> None:
    """The Patient's refusal alone renews nothing; it may come before the studies', whose does."""
    patient_was_refused = threading.Event()

    class SlowStudies(Script):
        def give(self, name: str, parameters: Sequence[tuple[str, str]], token: str) -> SearchPage:
            if name == STUDIES:
                assert patient_was_refused.wait(10)
            return super().give(name, parameters, token)

    def renew(key: str, _refused: str) -> str | None:
        patient_was_refused.set()
        return "second" if key == STUDIES else None

    script = SlowStudies({STUDIES: [refusal(401), a_page()], PATIENT: [refusal(401), a_page(PATIENT)]})
    records = gathered(script, renew=renew, reports=False).records()

    assert records.problems == {}
    assert records.patient is not None
    assert script.tokens == ["first", "first", "second", "second"]


def test_a39_without_another_token_a_refusal_stands() -> None:
    script = Script({STUDIES: [refusal(401)]})
    records = gathered(script).records()

    assert len(script.asked_of(STUDIES)) == 1
    assert set(records.problems) == {STUDIES}


def test_every_question_has_its_answer_by_its_key() -> None:
    searches = (SearchWanted("orders", "ServiceRequest", (("patient", "p1"),)),)
    records = gathered(Script(), searches=searches).records()

    assert [one["resourceType"] for one in records.searches["orders"]] == ["ServiceRequest"]
    assert records.patient is not None
    assert records.patient["resourceType"] == PATIENT
