# SPDX-License-Identifier: Apache-2.0
"""The parent of one program under test: ends the program's whole process tree when the test run ends, however it ends.

Tests kill and freeze supervisors, so orphans are the rule here. This program makes itself the reaper of all its
descendants (PR_SET_CHILD_SUBREAPER), so that an orphan stays findable as a descendant, and kills them all as soon as
its control socket closes: closed by the harness, or by the kernel when the test process itself was killed.

It is run as a plain script by an isolated interpreter and must import nothing but the standard library. It writes two
kinds of line to the control socket: `pid N` once the program runs, and `exit STATUS` (as os.waitpid reports it) when
the program has ended. It leaves when the program and all its descendants are gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import sys
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class ProcessInfo(NamedTuple):
    """One line of /proc: `started` (clock ticks since boot) tells a process from a later one with the same pid."""

    pid: int
    parent: int
    state: str
    started: int
    name: str


def read_process(pid: int) -> ProcessInfo | None:
    """What /proc says about `pid`, or None when there is no such process. Zombies are reported (state Z)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may itself contain blanks and parentheses: see proc(5).
    head, _unused, tail = stat.rpartition(")")
    fields = tail.split()
    return ProcessInfo(pid, int(fields[1]), fields[0], int(fields[19]), head.partition("(")[2])


def descendants(root: int) -> list[ProcessInfo]:
    """All living descendants of `root`, parents before children, zombies left out."""
    children: dict[int, list[ProcessInfo]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names only, this runs in a tight loop
        if entry.isdecimal() and (info := read_process(int(entry))) is not None:
            children.setdefault(info.parent, []).append(info)
    found: list[ProcessInfo] = []
    queue = [root]
    while queue:
        for info in children.get(queue.pop(0), []):
            queue.append(info.pid)
            if info.state not in "ZX":
                found.append(info)
    return found


def _start(argv: list[str], libc: ctypes.CDLL) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        # Python ignores the last two; an ignored signal would stay ignored in the program.
        for signum in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_DFL)
        os.setsid()
        os.execvp(argv[0], argv)  # noqa: S606 - a fixed argument vector
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _reap(child: int, control: int) -> bool:
    """Collect everything that has ended; False when no descendant is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == child:
            _tell(control, f"exit {status}")


def _tell(control: int, line: str) -> None:
    # When the harness is gone, its closed socket ends this program anyway.
    with contextlib.suppress(OSError):
        os.write(control, f"{line}\n".encode())


def _kill_all() -> None:
    for info in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)


def main() -> None:
    """Arguments: the descriptor of the control socket, then the program and its arguments."""
    control, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(control, False)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
    child = _start(argv, libc)
    _tell(control, f"pid {child}")
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        ending = False
        while _reap(child, control):
            if ending:
                _kill_all()
            # While ending, look again soon: a descendant may have forked between the listing and the kill.
            for key, _unused in selector.select(0.02 if ending else None):
                if key.fd == wake_read:
                    os.read(wake_read, 4096)
                elif not ending:
                    ending = True
                    selector.unregister(control)


if __name__ == "__main__":
    main()
