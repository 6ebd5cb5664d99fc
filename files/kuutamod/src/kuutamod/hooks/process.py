# SPDX-License-Identifier: Apache-2.0
"""One running hook: a process group of its own that shares nothing with the supervisor but a pipe for its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..deadline import Lane
from .output import Output

REAP_DEADLINE = 1.0
"""Seconds that a process has to be gone after SIGKILL; longer only where it waits for a disk."""

_PIECE = 64 * 1024
_LAST_PIECES = 16
_FLOOD_PAUSE = 0.05
"""Seconds between two reads of what is thrown away, so that a flood does not take the loop's time."""
_POLL = 0.02
_LAUNCHER = Path(__file__).with_name("launcher.py")


class HookProcess:
    """A hook from its start to its end. ``ended``: its exit code, negative for a signal, once it is reaped.

    A hook is over when its first process has ended. What is left of its process group is killed then, and its output is
    no longer read; so a child that keeps it open holds nobody up.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], say: Callable[[str], object]) -> None:
        """``process`` leads a session. ``say`` gets each line of its output; call it on the loop."""
        assert process.stdout is not None
        self._loop = asyncio.get_running_loop()
        self.name = name
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self.output = Output()
        self._process = process
        self._say = say
        self._pipe = process.stdout
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(self._pipe.fileno(), False)
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._finish)
        self._loop.add_reader(self._pipe, self._read)

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, as long as the hook is not reaped."""
        if not self.ended.done():
            _signal_group(self._process.pid, number)

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end, at most so long."""
        await asyncio.wait({self.ended}, timeout=seconds)
        return self.ended.done()

    async def reap_orphans(self) -> None:
        """Collect what was left of its group; where the supervisor is a subreaper those are its children now."""
        end = self._loop.time() + REAP_DEADLINE
        with contextlib.suppress(ChildProcessError):
            while self._loop.time() < end:
                if os.waitpid(-self._process.pid, os.WNOHANG)[0] == 0:  # noqa: ASYNC222  it does not wait
                    await asyncio.sleep(_POLL)

    def _read(self) -> None:
        if not self._take() or not self.output.full:
            return
        self._loop.remove_reader(self._pipe)
        self._pause = self._loop.call_later(_FLOOD_PAUSE, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._pipe, self._read)

    def _take(self) -> bool:
        """Read one piece; False when there is none and when there will be none."""
        try:
            data = os.read(self._pipe.fileno(), _PIECE)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._pipe)
        for line in self.output.feed(data):
            self._say(line)
        return bool(data)

    def _finish(self) -> None:
        """It has ended and is not reaped yet, so its group's number can't be another's."""
        _signal_group(self._process.pid, signal.SIGKILL)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._pause is not None:
            self._pause.cancel()
        for _unused in range(_LAST_PIECES):
            if not self._take():
                break
        self._loop.remove_reader(self._pipe)
        self._pipe.close()
        for line in self.output.finish():
            self._say(line)
        self.ended.set_result(self._process.wait())


class Starter:
    """Starts hooks one at a time, in a thread, since starting a program can wait for a disk."""

    def __init__(self) -> None:
        self._lane = Lane("hook-start")

    async def start(
        self, argv: Sequence[str], environment: Mapping[str, str], say: Callable[[str], object], deadline: float
    ) -> HookProcess:
        """The hook, started. :raises OSError, Overrun: it was not, within ``deadline`` seconds; nor will it be later."""
        birth = _Birth(argv, environment)
        try:
            process = await self._lane.run(birth.run, deadline)
            return HookProcess(Path(argv[0]).name, process, say)
        except BaseException:
            birth.cancel()
            raise

    def close(self) -> None:
        """Let the thread end."""
        self._lane.abandon()


class _Birth:
    """The start of one process, which may come to its end after nobody waits for it any more."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._guard = threading.Lock()
        self._cancelled = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> subprocess.Popen[bytes]:
        """Start it. Blocks. :raises OSError: it can't be started."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_LAUNCHER), *self._argv],
            env=self._environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            close_fds=True,
            start_new_session=True,
        )
        with self._guard:
            self._process = process
            if self._cancelled:
                self._undo()
        return process

    def cancel(self) -> None:
        """Nobody will take the process: end it now, or as soon as there is one."""
        with self._guard:
            self._cancelled = True
            if self._process is not None:
                self._undo()

    def _undo(self) -> None:
        assert self._process is not None
        _signal_group(self._process.pid, signal.SIGKILL)
        threading.Thread(target=self._process.wait, name="hook-undone", daemon=True).start()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
