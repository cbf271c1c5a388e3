"""What the server and a component agree on where requests are answered in front of the web framework, which never sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import Flask

REQUEST_STARTED = "fhir_imaging.request_started"
"""Where the WSGI environment has the ``time.perf_counter`` of a request that began before the application saw it."""
SAME_WORDS = "fhir_imaging.same_words"
"""Where the WSGI environment has a function without arguments that says which ``SameWords`` a request is one of; not there when
the server asks the application each time."""
_WATCH = "body_watch"

BodyWatch = Callable[[str, int], AbstractContextManager[None]]
"""By the template of its route and its length in bytes."""
SendAnswer = Callable[[str, Sequence[bytes | memoryview]], None]
"""Sends an answer of 200: its headers as lines that each end, the length among them, and the pieces of its body. OSError when
the caller is gone."""


class SameWords:
    """Requests that one caller makes with the same header fields, but for the request's number."""

    __slots__ = ("at_once", "in_turn")

    def __init__(self) -> None:
        self.at_once: Callable[[str, str | None], tuple[str, Callable[[], None]] | None] | None = None
        """What an application lets the server ask in its stead, by a request's path and number: the headers of an answer of 200
        without a body, as lines that each end, and what is to be called when it was sent; None where the application is to be
        asked. It never waits for anybody."""
        self.in_turn: Callable[[str, str | None, SendAnswer], Mapping[str, Any] | None] | None = None
        """What an application lets the server ask in its stead in the request's own thread, where it may wait for others: None
        when the answer was sent, else what the WSGI environment is to say when the application itself is asked."""


def watch_bodies(app: Flask, watch: BodyWatch) -> None:
    """From now on ``watch`` is around each body that is sent in front of the application."""
    app.extensions[_WATCH] = watch


def sending(app: Flask, route: str, length: int) -> AbstractContextManager[None]:
    """What is around the sending of a body of so many bytes that the application does not see."""
    watch: BodyWatch | None = app.extensions.get(_WATCH)
    return nullcontext() if watch is None else watch(route, length)
