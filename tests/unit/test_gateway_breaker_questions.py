"""Questions that are judged when their answers were read: what a try, a long body and a caller who leaves say of a server."""

from __future__ import annotations

import pytest
import urllib3

from fhir_imaging.clients.breaker import Breaker, BreakerSettings, Outcome, Question, State
from fhir_imaging.errors import UpstreamError
from imaging_server.archive_outcomes import outcome_of_body
from tests.unit.test_gateway_breaker import Clock

ONE, TWO = frozenset({"one"}), frozenset({"two"})


class Server:
    def __init__(self) -> None:
        self.clock = Clock()
        self.watched: list[tuple[Outcome, float]] = []
        settings = BreakerSettings(outages=3, window_s=60, cool_down_s=5)
        self.breaker = Breaker("north-archive", settings, monotonic=self.clock)
        self.breaker.watch = lambda _server, outcome, seconds, _state: self.watched.append((outcome, seconds))

    def fails(self, about: frozenset[str]) -> None:
        self.breaker.begin(about).ended(Outcome.UNANSWERED)

    def is_left_alone(self, about: frozenset[str] = frozenset()) -> bool:
        try:
            self.breaker.begin(about).ended(Outcome.UNKNOWN)
        except UpstreamError:
            return True
        return False

    def tried(self) -> Question:
        """The one that tries it again after the time in which it was left alone."""
        for about in (ONE, TWO, ONE):
            self.fails(about)
        assert self.breaker.state is State.OPEN
        self.clock.now += 5
        return self.breaker.begin(ONE)


def test_heads_in_between_say_nothing() -> None:
    """Each answers, and none of them to its end."""
    server = Server()
    questions = [server.breaker.begin(about) for about in (ONE, TWO, ONE)]
    for question in questions:
        question.heard()
    states = []
    for question in questions:
        question.ended(Outcome.UNANSWERED)
        states.append(server.breaker.state)

    assert states == [State.CLOSED, State.CLOSED, State.OPEN]


def test_only_the_first_word_counts() -> None:
    """A body that failed is closed as well."""
    server = Server()
    for about in (ONE, TWO, ONE):
        question = server.breaker.begin(about)
        question.ended(Outcome.UNANSWERED)
        question.ended(Outcome.ANSWERED)
        question.goes_on()

    assert server.breaker.state is State.OPEN
    assert [outcome for outcome, _ in server.watched] == [Outcome.UNANSWERED] * 3


def test_a_try_keeps_others_waiting_until_its_answer_was_read() -> None:
    server = Server()
    question = server.tried()
    question.heard()

    assert server.is_left_alone(ONE)
    question.ended(Outcome.ANSWERED)
    assert server.breaker.state is State.CLOSED


def test_a_try_that_is_given_up_leaves_room_for_the_next() -> None:
    server = Server()
    question = server.tried()
    question.heard()
    question.ended(Outcome.UNKNOWN)

    assert (server.breaker.state, server.is_left_alone(ONE)) == (State.HALF_OPEN, False)


def test_a_try_is_over_when_its_body_goes_on() -> None:
    server = Server()
    question = server.tried()
    question.goes_on()
    question.goes_on()

    assert (server.breaker.state, server.is_left_alone(ONE)) == (State.CLOSED, False)
    question.ended(Outcome.UNKNOWN)
    assert server.breaker.state is State.CLOSED


def test_bodies_that_always_stop_once_they_go_on_count_as_usual() -> None:
    server = Server()
    questions = [server.tried()]
    questions[0].goes_on()
    questions += [server.breaker.begin(about) for about in (TWO, frozenset({"three"}))]
    states = []
    for question in questions:
        question.goes_on()
        question.ended(Outcome.UNANSWERED)
        states.append(server.breaker.state)

    assert states == [State.CLOSED, State.CLOSED, State.OPEN]


def test_one_thing_is_tried_in_the_same_way() -> None:
    server = Server()
    for _ in range(3):
        server.fails(ONE)
    assert server.is_left_alone(ONE)
    server.clock.now += 5
    question = server.breaker.begin(ONE)

    assert server.is_left_alone(ONE), "while it is tried"
    question.goes_on()
    assert not server.is_left_alone(ONE)
    question.ended(Outcome.UNANSWERED)
    assert not server.is_left_alone(ONE), "it counts anew"


def test_seconds_end_with_the_head() -> None:
    server = Server()
    question = server.breaker.begin()
    server.clock.now += 2
    question.heard()
    server.clock.now += 600
    question.ended(Outcome.ANSWERED)

    assert server.watched == [(Outcome.ANSWERED, 2.0)]


@pytest.mark.parametrize(
    ("failure", "read", "passed_on"),
    [
        (TimeoutError(), Outcome.UNANSWERED, Outcome.UNANSWERED),
        (urllib3.exceptions.TimeoutError(), Outcome.UNANSWERED, Outcome.UNANSWERED),
        (ConnectionResetError(), Outcome.UNANSWERED, Outcome.UNKNOWN),
        (urllib3.exceptions.ProtocolError(), Outcome.UNANSWERED, Outcome.UNKNOWN),
        (urllib3.exceptions.DecodeError(), Outcome.UNKNOWN, Outcome.UNKNOWN),
        (ValueError(), Outcome.UNKNOWN, Outcome.UNKNOWN),
    ],
)
def test_what_a_body_that_is_not_whole_says_of_its_archive(failure: Exception, read: Outcome, passed_on: Outcome) -> None:
    """Silence is always its own; that it breaks off what nobody takes is not, and what makes no sense costs nobody time."""
    assert [outcome_of_body(failure, is_passed_on=one) for one in (False, True)] == [read, passed_on]
