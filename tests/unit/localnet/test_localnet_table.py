# SPDX-License-Identifier: Apache-2.0
"""The picture of a localnet: right cells, 80 columns, no colours where none are wanted."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from kuutamo_localnet.observe import FROZEN, LockFacts, NodeFacts
from kuutamo_localnet.table import COLUMNS, WIDTH, View, duration, lock_line, plain, render, role, row

HOLDER = NodeFacts("node0", "Validating", eligible=True, term=3, held=12.34, height=1200, lag=0)
STANDBY = NodeFacts("node1", "Voting", eligible=True, term=3, height=1199, lag=1)
FAILED = NodeFacts("node2", "Voting", reasons=("hold-off",), term=3, height=1200, lag=0)
LOCK = LockFacts(holder="node0", term=3, phase="active", index=77, moved=1.0)
VIEW = View((HOLDER, STANDBY, FAILED), LOCK, 0.4, ("12:00:00  node0 is the first to sign",), "referee: safe", True)


def test_each_node_has_its_line() -> None:
    lines = plain(VIEW).splitlines()
    assert lines[0].split("  ")[0] == "node"
    assert [name for name in COLUMNS if name in lines[0]] == list(COLUMNS)
    assert lines[1].split() == ["node0", "Validating", "holder", "3", "1200", "0", "12.3", "s"]
    assert lines[2].split() == ["node1", "Voting", "standby", "3", "1199", "1", "-"]
    assert lines[3].split() == ["node2", "Voting", "-", "3", "1200", "0", "-"]
    assert lines[4:] == [
        "lock: held by node0 in term 3 (active), last write 0.4 s ago",
        "node2 is not eligible: hold-off",
        "12:00:00  node0 is the first to sign",
        "referee: safe",
    ]


def test_what_is_not_known_is_a_dash() -> None:
    assert row(NodeFacts("node9", FROZEN), LOCK) == ("node9", "frozen", "-", "-", "-", "-", "-")


def test_consul_alone_says_who_holds() -> None:
    assert role(replace(STANDBY, state="Validating"), LOCK) == "standby"
    assert role(NodeFacts("node0", FROZEN), LOCK) == "holder"
    assert role(HOLDER, LockFacts()) == "standby"


def test_it_is_readable_at_80_columns() -> None:
    long = NodeFacts("node10", "Registering", held=86400.0 * 9, term=1_000_000, height=123_456_789, lag=1_000_000)
    reason = "stopped: " + "a very long reason " * 10
    view = replace(
        VIEW, nodes=(long,), lock=LockFacts(term=9, released=True, reason=reason), unsigned=3.0, events=("e" * 200,)
    )
    lines = plain(view).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[1].split() == ["node10", "Registering", "-", "1000000", "123456789", "1000000", "216h", "00m"]
    assert "nobody can sign for 3.0 s" in lines


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> str:
        out = io.StringIO()
        Console(file=out, force_terminal=True, width=80).print(render(replace(VIEW, safe=False)))
        return out.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mValidating" in drawn()
    assert "\x1b[1;31mreferee" in drawn()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "[32m" not in drawn()
    assert "31m" not in drawn()
    assert "\x1b" not in plain(VIEW)


@pytest.mark.parametrize(
    ("lock", "line"),
    [
        (LockFacts(), "lock: nobody has taken it yet"),
        (LockFacts(fault="Consul does not answer: ReadTimeout"), "lock: Consul does not answer: ReadTimeout"),
        (
            LockFacts(term=2, released=True, reason="stopped: SIGTERM"),
            "lock: free since term 2, released: stopped: SIGTERM, last write 0.4 s ago",
        ),
        (LockFacts(term=2), "lock: free since term 2, not released: the guard time runs, last write 0.4 s ago"),
    ],
)
def test_the_lock_in_one_line(lock: LockFacts, line: str) -> None:
    assert lock_line(replace(VIEW, lock=lock)) == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0 s"), (59.94, "59.9 s"), (60.0, "1m 00s"), (3599.0, "59m 59s"), (3660.0, "1h 01m")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
