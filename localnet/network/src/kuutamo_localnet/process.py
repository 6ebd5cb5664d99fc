# SPDX-License-Identifier: Apache-2.0
"""One program started for a test or the localnet: signals by pid, its whole tree, an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import reaper
from .reaper import ProcessInfo, descendants, read_process
from .wait import eventually

START_DEADLINE = 10.0  # seconds for the reaper's interpreter to start the program, on a busy machine
END_DEADLINE = 15.0  # seconds for SIGKILLed processes to be gone
STILL_DEADLINE = 15.0  # seconds for a process that was sent a SIGSTOP to stand still, on a busy machine


def send_signal(process: ProcessInfo, sig: int) -> bool:
    """Send `sig` to exactly this process; False when it is gone, even if its pid lives on in another one."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor pins the process, so the comparison cannot be overtaken by a reuse of the pid.
        now = read_process(process.pid)
        if now is None or now.started != process.started:
            return False
        signal.pidfd_send_signal(descriptor, sig)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def lives(process: ProcessInfo) -> bool:
    """Whether exactly this process still runs: stopped counts, dead but not yet reaped does not."""
    now = read_process(process.pid)
    return now is not None and now.started == process.started and now.state not in "ZX"


def stands_still(process: ProcessInfo) -> bool:
    """Whether this process lives and every thread of it is stopped."""
    if not lives(process):
        return False
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # A thread has a page in /proc like a process, though no listing shows it.
        threads = [read_process(int(entry.name)) for entry in Path(f"/proc/{process.pid}/task").iterdir()]
        return all(thread.state in "TZX" for thread in threads if thread is not None)
    return False


def stop(process: ProcessInfo) -> bool:
    """SIGSTOP exactly this process and wait until it stands still; False when it is gone.

    The signal is taken by one thread, when that is scheduled next, and reaches the others from there. Until then
    they work on: they answer, write and notice the death of another.

    Raises AssertionError after STILL_DEADLINE seconds.
    """
    send_signal(process, signal.SIGSTOP)
    what = f"{process.name} pid {process.pid} is stopped"
    return eventually(lambda: stands_still(process) or not lives(process), STILL_DEADLINE, what, 0.002) and lives(process)


class Process:
    """A program with its own session, started under a reaper (see `reaper`) and logging to a file.

    `log` gets standard output and standard error, appended. `prefix` is put before the program's argument vector,
    for instance `ip netns exec NAME`. Everything the program starts, orphans included, belongs to its tree and ends
    with `close()` or with the test process. Used as a context manager it starts and closes.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.argv = [*prefix, *(str(part) for part in argv)]
        self.log = log
        self.name = name or Path(str(argv[0])).name
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._reaper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._unread = b""
        self._info: ProcessInfo | None = None
        self._status: int | None = None

    def start(self) -> Self:
        """Start the program. Raises RuntimeError when it is already running or cannot be started."""
        if self._reaper is not None:
            raise RuntimeError(f"{self.name} was already started")
        self._status, self._info, self._unread = None, None, b""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, self.log.open("ab") as log:
            self._reaper = subprocess.Popen(
                [sys.executable, "-I", "-S", reaper.__file__, str(theirs.fileno()), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        self._control = ours
        line = self._read_line(START_DEADLINE)
        if line is None or not line.startswith("pid "):
            self.close()
            raise RuntimeError(f"{self.name} did not start within {START_DEADLINE:g} s; see {self.log}")
        pid = int(line.removeprefix("pid "))
        # A program that has already ended is known by its pid alone: nothing can be sent to it any more.
        self._info = read_process(pid) or ProcessInfo(pid, 0, "X", -1, self.name)
        return self

    @property
    def pid(self) -> int:
        """The program's pid, also after its end. Raises RuntimeError before the start."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """None while the program runs, else its exit code, or minus the signal that ended it."""
        self._collect(0)
        return None if self._status is None else os.waitstatus_to_exitcode(self._status)

    def alive(self) -> bool:
        """Whether the program itself runs (frozen counts, dead but not yet reaped does not)."""
        return self._info is not None and lives(self._info)

    def kill(self, sig: int = signal.SIGKILL) -> bool:
        """Send `sig` to the program alone, by pid; False when it is gone."""
        return send_signal(self._started(), sig)

    def terminate(self) -> bool:
        """Ask the program alone to end (SIGTERM); False when it is gone."""
        return self.kill(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP the program alone and wait until it stands still. Raises AssertionError as `stop`."""
        stop(self._started())

    def thaw(self) -> None:
        """SIGCONT the program alone."""
        self.kill(signal.SIGCONT)

    def wait(self, deadline: float) -> int:
        """The program's return code (as `returncode`). Raises TimeoutError after `deadline` seconds."""
        self._collect(deadline)
        code = self.returncode
        if code is None:
            raise TimeoutError(f"{self.name} (pid {self.pid}) still runs after {deadline:g} s")
        return code

    def tree(self) -> list[ProcessInfo]:
        """The program and all its living descendants, those orphaned by the death of their parent included."""
        return descendants(self._reaper.pid) if self._reaper is not None else []

    def freeze_tree(self) -> None:
        """SIGSTOP the whole tree, children born meanwhile included, and wait until it stands still.

        Raises TimeoutError when it keeps growing, AssertionError as `stop`.
        """
        frozen: set[tuple[int, int]] = set()
        end = time.monotonic() + END_DEADLINE
        while fresh := [member for member in self.tree() if (member.pid, member.started) not in frozen]:
            if time.monotonic() > end:
                raise TimeoutError(f"the process tree of {self.name} keeps growing while it is being frozen")
            # Parents first: one that has just forked may wait for its child to become another program.
            for member in fresh:
                stop(member)
                frozen.add((member.pid, member.started))

    def thaw_tree(self) -> None:
        """SIGCONT the whole tree."""
        for member in reversed(self.tree()):
            send_signal(member, signal.SIGCONT)

    def kill_tree(self) -> None:
        """SIGKILL the whole tree and wait until it is gone.

        The tree is frozen first, so that no member can react to the death of another: this is how a host dies.
        """
        self.freeze_tree()
        end = time.monotonic() + END_DEADLINE
        while members := self.tree():
            if time.monotonic() > end:
                raise TimeoutError(f"processes of {self.name} survive SIGKILL: {[m.pid for m in members]}")
            for member in members:
                send_signal(member, signal.SIGKILL)
            time.sleep(0.005)

    def log_text(self) -> str:
        """Everything the program has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        """End the whole tree and the reaper; afterwards the program may be started again. May be called twice."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
        if self._reaper is not None:
            self._collect(END_DEADLINE)
            try:
                self._reaper.wait(END_DEADLINE)
            except subprocess.TimeoutExpired:
                survivors = [member.pid for member in self.tree()]
                raise TimeoutError(f"processes of {self.name} survive SIGKILL: {survivors}") from None
        if self._control is not None:
            self._control.close()
        self._reaper = self._control = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _started(self) -> ProcessInfo:
        if self._info is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._info

    def _collect(self, deadline: float) -> None:
        if self._status is None and self._control is not None:
            line = self._read_line(deadline)
            if line is not None and line.startswith("exit "):
                self._status = int(line.removeprefix("exit "))

    def _read_line(self, deadline: float) -> str | None:
        """The reaper's next line, or None after `deadline` seconds or at the end of its output."""
        assert self._control is not None
        end = time.monotonic() + deadline
        while b"\n" not in self._unread:
            ready, *_rest = select.select([self._control], [], [], max(0.0, end - time.monotonic()))
            data = self._control.recv(4096) if ready else b""
            if not data:
                return None
            self._unread += data
        line, _separator, self._unread = self._unread.partition(b"\n")
        return line.decode()
