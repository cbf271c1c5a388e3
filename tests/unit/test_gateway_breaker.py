"""When a server is left alone, when it is tried again, and by how many."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from fhir_imaging.clients.breaker import Breaker, BreakerSettings, Outcome, State
from fhir_imaging.clients.doubtful_things import DoubtfulThings
from fhir_imaging.errors import UpstreamError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A server behind a breaker; ``outcome`` is how it does now."""

    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.asked = 0
        self.watched: list[tuple[str, Outcome, State]] = []
        values = {"outages": 3, "window_s": 60.0, "cool_down_s": 5.0, **settings}
        self.breaker = Breaker("north-fhir", BreakerSettings(**values), monotonic=self.clock)  # type: ignore[arg-type]
        self.breaker.watch = lambda server, outcome, _seconds, state: self.watched.append((server, outcome, state))

    def call(self, outcome: Outcome, ask: Callable[[], object] = lambda: None, about: str = "") -> str:
        def asked() -> object:
            self.asked += 1
            return ask()

        try:
            self.breaker.call(asked, lambda _: outcome, about=frozenset(about.split()))
        except UpstreamError as left_alone:
            return f"wait {left_alone.retry_after_s}" if left_alone.retryable else "failed"
        return "asked"


def down() -> Server:
    server = Server()
    for _ in range(3):
        server.call(Outcome.OUTAGE)
    return server


def test_outages_in_a_row_open_it_and_nobody_is_asked_meanwhile() -> None:
    server = down()
    said = [server.call(Outcome.ANSWERED)]
    server.clock.now += 3.5
    said.append(server.call(Outcome.ANSWERED))

    assert said == ["wait 5", "wait 2"]
    assert server.asked == 3
    assert server.breaker.state is State.OPEN
    assert server.watched[-1] == ("north-fhir", Outcome.NOT_ASKED, State.OPEN)


def test_an_answer_between_outages_keeps_it_closed() -> None:
    server = Server()
    for outcome in (Outcome.OUTAGE, Outcome.OUTAGE, Outcome.ANSWERED, Outcome.OUTAGE, Outcome.OUTAGE):
        server.call(outcome)

    assert server.breaker.state is State.CLOSED


def test_outages_far_apart_do_not_open_it() -> None:
    server = Server()
    for _ in range(5):
        server.call(Outcome.OUTAGE)
        server.clock.now += 31

    assert server.breaker.state is State.CLOSED


def test_outages_of_one_caller_are_in_a_row_however_long_each_takes() -> None:
    """A reader who is alone waits as long for each answer as the window is wide."""
    server = Server(window_s=BreakerSettings(outages=3, window_s=60).with_answers_of(61).window_s)

    def waits() -> None:
        server.clock.now += 61

    said = [server.call(Outcome.OUTAGE, waits) for _ in range(4)]

    assert said == ["asked", "asked", "asked", "wait 5"]


def test_what_failed_on_our_side_counts_neither_way() -> None:
    server = Server()
    for outcome in (Outcome.OUTAGE, Outcome.OUTAGE, Outcome.UNKNOWN, Outcome.OUTAGE):
        server.call(outcome)

    assert server.breaker.state is State.OPEN


def test_one_request_tries_again_and_success_closes_it() -> None:
    server = down()
    server.clock.now += 5
    others: list[str] = []
    tried = server.call(Outcome.ANSWERED, lambda: others.append(server.call(Outcome.ANSWERED)))

    assert tried == "asked"
    assert others == ["wait 1"]
    assert server.breaker.state is State.CLOSED
    assert [server.call(Outcome.OUTAGE) for _ in range(2)] == ["asked", "asked"], "it counts anew"


def test_a_try_that_fails_opens_it_again() -> None:
    server = down()
    server.clock.now += 5

    assert server.call(Outcome.OUTAGE) == "asked"
    assert server.call(Outcome.ANSWERED) == "wait 5"


def test_a_try_that_ends_on_our_side_leaves_room_for_the_next() -> None:
    server = down()
    server.clock.now += 5

    def end() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.call(Outcome.ANSWERED, end)
    assert server.call(Outcome.ANSWERED) == "asked"
    assert server.breaker.state is State.CLOSED


def test_requests_that_were_under_way_do_not_keep_it_open() -> None:
    server = Server()
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go_on.wait(5)

    late = threading.Thread(target=server.call, args=(Outcome.OUTAGE, slow))
    late.start()
    assert began.wait(5)
    for _ in range(3):
        server.call(Outcome.OUTAGE)
    server.clock.now += 5
    go_on.set()
    late.join()

    assert server.breaker.state is State.HALF_OPEN
    assert server.call(Outcome.ANSWERED) == "asked"


@pytest.mark.parametrize(
    ("questions", "state"),
    [
        (["one"] * 30, State.CLOSED),
        (["one two", "one three", "one"], State.CLOSED),
        (["one", "one", "two"], State.OPEN),
        (["one two", "two three", "one three"], State.OPEN),
        (["one", "one", "one", "two"], State.OPEN),
        (["", "", ""], State.OPEN),
    ],
    ids=["one study", "searches that name it", "two studies", "nothing common to all", "late second study", "about nothing"],
)
def test_unanswered_questions_count_once_nothing_is_common_to_all(questions: list[str], state: State) -> None:
    """One object that an archive cannot read takes no other study with it."""
    server = Server()
    for about in questions:
        server.call(Outcome.UNANSWERED, about=about)

    assert server.breaker.state is state


def test_outages_count_beside_what_one_study_left_unanswered() -> None:
    server = Server()
    server.call(Outcome.UNANSWERED, about="one")
    said = []
    for _ in range(3):
        server.call(Outcome.OUTAGE, about="one")
        said.append(server.breaker.state)

    assert said == [State.CLOSED, State.CLOSED, State.OPEN], "three without the study's own"


def test_a_try_that_goes_unanswered_keeps_only_what_it_is_about_waiting() -> None:
    """A viewer with the one bad object open asks again and again: it must not be the try that keeps all others out."""
    server = down()
    server.clock.now += 5
    server.call(Outcome.UNANSWERED, about="one")

    said = [(server.call(Outcome.ANSWERED, about=about), server.breaker.state) for about in ("one", "two", "one")]

    assert said == [("wait 5", State.HALF_OPEN), ("asked", State.CLOSED), ("asked", State.CLOSED)]


def test_two_tries_about_different_things_open_it_again() -> None:
    server = down()
    server.clock.now += 5
    tried = [server.call(Outcome.UNANSWERED, about=about) for about in ("one", "two three")]

    assert tried == ["asked", "asked"]
    assert server.breaker.state is State.OPEN
    assert server.call(Outcome.ANSWERED, about="four") == "wait 5"


def test_one_thing_that_stays_unanswered_is_tried_once_in_each_cool_down() -> None:
    server = down()
    said = []
    for _ in range(3):
        server.clock.now += 5
        said += [server.call(Outcome.UNANSWERED, about="one"), server.call(Outcome.UNANSWERED, about="one")]

    assert said == ["asked", "wait 5"] * 3


def test_an_outage_of_a_try_opens_it_again_whatever_it_is_about() -> None:
    server = down()
    server.clock.now += 5
    server.call(Outcome.OUTAGE, about="one")

    assert server.call(Outcome.ANSWERED, about="two") == "wait 5"


def test_beside_a_slow_try_one_about_something_else_may_go() -> None:
    server = down()
    server.clock.now += 5
    others: list[str] = []

    def slow() -> None:
        others.append(server.call(Outcome.ANSWERED, about="one"))
        others.append(server.call(Outcome.UNKNOWN, slower, about="two"))

    def slower() -> None:
        others.append(server.call(Outcome.ANSWERED, about="three"))

    server.call(Outcome.UNANSWERED, slow, about="one")

    assert others == ["wait 1", "wait 1", "asked"], "never more than two at a time"


def test_what_goes_unanswered_again_and_again_is_left_alone_and_others_go_on() -> None:
    """One study that an archive cannot read must not take all threads, each for the time that it waits."""
    server = Server()
    for _ in range(2):
        server.call(Outcome.UNANSWERED, about="sick")
        server.call(Outcome.ANSWERED, about="well")  # says nothing of the sick one
    server.call(Outcome.UNANSWERED, about="sick")
    said = [server.call(Outcome.ANSWERED, about=about) for about in ("sick", "well", "well sick", "")]

    assert said == ["wait 5", "asked", "asked", "asked"]
    assert server.breaker.state is State.CLOSED


def test_one_request_tries_again_what_was_left_alone() -> None:
    server = Server()
    for _ in range(3):
        server.call(Outcome.UNANSWERED, about="sick")
    server.clock.now += 5
    beside: list[str] = []

    def slow() -> None:
        beside.extend(server.call(Outcome.ANSWERED, about=about) for about in ("sick", "well"))

    said = [server.call(Outcome.UNANSWERED, slow, about="sick"), server.call(Outcome.ANSWERED, about="sick")]
    server.clock.now += 5
    said += [server.call(Outcome.ANSWERED, about="sick") for _ in range(2)]

    assert beside == ["wait 1", "asked"]
    assert said == ["asked", "wait 5", "asked", "asked"]


def test_a_try_of_one_thing_that_ends_on_our_side_leaves_room_for_the_next() -> None:
    server = Server()
    for _ in range(3):
        server.call(Outcome.UNANSWERED, about="sick")
    server.clock.now += 5

    assert [server.call(outcome, about="sick") for outcome in (Outcome.UNKNOWN, Outcome.ANSWERED)] == ["asked", "asked"]


@pytest.mark.parametrize("between", [31, 0])
def test_one_thing_counts_within_the_window_and_in_a_row(between: float) -> None:
    server = Server()
    for _ in range(5):
        server.call(Outcome.UNANSWERED, about="sick")
        server.clock.now += between
        if not between:
            server.call(Outcome.ANSWERED, about="sick")

    assert server.call(Outcome.ANSWERED, about="sick") == "asked"


def test_things_without_number_take_no_memory() -> None:
    things = DoubtfulThings(1, 60.0, 5.0, max_things=3)
    for number in range(10):
        things.unanswered(frozenset({str(number)}), 0.0, is_try=False)

    assert [number for number in range(10) if things.left(frozenset({str(number)}), 1.0)] == [7, 8, 9]


def test_zero_outages_means_always_ask() -> None:
    server = Server(outages=0)

    assert [server.call(Outcome.OUTAGE) for _ in range(20)] == ["asked"] * 20
    assert [server.call(Outcome.UNANSWERED, about="one") for _ in range(20)] == ["asked"] * 20


@pytest.mark.parametrize("changes", [{"outages": -1}, {"window_s": 0}, {"cool_down_s": 0}, {"cool_down_s": 601}])
def test_settings_that_cannot_work_are_named(changes: dict[str, float]) -> None:
    assert list(BreakerSettings(**changes).problems())  # type: ignore[arg-type]
    assert not list(BreakerSettings().problems())
