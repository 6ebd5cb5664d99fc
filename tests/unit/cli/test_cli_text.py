# SPDX-License-Identifier: Apache-2.0
"""Text for a terminal: nothing moves the cursor, widths are known, lines are broken where they should be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kuutamod.cli.text import Span, Style, clean, encodable, flow, pad, paint, shorten, width_of
from kuutamod.fleet.moments import clock, date, duration


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("  two \t lines\r\n\n", "two lines"),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("bell\x07 back\x08 nul\x00 del\x7f csi\x9b", "bell? back? nul? del? csi?"),
        ("right\u202eleft \u2066x\u2069", "right?left ?x?"),
        ("zero\u200bwidth\ufeff", "zero?width?"),
        ("lone \ud800", "lone ?"),
        ("private \ue000", "private ?"),
        ("line\u2028par\u2029", "line par"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("sign \u2600\ufe0f", "sign \u2600"),
        ("\u65e5\u672c\u8a9e \u00fcber", "\u65e5\u672c\u8a9e \u00fcber"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "text", ["", "abc", "\u00e9", "\u65e5\u672c", "\uff21", "e\u0301\u0323", "\U0001f680", "\u0e17\u0e35\u0e48", "\u2026"]
)
def test_width(text: str) -> None:
    assert width_of(text) == cell_len(text)


@given(st.text())
def test_nothing_moves_the_cursor(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert clean(shown) == shown


@given(st.text(), st.integers(0, 40), st.booleans())
def test_cells_have_their_width(text: str, width: int, right: bool) -> None:
    shown = clean(text)
    assert width_of(shorten(shown, width)) <= width
    assert width_of(pad(shown, width, right)) == width


def test_shortened_texts_say_so() -> None:
    assert [shorten("abcdef", width) for width in (6, 5, 1, 0)] == ["abcdef", "abcd\u2026", "\u2026", ""]
    assert shorten("\u65e5\u672c\u8a9e", 4) == "\u65e5\u2026"
    assert (pad("ab", 4), pad("ab", 4, right=True)) == ("ab  ", "  ab")


def test_flow_keeps_pieces_together_and_indents() -> None:
    spans = [Span("one two;"), Span("three four five;", Style.RED), Span("six")]
    lines = flow(spans, 17, indent=1)
    assert ["".join(span.text for span in line) for line in lines] == ["one two;", " three four five;", " six"]
    # A piece that is longer than a line goes by words, a word that is longer is shortened.
    assert [paint(line, False) for line in flow([Span("aa bb cccccccc d")], 6)] == ["aa bb", "ccccc\u2026", "d"]
    assert flow([], 10) == []


@given(st.lists(st.text(max_size=60), max_size=6), st.integers(10, 60), st.integers(0, 4))
def test_flow_never_overruns(texts: list[str], width: int, indent: int) -> None:
    for line in flow([Span(text) for text in texts], width, indent):
        assert width_of(paint(line, False)) <= width


def test_colours_are_left_out() -> None:
    line = (Span("a", Style.RED), Span("b"))
    assert (paint(line, True), paint(line, False)) == ("\x1b[31ma\x1b[0mb", "ab")


def test_an_output_without_these_signs() -> None:
    text = "\u256d\u2500\u256e \u2502\u00e9\u65e5\u2026"
    assert encodable(text, "utf-8") == text
    assert encodable(text, "latin-1") == "+-+ |\u00e9?~"
    assert encodable(text, "ascii") == "+-+ |??~"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0.0s"),
        (0.83, "0.8s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185.0, "3m05s"),
        (3599.6, "1h00m"),
        (7380.0, "2h03m"),
        (86_400 * 5 + 4 * 3600, "5d04h"),
        (math.inf, "?"),
        (math.nan, "?"),
        (1e300, "?"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert len(duration(seconds)) <= 8


def test_moments() -> None:
    assert (date(1_800_000_000.9), clock(1_800_000_000.9)) == ("2027-01-15 08:00:00", "08:00:00")
    for strange in (math.inf, -math.inf, math.nan, -1.0, 1e18):
        assert (date(strange), clock(strange)) == ("?", "?")
