"""Which request a piece of work is part of, for whoever follows requests across servers (traces), also in other threads.

Nobody does unless ``[telemetry]`` is set; then nothing here costs more than a look at a context variable.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FOLLOWED: ContextVar[object | None] = ContextVar("followed_request", default=None)
"""What the follower knows the present request by; None where nobody follows it."""


def followed(job: Callable[P, T]) -> Callable[P, T]:
    """The job, for another thread, as part of the present request; nothing else of this thread's context goes along."""
    request = FOLLOWED.get()
    if request is None:
        return job

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        before = FOLLOWED.set(request)
        try:
            return job(*args, **kwargs)
        finally:
            FOLLOWED.reset(before)

    return run
