"""``make mutants``: breaks one thing at a time in a copy of the repository and says which tests turned red.

Prints a Markdown table. Exit status 1 when a mutation survives, when the table has rotted, or when the unbroken copy is red.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.copies import Copy, Run, make_copy
from tests.mutants.table import Mutation, faults, mutations

PROCESSES = 2
_SHOWN = 2
_PASSED, _FAILED = 0, 1


def main(arguments: Sequence[str]) -> int:
    """Runs the table, or the rows of the ids that ``--only`` names."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="ids of requirements, such as R38 or F2")
    only = set(parser.parse_args(arguments).only)
    table = tuple(one for one in mutations() if not only or one.requirement in only)
    rotten = list(faults(table))
    if rotten or not table:
        print(*(rotten or [f"no mutation for {', '.join(sorted(only))}"]), sep="\n", file=sys.stderr)
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(PROCESSES) as pool:
        copies = list(pool.map(make_copy, (_made(Path(folder) / str(number)) for number in range(PROCESSES))))
        if not _is_green(table, copies, pool):
            return 1
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)
        print("| id | what was broken | red test(s) | verdict |\n|---|---|---|---|")
        bad = 0
        # Each row as soon as it is known: the whole table takes minutes.
        for mutation, run in zip(table, pool.map(lambda one: _run_broken(one, free), table), strict=True):
            bad += not _is_killed(run)
            print(_row(mutation, run), flush=True)
    ids = len({mutation.requirement for mutation in table})
    seconds = time.monotonic() - started
    print(f"\n{len(table)} mutations of {ids} requirements: {len(table) - bad} killed, {bad} not, in {seconds:.0f} s.")
    return 1 if bad else 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _is_green(table: Sequence[Mutation], copies: Sequence[Copy], pool: ThreadPoolExecutor) -> bool:
    """Every test of the table passes in the unbroken copy; a red one would prove nothing about a mutation."""
    tests = sorted({test for mutation in table for test in mutation.tests})
    shares = [tests[number :: len(copies)] for number in range(len(copies))]
    runs = list(pool.map(lambda share: share[0].run(share[1]), [pair for pair in zip(copies, shares, strict=True) if pair[1]]))
    for run in runs:
        if run.status != _PASSED:
            print(f"The unbroken copy is not green (status {run.status}):\n{run.said}", file=sys.stderr)
    return all(run.status == _PASSED for run in runs)


def _run_broken(mutation: Mutation, free: SimpleQueue[Copy]) -> Run:
    copy = free.get()
    try:
        with copy.broken_by(mutation):
            return copy.run(mutation.tests)
    finally:
        free.put(copy)


def _is_killed(run: Run) -> bool:
    return run.status == _FAILED and bool(run.red)


def _row(mutation: Mutation, run: Run) -> str:
    """One row of the table; what pytest said goes to stderr where it is neither red nor green."""
    red = ", ".join(f"`{test.removeprefix('tests/')}`" for test in run.red[:_SHOWN])
    verdict = "**survived**" if run.status == _PASSED else f"**not judged** (status {run.status})"
    if not _is_killed(run) and run.status != _PASSED:
        print(f"{mutation.requirement}: {run.said}", file=sys.stderr)
    return f"| {mutation.requirement} | {mutation.breaks} | {red} | {'killed' if _is_killed(run) else verdict} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
