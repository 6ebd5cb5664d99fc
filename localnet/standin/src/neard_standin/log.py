# SPDX-License-Identifier: Apache-2.0
"""Log lines on stderr in the form of neard's tracing output, and the panic that ends in SIGABRT."""

from __future__ import annotations

import contextlib
import os
import select
import time
from enum import StrEnum
from typing import NoReturn

_STDERR = 2
# What poll() promises to take without blocking when it reports a pipe as writable (PIPE_BUF).
_PIPE_ATOM = 4096


class Level(StrEnum):
    """The levels a node logs at."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def utc(at: float, decimals: int) -> str:
    """`at` (seconds since the epoch) as ISO 8601 in UTC with so many decimals."""
    whole = int(at)
    fraction = str(int((at - whole) * 10**9)).zfill(9)[:decimals]
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction}Z"


class Log:
    """Writes log lines; like neard's logger it drops lines rather than wait for a reader that is slow or gone."""

    def __init__(self) -> None:
        self._writable = select.poll()
        self._writable.register(_STDERR, select.POLLOUT)
        self.written: dict[Level, int] = dict.fromkeys(Level, 0)

    def write(self, level: Level, target: str, message: str) -> None:
        """Log one line, cut to what never blocks."""
        self.written[level] += 1
        line = f"{utc(time.time(), 6)} {level:>5} {target}: {message}\n".encode()
        with contextlib.suppress(OSError):
            if any(events & select.POLLOUT for _unused, events in self._writable.poll(0)):
                os.write(_STDERR, line if len(line) <= _PIPE_ATOM else line[: _PIPE_ATOM - 1] + b"\n")


def panic(message: str) -> NoReturn:
    """End the process as a Rust panic does under panic=abort: the text on stderr, then SIGABRT."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"\nthread 'main' panicked:\n{message}\n".encode())
    os.abort()
