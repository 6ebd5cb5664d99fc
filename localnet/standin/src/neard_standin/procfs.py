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

    `starttime` is field 22 of /proc/<pid>/stat: clock ticks since boot. `namespace` is the inode of the pid namespace
    that `pid` belongs to, 0 on a chain of one host, where there is only one.
    """

    pid: int
    starttime: int
    namespace: int = 0

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


def own_process(*, many_hosts: bool = False) -> ProcessId:
    """The identity of the calling process; `many_hosts`: with its pid namespace."""
    fields = _stat_fields(os.getpid())
    assert fields is not None, "the calling process is always in /proc"
    return ProcessId(os.getpid(), int(fields[_STARTTIME]), _namespace_of("self") or 0 if many_hosts else 0)


def _namespace_of(pid: int | str) -> int | None:
    """The inode of the pid namespace of a process; None when the kernel does not let us know."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116 - the link's target, not a file
    except OSError:
        return None


def find_pid(process: ProcessId) -> int | None:
    """The pid of `process` as seen from here, or None when it is gone or out of sight.

    From the outermost namespace of a machine all processes of all its containers are in sight.
    """
    if process.namespace in (0, _namespace_of("self")):
        return process.pid if starttime_of(process.pid) == process.starttime else None
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names only
        if entry.isdecimal() and starttime_of(int(entry)) == process.starttime and _is_inside(int(entry), process):
            return int(entry)
    return None


def _is_inside(pid: int, process: ProcessId) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    # Another user's containers do not show their namespaces; pid and start time together are close to unique as well.
    return line.split()[-1:] == [str(process.pid)] and _namespace_of(pid) in (None, process.namespace)


def starttime_of(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat, or None when there is no such process."""
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[_STARTTIME])


def is_alive(process: ProcessId) -> bool:
    """Whether this very process can still run code: stopped counts as alive, a zombie does not."""
    fields = _stat_fields(process.pid)
    return fields is not None and int(fields[_STARTTIME]) == process.starttime and fields[_STATE] not in "ZX"
