# SPDX-License-Identifier: Apache-2.0
"""A holder that makes no progress gives the lock up, however lively it looks."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.claim import Claim
from kuutamod.core.lease import Lease
from kuutamod.core.model import Giveup, Home, Policy, Role
from kuutamod.core.recovery import LONGEST_PAUSE, after_failure
from unit.core.rig import Rig


def test_a_node_that_keeps_failing_hands_over_once_the_hold_off_is_past() -> None:
    rig = Rig()
    hold_off = rig.state.policy.hold_off
    taken = 1000.0
    at = taken
    state = rig.state
    while at <= taken + hold_off + LONGEST_PAUSE:
        # Heartbeats go on, so the lease is as good as new at each failure.
        state = replace(state, lease=Lease("s1", 5, proof=at, since=taken, claim=Claim(fault=True)))
        state = after_failure(state, Giveup("exit code 1", fault=True), at)
        if state.lease is None:
            break
        at = state.faults.next_start + 1.0
    assert state.lease is None, "one more handover is due per hold-off time, and another node may be well"
    assert state.ghost is not None
    assert state.ghost.giveup.fault
    assert at - taken >= hold_off


def test_a_validator_that_never_shows_its_key_gives_up_though_its_head_moves() -> None:
    rig = Rig(Policy(promotion="restart"))
    rig.holder()
    rig.take(ac.StopChild)
    rig.died("exit code 0")
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    if rig.has(ac.Heartbeat):
        rig.beat()
    start = rig.take(ac.StartChild)
    assert start.role is Role.VALIDATOR
    rig.tell(ev.ChildStarted(start.serial, 78, rig.now))
    rig.status(200)
    rig.run(rig.state.policy.hot_swap_timeout + 1.0)
    assert "does not show it" in rig.take(ac.KillChild).why


def test_a_guard_that_freezes_while_it_should_stop_neard_is_noticed() -> None:
    rig = Rig(Policy(promotion="restart"))
    rig.holder()
    rig.take(ac.StopChild)
    child = rig.state.child
    assert child is not None
    for _unused in range(20):
        rig.step(0.25)
        if rig.has(ac.Heartbeat):
            rig.beat()
        if rig.has(ac.KillChild):
            break
    assert "guard" in rig.take(ac.KillChild).why
