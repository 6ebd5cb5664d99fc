# SPDX-License-Identifier: Apache-2.0
"""What `kuutamoctl status` draws: the right cells at every width, and nothing of Consul's that could harm a terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kuutamod.cli.status_view import COLUMNS, render
from kuutamod.cli.text import width_of
from kuutamod.consul.health import ConsulHealth
from kuutamod.consul.overview import Overview, Unread
from kuutamod.core.events import SeenMember
from kuutamod.core.model import LockView
from kuutamod.core.protocol import Ask, FleetConfig, LockRecord, Mark, Outcome, Pause, Request, Step, TermRecord
from unit.cli.fleets import (
    DONE,
    HOLDER,
    MAINTENANCE,
    NOW,
    PAST,
    PAUSE,
    PRESENT,
    RECORD,
    REQUEST,
    WELL,
    changed,
    free,
    silent,
)

SGR = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "\x1b[2J\x1b]0;x\x07\r\n\u202e\u65e5\u672c" + "long " * 40
"""Clears the screen, sets the window's title, goes back and down, turns the direction, is wide and long."""


def plain(overview: Overview, width: int = 200) -> list[str]:
    """The view as lines without colours."""
    return render(overview, NOW, width, colour=False).split("\n")


def cells(line: str) -> list[str]:
    """The cells of one line of the table, which are at least two blanks apart."""
    return re.split(r"  +", line.strip("│ "))


def below(overview: Overview) -> list[str]:
    """What stands under the table."""
    lines = plain(overview)
    return lines[next((at for at, line in enumerate(lines) if line.startswith("\u2570")), 0) + 1 :]


def test_wide_shows_everything() -> None:
    lines = plain(WELL)
    assert lines[0] == "pool.near: held by node-a, term 42"
    assert cells(lines[2]) == [column.title for column in COLUMNS]
    assert ["|".join(cells(line)) for line in lines[4:7]] == [
        "node-a|validator|Validating/active|42|123456789|0|31|2h03m|2.10.0|84/85|100|-",
        "node-b|standby|Voting|42|123456788|1|28|-|2.10.0|84/85|50|-",
        "node-c|standby|Syncing|42|123400000|56789|0|-|2.10.0|84/85|0|syncing, few-peers",
    ]
    assert lines[8:] == [
        "node-a holds the lock; node-b can take over",
        "last event: 2h03m ago, 05:57:00 UTC, node-a took the lock for term 42 (handover): asked for: update of node-b; "
        "0.8s without a signer; asked for by alice",
        "Consul: leader 10.0.0.1:8300, 3 servers, 3 healthy and voting, can lose 1",
    ]


def test_80_columns() -> None:
    assert plain(WELL, 80) == [
        "pool.near: held by node-a, term 42",
        "╭─────────────────────────────────────────────────────────────────────╮",
        "│ Node    Role       State              Term     Height    Lag  Peers │",
        "├─────────────────────────────────────────────────────────────────────┤",
        "│ node-a  validator  Validating/active    42  123456789      0     31 │",
        "│     lock age 2h03m; neard 2.10.0; protocol 84/85; priority 100      │",
        "│ node-b  standby    Voting               42  123456788      1     28 │",
        "│     neard 2.10.0; protocol 84/85; priority 50                       │",
        "│ node-c  standby    Syncing              42  123400000  56789      0 │",
        "│     neard 2.10.0; protocol 84/85; priority 0; syncing, few-peers    │",
        "╰─────────────────────────────────────────────────────────────────────╯",
        "node-a holds the lock; node-b can take over",
        "last event: 2h03m ago, 05:57:00 UTC, node-a took the lock for term 42",
        "  (handover): asked for: update of node-b; 0.8s without a signer; asked for by",
        "  alice",
        "Consul: leader 10.0.0.1:8300, 3 servers, 3 healthy and voting, can lose 1",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_lost_where_it_is_narrow(width: int) -> None:
    text = " ".join(line.strip("│ ") for line in plain(WELL, width))
    for word in ("node-a", "Validating/active", "123456789", "56789", "31", "2h03m", "2.10.0", "84/85", "100", "few-peers"):
        assert word in text, f"{word} at {width} columns"
    assert max(map(width_of, plain(WELL, width))) <= width


def test_a_silent_node_is_told_from_a_live_one() -> None:
    assert isinstance(WELL.members, tuple)
    overview = replace(WELL, members=(WELL.members[0], silent(WELL.members[1]), silent(WELL.members[2])))
    rows = ["|".join(cells(line)) for line in plain(overview)[5:7]]
    assert rows[0] == "node-b|-|Voting|42|123456788|-|-|-|2.10.0|84/85|50|silent"
    # What it said last of itself is no news.
    assert rows[1].endswith("|silent")
    assert "no eligible standby" in below(overview)[0]


def test_lag_is_counted_from_the_highest_live_node() -> None:
    overview = changed(WELL, 1, height=123_456_800)
    assert [cells(line)[5] for line in plain(overview)[4:7]] == ["11", "0", "56800"]
    assert isinstance(overview.members, tuple)
    overview = replace(overview, members=(overview.members[0], silent(overview.members[1]), overview.members[2]))
    assert [cells(line)[5] for line in plain(overview)[4:7]] == ["0", "-", "56789"]


@pytest.mark.parametrize(
    ("overview", "flags"),
    [
        (replace(WELL, config=FleetConfig(no_takeover=("node-b",))), "drained"),
        (replace(WELL, config=FleetConfig(pauses=(replace(PAUSE, node="node-b"),))), "paused"),
        (replace(WELL, config=FleetConfig(pauses=(replace(PAUSE, node="node-b", until=NOW - 1),))), "-"),
        (replace(WELL, config=FleetConfig(pauses=(replace(PAUSE, node="node-a"),))), "-"),
        (changed(WELL, 1, eligible=False, ineligible=("drained", "no-answer")), "drained, no-answer"),
        (
            replace(
                changed(WELL, 1, eligible=False, ineligible=("paused", "drained")),
                config=FleetConfig(no_takeover=("node-b",), pauses=(replace(PAUSE, node="node-b"),)),
            ),
            "drained, paused",
        ),
    ],
)
def test_flags(overview: Overview, flags: str) -> None:
    assert cells(plain(overview)[5])[-1] == flags


@pytest.mark.parametrize(
    ("lock", "title"),
    [
        (free(replace(RECORD, released=True, reason="full")), "held by nobody, node-a released it in term 42: full"),
        (
            free(replace(RECORD, released=True, successor="node-b")),
            "held by nobody, node-a released it for node-b in term 42: no reason given",
        ),
        (free(RECORD), "held by nobody, free without a release since term 42 of node-a: the guard time runs"),
        (LockView(0), "held by nobody, there is no lock yet"),
        (free(None), "held by nobody, the lock's value is not a kuutamod's"),
        (LockView(9, "session-b", None), "held by node-b, term unknown, the lock's value is not a kuutamod's"),
        (Unread("denied"), "the lock can't be read"),
    ],
)
def test_title(lock: LockView | Unread, title: str) -> None:
    assert plain(replace(WELL, lock=lock))[0] == f"pool.near: {title}"


def test_lock_age_needs_the_present_terms_record() -> None:
    def ages(overview: Overview) -> list[str]:
        return [cells(line)[7] for line in plain(overview)[4:7]]

    assert ages(WELL) == ["2h03m", "-", "-"]
    for history in ((PAST,), (), (replace(PRESENT, taken=0.0),), Unread("denied")):
        assert ages(replace(WELL, history=history)) == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (PAST, "2h03m ago, 05:56:59 UTC, node-b's term 41 ended: handed over to node-a"),
        (
            replace(PAST, fault=True, ended=""),
            "2h03m ago, 05:56:59 UTC, node-b's term 41 ended by its own fault: no reason known",
        ),
        (TermRecord(1, "n", 0.0), "n took the lock for term 1: no reason known"),
    ],
)
def test_last_event(record: TermRecord, text: str) -> None:
    assert f"last event: {text}" in below(replace(WELL, history=(record,)))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            REQUEST,
            "pending request: handover from node-a to node-b at a window by alice (update), asked for 12s ago, expires in "
            "48s: waiting for window (next at 123456900) since 5.0s",
        ),
        (
            replace(REQUEST, marks=(), node="", when="now", by="", reason="", expires=NOW - 3),
            "pending request: handover from node-a to the best standby, asked for 12s ago, expired 3.0s ago: no node has "
            "answered yet",
        ),
        (
            replace(REQUEST, marks=(), node="", when="now", by="", reason="", expires=NOW - 61),
            "request that nobody ended: handover from node-a to the best standby, asked for 12s ago, expired 1m01s ago: no "
            "node has answered yet",
        ),
        (DONE, "last request: handover from node-a to node-b at a window by alice (update): done 2m00s ago"),
        (
            replace(
                REQUEST, ask=Ask.RESTART, node="node-c", when="7", expires=NOW - 20, outcome=Outcome.EXPIRED, why="late"
            ),
            "last request: restart of node-c at height 7 by alice (update): expired 20s ago: late",
        ),
        (replace(DONE, marks=(Mark(Step.DONE, NOW - 601),)), None),
        (None, None),
    ],
)
def test_requests(request_: Request | None, text: str | None) -> None:
    told = [line for line in below(replace(WELL, request=request_)) if "request" in line]
    assert told == ([] if text is None else [text])


def test_who_has_the_fleet_to_himself_is_shown() -> None:
    shown = below(replace(WELL, maintenance=MAINTENANCE))
    assert "maintenance by alice@desk for 5m00s, since 07:55:00 UTC: kernel update" in shown
    strange = "maintenance lock held by session session-m, with a value that is not ours"
    assert strange in below(replace(WELL, maintenance=replace(MAINTENANCE, record=None)))
    assert not any("maintenance" in line for line in below(WELL))


def test_pauses_are_red_and_tell_who_why_and_how_long() -> None:
    overview = replace(WELL, config=FleetConfig(pauses=(PAUSE, Pause(NOW + 5, "node-b"), Pause(NOW - 1, "node-c"))))
    lines = render(overview, NOW, 200, colour=True).split("\n")
    red = [SGR.sub("", line) for line in lines if line.startswith("\x1b[1;31m")]
    assert red == [
        "PAUSED: no automatic takeover or handover for 12m30s more, until 08:12:30 UTC by alice: kernel update",
        "node-b is PAUSED for 5.0s more, until 08:00:05 UTC: no reason given",
    ]


@pytest.mark.parametrize(
    ("health", "text"),
    [
        (ConsulHealth("h:1", 1, 1, 0), "Consul: leader h:1, 1 server, 1 healthy and voting, can lose 0"),
        (ConsulHealth("", 3, None, 1, "no leader"), "Consul: no leader, 3 servers"),
        (
            ConsulHealth("h:1", 3, None, 1, "it needs operator:read"),
            "Consul: leader h:1, 3 servers, can lose 1 if all are healthy (autopilot's word: it needs operator:read)",
        ),
        (Unread("broken"), "Consul's health can't be read: broken"),
    ],
)
def test_consul(health: ConsulHealth | Unread, text: str) -> None:
    assert below(replace(WELL, consul=health))[-1] == text


def test_what_can_not_be_read_is_told_with_the_reason() -> None:
    overview = replace(WELL, config=Unread("no right"), history=Unread("no right"), request=Unread("not ours"))
    assert below(overview)[-3:] == [
        "the fleet's settings, with pauses and drained nodes, can't be read: no right",
        "the request can't be read: not ours",
        "the history can't be read: no right",
    ]
    nothing = replace(overview, lock=Unread("denied"), members=Unread("denied"))
    lines = plain(nothing)
    assert lines[:2] == ["pool.near: the lock can't be read", "the lock can't be read: denied"]
    assert "the nodes' records" not in "".join(lines)


def test_a_fleet_without_nodes() -> None:
    lines = plain(replace(WELL, members=(), lock=LockView(0), history=()))
    assert lines[:3] == [
        "pool.near: held by nobody, there is no lock yet",
        "no node has published a record",
        "nobody holds the lock; no eligible standby",
    ]


def hostile(text: str) -> Overview:
    """A fleet with this text wherever Consul has one, and numbers that nobody expects."""
    record = replace(HOLDER, node_id=text, state=text, phase=text, neard_version=text, ineligible=(text, text + "2"))
    strange = replace(record, height=10**25, peers=10**9, priority=-(10**9), term_seen=10**25)
    lock = LockRecord(text, text, 10**30, reason=text, released=True)
    term = TermRecord(10**30, text, 1e300, until=math.nan, cause=text, began=text, ended=text, gap=1e300, by=text)
    return Overview(
        account_id="pool.near",
        lock=LockView(9, None, lock),
        members=(SeenMember(strange, text or "s", 1), SeenMember(record, None, 2)),
        config=FleetConfig(no_takeover=(text,), pauses=(Pause(1e300, text, text, text), Pause(math.inf, "", text, text))),
        request=replace(
            REQUEST, holder=text, node=text, when=text, by=text, reason=text, marks=(Mark(Step.DONE, NOW, text),)
        ),
        history=(term,),
        consul=ConsulHealth(text, 3, None, 1, text),
    )


@pytest.mark.parametrize("width", [1, 60, 80, 120, 300])
@pytest.mark.parametrize("colour", [False, True])
def test_hostile_values_do_no_harm(width: int, colour: bool) -> None:
    text = render(hostile(EVIL), NOW, width, colour)
    assert ("\x1b" in text) == colour
    lines = SGR.sub("", text).split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(width_of, lines)) <= max(width, 40)
    assert len(lines) < 400


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.integers(0, 250))
def test_any_value_at_any_width(text: str, width: int) -> None:
    lines = render(hostile(text), NOW, width, colour=False).split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(width_of, lines)) <= max(width, 40)


def test_colours_only_where_they_are_wanted() -> None:
    coloured = render(WELL, NOW, 120, colour=True)
    assert SGR.sub("", coloured) == render(WELL, NOW, 120, colour=False)
    assert coloured != SGR.sub("", coloured)
