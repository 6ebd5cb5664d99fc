# SPDX-License-Identifier: Apache-2.0
"""A hook's output within limits, and no part of a key at any cut."""

from __future__ import annotations

import pytest

from kuutamod.hooks.output import LINE_BYTES, LOGGED_BYTES, LOGGED_LINES, Output

KEY = "ed25519:" + "".join(chr(ord("A") + index % 8) for index in range(88))
PARTS = [KEY[start : start + 12] for start in range(8, len(KEY) - 12)]


def fed(*pieces: bytes) -> tuple[list[str], Output]:
    """All lines of an output that came in these pieces."""
    output = Output()
    lines = [line for piece in pieces for line in output.feed(piece)]
    return lines + output.finish(), output


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_however_the_pieces_are_cut(size: int) -> None:
    text = "one\r\n\ntwo \N{GREEK SMALL LETTER ALPHA}\n  \nthree".encode()
    lines, output = fed(*(text[start : start + size] for start in range(0, len(text), size)))
    assert lines == ["one", "two \N{GREEK SMALL LETTER ALPHA}", "three"]
    assert (output.last, output.dropped) == ("three", 0)


def test_bytes_that_are_no_text() -> None:
    assert fed(b"\xff\x00!\n")[0] == ["\\xff\x00!"]


@pytest.mark.parametrize("line", [b"x\n", b"x" * 500 + b"\n", b"-" * 100_000, b"-\n\n"])
def test_no_more_than_the_limits_gets_through(line: bytes) -> None:
    lines, output = fed(*[line] * 5000, b"the end\n")
    assert len(lines) <= LOGGED_LINES
    assert sum(map(len, lines)) <= LOGGED_BYTES
    assert output.dropped > 0
    assert output.last.endswith("the end")


@pytest.mark.parametrize("at", range(LINE_BYTES - 120, LINE_BYTES + 20, 7))
def test_a_key_at_the_cut_of_a_long_line(at: int) -> None:
    lines, output = fed(("-" * at + KEY + "-" * 3000 + "\n").encode())
    shown = " ".join([*lines, output.last])
    assert not any(part in shown for part in PARTS)
    assert shown.startswith("-----")


@pytest.mark.parametrize("after", range(LINE_BYTES - 120, LINE_BYTES + 20, 7))
def test_a_key_at_the_cut_of_a_flood(after: int) -> None:
    _unused, output = fed(b"-" * 2 * LOGGED_BYTES, (KEY + "-" * after).encode())
    assert not any(part in output.last for part in PARTS)
    assert output.last.endswith("-----")
