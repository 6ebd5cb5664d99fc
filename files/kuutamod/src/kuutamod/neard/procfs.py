# SPDX-License-Identifier: Apache-2.0
"""What /proc and the kernel's locks say about processes. Blocking, but local and short."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import struct
from pathlib import Path

from ..guard.child import MARKER, start_time

PR_SET_CHILD_SUBREAPER = 36
_FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


def become_subreaper() -> None:
    """Inherit orphaned descendants: when a guard dies, its neard becomes our child and its end can be proved."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lock_holder(path: Path) -> int | None:
    """The pid that holds RocksDB's record lock on ``path``, None when nobody does.

    The file's being there means nothing: only a living process holds the lock (POSIX F_SETLK, measured with RocksDB).
    A holder in another pid namespace shows as 0 or less.
    """
    try:
        with path.open("rb+") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_GETLK, asked)
    except FileNotFoundError:
        return None
    kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else pid


def command_line(pid: int) -> str:
    """The command line of a process, readable; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def guarded_home(pid: int) -> str | None:
    """The home for which a guard of ours started this process; None when it did not, or it may not be asked."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for item in environment.split(b"\0"):
        name, _unused, value = item.partition(b"=")
        if name == MARKER.encode():
            return value.decode(errors="surrogateescape")
    return None


def guarded_processes(home: Path) -> tuple[int, ...]:
    """Living neards that a guard of ours started on ``home``."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and guarded_home(int(entry.name)) == str(home) and running(int(entry.name)):
            found.append(int(entry.name))
    return tuple(sorted(found))


def running(pid: int) -> bool:
    """Does the process exist and is it more than an unreaped zombie?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def end_process(pid: int, started: int) -> None:
    """SIGKILL to exactly the process with this pid and start time; nothing when it is another one by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            if start_time(pid) == started:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
