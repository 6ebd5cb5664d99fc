# SPDX-License-Identifier: Apache-2.0
"""No height is signed twice: what a new holder waits for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.heights import MOVES, Chain
from kuutamod.core.model import LockView, Policy, Role
from kuutamod.core.protocol import LockRecord
from unit.core.rig import KEY, RELEASED, Rig

HELD = LockRecord("host-b", "b", 4, guard_time=9, fingerprint=KEY, last_height=90)


@given(st.lists(st.integers(1, 10**9), max_size=30))
def test_only_a_higher_head_is_a_move_and_the_first_look_is_none(heads: list[int]) -> None:
    chain, highest, moves = Chain(), 0, -1
    for head in heads:
        chain = chain.after(head)
        moves += head > highest
        highest = max(highest, head)
        assert (chain.head, chain.moves) == (highest, max(0, moves))
        assert chain.moved_on == (moves >= MOVES)


@given(st.integers(1, 10**6), st.integers(0, 1), st.integers(0, 1), st.lists(st.integers(0, 1), min_size=4, max_size=40))
def test_what_follows_two_moves_was_not_signed_before(network: int, lag: int, former: int, looks: list[int]) -> None:
    """The network's head at the former holder's death; how far the two nodes were behind it; blocks between looks."""
    signed_up_to = network - former + 1
    chain = Chain().after(network - lag)
    head = network
    for blocks in looks:
        head += blocks
        chain = chain.after(head - lag)
        if chain.moved_on:
            assert chain.head + 1 > signed_up_to
            return


def taken(view: LockView, rig: Rig) -> None:
    """The node takes the lock as seen."""
    rig.registered()
    rig.lock(view)
    for _unused in range(60):
        if rig.has(ac.Take):
            break
        rig.run(0.25, height=None)
        rig.lock(view)
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now, rig.now))


def test_after_a_steal_the_key_waits_for_two_blocks() -> None:
    rig = Rig()
    taken(LockView(7, "other", HELD), rig)
    rig.status(100)
    assert not rig.has(ac.PlaceKey)
    assert "has not moved on by 2 blocks" in rig.why
    rig.status(101)
    assert not rig.has(ac.PlaceKey)
    rig.status(102)
    assert rig.has(ac.PlaceKey)


def test_a_head_that_is_syncing_is_no_base() -> None:
    rig = Rig()
    taken(LockView(7, "other", HELD), rig)
    rig.status(100, syncing=True)
    rig.status(102)
    rig.status(103)
    assert not rig.has(ac.PlaceKey)
    rig.status(104)
    assert rig.has(ac.PlaceKey)


def test_one_look_that_jumps_is_one_move() -> None:
    """A node that was cut off catches up within a moment: it says nothing about when those blocks were made."""
    rig = Rig()
    taken(LockView(7, None, RELEASED), rig)
    rig.status(100)
    rig.status(112)
    assert not rig.has(ac.PlaceKey)
    rig.status(113)
    assert rig.has(ac.PlaceKey)


def test_a_look_that_was_asked_for_before_the_take_does_not_count() -> None:
    rig = Rig()
    taken(LockView(7, None, RELEASED), rig)
    child = rig.state.child
    assert child is not None
    assert child.status is not None
    before = rig.now - 0.01
    rig.tell(ev.StatusAnswered(child.serial, replace(child.status, height=101), before, rig.now))
    rig.status(102)
    rig.status(103)
    assert not rig.has(ac.PlaceKey)
    rig.status(104)
    assert rig.has(ac.PlaceKey)


def test_a_promotion_by_restart_waits_before_the_voter_is_stopped() -> None:
    rig = Rig(Policy(promotion="restart"))
    taken(LockView(7, "other", HELD), rig)
    rig.status(100)
    rig.status(101)
    assert not rig.has(ac.StopChild)
    rig.status(102)
    assert rig.has(ac.StopChild)


def test_a_holder_that_has_not_seen_the_chain_move_starts_neard_as_voter_even_if_it_restarts_to_promote() -> None:
    rig = Rig(Policy(promotion="restart"))
    taken(LockView(7, "other", HELD), rig)
    rig.actions.clear()
    rig.died()
    for _unused in range(20):
        rig.step(0.25)
        if rig.has(ac.InspectHome):
            rig.take(ac.InspectHome)
            rig.tell(ev.HomeInspected(rig.state.home.CLEAR, ""))
        if rig.has(ac.Heartbeat):
            rig.beat()
        if rig.has(ac.StartChild):
            break
    assert rig.state.lease is None or rig.take(ac.StartChild).role is Role.VOTER


def test_a_chain_that_stands_still_everywhere_is_no_fault_of_the_holder() -> None:
    rig = Rig()
    taken(LockView(7, "other", HELD), rig)
    rig.run(40, height=None)
    assert not rig.has(ac.KillChild)
    assert rig.state.lease is not None
