# SPDX-License-Identifier: Apache-2.0
"""The boxed table: columns move below their row in their order, and no line is ever longer than the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.cli.table import NARROWEST, Column, boxed
from kuutamod.cli.text import Span, paint, width_of

COLUMNS = (
    Column("Name", most=12),
    Column("Count", right=True),
    Column("Age", right=True, fold=1, lead="age "),
    Column("Version", fold=2, lead="version "),
    Column("Flags", most=60, fold=3),
)
ROW = ("first", "1000000", "2h03m", "2.10.0", "syncing, frozen")


def drawn(width: int, *rows: tuple[str, ...]) -> list[str]:
    """The table as plain lines."""
    spans = [tuple(map(Span, row)) for row in rows]
    return [paint(line, False) for line in boxed(COLUMNS, spans, width)]


def test_everything_in_one_row_where_it_fits() -> None:
    assert drawn(80, ROW, ("second", "2", "-", "", "-")) == [
        "╭──────────────────────────────────────────────────╮",
        "│ Name      Count    Age  Version  Flags           │",
        "├──────────────────────────────────────────────────┤",
        "│ first   1000000  2h03m  2.10.0   syncing, frozen │",
        "│ second        2      -           -               │",
        "╰──────────────────────────────────────────────────╯",
    ]


@pytest.mark.parametrize(
    ("width", "head", "below"),
    [
        (52, "Name      Count    Age  Version  Flags", []),
        (51, "Name      Count    Age  Version", ["syncing, frozen"]),
        (40, "Name      Count    Age  Version", ["syncing, frozen"]),
    ],
)
def test_columns_move_below_their_row(width: int, head: str, below: list[str]) -> None:
    lines = drawn(width, ROW, ("second", "2", "-", "", "-"))
    assert lines[1].strip("│ ") == head
    inside = [line.strip("│ ") for line in lines[4 : 4 + len(below)]]
    assert inside == below
    # A cell that says nothing is not shown below its row.
    assert lines[4 + len(below)].strip("│ ").startswith("second")
    assert len(lines) == 6 + len(below)


def test_names_are_shortened_before_numbers() -> None:
    columns = (Column("Name", most=40), Column("Height", right=True, most=40))
    row = (Span("a" * 40), Span("1" * 20))
    line = paint(boxed(columns, [row], 40)[3], False)
    assert line == f"│ {'a' * 13}…  {'1' * 20} │"
    assert width_of(line) == 40


def test_several_pieces_below_a_row() -> None:
    columns = (Column("Name"), Column("A", fold=1, lead="a "), Column("B", fold=1, lead="b "))
    row = (Span("x" * 20), Span("y" * 20), Span("z" * 20))
    lines = [paint(line, False) for line in boxed(columns, [row], 44)]
    assert [line.strip("│ ") for line in lines[3:-1]] == ["x" * 20, f"a {'y' * 20};", f"b {'z' * 20}"]
    assert {width_of(line) for line in lines} == {len(lines[0])}


@given(st.lists(st.tuples(*[st.text(max_size=80)] * 5), max_size=4), st.integers(0, 200))
def test_every_line_is_as_wide_as_the_table(rows: list[tuple[str, ...]], width: int) -> None:
    lines = drawn(width, *rows)
    assert len({width_of(line) for line in lines}) == 1
    assert width_of(lines[0]) <= max(width, NARROWEST)
    assert all(line.isprintable() for line in lines)
