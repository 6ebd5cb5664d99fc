# SPDX-License-Identifier: Apache-2.0
"""What `kuutamoctl history` draws."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kuutamod.cli.history_view import COLUMNS, render
from kuutamod.cli.text import width_of
from kuutamod.consul.overview import Overview, Unread
from kuutamod.core.model import LockView
from kuutamod.core.protocol import TermRecord
from unit.cli.fleets import NOW, PAST, PRESENT, RECORD, WELL, free


def plain(overview: Overview, width: int = 250) -> list[str]:
    """The view as lines without colours."""
    return render(overview, NOW, width, colour=False).split("\n")


def cells(line: str) -> str:
    """The cells of a line, a bar between them."""
    return "|".join(part.strip() for part in line.strip("│ ").split("  ") if part.strip())


def test_wide_shows_everything() -> None:
    lines = plain(WELL)
    assert lines[0] == "pool.near: term 42, held by node-a"
    assert cells(lines[2]) == "|".join(column.title for column in COLUMNS)
    assert [cells(line) for line in lines[4:6]] == [
        "42|node-a|2027-01-15 05:57:01|now|2h02m|0.8s|handover|-|alice|asked for: update of node-b|-",
        "41|node-b|2027-01-14 07:00:01|2027-01-15 05:56:59|22h56m|9.1s|steal|123300001-123440000|-|its holder was silent|"
        "handed over to node-a",
    ]
    assert len(lines) == 7


def test_80_columns() -> None:
    assert plain(WELL, 80)[2:] == [
        "│ Term  Node    Since (UTC)          Until (UTC)          Duration   Gap       │",
        "├──────────────────────────────────────────────────────────────────────────────┤",
        "│   42  node-a  2027-01-15 05:57:01  now                     2h02m  0.8s       │",
        "│     cause handover; asked for by alice; began: asked for: update of node-b   │",
        "│   41  node-b  2027-01-14 07:00:01  2027-01-15 05:56:59    22h56m  9.1s       │",
        "│     cause steal; heights 123300001-123440000; began: its holder was silent;  │",
        "│     ended: handed over to node-a                                             │",
        "╰──────────────────────────────────────────────────────────────────────────────╯",
    ]


@pytest.mark.parametrize(
    ("overview", "row"),
    [
        # A term whose end only the lock tells so far.
        (
            replace(WELL, lock=free(replace(RECORD, released=True, reason="stopped: SIGTERM")), history=(PRESENT,)),
            "42|node-a|2027-01-15 05:57:01|released|-|0.8s|handover|-|alice|asked for: update of node-b|"
            "stopped: SIGTERM (says the lock)",
        ),
        # Its holder has vanished: it lasts no more, but nobody knows since when.
        (
            replace(WELL, lock=free(RECORD), history=(PRESENT,)),
            "42|node-a|2027-01-15 05:57:01|-|-|0.8s|handover|-|alice|asked for: update of node-b|-",
        ),
        # Never live: it counts from the take.
        (
            replace(WELL, history=(replace(PAST, since=0.0, fault=True, gap=-1.0),)),
            "41|node-b|2027-01-14 07:00:00|2027-01-15 05:56:59|22h56m|-|steal|123300001-123440000|-|its holder was silent|"
            "handed over to node-a (by its own fault)",
        ),
        # Written by its successor alone.
        (
            replace(WELL, history=(TermRecord(41, "node-b", 0.0, until=NOW - 60, last_height=7),)),
            "41|node-b|-|2027-01-15 07:59:00|-|-|-|?-7|-|-|-",
        ),
    ],
)
def test_rows(overview: Overview, row: str) -> None:
    assert cells(plain(overview)[4]) == row


@pytest.mark.parametrize(
    ("overview", "title", "notes"),
    [
        (
            replace(WELL, lock=free(replace(RECORD, released=True, reason="full"))),
            "term 42, held by nobody",
            ["term 42 is over: node-a released the lock at height 123456789: full"],
        ),
        (replace(WELL, history=(PAST,)), "term 42, held by node-a", ["term 42 of node-a has no record yet"]),
        (
            replace(WELL, history=()),
            "term 42, held by node-a",
            ["no term has been recorded", "term 42 of node-a has no record yet"],
        ),
        (replace(WELL, lock=LockView(0), history=()), "there is no lock yet", ["no term has been recorded"]),
        (replace(WELL, lock=free(None)), "the lock's value is not a kuutamod's", []),
        (replace(WELL, lock=Unread("denied")), "the lock can't be read: denied", []),
        (
            replace(WELL, history=Unread("denied")),
            "term 42, held by node-a",
            ["the history can't be read: denied"],
        ),
    ],
)
def test_title_and_notes(overview: Overview, title: str, notes: list[str]) -> None:
    lines = plain(overview)
    assert lines[0] == f"pool.near: {title}"
    assert lines[next((at for at, line in enumerate(lines) if line.startswith("╰")), 0) + 1 :] == notes


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.integers(0, 300))
def test_any_value_at_any_width(text: str, width: int) -> None:
    terms = (
        TermRecord(
            10**30, text, math.inf, since=math.nan, until=-1.0, cause=text, began=text, ended=text, gap=1e300, by=text
        ),
        TermRecord(42, text, 1.0, first_height=-(10**20), last_height=10**20, ended=text, fault=True),
    )
    lines = plain(replace(WELL, lock=free(replace(RECORD, released=True, reason=text)), history=terms), width)
    assert all(line.isprintable() for line in lines)
    assert max(map(width_of, lines)) <= max(width, 40)
