# SPDX-License-Identifier: Apache-2.0
"""The terms that a node has seen itself, as holder and as standby, on a node that the real rules drive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core import events as ev
from kuutamod.core import records
from kuutamod.core.model import LockView
from kuutamod.core.protocol import TermRecord
from kuutamod.server import terms
from unit.core.rig import RELEASED
from unit.server import snapshots
from unit.server.watched import WALL, Watched

HELD = replace(RELEASED, released=False, last_height=80, phase="active")


def seen(node: Watched) -> dict[int, TermRecord]:
    return {record.term: record for record in node.metrics.observed.terms(node.state)}


def standby() -> Watched:
    node = Watched()
    node.registered()
    node.fleet()
    return node


def test_a_holder_tells_its_own_term_and_the_one_before() -> None:
    node = Watched()
    node.takes()
    taken = WALL + node.now
    node.shows_the_key()
    assert list(seen(node)) == [5, 4], "the newest first"
    own, before = seen(node)[5], seen(node)[4]
    assert (own.node, own.cause, own.taken, own.until) == ("a", "release", taken, 0.0)
    assert own.since == WALL + node.now
    assert own.gap == pytest.approx(own.since - before.until)
    assert (before.node, before.last_height, before.ended) == ("b", 90, RELEASED.reason)


def test_a_standby_tells_the_term_in_the_lock_and_how_it_ended() -> None:
    node = standby()
    node.lock(LockView(7, "s-b", HELD))
    assert seen(node) == {4: TermRecord(4, "b", taken=0.0, last_height=80)}
    node.now += 3.0
    released = replace(HELD, released=True, fault=True, reason="neard died", last_height=95)
    node.lock(LockView(8, None, released))
    at = WALL + node.now
    assert seen(node)[4] == TermRecord(4, "b", 0.0, until=at, ended="neard died", fault=True, last_height=95)


def test_a_standby_that_watches_sees_when_another_takes_the_lock() -> None:
    node = standby()
    node.lock(LockView(7, "s-b", HELD))
    node.now += 2.0
    node.lock(LockView(9, "s-c", replace(HELD, node_id="c", term=5)))
    at = WALL + node.now
    node.now += 2.0
    node.lock(LockView(10, "s-c", replace(HELD, node_id="c", term=5, heartbeat=1)))
    assert seen(node)[5].taken == at
    assert (seen(node)[4].until, seen(node)[4].ended) == (at, "c took the lock")


def test_a_standby_that_was_blind_does_not_guess_when_it_happened() -> None:
    node = standby()
    node.lock(LockView(7, "s-b", HELD))
    node.now += 100.0
    node.lock(LockView(90, "s-c", replace(HELD, node_id="c", term=9)))
    assert (seen(node)[4].until, seen(node)[4].ended) == (0.0, "")
    assert seen(node)[9].taken == 0.0


def test_how_a_released_term_ended_is_not_overwritten_by_the_next() -> None:
    node = standby()
    node.lock(LockView(7, None, replace(RELEASED, successor="c", reason="handover")))
    until = WALL + node.now
    node.now += 1.0
    node.lock(LockView(9, "s-c", replace(HELD, node_id="c", term=5)))
    assert (seen(node)[4].until, seen(node)[4].ended) == (until, "handover")


def test_an_own_term_that_is_lost_has_an_end() -> None:
    node = Watched()
    node.takes()
    node.shows_the_key()
    node.tell(ev.HeartbeatAnswered("s1", ev.Outcome.REFUSED, node.now, "another session holds it"))
    node.now += 0.5
    node.died("killed")
    assert seen(node)[5].until == WALL + node.now
    assert "another session holds it" in seen(node)[5].ended
    assert seen(node)[5].cause == "release", "what was known before is kept"


def test_an_own_term_that_is_given_up_says_whose_fault_it_was() -> None:
    node = Watched()
    node.takes()
    node.shows_the_key()
    node.died("exit code 101")
    assert (seen(node)[5].ended, seen(node)[5].fault) == ("exit code 101", True)


def test_a_key_that_was_written_anew_is_no_term() -> None:
    node = standby()
    node.lock(LockView(7, None, replace(RELEASED, phase=records.MISSING, released=False)))
    node.lock(LockView(8, None, None))
    assert seen(node) == {}


def test_without_a_wall_clock_no_moment_is_told() -> None:
    state = replace(snapshots.ELIGIBLE, wall=0.0, watch=replace(snapshots.WATCH, view=LockView(8, None, RELEASED)))
    assert [record.until for record in terms.shown(state)] == [0.0]


def test_the_oldest_terms_go_first() -> None:
    many = tuple(TermRecord(term, "b", taken=0.0) for term in range(1, terms.KEPT + 6))
    kept = terms.merge((), many)
    assert [record.term for record in kept] == list(range(6, terms.KEPT + 6))


def test_two_nodes_with_one_term_are_not_mixed() -> None:
    old = TermRecord(5, "b", taken=1.0, ended="gone", fault=True)
    assert terms.merge((old,), (TermRecord(5, "c", taken=0.0),)) == (TermRecord(5, "c", taken=0.0),)
