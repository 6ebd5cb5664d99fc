# SPDX-License-Identifier: Apache-2.0
"""What a hook writes, within limits: some lines for the log, the last one for a verdict, the rest thrown away. Pure."""

from __future__ import annotations

from ..redact import redact

LOGGED_BYTES = 8 * 1024
"""Bytes of one hook's output that go to the log."""

LOGGED_LINES = 50
"""Lines of it; the log's queue is bounded and has more to carry than this."""

LINE_BYTES = 2000
"""Bytes of one line; the rest is cut off."""

_KEY_LENGTH = 100
"""Characters; no secret key is longer. That much goes at a cut, so that no part of a key stands there unmasked."""


class Output:
    """Takes pieces of bytes as they come."""

    def __init__(self) -> None:
        self.last = ""
        self._line = b""
        self._cut_line = False
        self._bytes = LOGGED_BYTES
        self._lines = LOGGED_LINES
        self._tail = b""
        self._dropped = 0

    @property
    def full(self) -> bool:
        """Has everything been logged that may be?"""
        return self._bytes <= 0 or self._lines <= 0

    @property
    def dropped(self) -> int:
        """Bytes that did not go to the log because it was full."""
        return self._dropped

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now, fit for the log."""
        ready: list[str] = []
        while data and not self.full:
            piece, newline, data = data.partition(b"\n")
            self._bytes -= len(piece) + len(newline)
            self._cut_line = self._cut_line or len(self._line) + len(piece) > LINE_BYTES
            self._line = (self._line + piece)[:LINE_BYTES]
            if newline:
                self._end_line(ready)
        if data:
            self._dropped += len(data)
            self._tail = (self._tail + data)[-LINE_BYTES:]
        return ready

    def finish(self) -> list[str]:
        """There is no more: what is left without a newline."""
        ready: list[str] = []
        if self._tail:
            # It may begin in the middle of a line, and of a key.
            cut = self._dropped > len(self._tail) or bool(self._line)
            before, newline, rest = self._tail.rstrip().partition(b"\n")
            text = _text(rest) if newline else _text(before, cut_start=cut)
            lines = text.splitlines()
            self.last = lines[-1].strip() if lines else self.last
        elif self._line:
            self._end_line(ready)
        return ready

    def _end_line(self, ready: list[str]) -> None:
        line = _text(self._line, cut_end=self._cut_line).rstrip()
        self._line, self._cut_line = b"", False
        if line:
            self._lines -= 1
            self.last = line
            ready.append(line)


def _text(data: bytes, *, cut_start: bool = False, cut_end: bool = False) -> str:
    text = redact(data.decode(errors="backslashreplace"))
    if cut_end:
        text = f"{text[:-_KEY_LENGTH]}..."
    return f"...{text[_KEY_LENGTH:]}" if cut_start else text
