"""When a study that failed is tried again, and what is an outage of a whole server (issue 6)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.errors import ConfigurationError, NotFound, UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.retries import (
    FEW,
    LONGEST_OUTAGE_PAUSE_S,
    Outage,
    is_like_an_outage,
    is_like_an_outage_of_several,
    is_retryable,
    pause_s,
)
from pacs_sync.settings import PaceSettings

PACE = PaceSettings(max_attempts=8, first_retry_s=2.0, longest_retry_s=900.0)
ONE, OTHER = StudyInstanceUID("2.25.1"), StudyInstanceUID("2.25.2")


def an_answer(status: int | None, *, retryable: bool = False) -> UpstreamError:
    return UpstreamError("It failed.", server="fhir", status=status, retryable=retryable)


@pytest.mark.parametrize("status", [408, 409, 412, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_until_the_attempts_are_used_up(status: int) -> None:
    assert is_retryable(an_answer(status))
    assert [pause_s(attempts, an_answer(status), PACE) for attempts in range(1, 9)] == [2, 4, 8, 16, 32, 64, 128, None]


@pytest.mark.parametrize("error", [an_answer(400), an_answer(422), an_answer(404), ValueError(), NotFound("No.")])
def test_what_will_hardly_pass_is_tried_a_few_times(error: Exception) -> None:
    assert not is_retryable(error)
    assert [pause_s(attempts, error, PACE) for attempts in range(1, 5)] == [2, 4, None, None]
    assert pause_s(1, error, replace(PACE, max_attempts=1)) is None


def test_pauses_end_growing_and_are_as_long_as_the_server_asks() -> None:
    patient = replace(PACE, max_attempts=10_000)
    assert pause_s(9_999, an_answer(500), patient) == 900
    assert pause_s(1, an_answer(429), PACE, retry_after_s=120) == 120
    assert pause_s(8, an_answer(429), PACE, retry_after_s=120) is None


@given(attempts=st.integers(1, 7), jitter=st.floats(0, 1))
def test_chance_takes_at_most_half_of_a_pause_away(attempts: int, jitter: float) -> None:
    whole, paused = pause_s(attempts, an_answer(500), PACE), pause_s(attempts, an_answer(500), PACE, jitter=jitter)
    assert whole is not None
    assert paused is not None
    assert whole / 2 <= paused <= whole


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (an_answer(None, retryable=True), True),
        (UpstreamTimeout("Too late.", server="fhir", retryable=True), True),
        (UpstreamRefused("Not allowed.", server="fhir", status=401), True),
        *((an_answer(status), True) for status in (403, 404, 429, 502, 503, 504)),
        *((an_answer(status), False) for status in (400, 409, 412, 422, 500)),
        (ConfigurationError(["It is a server of FHIR STU3."]), True),
        (ValueError(), False),
    ],
)
def test_what_would_fail_every_study_is_like_an_outage(error: Exception, is_outage: bool) -> None:
    assert is_like_an_outage(error) is is_outage


def fails(outage: Outage, study: StudyInstanceUID, *, now: float, begun: float | None = None) -> float | None:
    return outage.comes_back_in_s(study, begun=now if begun is None else begun, now=now, retry_after_s=None)


def test_everything_waits_longer_while_nothing_succeeds_and_no_study_is_to_blame() -> None:
    outage, now, waited = Outage(pace=PACE), 100.0, []
    assert fails(outage, OTHER, now=now) == 2
    for _ in range(7):
        back_in_s = fails(outage, ONE, now=now)
        assert back_in_s == outage.left_s(now=now)
        waited.append(back_in_s)
        now += back_in_s
        assert outage.left_s(now=now) == 0

    assert waited == [4, 8, 16, 32, LONGEST_OUTAGE_PAUSE_S, LONGEST_OUTAGE_PAUSE_S, LONGEST_OUTAGE_PAUSE_S]
    outage.succeeded(ONE, now=now)
    assert fails(outage, ONE, now=now) == 2


def test_studies_that_fail_together_are_one_outage() -> None:
    outage = Outage(pace=PACE)
    assert [fails(outage, StudyInstanceUID(f"2.25.{number}"), now=100) for number in range(4)] == [2, 4, 4, 4]
    assert outage.left_s(now=100) == 4


def test_one_study_alone_that_gets_no_answer_comes_back_later_and_stops_no_other() -> None:
    outage, now = Outage(pace=PACE), 100.0
    for seconds in (2, 4, 8):
        assert fails(outage, ONE, now=now) == seconds
        assert outage.left_s(now=now) == 0
        now += seconds


def test_a_server_that_asks_for_patience_gets_it() -> None:
    outage = Outage(pace=PACE)
    assert outage.comes_back_in_s(ONE, begun=100, now=100, retry_after_s=300) == 300
    assert fails(outage, OTHER, now=101) == 299


def test_a_study_that_fails_while_another_succeeds_is_to_blame_itself() -> None:
    outage = Outage(pace=PACE)
    outage.succeeded(OTHER, now=105)
    assert fails(outage, ONE, begun=100, now=110) is None
    assert outage.left_s(now=110) == 0


def test_a_study_that_fails_again_after_another_succeeded_is_to_blame_itself() -> None:
    """With one worker nothing succeeds meanwhile, and yet one study must not stop all others for ever."""
    outage = Outage(pace=PACE)
    assert fails(outage, ONE, now=101) == 2
    outage.succeeded(OTHER, now=104)
    assert fails(outage, ONE, now=106) is None
    assert fails(outage, ONE, now=108) == 2, "it says so anew, once"


def breaks(outage: Outage, study: StudyInstanceUID, *, now: float) -> float | None:
    return outage.comes_back_in_s(study, begun=now, now=now, retry_after_s=None, alone=False)


def test_a_server_that_breaks_at_every_study_is_away_and_costs_one_study_one_attempt() -> None:
    """A FHIR server whose database is down answers 500 to all of them: in minutes a whole back-fill would be laid aside."""
    outage, now = Outage(pace=PACE), 100.0
    assert breaks(outage, ONE, now=now) is None
    for _ in range(100):
        for study in (OTHER, ONE):
            back_in_s = breaks(outage, study, now=now)
            assert back_in_s is not None
            assert outage.left_s(now=now) > 0
        now += outage.left_s(now=now)


def test_one_study_that_a_server_breaks_at_is_to_blame_itself() -> None:
    outage = Outage(pace=PACE)
    for attempt in range(8):
        assert breaks(outage, ONE, now=100 + attempt) is None
        assert outage.left_s(now=100 + attempt) == 0
    outage.succeeded(OTHER, now=110)
    assert breaks(outage, OTHER, now=111) is None
    assert breaks(outage, ONE, now=112) == 2, "two in a row"


def tries_until_laid_aside(studies: int, error: Exception, *, days: float) -> dict[StudyInstanceUID, list[float]]:
    """When each of these was tried, in an archive where nothing else is to be done, until all are laid aside or time is up."""
    outage, now = Outage(pace=PACE), 0.0
    due = {StudyInstanceUID(f"2.25.{number}"): 0.0 for number in range(studies)}
    attempts = dict.fromkeys(due, 0)
    tried: dict[StudyInstanceUID, list[float]] = {one: [] for one in due}
    while due and now < days * 86400:
        study = min(due, key=lambda one: due[one])
        now = max(now + 0.1, due[study], outage.until)
        tried[study].append(now)
        back_in_s = outage.comes_back_in_s(study, begun=now, now=now, retry_after_s=None, alone=is_like_an_outage(error))
        if back_in_s is None:
            attempts[study] += 1
            back_in_s = pause_s(attempts[study], error, PACE)
        due[study] = now + (back_in_s or 0.0)
        if back_in_s is None:
            del due[study]
    assert not due or now >= days * 86400
    return tried


@pytest.mark.parametrize("status", [503, 500, 404])
@pytest.mark.parametrize("studies", [1, 2, FEW])
def test_a_few_studies_that_always_fail_where_nothing_else_is_to_be_done_come_back_seldom_and_are_laid_aside(
    studies: int, status: int
) -> None:
    for times in tries_until_laid_aside(studies, an_answer(status), days=3).values():
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert times[-1] < 1.5 * 86400, "it was laid aside"
        assert len(times) < 160, "not each minute"
        if len(gaps) > PACE.max_attempts:
            assert max(gaps) >= PACE.longest_retry_s


def test_many_studies_that_fail_for_days_are_an_outage_and_none_is_laid_aside() -> None:
    for times in tries_until_laid_aside(FEW + 1, an_answer(503), days=3).values():
        assert times[-1] > 3 * 86400 - 600
        gaps = [later - sooner for sooner, later in pairwise(times[-100:])]
        assert max(gaps) <= 2 * (FEW + 1) * LONGEST_OUTAGE_PAUSE_S, "the end of the outage is soon seen"


@pytest.mark.parametrize("status", [None, 200, 302, 400, 409, 422, 500, 501, 503])
def test_only_a_broken_server_and_somebody_elses_page_need_a_second_study_to_tell(status: int | None) -> None:
    assert is_like_an_outage_of_several(an_answer(status)) is (status in (200, 302, 500))
