# SPDX-License-Identifier: Apache-2.0
"""The terminal: its size and colours, and a picture on it that is drawn again and again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from .text import encodable

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen without a cursor, and back."""

_HOME, _WIPE_LINE, _WIPE_REST = "\x1b[H", "\x1b[2K", "\x1b[J"

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def is_terminal(env: Mapping[str, str]) -> bool:
    """Does standard output go to a terminal that knows escape sequences?"""
    return sys.stdout.isatty() and env.get("TERM") != "dumb"


def has_colour(env: Mapping[str, str]) -> bool:
    """May the output be coloured? By no-color.org, any value of NO_COLOR but the empty one forbids it."""
    return is_terminal(env) and not env.get("NO_COLOR")


def size() -> os.terminal_size:
    """Columns and lines; 80 columns where there is no terminal. The variable COLUMNS wins."""
    return shutil.get_terminal_size((80, 24))


def say(text: str) -> None:
    """Print, whatever the encoding of standard output."""
    print(encodable(text, sys.stdout.encoding or "ascii"), flush=True)


class Screen:
    """Draws a picture in place of the last one, and leaves the terminal as it was.

    Where there is no terminal the pictures follow one another, without escape sequences. While it is open, a request to
    end (SIGTERM, or SIGHUP of a closed terminal) raises KeyboardInterrupt as Ctrl-C does.
    """

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            # Blocked, so that a new size waits for `wait` instead of being forgotten.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
            undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
            for number in _ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    undo.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
            if self._terminal:
                undo.callback(self._write, _LEAVE)
                self._write(_ENTER)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.close()

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines; on a terminal only as many as it has."""
        if not self._terminal:
            say("\n".join([*lines, ""]))
            return
        rows = size().lines
        shown = lines if len(lines) <= rows else [*lines[: rows - 1], f"... {len(lines) - rows + 1} more lines"]
        # A line is wiped before it is written: behind its last column that would take the last character away.
        self._write(_HOME + "\n".join(_WIPE_LINE + line for line in shown) + _after(shown, rows))

    def wait(self, seconds: float) -> None:
        """Wait for so long, or until the terminal has another size."""
        signal.sigtimedwait({signal.SIGWINCH}, seconds)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone, and SIGHUP on its way
            sys.stdout.write(encodable(text, sys.stdout.encoding or "ascii"))
            sys.stdout.flush()


def _after(shown: Sequence[str], rows: int) -> str:
    return "\n" + _WIPE_REST if len(shown) < rows else ""
