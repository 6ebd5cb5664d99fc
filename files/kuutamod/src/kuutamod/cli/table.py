# SPDX-License-Identifier: Apache-2.0
"""A boxed table that fits its terminal: columns that don't move below their row, and no line is ever too long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .text import Span, Style, clean, flow, pad, shorten, width_of

GAP = 2
"""Blanks between two columns."""

FRAME = 4
"""Columns for the frame, a blank inside on either side."""

INDENT = 4
"""Blanks before what stands below its row."""

NARROWEST = 40
"""Columns; on less than that the lines are as long as on so many."""

_LEAST_TEXT, _LEAST = 8, 3
"""Columns to which a column of text, or any, is shortened when nothing else helps."""


@dataclass(frozen=True)
class Column:
    """One column. ``most``: the widest it gets, longer values are shortened.

    ``fold`` 0: it always stays in the row. Else, where the row would be too wide, the columns with the highest ``fold``
    move below it first; there ``lead`` tells what the value is.
    """

    title: str
    right: bool = False
    most: int = 24
    fold: int = 0
    lead: str = ""


Row = tuple[Span, ...]


def boxed(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[tuple[Span, ...]]:
    """The lines of the table, at most ``width`` columns wide. A cell that is empty or ``-`` is not shown below a row."""
    width = max(width, NARROWEST)
    clear = [tuple(Span(clean(cell.text), cell.style) for cell in row) for row in rows]
    kept = _kept(columns, clear, width - FRAME)
    widths = _shrunk(columns, kept, [_natural(columns, clear, at) for at in kept], width - FRAME)
    below = [_below(columns, kept, row) for row in clear]
    inner = max(_total(widths), min(max(map(_length, below), default=0), width - FRAME))
    head = [
        Span(pad(columns[at].title, room, columns[at].right), Style.BOLD) for at, room in zip(kept, widths, strict=True)
    ]
    lines = [_rule("\u256d", "\u256e", inner), _line(_spaced(head), inner), _rule("\u251c", "\u2524", inner)]
    for row, pieces in zip(clear, below, strict=True):
        cells = [
            Span(pad(row[at].text, room, columns[at].right), row[at].style) for at, room in zip(kept, widths, strict=True)
        ]
        lines.append(_line(_spaced(cells), inner))
        lines += [_line((Span(" " * INDENT), *line), inner) for line in flow(pieces, inner - INDENT)]
    return [*lines, _rule("\u2570", "\u256f", inner)]


def _kept(columns: Sequence[Column], rows: Sequence[Row], room: int) -> list[int]:
    """Which columns stay in the row: as many as fit."""
    for level in sorted({column.fold for column in columns}, reverse=True):
        kept = [at for at, column in enumerate(columns) if column.fold <= level]
        if _total([_natural(columns, rows, at) for at in kept]) <= room:
            return kept
    return [at for at, column in enumerate(columns) if column.fold == 0]


def _natural(columns: Sequence[Column], rows: Sequence[Row], at: int) -> int:
    longest = max((width_of(row[at].text) for row in rows), default=0)
    return max(len(columns[at].title), min(longest, columns[at].most))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _shrunk(columns: Sequence[Column], kept: Sequence[int], widths: list[int], room: int) -> list[int]:
    """The widths, taken from the widest until they fit: from text first, a number that is cut says nothing."""
    texts = [place for place, at in enumerate(kept) if not columns[at].right]
    for places, least in ((texts, _LEAST_TEXT), (range(len(kept)), _LEAST)):
        while _total(widths) > room and max(widths[place] for place in places) > least:
            widest = max(places, key=lambda place: widths[place])
            widths[widest] -= 1
    return widths


def _below(columns: Sequence[Column], kept: Sequence[int], row: Row) -> list[Span]:
    """What stands below a row, as pieces with semicolons between them."""
    moved = [(columns[at], cell) for at, cell in enumerate(row) if at not in kept and cell.text not in ("", "-")]
    pieces = [Span(f"{column.lead}{shorten(cell.text, column.most)}", cell.style) for column, cell in moved]
    return [replace(piece, text=f"{piece.text};") for piece in pieces[:-1]] + pieces[-1:]


def _length(pieces: Sequence[Span]) -> int:
    return INDENT + sum(width_of(piece.text) for piece in pieces) + len(pieces) - 1 if pieces else 0


def _spaced(cells: Sequence[Span]) -> tuple[Span, ...]:
    spaced: list[Span] = []
    for cell in cells:
        spaced += [cell, Span(" " * GAP)]
    return tuple(spaced[:-1])


def _line(spans: Sequence[Span], inner: int) -> tuple[Span, ...]:
    filled = sum(width_of(span.text) for span in spans)
    return (Span("\u2502 ", Style.DIM), *spans, Span(" " * (inner - filled)), Span(" \u2502", Style.DIM))


def _rule(left: str, right: str, inner: int) -> tuple[Span, ...]:
    return (Span(left + "\u2500" * (inner + 2) + right, Style.DIM),)
