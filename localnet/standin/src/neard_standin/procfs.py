# SPDX-License-Identifier: Apache-2.0
"""The suspend-aware clock and the identity of processes, as the kernel knows them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Positions in /proc/<pid>/stat counted after the closing parenthesis of the command name (proc(5) fields 3 and 22).
_STATE = 0
_STARTTIME = 19


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME: never set by anyone, and running on during suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, order=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same pid.

    `starttime` is field 22 of /proc/<pid>/stat: clock ticks since boot.
    """

    pid: int
    starttime: int

    @property
    def started_at(self) -> float:
        """When the process was forked, in seconds of CLOCK_BOOTTIME, rounded down to a clock tick."""
        return self.starttime / _TICKS_PER_SECOND


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def own_process() -> ProcessId:
    """The identity of the calling process."""
    fields = _stat_fields(os.getpid())
    assert fields is not None, "the calling process is always in /proc"
    return ProcessId(os.getpid(), int(fields[_STARTTIME]))


def starttime_of(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat, or None when there is no such process."""
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[_STARTTIME])


def is_alive(process: ProcessId) -> bool:
    """Whether this very process can still run code: stopped counts as alive, a zombie does not."""
    fields = _stat_fields(process.pid)
    return fields is not None and int(fields[_STARTTIME]) == process.starttime and fields[_STATE] not in "ZX"
