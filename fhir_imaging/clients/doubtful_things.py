"""What a server never answers about: one study or one patient is left alone, while others go on.

Spec: SMART Imaging Access W7, group 23.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_THINGS = 1000
About = frozenset[str]


@dataclass(slots=True)
class _Thing:
    failed_at: list[float] = field(default_factory=list)
    alone_since: float | None = None
    is_tried: bool = False


class DoubtfulThings:
    """Counts what goes unanswered in a row about one thing: ``outages`` within ``window_s``, then rest for ``cool_down_s``.

    ``about`` is all that a question names; an empty one is no thing. Not thread-safe; too many drop the oldest.
    """

    def __init__(self, outages: int, window_s: float, cool_down_s: float, *, max_things: int = MAX_THINGS) -> None:
        self._outages = outages
        self._window_s = window_s
        self._cool_down_s = cool_down_s
        self._max_things = max_things
        self._things: dict[About, _Thing] = {}

    def left(self, about: About, now: float) -> float | None:
        """None when it may be asked about; else the seconds that it is left alone, 0 while one question tries it again."""
        thing = self._things.get(about)
        if thing is None or thing.alone_since is None:
            return None
        left = thing.alone_since + self._cool_down_s - now
        return left if left > 0 else (0.0 if thing.is_tried else None)

    def begin(self, about: About) -> bool:
        """Whether the question that is asked now tries a thing again that was left alone."""
        thing = self._things.get(about)
        if thing is None or thing.alone_since is None:
            return False
        thing.is_tried = True
        return True

    def end(self, about: About, *, is_try: bool) -> None:
        """The question has ended, however it went."""
        thing = self._things.get(about)
        if thing is not None and is_try:
            thing.is_tried = False

    def answered(self, about: About) -> None:
        """It can be read."""
        self._things.pop(about, None)

    def unanswered(self, about: About, now: float, *, is_try: bool) -> None:
        """It could not; questions that were under way when it was left alone fail late and do not prolong that."""
        if not about or not self._outages:
            return
        thing = self._things.pop(about, None) or _Thing()
        while len(self._things) >= self._max_things:
            self._things.pop(next(iter(self._things)))
        self._things[about] = thing  # last in the order now
        thing.failed_at = [*(one for one in thing.failed_at if now - one < self._window_s), now][-self._outages :]
        if is_try or (thing.alone_since is None and len(thing.failed_at) >= self._outages):
            thing.alone_since = now
