"""The hooks that an EHR fires while everybody reads: so many a second, whoever is still waiting for an answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.benchmarks.load import MAX_THREADS, Client, Request
from tests.benchmarks.site_load import Seen, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """So many hook requests a second; ``make`` writes the next one, before its time comes. An answer has at least one card."""

    base_url: str
    make: Callable[[], Request]
    per_s: float

    def fire(self, span: Span) -> Seen:
        """For so long, by a few threads in turn; when all of them wait for answers, so does the next hook, and that counts."""
        return _Firing(self, span).run()


class _Firing:
    def __init__(self, hooks: Hooks, span: Span) -> None:
        self._hooks = hooks
        self._span = span
        self._seen = Seen(span)
        self._lock = threading.Lock()
        number = int((span.ends - span.begins) * hooks.per_s)
        self._dues: Iterator[float] = iter([span.begins + index / hooks.per_s for index in range(number)])

    def run(self) -> Seen:
        with ThreadPoolExecutor(MAX_THREADS) as threads:
            for working in [threads.submit(self._work) for _ in range(MAX_THREADS)]:
                working.result()
        return self._seen

    def _work(self) -> None:
        with Client(self._hooks.base_url) as client:
            while True:
                with self._lock:
                    due = next(self._dues, None)
                if due is None:
                    return
                self._fire(client, due)

    def _fire(self, client: Client, due: float) -> None:
        request = self._hooks.make()
        time.sleep(max(0.0, due - time.perf_counter()))
        if time.perf_counter() >= self._span.ends:
            with self._lock:
                self._seen.never_asked(due)
            return
        try:
            answer = client.send(request)
            assert json.loads(answer.body)["cards"], answer.body[:300]
        except (AssertionError, OSError, ValueError, KeyError, http.client.HTTPException) as fault:
            client.close()
            with self._lock:
                self._seen.failed(fault)
            return
        with self._lock:
            self._seen.answered(due, time.perf_counter())
