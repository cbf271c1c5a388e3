"""What nginx is told about frames that are asked for in the same words as one that was let through a moment ago.

Each frame is decided about, by the pass that it was given (``passes``); what is spared is the way to the application and back,
which is the same each time. Of a frame that the pass does not open nothing is said here: the application decides and explains.

Spec: SMART Imaging Access W3, groups 10, 20 and 21; docs/decisions/0007.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from fhir_imaging.in_front import SameWords
from fhir_imaging.web import reference_of
from imaging_server.frame_addresses import FRAMES, INSTANCES
from imaging_server.passes import StandingPass
from imaging_server.upstream import Archive

REDIRECT = "X-Accel-Redirect"
_REFERENCE = "X-Request-Id"
_SERIES_AT_ONCE = 64
"""Of one token; a reader who opens more of them at a time has each decided about anew."""


@dataclass(frozen=True, slots=True)
class StandingSeries:
    """A series whose frames nginx may fetch while the pass stands."""

    standing: StandingPass = field(repr=False)
    archive: Archive
    place: str
    """Where nginx has the series."""
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """What else nginx is told, for itself and for its caller."""
    tell: Callable[[str, float], None] = field(repr=False)
    """Tells log and metrics of a request by its number, and of the seconds that it took."""


class StandingDirections:
    """For one caller's requests in the same words. Thread-safe."""

    def __init__(self) -> None:
        self._series: dict[str, tuple[StandingSeries, str]] = {}

    @classmethod
    def of(cls, words: SameWords) -> StandingDirections:
        """Those of these words, none at first."""
        if not isinstance(words.at_once, cls):
            words.at_once = cls()
        return words.at_once

    def add(self, address: str, series: StandingSeries) -> None:
        """``address``: the first part of its frames' paths."""
        if len(self._series) >= _SERIES_AT_ONCE:
            self._series = {}
        self._series[address] = (series, lines_for_all(series.headers))

    def __call__(self, path: str, number: str | None) -> tuple[str, Callable[[], None]] | None:
        """The lines of nginx's directions to a frame, and how to tell of them; None where the application is to be asked."""
        began = time.perf_counter()
        address, _, asked = path.partition(INSTANCES)
        found, named = self._series.get(address), FRAMES.fullmatch(asked)
        if found is None or named is None:
            return None
        series, lines = found
        if series.archive.is_left_alone or not series.standing.opens(named["instance"]):
            return None
        reference = reference_of(number or "")
        told = f"{REDIRECT}: {series.place}{INSTANCES}{asked}\r\n{lines}{_REFERENCE}: {reference}\r\n"
        return told, partial(series.tell, reference, time.perf_counter() - began)


def lines_for_all(headers: Iterable[tuple[str, str]]) -> str:
    """What is said of all frames of a series alike, as lines that each end."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers if name not in (REDIRECT, _REFERENCE))
