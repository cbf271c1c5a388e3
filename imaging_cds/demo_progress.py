"""How far the preparation has come: on the terminal, and for whoever opens the sandbox EHR meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ehr_sandbox.arrivals import Arrivals, Arriving
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.sandbox_servers import ehr_settings

Step = Callable[[str, int, int], None]
"""Tells what is being done, how much of it is done and of how much; of 0 where nobody knows."""


@contextmanager
def bar(console: Console) -> Iterator[Step]:
    """A bar for each step, which is gone at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                for earlier in tasks.values():
                    progress.update(earlier, visible=False)
                tasks[step] = progress.add_task(step, total=total or None)
            progress.update(tasks[step], completed=done, total=total or None)

        yield show


@contextmanager
def told_to_both(options: DemoOptions, console: Console) -> Iterator[Step]:
    """The same, and the EHR's chart asks people to wait until the block ends."""
    arrivals = Arrivals(ehr_settings(options).state_dir)
    try:
        with bar(console) as show:

            def tell(step: str, done: int, total: int) -> None:
                show(step, done, total)
                arrivals.tell(Arriving(step=step, done=done, total=total))

            yield tell
    finally:
        arrivals.over()
