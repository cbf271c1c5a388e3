"""One list being asked for: all questions at once, each page by page, with a busy server waited for within bounds.

Whoever reads the events decides whether further pages are followed, so that a long record is not fetched for somebody who has
gone. No question outlives its own page: what was asked when the reader stops is the last that is asked, and a wait for a busy
server ends there.

Spec: SMART Imaging Access C7 (503 with Retry-After); SMART App Launch 2.2 A38, A39.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache, partial
from queue import Empty, SimpleQueue

from fhir_imaging.clients.fhir import SearchPage
from fhir_imaging.errors import ImagingError, NotFound, UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.followed import followed
from fhir_imaging.settings import is_web_address
from smart_app.study_search import (
    PATIENT,
    REPORTS,
    STUDIES,
    FirstPage,
    GatheredRecords,
    Question,
    SearchWanted,
    Servers,
    Wanted,
    collected,
    matches_of,
    questions,
)

MOST_PAGES = 200
MOST_RESOURCES = 5000
"""What is followed of one answer; a list that is cut there says so."""
_MOST_QUESTIONS = 256
"""Questions under way at once in one process: some twenty lists, each of which asks about ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyPolicy:
    """How often and how long a busy server is waited for (C7)."""

    retries: int
    longest_wait_s: float
    sleep: Callable[[float], None] | None = None
    """A clock of its own; None = the machine's, and then whoever stops the questions ends the wait."""


@dataclass(frozen=True, slots=True)
class PageCame:
    """One more page of the answer to ``key``."""

    key: str
    page: SearchPage


@dataclass(frozen=True, slots=True)
class ServerBusy:
    """A server asked to be left alone for so long; it is asked again then."""

    key: str
    seconds: int


@dataclass(frozen=True, slots=True)
class QuestionFailed:
    """The answer to ``key``, or the rest of it, cannot be had."""

    key: str


Event = PageCame | ServerBusy | QuestionFailed


@dataclass(frozen=True, slots=True)
class _Ended:
    key: str
    token: str
    answer: FirstPage | BaseException


@dataclass(slots=True)
class _Progress:
    question: Question
    pages: list[SearchPage] = field(default_factory=list)
    next_url: str | None = None
    followed: set[str] = field(default_factory=set)
    without_endpoints: bool = False
    problem: ImagingError | None = None
    is_cut: bool = False
    was_renewed: bool = False

    @property
    def resources(self) -> int:
        return sum(len(page.matches) for page in self.pages)


class Gathering:
    """The questions of one list. ``servers`` makes the clients for a token, ``renew`` gives another token or None.

    ``renew`` is called by whoever reads the events, with the key of the question and the token that was refused.
    """

    def __init__(
        self,
        wanted: Wanted,
        servers: Callable[[str], Servers],
        token: str,
        busy: BusyPolicy,
        renew: Callable[[str, str], str | None] = lambda _key, _token: None,
    ) -> None:
        self.wanted = wanted
        self._servers = servers
        self._token = token
        self._busy = busy
        self._renew = renew
        self._progress = {one.key: _Progress(one) for one in questions(wanted)}
        self._ended: SimpleQueue[_Ended | ServerBusy] = SimpleQueue()
        self._under_way: dict[str, Future[None]] = {}
        self._follows = False
        self._stopped = threading.Event()
        for key in self._progress:
            self._ask(key)

    def follow(self) -> None:
        """From now on further pages are fetched, too."""
        self._follows = True
        for key, one in self._progress.items():
            if one.next_url is not None and key not in self._under_way:
                self._ask(key)

    def wait_longer(self, busy: BusyPolicy) -> None:
        """From now on a busy server is waited for as somebody does who is told of it."""
        self._busy = busy

    def stop(self) -> None:
        """Nothing more is asked, from now on and for good; whoever waits for a busy server gives up."""
        self._follows = False
        self._stopped.set()

    def events(self, until: Callable[[], bool] = lambda: False, *, within_s: float | None = None) -> Iterator[Event]:
        """What comes in, until everything has, or ``until`` says so, or the time is over."""
        deadline = None if within_s is None else time.monotonic() + within_s
        while self._under_way and not until():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                happened = self._ended.get(timeout=left)
            except Empty:
                return
            event = happened if isinstance(happened, ServerBusy) else self._noted(happened)
            if event is not None:
                yield event

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way and nothing is left to follow."""
        return not self._under_way and not any(one.next_url for one in self._progress.values())

    def has_answered(self, key: str) -> bool:
        """Whether at least the first page came, or the question failed or was never asked."""
        one = self._progress.get(key)
        return one is None or bool(one.pages) or one.problem is not None

    def has_more(self, key: str) -> bool:
        """Whether there are pages that nobody asked for yet."""
        return self._progress[key].next_url is not None

    def pages(self, key: str) -> tuple[SearchPage, ...]:
        """The pages that came."""
        return tuple(self._progress[key].pages) if key in self._progress else ()

    def is_without_endpoints(self) -> bool:
        """Whether the imaging server refused to include Endpoints."""
        return self._progress[STUDIES].without_endpoints

    def records(self) -> GatheredRecords:
        """What came so far; a question without an answer counts as one that could not be had, pages not fetched as cut off."""
        had = {key: one for key, one in self._progress.items() if one.pages}
        studies = had.get(STUDIES)
        patient = self.pages(PATIENT)
        return GatheredRecords(
            studies=collected(studies.pages, without_endpoints=studies.without_endpoints) if studies else None,
            reports=matches_of(self.pages(REPORTS), REPORTS) if REPORTS in had else None,
            patient=patient[0].matches[0] if patient else None,
            searches={one.key: self._found(one) for one in self.wanted.searches if one.key in had},
            problems={key: one.problem or _late() for key, one in self._progress.items() if one.problem or not one.pages},
            cut=frozenset(key for key, one in had.items() if one.is_cut or one.next_url),
        )

    def _found(self, search: SearchWanted) -> tuple[dict[str, object], ...]:
        return matches_of(self.pages(search.key), search.resource_type)

    def _ask(self, key: str) -> None:
        one = self._progress[key]
        one.followed |= {one.next_url} if one.next_url else set()
        ask = partial(one.question.next, next_url=one.next_url) if one.next_url else one.question.first
        self._under_way[key] = _asking_threads(os.getpid()).submit(followed(self._answered), key, ask, self._token)

    def _answered(self, key: str, ask: Callable[[Servers], FirstPage], token: str) -> None:
        """Runs in a thread of its own; whatever happens is told to the reader of the events."""
        try:
            if self._stopped.is_set():
                raise _late()
            answer: FirstPage | BaseException = self._patiently(key, partial(ask, self._servers(token)))
        except BaseException as error:
            answer = error
        self._ended.put(_Ended(key, token, answer))

    def _patiently(self, key: str, ask: Callable[[], FirstPage]) -> FirstPage:
        """Asks again while the server says that it is busy and its wait is bearable; NotFound is an answer, not a wait."""
        for _ in range(self._busy.retries):
            try:
                return ask()
            except NotFound:
                raise
            except UpstreamError as error:
                seconds = error.retry_after_s or 1
                if error.status not in (429, 503) or seconds > self._busy.longest_wait_s:
                    raise
                self._ended.put(ServerBusy(key, seconds))
                self._pause(float(seconds))
                if self._stopped.is_set():
                    raise
        return ask()

    def _pause(self, seconds: float) -> None:
        if self._busy.sleep is None:
            self._stopped.wait(seconds)
        else:
            self._busy.sleep(seconds)

    def _noted(self, ended: _Ended) -> Event | None:
        del self._under_way[ended.key]
        one = self._progress[ended.key]
        if isinstance(ended.answer, FirstPage):
            return self._with_page(one, ended.answer)
        if not isinstance(ended.answer, ImagingError):
            # Whatever one of them raises, none goes on using the session's token after the list is answered.
            self.stop()
            wait(self._under_way.values())
            raise ended.answer
        if self._is_renewed(one, ended.token, ended.answer):
            self._ask(ended.key)
            return None
        one.problem, one.next_url, one.is_cut = ended.answer, None, bool(one.pages)
        return QuestionFailed(ended.key)

    def _with_page(self, one: _Progress, answer: FirstPage) -> Event:
        one.pages.append(answer.page)
        one.without_endpoints |= answer.without_endpoints
        one.next_url = answer.page.next_url
        is_full = len(one.pages) >= MOST_PAGES or one.resources >= MOST_RESOURCES
        # A link to a page that was there before would bring the same studies until the list is full of them.
        if one.next_url and (is_full or one.next_url in one.followed or not is_web_address(one.next_url)):
            one.next_url, one.is_cut = None, True
        if one.next_url and self._follows:
            self._ask(one.question.key)
        return PageCame(one.question.key, answer.page)

    def _is_renewed(self, one: _Progress, refused: str, error: ImagingError) -> bool:
        """Whether there is another token to ask with, after one was not taken (A39); once for each question."""
        if not isinstance(error, UpstreamRefused) or error.status != 401 or one.was_renewed:
            return False
        one.was_renewed = True
        if self._token == refused:
            self._token = self._renew(one.question.key, refused) or refused
            if self._token != refused:
                self._ask_again_what_was_refused()
        return self._token != refused

    def _ask_again_what_was_refused(self) -> None:
        """Questions whose refusal was no reason to renew the token, once another one's was: the same token was over for all."""
        for key, one in self._progress.items():
            refused = isinstance(one.problem, UpstreamRefused) and one.problem.status == 401
            if refused and not one.pages and key not in self._under_way:
                one.problem = None
                self._ask(key)


@cache
def _asking_threads(_process: int) -> ThreadPoolExecutor:
    """The threads of one worker process: made as they are needed, kept for the next list, joined when the process ends.

    One pool for each process id, because threads do not survive a fork.
    """
    return ThreadPoolExecutor(max_workers=_MOST_QUESTIONS, thread_name_prefix="study-list")


def _late() -> ImagingError:
    return UpstreamTimeout("The server did not answer in time.", server="", retryable=True)
