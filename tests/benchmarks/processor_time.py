"""What servers cost: the processor time and the memory of all processes of a session, as Linux counts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from imaging_cds.processes import ProcessGroup

_PARENT_FIELD, _SESSION_FIELD, _USER_FIELD, _SYSTEM_FIELD = 1, 3, 11, 12  # of /proc/PID/stat, behind the command's name


def cpu_reader(group: ProcessGroup, *titles: str) -> Callable[[], float]:
    """Reads the seconds that all processes of these servers have spent; each server is a session of its own."""
    sessions = {group.process_id(title) for title in titles}

    def spent() -> float:
        ticks = os.sysconf("SC_CLK_TCK")
        used = (int(stat[_USER_FIELD]) + int(stat[_SYSTEM_FIELD]) for _, stat in _of_sessions(sessions))
        return sum(used) / ticks

    return spent


def machine_cpu_s() -> float:
    """The seconds that all processors of the machine were busy since it started, whoever was at work."""
    user, nice, system, _idle, _waiting, interrupts, softly, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + interrupts + softly) / os.sysconf("SC_CLK_TCK")


def workers_of(group: ProcessGroup, title: str) -> list[int]:
    """The processes that the server's first one has made."""
    master = group.process_id(title)
    return sorted(process for process, stat in _of_sessions({master}) if int(stat[_PARENT_FIELD]) == master)


def forget_peaks(processes: Collection[int]) -> None:
    """From now on their peak memory is counted anew."""
    for process in processes:
        with suppress(PermissionError):  # a worker that runs as another user keeps its peak since it began
            Path(f"/proc/{process}/clear_refs").write_text("5")


def memory_kb(process: int) -> Mapping[str, int]:
    """``now`` and ``peak`` of the memory that a process has in use (VmRSS, VmHWM)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return {"now": int(lines["VmRSS"].split()[0]), "peak": int(lines["VmHWM"].split()[0])}


def memory_of_all_kb(group: ProcessGroup, title: str) -> Mapping[str, int]:
    """``pss`` and ``rss`` of a server's processes together; what they share counts once in the first."""
    sums = {"pss": 0, "rss": 0}
    for process, _ in _of_sessions({group.process_id(title)}):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, amount = line.lower().partition(":")
            if name in sums:
                sums[name] += int(amount.split()[0])
    return sums


def _of_sessions(sessions: Collection[int]) -> Iterator[tuple[int, list[str]]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[_SESSION_FIELD]) in sessions:
            yield int(file.parent.name), fields
