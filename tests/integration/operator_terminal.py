# SPDX-License-Identifier: Apache-2.0
"""A real pseudo-terminal with a program that draws pictures on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence

from integration.scenario import BUSY
from kuutamo_localnet.wait import eventually

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen without a cursor, and back."""


def bare(frame: str) -> str:
    """What an eye sees of a picture."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", frame)


def widest(frame: str) -> int:
    """Columns of the longest line."""
    return max(map(len, bare(frame).split("\r\n")))


class Terminal:
    """A program on a pseudo-terminal of its own: what it shows, its keys, its size."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.resize(24, 100)
        # A session of its own, as a login gives it, so that Ctrl-C reaches it through the terminal.
        self.process = subprocess.Popen(["setsid", "--ctty", *argv], env=dict(env), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self._seen = bytearray()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._thread.start()

    def resize(self, lines: int, columns: int) -> None:
        """Another size; the kernel tells the program by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def text(self) -> str:
        """Everything that was written so far."""
        return self._seen.decode(errors="replace")

    def frames(self) -> list[str]:
        """The whole pictures so far, oldest first."""
        return [frame for frame in self.text().split("\x1b[H")[1:] if frame.endswith("\x1b[J")]

    def shows(self, *words: str, beyond: int = 0) -> str:
        """Wait for a picture with all these words, colours apart, later than the first ``beyond`` ones."""

        def found() -> str:
            return next((frame for frame in self.frames()[beyond:] if all(word in bare(frame) for word in words)), "")

        try:
            return eventually(found, BUSY, f"the screen shows {words}")
        except AssertionError as error:
            error.add_note(self.text()[-3000:])
            raise

    def ended(self) -> int:
        """The exit code, once the program has ended and all it wrote was read."""
        code = self.process.wait(BUSY)
        eventually(lambda: LEAVE in self.text(), BUSY, "the terminal is restored")
        return code

    def hang_up(self) -> None:
        """Close the window; the kernel sends SIGHUP. May be called twice."""
        self._closing.set()
        self._thread.join(BUSY)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(BUSY)
        self.hang_up()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                if select.select([self._master], [], [], 0.05)[0]:
                    self._seen += os.read(self._master, 65536)
        os.close(self._master)
