"""What a load run says of memory, of the load generator and of where a site bends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.site_figures import Bend, Memory, Moment, Step

GOOD = Step(
    readers=200,
    seconds=30.0,
    frames_p99_ms=80.0,
    hooks_p99_ms=120.0,
    frames_per_s=200.0,
    faults=0,
    unasked=0,
    late_ms=2.0,
    generator_cores=0.1,
    server_cores=0.9,
    busy_cores=1.7,
)


def moments(*pss_mb: float) -> list[Moment]:
    return [Moment(after, pss, pss + 50) for after, pss in enumerate(pss_mb)]


def test_memory_is_told_at_start_middle_and_end() -> None:
    memory = Memory.of(moments(100, *[200] * 9, *[210] * 10, *[212] * 10))

    assert (memory.start.pss_mb, memory.middle.pss_mb, memory.end.pss_mb) == (100, 210, 212)
    assert memory.is_flat
    assert memory.in_words == (
        "100 MB at the start, 210 MB in the middle, 212 MB at the end (PSS of all processes; RSS 150, 260, 262 MB)"
    )
    with pytest.raises(ValueError, match="nobody"):
        Memory.of([])


def test_memory_that_grows_after_the_middle_is_not_flat() -> None:
    assert not Memory.of(moments(*range(100, 160))).is_flat


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"faults": 1}, "1 faults"),
        ({"frames_p99_ms": 1001.0}, "p99 of frames 1.0 s"),
        ({"hooks_p99_ms": 2500.0}, "p99 of hooks 2.5 s"),
        ({"late_ms": 150.0}, "the load generator itself 150 ms late"),
    ],
    ids=["good", "fault", "frames", "hooks", "late"],
)
def test_a_step_is_bad_for_a_reason(changed: dict[str, float], why: str) -> None:
    assert replace(GOOD, **changed).why_bad == why  # type: ignore[arg-type]


def test_a_load_generator_that_fell_behind_says_so() -> None:
    assert GOOD.generator_in_words == (
        "load generator: 2.0 ms late (p99), 0.10 cores; application 0.90, everything on the machine 1.70"
    )
    assert "FELL BEHIND" in replace(GOOD, late_ms=150.0).generator_in_words


def test_a_site_bends_between_the_last_good_and_the_first_bad_step() -> None:
    bend = Bend(steps=(GOOD, replace(GOOD, readers=300, frames_p99_ms=400.0), replace(GOOD, readers=400, frames_p99_ms=3000.0)))

    assert bend.in_words == "300 readers good (p99 400 ms), 400 readers bad (p99 of frames 3.0 s)"
    assert bend.figures()["last_good"] == 300
    assert bend.figures()["first_bad"] == 400
    assert [step["readers"] for step in bend.figures()["steps"]] == [200, 300, 400]


def test_a_site_that_was_never_good_or_never_bad_says_so() -> None:
    assert Bend(steps=(GOOD,)).in_words == "200 readers good (p99 80 ms), not tried further"
    assert Bend(steps=(replace(GOOD, faults=3),)).in_words == "no step good, 200 readers bad (3 faults)"
    assert Bend(steps=(replace(GOOD, faults=3),)).figures()["last_good"] is None
