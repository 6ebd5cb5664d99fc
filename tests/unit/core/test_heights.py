# SPDX-License-Identifier: Apache-2.0
"""No height is signed twice: what a release says about it, and what a new holder waits for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.heights import FASTEST_BLOCK, past, signed_bound
from kuutamod.core.model import LockView, Policy, Role
from kuutamod.core.protocol import LockRecord
from kuutamod.guard.release import _bounded
from unit.core.rig import KEY, RELEASED, Rig

HELD = LockRecord("host-b", "b", 4, guard_time=9, fingerprint=KEY, last_height=90)


@given(st.integers(1, 10**9), st.integers(0, 100), st.floats(FASTEST_BLOCK * 1.01, 3), st.floats(0.001, 60))
def test_the_bound_covers_every_block_that_can_have_been_made_and_the_one_signed_next(
    head: int, seen: int, block_time: float, lived: float
) -> None:
    next_block = 0.0  # the next block may come right after the look
    made = 0
    while next_block < lived:
        made += 1
        next_block += block_time
    assert signed_bound(head, seen, seen + lived) >= head + made + 1


def test_nothing_is_known_of_a_neard_whose_head_was_never_seen() -> None:
    assert signed_bound(0, 0.0, 5.0) == 0
    assert not past(10**9, 0, None)


def test_a_bound_or_two_blocks_are_enough() -> None:
    assert past(100, 100, None)
    assert not past(99, 100, 98)
    assert past(100, 200, 98)


def taken(view: LockView, rig: Rig) -> None:
    """The node takes the lock as seen."""
    rig.registered()
    rig.lock(view)
    for _ in range(60):
        if rig.has(ac.Take):
            break
        rig.run(0.25, height=None)
        rig.lock(view)
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, False, rig.now, rig.now))


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
    assert not rig.has(ac.PlaceKey)
    rig.status(104)
    assert rig.has(ac.PlaceKey)


def test_the_take_does_not_wait_for_the_previous_holders_bound_but_hands_it_on() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, replace(RELEASED, last_height=99, height_bound=102)))
    assert rig.take(ac.Take).record.height_bound == 102


def test_a_bound_far_ahead_costs_two_blocks_at_most() -> None:
    """A neard that took long to die leaves a bound that the chain reaches late; two blocks of our own are as good."""
    rig = Rig()
    taken(LockView(7, None, replace(RELEASED, last_height=99, height_bound=160)), rig)
    rig.status(101)
    assert not rig.has(ac.PlaceKey)
    assert "neither reached height 160 nor moved on by 2 blocks" in rig.why
    rig.status(103)
    assert rig.has(ac.PlaceKey)


def test_a_release_says_above_what_height_nothing_was_signed() -> None:
    rig = Rig()
    rig.validating()
    rig.step(0.7)
    rig.died()
    release = rig.take(ac.Release)
    assert release.record.last_height == 101
    assert release.record.height_bound == 101 + 1 + 2
    assert rig.state.ghost is not None


def test_a_lease_under_which_no_key_was_placed_passes_the_bound_on() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.StopRequested("SIGTERM", rig.now), step=False)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, False, rig.now, rig.now))
    assert rig.take(ac.Release).record.height_bound == RELEASED.height_bound


def test_after_a_steal_without_a_key_the_bound_stays_unknown() -> None:
    rig = Rig()
    taken(LockView(7, "other", HELD), rig)
    rig.tell(ev.StopRequested("SIGTERM", rig.now))
    rig.died("exit code 0")
    assert rig.take(ac.Release).record.height_bound == 0


def test_a_promotion_by_restart_waits_before_the_voter_is_stopped() -> None:
    rig = Rig(Policy(promotion="restart"))
    taken(LockView(7, "other", HELD), rig)
    rig.status(100)
    assert not rig.has(ac.StopChild)
    rig.status(102)
    assert rig.has(ac.StopChild)


def test_a_holder_that_has_not_seen_the_chain_move_starts_neard_as_voter_even_if_it_restarts_to_promote() -> None:
    rig = Rig(Policy(promotion="restart"))
    taken(LockView(7, "other", HELD), rig)
    rig.actions.clear()
    rig.died()
    for _ in range(20):
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


@pytest.mark.parametrize(("head", "expected"), [(100, 100 + 1 + 3), (0, 0)])
def test_the_guard_completes_the_bound_when_neard_is_dead(head: int, expected: int) -> None:
    plan = {"value": HELD.to_json(), "head": head, "head_at": 50.0}
    assert json.loads(_bounded(plan, 51.2))["height_bound"] == expected
    assert LockRecord.from_json(_bounded(plan, 51.2)) == replace(HELD, height_bound=expected)
