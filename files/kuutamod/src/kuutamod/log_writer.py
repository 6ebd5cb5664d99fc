# SPDX-License-Identifier: Apache-2.0
"""Lines on their way to a stream that may block, break or vanish without the supervisor noticing.

A bounded queue and one daemon thread. Whoever logs never waits: when the queue is full the oldest line goes, because the
newest ones say what the node is doing now. A line that can't be written (EPIPE, EIO, ENOSPC, ...) is dropped and counted;
the next one is tried anyway, so a stream that comes back is used again, first for a line that tells the loss.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import TextIO

CAPACITY = 1000
"""Lines that may wait."""


class Writer:
    """Writes bytes to a stream in the background; see the module. Nothing in it raises."""

    def __init__(self, stream: TextIO | None, tell_loss: Callable[[int], bytes], capacity: int = CAPACITY) -> None:
        """``tell_loss`` makes the line that reports a number of dropped lines. A closed stream or None drops everything."""
        self._write = _opened(stream)
        self._tell_loss = tell_loss
        self._capacity = capacity
        self._lines: collections.deque[bytes] = collections.deque()
        # Reentrant, so that a signal handler may log while the main thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._busy = False
        self._torn = False
        self._dropped = 0
        self._told = 0
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start."""
        return self._dropped

    def put(self, line: bytes) -> None:
        """Queue one line (with its newline); returns at once."""
        with self._changed:
            self._lines.append(line)
            while len(self._lines) > self._capacity:
                self._lines.popleft()
                self._dropped += 1
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until everything queued is written or dropped; False when it was not."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._busy, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                line = self._lines.popleft()
                self._busy = True
                lost = self._dropped
            if lost > self._told and self._wrote(self._tell_loss(lost - self._told)):
                self._told = lost
            if not self._wrote(line):
                with self._changed:
                    self._dropped += 1

    def _wrote(self, line: bytes) -> bool:
        """Did the whole line get out? What follows a torn line starts on a new one."""
        rest = memoryview(b"\n" + line if self._torn else line)
        length = len(rest)
        try:
            while rest:
                rest = rest[self._write(rest) :]
        except (OSError, ValueError):
            self._torn = self._torn or len(rest) < length
            return False
        self._torn = False
        return True


def _opened(stream: TextIO | None) -> Callable[[memoryview], int]:
    """How to write to the stream. It works on an own descriptor: nobody can close it and have its number used again.

    Writing past Python's buffers also keeps their locks out of the interpreter's end.
    """
    if stream is None:
        return _nowhere
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream in memory has none, a closed one neither
        return _into(stream)
    try:
        own = os.dup(descriptor)
    except OSError:
        return _nowhere
    return lambda data: _write_some(own, data)


def _nowhere(data: memoryview) -> int:
    raise BrokenPipeError(f"no stream for {len(data)} bytes")


def _into(stream: TextIO) -> Callable[[memoryview], int]:
    def write(data: memoryview) -> int:
        stream.write(bytes(data).decode(errors="replace"))
        return len(data)

    return write


def _write_some(descriptor: int, data: memoryview) -> int:
    with contextlib.suppress(BlockingIOError):
        return os.write(descriptor, data)
    # Somebody else made the shared description non-blocking; this thread is the one that may wait.
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    writable.poll()
    return 0
