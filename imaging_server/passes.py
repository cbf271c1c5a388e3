"""What the gate let through a moment ago: a viewer asks for the frames of a series one right after the other.

Whether a token holds, whose the study is and which person the archive names does not change from one frame to the next, and yet
finding it all out in what is kept of it was half of what a decision cost. So the gate remembers, for a second at most, that it
let a token through to a series. What can change in between is asked for each frame all the same: whether access was ended, the
limits, whether the series holds the instance, and the audit record.

A pass lives at the end of what it was made of, so it is taken off how long that is kept: both together stay within
``decision_cache_s``. It never outlives its token.

Spec: SMART Imaging Access W3 (every request is decided), groups 6, 10 and 23; docs/decisions/0007.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from fhir_imaging.clients.decision_cache import DecisionCache
from imaging_server.access import AccessGrant
from imaging_server.auditing import AccessAudit, Attempt
from imaging_server.door import Door
from imaging_server.ownership import Caller
from imaging_server.resource import Kind
from imaging_server.study_contents import StudyContents
from imaging_server.upstream import Archive

MAX_PASSES = 2000


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a token opens, and the token's fingerprint: the token itself is not kept."""

    grant: AccessGrant
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StandingPass:
    """A pass for whoever asks about one frame of a series after the other, and takes a no for "ask the gate". Thread-safe.

    All that the gate asks for each frame is asked here too, and nothing is waited for or recorded.
    """

    given: Callable[[], _Pass | None] = field(repr=False)
    series: tuple[str, str, str]
    """Archive, study and series."""
    attempt: Attempt
    """Any request about a frame of it, for the limits."""
    door: Door = field(repr=False)
    contents: StudyContents = field(repr=False)
    is_on_record: Callable[[], bool] = field(repr=False)

    def opens(self, instance: str) -> bool:
        """Whether a frame of this instance may be shown now; if so, it counts towards the limits."""
        given = self.given()
        return (
            given is not None
            and self.contents.lists(self.series, instance)
            and self.is_on_record()
            and self.door.lets_in_unasked(given.grant, given.fingerprint, self.attempt)
        )


class FramePasses:
    """Passes to the frames of a series, each for one token, EHR and archive. Thread-safe.

    ``seconds`` is how long one counts; ``clock`` has UTC seconds, which a token's end is told in.
    """

    def __init__(self, door: Door, contents: StudyContents, *, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._door = door
        self._contents = contents
        self._seconds = seconds
        self._clock = clock
        self._given: DecisionCache[_Pass] = DecisionCache(max_entries=MAX_PASSES)

    def again(self, archive: Archive, authorization: str | None, attempt: Attempt) -> AccessGrant | None:
        """What a token opens that was let through to this series a moment ago; None when all is to be decided anew.

        TooManyRequests for one that asks too often, as at the door.
        """
        key = _key(archive, authorization, attempt)
        given = None if key is None else self._given.kept(key)
        if given is None or not self._contents.is_listed(archive, attempt.resource):
            return None
        return given.grant if self._door.enter_again(given.grant, given.fingerprint, attempt) else None

    def standing(
        self, archive: Archive, authorization: str | None, attempt: Attempt, audit: AccessAudit
    ) -> StandingPass | None:
        """The pass to the series of a request that was let through, for all others like it."""
        key = _key(archive, authorization, attempt)
        given = None if key is None else self._given.kept(key)
        study, series = attempt.resource.study, attempt.resource.series
        if key is None or given is None or study is None or series is None:
            return None
        return StandingPass(
            given=partial(self._given.kept, key),
            series=(archive.name, study, series),
            attempt=attempt,
            door=self._door,
            contents=self._contents,
            is_on_record=audit.is_on_record(attempt, given.grant, study),
        )

    def give(self, archive: Archive, authorization: str | None, attempt: Attempt, caller: Caller) -> None:
        """Remembers that ``caller`` was let through."""
        key = _key(archive, authorization, attempt)
        if key is not None:
            seconds = caller.keep_for(self._seconds, now=self._clock())
            self._given.keep(key, _Pass(caller.grant, caller.token.fingerprint), seconds)


def _key(archive: Archive, authorization: str | None, attempt: Attempt) -> tuple[str, ...] | None:
    """None for whatever is not asked for by the hundred. The header is taken as it came: nobody reads it."""
    asked = attempt.resource
    if asked.kind is not Kind.FRAMES or asked.study is None or asked.series is None or authorization is None:
        return None
    presented = hashlib.sha256(authorization.encode("utf-8", "surrogatepass")).hexdigest()
    return (attempt.ehr, archive.name, asked.study, asked.series, presented)
