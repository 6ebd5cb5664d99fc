# SPDX-License-Identifier: Apache-2.0
"""How far the word of another goes: a marker of the past, a pause, a hook that always refuses."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import LockView, Policy
from kuutamod.core.protocol import FleetConfig, MemberRecord, Pause
from kuutamod.core.readiness import ineligible
from kuutamod.core.recovery import MOST_DOUBLED, backoff, patience_of
from unit.core.rig import RELEASED, Rig

FINAL = replace(RELEASED, final=True, last_height=99)


def test_a_final_height_counts_only_when_the_marker_appeared_while_this_node_watched() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, "sb", replace(FINAL, released=False)), step=False)
    rig.lock(LockView(8, None, FINAL))
    assert rig.take(ac.Take).claim.final


def test_a_final_height_that_was_there_at_the_first_look_may_be_of_the_past() -> None:
    """A restored snapshot shows it so: who held the lock since may have signed for far greater heights."""
    rig = Rig()
    rig.registered()
    rig.state = replace(rig.state, watch=None)
    rig.tell(ev.LockSeen(LockView(8, None, FINAL), rig.now, rig.now, watched=True), step=False)
    for _unused in range(5):
        rig.run(2.0)
        rig.lock(LockView(8, None, FINAL))
    take = rig.take(ac.Take)
    assert not take.claim.final
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now, rig.now))
    assert not rig.has(ac.PlaceKey)
    assert "the chain has not moved on by 2 blocks" in rig.why


def paused(rig: Rig, seconds: float = 600.0, *members: MemberRecord) -> None:
    config = FleetConfig(pauses=(Pause(until=rig.now + seconds, reason="new switches"),))
    seen = tuple(ev.SeenMember(member, f"s-{member.node_id}", int(rig.now)) for member in members)
    rig.tell(ev.FleetSeen(seen, config, rig.now, rig.now, rig.now))


def test_in_a_pause_a_crash_stays_on_its_node() -> None:
    """Nobody else may take the lock then; to release it would only cost time."""
    rig = Rig()
    rig.validating()
    paused(rig)
    rig.died("killed by SIGABRT")
    assert not rig.has(ac.Release)
    assert rig.state.lease is not None
    assert rig.has(ac.InspectHome)


def test_after_a_pause_a_crash_is_handed_on_as_ever() -> None:
    rig = Rig()
    rig.validating()
    paused(rig, 0.5)
    rig.run(1.0)
    rig.died("killed by SIGABRT")
    assert rig.take(ac.Release).record.fault


def test_in_a_pause_a_new_holder_without_a_chain_keeps_the_lock() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now, rig.now))
    ahead = MemberRecord("c", "host-c", "life-c", height=500, eligible=True)
    paused(rig, 600.0, ahead)
    rig.run(16.0, height=None)
    paused(rig, 600.0, ahead)
    assert not rig.has(ac.KillChild)
    assert "handovers are paused: new switches" in rig.why


def test_hooks_that_refuse_again_and_again_make_their_node_wait_longer() -> None:
    rig = Rig(Policy(pre_promote=True))
    waits = []
    for vetoes in range(1, 10):
        rig.state = replace(rig.state, faults=replace(rig.state.faults, vetoes=vetoes))
        waits.append(patience_of(rig.state) / rig.state.policy.patience)
    assert waits == [1, 2, 4, 8, 16, *[2**MOST_DOUBLED] * 4]


def test_a_veto_is_counted_and_a_blessing_forgets_them() -> None:
    rig = Rig(Policy(pre_promote=True))
    rig.holder()
    term = rig.take(ac.AskHook).term
    rig.tell(ev.HookAnswered(term, rig.now, "not today"))
    assert rig.state.faults.vetoes == 1
    assert rig.take(ac.Release).record.fault
    rig = Rig(Policy(pre_promote=True))
    rig.state = replace(rig.state, faults=replace(rig.state.faults, vetoes=3))
    rig.holder()
    rig.tell(ev.HookAnswered(rig.take(ac.AskHook).term, rig.now, ""))
    assert rig.state.faults.vetoes == 0


def test_pauses_between_failures_grow_up_to_their_limit_however_many_there_are() -> None:
    assert [backoff(times, 60.0) for times in (0, 1, 2, 3, 7, 100, 10_000)] == [0.0, 1.0, 2.0, 4.0, 60.0, 60.0, 60.0]


def watching(newest_term: int) -> Rig:
    """A standby that sees the lock of RELEASED's term while it is held, and a history up to this term."""
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, "sb", replace(RELEASED, released=False)), step=False)
    config = rig.state.fleet
    assert config is not None
    rig.tell(ev.FleetSeen((), config, rig.now, rig.now, rig.now, newest_term=newest_term), step=False)
    return rig


def test_a_marker_is_of_the_past_when_the_history_knows_of_a_later_term() -> None:
    """An operator has imported an old value of the lock while another node took it: its term is in the history only."""
    rig = watching(newest_term=RELEASED.term + 1)
    # The read was sent before the fleet's was answered: a take in between would explain the difference.
    rig.tell(ev.LockSeen(LockView(8, None, RELEASED), rig.now - 1.0, rig.now, watched=True))
    assert not rig.has(ac.Take)
    assert "reading it again" in rig.why
    assert "term-regress" not in [reason.code for reason in ineligible(rig.state, rig.now)]
    rig.now += 1.0
    rig.tell(ev.LockSeen(LockView(8, None, RELEASED), rig.now, rig.now, watched=False))
    assert not rig.has(ac.Take)
    assert "kuutamoctl confirm" in rig.why


def test_a_lock_that_is_as_new_as_the_history_is_taken() -> None:
    rig = watching(newest_term=RELEASED.term)
    rig.lock(LockView(8, None, RELEASED))
    assert rig.has(ac.Take)
