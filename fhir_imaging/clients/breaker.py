"""A server that is down is left alone: after several outages in a row it is not asked for a while, and callers wait with 503.

Own code, since pybreaker holds one lock while it calls: a slow archive would serialize all of a worker's threads.

Spec: SMART Imaging Access F8, F10, W7 (fail closed, Retry-After), group 23.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from fhir_imaging.clients.doubtful_things import DoubtfulThings
from fhir_imaging.errors import UpstreamError

T = TypeVar("T")


class Outcome(StrEnum):
    """How a question to another server went."""

    ANSWERED = "answered"
    OUTAGE = "outage"
    """No answer, or one that says that the server is not there (of an EHR 502, 503, 504)."""
    UNANSWERED = "unanswered"
    """No answer to this one question (too late, broken off, of an archive 502 or 504): it may lie in what was asked about."""
    NOT_ASKED = "not-asked"
    """The breaker is open."""
    UNKNOWN = "unknown"
    """It failed on our side: no connection was free, or the request was ended."""


class State(StrEnum):
    """Whether a server is asked."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a server that does not answer is left alone."""

    outages: int = 5
    """Outages in a row after which an EHR or archive is not asked for ``cool_down_s``; 0 = always ask."""
    window_s: float = 60.0
    """Outages in a row count only when they lie within this time; where an answer may take longer, within that of as many."""
    cool_down_s: float = 5.0
    """How long a server is left alone; then one request tries it again, and all others wait for its outcome."""

    def with_answers_of(self, longest_s: float) -> BreakerSettings:
        """The same for a server whose answers may take so long: one caller's outages, one after the other, are in a row too."""
        return replace(self, window_s=max(self.window_s, self.outages * longest_s))

    def problems(self) -> Iterator[str]:
        """What cannot work."""
        if self.outages < 0:
            yield "breaker.outages must be 0 (always ask) or above."
        if self.window_s <= 0 or not 0 < self.cool_down_s <= 600:
            yield "breaker: window_s must be above 0, cool_down_s above 0 and at most 600."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """Whether a question tries the server again, and whether it tries what it is about."""

    server: bool
    thing: bool


_NO_TRIES = _Tries(server=False, thing=False)


@dataclass(frozen=True, slots=True)
class _Failure:
    """When a question failed, and what it was about, where that may be why."""

    at: float
    about: frozenset[str] | None


def _blamed(failures: list[_Failure]) -> int:
    """How many of these speak against the server: one study that cannot be read says nothing of the others."""
    doubtful = [one.about for one in failures if one.about is not None]
    has_one_cause = bool(doubtful) and bool(frozenset.intersection(*doubtful))
    return len(failures) - len(doubtful) if has_one_cause else len(failures)


def _apart_from(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two questions name something each, and nothing in common."""
    return bool(one) and bool(other) and one.isdisjoint(other)


def _apart(failure: _Failure, about: frozenset[str]) -> bool:
    return _apart_from(failure.about or frozenset(), about)


Watch = Callable[[str, Outcome, float, State], None]
"""Told of each question: server, outcome, seconds, the breaker's state after it."""


def no_watch(_server: str, _outcome: Outcome, _seconds: float, _state: State) -> None:
    """Nobody measures."""


class Question:
    """One question to a server, from when it may be asked until it is known how it went: whoever has it must say so in the end.

    A head is no answer yet: an archive that sends one and then stops keeps its caller waiting as well as one that is silent. So
    the question is judged when the body was read, and until then says nothing for the server or against it. A body that is
    passed on while it is read takes as long as its caller takes it, though, which may be minutes: with its beginning
    (``goes_on``) a try is over, and has found the server back, so that nobody waits for a download to end. What becomes of the
    rest counts as that of any other question: a server that always stops there is left alone after the usual count.
    """

    __slots__ = ("_breaker", "about", "began_at", "heard_at", "is_over", "tries")

    def __init__(self, breaker: Breaker, about: frozenset[str], began_at: float, tries: _Tries) -> None:
        self._breaker = breaker
        self.about = about
        self.began_at = began_at
        self.heard_at: float | None = None
        """When the answer's head was there: the seconds that are told end with it."""
        self.tries = tries
        self.is_over = False

    def heard(self) -> None:
        """The answer's head is there."""
        self.heard_at = self._breaker.monotonic()

    def goes_on(self) -> None:
        """The body has begun to come, and goes on to somebody who takes it at his own speed."""
        self._breaker._goes_on(self)

    def ended(self, outcome: Outcome) -> None:
        """How it went. What is said after the first time does not count."""
        if not self.is_over:
            self._breaker._ended(self, outcome)


class Breaker:
    """The breaker before one server; ``server`` is its name in the configuration. Thread-safe, one for each worker."""

    def __init__(
        self,
        server: str,
        settings: BreakerSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self._settings = settings
        self.watch: Watch = no_watch
        self.monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: list[_Failure] = []
        self._opened_at: float | None = None
        self._tries: list[frozenset[str]] = []
        """What those are about that try the server again just now."""
        self._things = DoubtfulThings(settings.outages, settings.window_s, settings.cool_down_s)
        """What is left alone by itself, whatever the server does about others."""
        self._doubt: _Failure | None = None
        """The last try that went unanswered, which may lie in what it was about."""

    @property
    def state(self) -> State:
        """Closed, open, or half open once the next request may try."""
        with self._lock:
            return self._state()

    def call(
        self, ask: Callable[[], T], judge: Callable[[T | Exception], Outcome], *, about: frozenset[str] = frozenset()
    ) -> T:
        """What ``ask`` says or raises, judged by ``judge``; else as ``begin``."""
        question = self.begin(about)
        try:
            answer = ask()
            question.ended(judge(answer))
        except Exception as exc:
            question.ended(judge(exc))
            raise
        finally:
            question.ended(Outcome.UNKNOWN)
        return answer

    def begin(self, about: frozenset[str] = frozenset()) -> Question:
        """A question that may be asked, for whoever knows only later how it went.

        UpstreamError (503) at once while the server is left alone.

        ``about`` names what the question is about. Questions that went unanswered count while no one thing is common to all;
        what goes unanswered again and again is left alone by itself.
        """
        now = self.monotonic()
        with self._lock:
            state = self._state()
            left = self._things.left(about, now)
            if left is None:
                left = self._left(state, now, about)
            if left is None:
                is_try = state is not State.CLOSED
                if is_try:
                    self._tries.append(about)
                return Question(self, about, now, _Tries(server=is_try, thing=self._things.begin(about)))
        self.watch(self.server, Outcome.NOT_ASKED, 0.0, state)
        raise UpstreamError(
            "A server that is needed for this does not answer. Please try again shortly.",
            server=self.server,
            retryable=True,
            retry_after_s=max(1, math.ceil(left)),
            cause="left alone after outages",
        )

    def _left(self, state: State, now: float, about: frozenset[str]) -> float | None:
        """None when the server may be asked; else how many seconds it is left alone."""
        if state is State.CLOSED:
            return None
        doubt = self._doubt
        since = self._opened_at if doubt is None or state is State.OPEN or _apart(doubt, about) else doubt.at
        left = 0.0 if since is None else since + self._settings.cool_down_s - now
        # A second try beside a slow one, since the slow one may lie in what it is about.
        beside = not self._tries or (len(self._tries) == 1 and _apart_from(self._tries[0], about))
        return None if state is State.HALF_OPEN and left <= 0 and beside else left

    def _goes_on(self, question: Question) -> None:
        with self._lock:
            tries, question.tries = question.tries, _NO_TRIES
            if tries.server:
                self._tries.remove(question.about)
                self._back()
            if tries.thing:
                self._things.answered(question.about)

    def _ended(self, question: Question, outcome: Outcome) -> None:
        now, about = self.monotonic(), question.about
        with self._lock:
            if question.is_over:
                return
            question.is_over = True
            tries, question.tries = question.tries, _NO_TRIES
            if tries.server:
                self._tries.remove(about)
            self._note_thing(outcome, about, now, is_try=tries.thing)
            self._note(outcome, _Failure(now, about if outcome is Outcome.UNANSWERED else None), tries.server)
            state = self._state()
        self.watch(self.server, outcome, (question.heard_at or now) - question.began_at, state)

    def _note_thing(self, outcome: Outcome, about: frozenset[str], now: float, *, is_try: bool) -> None:
        self._things.end(about, is_try=is_try)
        if outcome is Outcome.ANSWERED:
            self._things.answered(about)
        elif outcome is Outcome.UNANSWERED:
            self._things.unanswered(about, now, is_try=is_try)

    def _note(self, outcome: Outcome, failure: _Failure, is_try: bool) -> None:
        if outcome is Outcome.ANSWERED:
            self._back()
        elif outcome in (Outcome.OUTAGE, Outcome.UNANSWERED) and self._settings.outages:
            recent = [one for one in self._failures if failure.at - one.at < self._settings.window_s]
            self._failures = [*recent, failure][-self._settings.outages :]
            # Requests that were under way when it opened fail late: they must not keep it open without a try.
            if self._opened_at is None:
                self._opened_at = failure.at if _blamed(self._failures) >= self._settings.outages else None
            elif is_try:
                self._note_try(failure)

    def _back(self) -> None:
        self._failures.clear()
        self._opened_at = self._doubt = None

    def _note_try(self, failure: _Failure) -> None:
        """A try about one thing only keeps that thing waiting; two about different things, or a real outage, everything."""
        earlier = self._doubt
        is_old = earlier is not None and failure.at - earlier.at >= self._settings.window_s
        if failure.about and (earlier is None or is_old or not _apart(earlier, failure.about)):
            self._doubt = failure
        else:
            self._opened_at, self._doubt = failure.at, None

    def _state(self) -> State:
        if self._opened_at is None:
            return State.CLOSED
        return State.OPEN if self.monotonic() - self._opened_at < self._settings.cool_down_s else State.HALF_OPEN
