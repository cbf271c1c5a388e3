"""How much slower this machine is than the one that the suites' budgets were written for."""

from __future__ import annotations

import pytest

from tests.machine_speed import EVERY_S, MOST, REFERENCE_MS, MachineSpeed


class Machine:
    """One that takes so long for each piece of work, and whose clock only goes on when it is told."""

    def __init__(self, *took_ms: float) -> None:
        self._took_ms = list(took_ms)
        self._spent_s = 0.0
        self.clock_s = 0.0
        self.pieces = 0
        self.speed = MachineSpeed(work=self._work, spent_s=lambda: self._spent_s, now=lambda: self.clock_s)

    def _work(self) -> None:
        self.pieces += 1
        self._spent_s += self._took_ms.pop(0) / 1000

    def looked_at(self, times: int) -> MachineSpeed:
        for _ in range(times):
            self.speed.look()
            self.clock_s += EVERY_S
        return self.speed


@pytest.mark.parametrize(
    ("took", "slowness"),
    [
        ([1.0], 1.0),
        ([1.25, 1.25], 1.25),
        ([0.5], 1.0),
        ([9.0], MOST),
        ([1.2, 40.0, 1.2], 1.2),
        ([1.0, 1.4, 1.4, 0.9, 1.3], 1.3),
    ],
    ids=["the same", "slower", "faster", "much slower", "once interrupted", "now this, now that"],
)
def test_budgets_grow_with_the_median_of_what_a_fixed_piece_of_work_takes(took: list[float], slowness: float) -> None:
    machine = Machine(*(REFERENCE_MS * one for one in took))

    assert machine.looked_at(len(took)).slowness == pytest.approx(slowness)


def test_nobody_looked_so_the_budgets_are_as_written() -> None:
    speed = Machine().speed

    assert speed.slowness == 1.0
    assert "not looked at" in str(speed)


def test_it_is_looked_at_now_and_then_and_not_with_each_test() -> None:
    machine = Machine(5.0, 5.0)
    for _ in range(100):
        machine.speed.look()
    machine.clock_s += EVERY_S - 0.1
    machine.speed.look()
    once = machine.pieces
    machine.clock_s += 0.1
    machine.speed.look()

    assert (once, machine.pieces) == (1, 2)


def test_the_real_piece_of_work_is_small_and_its_figures_are_told() -> None:
    speed = MachineSpeed()
    speed.look()

    assert 1.0 <= speed.slowness <= MOST
    assert "median of 1" in str(speed)
