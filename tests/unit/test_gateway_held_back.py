"""Callers that are held back: one record at once, then one a minute with their number (group 23, P8)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import pytest

from fhir_imaging.audit import AuditAction, AuditFilter, AuditOutcome, AuditRecord
from fhir_imaging.errors import UpstreamError
from imaging_cds.audit_summary import summary_of
from imaging_server.held_back import HeldBackRecords, requests_in

ONE, OTHER = ("north", "token-1"), ("10.0.0.1",)
REASON = "too-many-requests"


def a_request(at: int = 0) -> AuditRecord:
    return AuditRecord(recorded_at=at, ehr="north", action=AuditAction.STUDY_OPENED, outcome=AuditOutcome.DENIED, reason=REASON)


@dataclass
class Trail:
    """What is on record, and the time; ``is_down``: nothing can be recorded."""

    now: float = 1000.0
    written: list[AuditRecord] = field(default_factory=list)
    is_down: bool = False

    def append(self, record: AuditRecord) -> None:
        if self.is_down:
            raise UpstreamError("no database", server="audit log", retryable=True)
        self.written.append(record)

    @property
    def reasons(self) -> list[str | None]:
        return [one.reason for one in self.written]


@pytest.fixture
def trail() -> Trail:
    return Trail()


def records(trail: Trail, max_callers: int = 100) -> HeldBackRecords:
    return HeldBackRecords(trail.append, monotonic=lambda: trail.now, max_callers=max_callers)


def test_the_first_is_recorded_at_once_and_the_rest_once_a_minute_with_their_number(trail: Trail) -> None:
    held = records(trail)
    for number in range(1000):
        held.note(ONE, a_request(number))
    at_once = trail.reasons
    trail.now += 61
    held.settle()

    assert at_once == [REASON]
    assert trail.reasons == [REASON, f"{REASON}: and 998 more like it"]
    assert trail.written[1].recorded_at == 999, "the last of them"


def test_whoever_asks_for_the_reason_finds_every_record_and_all_requests_are_added_up(trail: Trail) -> None:
    held = records(trail)
    for _ in range(1000):
        held.note(ONE, a_request())
    trail.now += 61
    held.settle()

    assert [one for one in trail.written if AuditFilter(reason=REASON).admits(one)] == trail.written
    ((reason, denials),) = summary_of(trail.written).reasons.items()
    assert (reason, denials.times, len(trail.written)) == (REASON, 1000, 2)


@pytest.mark.parametrize(
    "reason",
    [None, "", REASON, "origin-not-allowed: https://and-5.example", f"{REASON}: and many more like it"],
)
def test_a_reason_without_a_number_is_one_request(reason: str | None) -> None:
    assert requests_in(reason) == 1


def test_a_flood_that_goes_on_is_recorded_again_with_what_was_before(trail: Trail) -> None:
    held = records(trail)
    for _ in range(3):
        held.note(ONE, a_request())
    trail.now += 61
    held.note(ONE, a_request())

    assert trail.reasons == [REASON, f"{REASON}: and 2 more like it"]


def test_nothing_is_written_before_its_time_or_twice(trail: Trail) -> None:
    held = records(trail)
    held.note(ONE, a_request())
    held.note(ONE, a_request())
    trail.now += 59
    held.settle()
    early = len(trail.written)
    trail.now += 2
    for _ in range(3):
        held.settle()
    trail.now += 1000
    held.settle()

    assert early == 1
    assert trail.reasons == [REASON, REASON]


def test_callers_are_counted_apart(trail: Trail) -> None:
    held = records(trail)
    for caller, times in ((ONE, 3), (OTHER, 5)):
        for _ in range(times):
            held.note(caller, a_request())
    trail.now += 61
    held.settle()

    assert trail.reasons == [REASON, REASON, f"{REASON}: and 1 more like it", f"{REASON}: and 3 more like it"]


def test_at_the_end_everything_is_written(trail: Trail) -> None:
    held = records(trail)
    for _ in range(4):
        held.note(ONE, a_request())
    held.settle(all_of_them=True)
    held.settle(all_of_them=True)

    assert trail.reasons == [REASON, f"{REASON}: and 2 more like it"]


def test_callers_without_number_take_no_memory_and_none_is_forgotten(trail: Trail) -> None:
    held = records(trail, max_callers=10)
    for number in range(50):
        held.note((str(number),), a_request())
        held.note((str(number),), a_request())

    assert len(trail.written) == 50 + 40, "whoever is crowded out is written first"
    held.settle(all_of_them=True)
    assert len(trail.written) == 100


def test_what_cannot_be_recorded_is_counted_on(trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    held = records(trail)
    trail.is_down = True
    with pytest.raises(UpstreamError):
        held.note(ONE, a_request())
    held.note(ONE, a_request())  # one question to a database that is down is enough
    trail.now += 61
    with caplog.at_level(logging.ERROR):
        held.settle()
    trail.is_down = False
    trail.now += 61
    held.settle()

    assert "2 requests held back are not on record yet" in caplog.text
    assert trail.reasons == [f"{REASON}: and 1 more like it"]


def test_those_who_are_crowded_out_are_recorded_though_the_newcomer_could_not_be() -> None:
    """A database that comes back between two writes: nothing that was counted is lost."""
    trail = Trail()
    failing = [True]

    def append(record: AuditRecord) -> None:
        if record.ehr == "south" and failing.pop():
            raise UpstreamError("no database", server="audit log", retryable=True)
        trail.append(record)

    held = HeldBackRecords(append, monotonic=lambda: trail.now, max_callers=1)
    for _ in range(3):
        held.note(ONE, a_request())
    with pytest.raises(UpstreamError):
        held.note(OTHER, replace(a_request(), ehr="south"))

    assert sum(requests_in(reason) for reason in trail.reasons) == 3
