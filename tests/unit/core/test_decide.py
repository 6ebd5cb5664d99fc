# SPDX-License-Identifier: Apache-2.0
"""The rules, one situation at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import Ghost, Giveup, Home, LockView, Peer, Phase, Policy, Role, State, Watch, phase
from kuutamod.core.protocol import FleetConfig, LockRecord, MemberRecord
from kuutamod.core.readiness import NEW_WATCH, ineligible
from unit.core.rig import KEY, RELEASED, Rig

HELD = LockRecord("host-b", "b", 4, heartbeat=3, guard_time=9, fingerprint=KEY, last_height=90)


# --- boot and the way to voting ---


def test_boot_is_as_standby_and_names_the_upstream_states_in_order() -> None:
    rig = Rig()
    names = [rig.name]
    rig.started()
    names.append(rig.name)
    assert rig.take(ac.PollStatus)
    rig.status(syncing=True)
    names.append(rig.name)
    rig.status()
    names.append(rig.name)
    rig.take(ac.CreateSession)
    rig.tell(ev.SessionCreated("s1", rig.now))
    rig.tell(ev.MemberPublished("s1", rig.take(ac.Publish).record, rig.now))
    names.append(rig.name)
    assert names == [State.STARTUP, State.STARTUP, State.SYNCING, State.REGISTERING, State.VOTING]


def test_neard_is_not_started_on_a_busy_home() -> None:
    rig = Rig()
    rig.step()
    rig.take(ac.InspectHome)
    rig.tell(ev.HomeInspected(Home.BUSY, "data/LOCK is held by pid 9"))
    assert not rig.has(ac.StartChild)
    assert "pid 9" in rig.why
    rig.step(1.0)
    assert rig.has(ac.InspectHome)


def test_an_answer_of_another_process_is_not_believed() -> None:
    rig = Rig()
    rig.started(pid=77)
    rig.status(lock_pid=66)
    assert rig.name is State.STARTUP
    assert "pid 66" in rig.step(0.2)
    rig.status(node_key="ed25519:other")
    assert "ed25519:other" in rig.step(0.2)
    rig.status(home_locked=False)
    assert rig.name is State.STARTUP


def test_a_neard_that_keeps_failing_is_started_with_growing_pauses() -> None:
    rig = Rig()
    for pause in (1.0, 2.0, 4.0):
        rig.started()
        rig.died()
        rig.step(pause - 0.1)
        assert not rig.has(ac.InspectHome)
        assert "pausing" in rig.why
        rig.step(0.2)
        assert rig.has(ac.InspectHome)


# --- takeover ---


def test_a_released_lock_is_taken_at_once_with_the_next_term() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    assert (take.kind, take.record.term, take.record.last_height) == (ac.TakeKind.FREE, 5, 90)
    assert not take.record.released


def test_a_held_lock_is_left_alone_until_the_guard_time_has_passed() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, "other", HELD))
    start = rig.now
    while rig.now < start + 8.5:
        rig.run(0.5)
        rig.lock(LockView(7, "other", HELD))
        assert not rig.has(ac.Take)
    rig.run(0.75)
    assert rig.take(ac.Take).kind is ac.TakeKind.STEAL


def test_a_heartbeat_of_the_holder_restarts_the_wait() -> None:
    rig = Rig()
    rig.registered()
    for index in range(7, 37):
        rig.lock(LockView(index, "other", replace(HELD, heartbeat=index)))
        rig.run(1.0)
    assert not rig.has(ac.Take)


@pytest.mark.parametrize(
    ("fleet", "record", "code"),
    [
        (FleetConfig(fingerprint="ed25519:other"), RELEASED, "records ed25519:other"),
        (FleetConfig(), replace(RELEASED, fingerprint="ed25519:other"), "b's is ed25519:other"),
        (None, RELEASED, "not readable JSON"),
        (FleetConfig(), replace(RELEASED, term=2), "term 2 is lower than 9"),
    ],
)
def test_a_node_that_must_not_take_the_lock_says_why(fleet: FleetConfig | None, record: LockRecord, code: str) -> None:
    rig = Rig()
    rig.state = replace(rig.state, term_seen=9, term_stored=9)
    record = record if record.term == 2 else replace(record, term=9)
    rig.registered()
    rig.tell(ev.FleetSeen((), fleet, rig.now, rig.now, rig.now))
    rig.lock(LockView(7, None, record))
    rig.run(30.0)
    assert not rig.has(ac.Take)
    assert code in rig.why


def test_a_lower_term_is_taken_after_an_operator_confirmed_it_and_the_count_goes_on_from_the_highest() -> None:
    rig = Rig()
    rig.state = replace(rig.state, term_seen=9, term_stored=9)
    rig.registered()
    rig.tell(
        ev.FleetSeen(
            (), FleetConfig(confirmed_term=4, confirmed_seen=9, confirmed_record=RELEASED.digest), rig.now, rig.now, rig.now
        )
    )
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    assert (take.record.term, take.claim.confirmed) == (10, True)


def test_a_confirmation_is_good_for_one_takeover() -> None:
    """The same old value, restored once more, needs another word: this node has seen the term that followed the first."""
    rig = Rig()
    rig.state = replace(rig.state, term_seen=10, term_stored=10)
    rig.registered()
    rig.tell(
        ev.FleetSeen(
            (), FleetConfig(confirmed_term=4, confirmed_seen=9, confirmed_record=RELEASED.digest), rig.now, rig.now, rig.now
        )
    )
    rig.lock(LockView(8, None, RELEASED))
    assert not rig.has(ac.Take)
    assert "kuutamoctl confirm" in rig.why


def test_a_word_that_let_the_holder_go_on_says_nothing_of_its_end() -> None:
    """It has signed since: the next one waits for the chain as after anybody."""
    rig = Rig()
    rig.registered()
    held = replace(HELD, term=4, heartbeat=7)
    config = FleetConfig(confirmed_term=4, confirmed_seen=4, confirmed_record=held.digest)
    rig.tell(ev.FleetSeen((), config, rig.now, rig.now, rig.now))
    rig.lock(LockView(7, None, RELEASED))
    assert not rig.take(ac.Take).claim.confirmed


def test_a_holder_does_not_call_its_own_takeover_a_term_that_went_backwards() -> None:
    rig = Rig()
    rig.validating()
    rig.run(3)
    assert rig.state.lease is not None
    assert [reason.code for reason in ineligible(rig.state, rig.now)] == []


def test_a_missing_key_is_never_taken_it_is_written_anew_first() -> None:
    """It may have been created, held and deleted between two looks at it, and the holder may sign still."""
    rig = Rig()
    rig.registered()
    start = rig.now
    while rig.now < start + 12:
        rig.lock(LockView(0))
        rig.run(0.25)
        rig.tell(ev.FleetSeen((), FleetConfig(), rig.now, rig.now, rig.now))
    assert not rig.has(ac.Take)
    created = rig.take(ac.CreateKey).record
    assert (created.released, created.guard_time) == (False, 9.0)
    rig.tell(ev.KeyCreated(ev.Outcome.REFUSED, rig.now))
    assert "looking again" not in rig.why
    assert "its key" in rig.why or "key is missing" in rig.why


def test_a_missing_key_is_taken_after_the_guard_time_with_a_term_above_every_member() -> None:
    rig = Rig()
    rig.registered()
    member = ev.SeenMember(MemberRecord("c", "host-c", "life-c", term_seen=17), None, 3)
    rig.lock(LockView(0))
    rig.tell(ev.FleetSeen((member,), FleetConfig(), rig.now, rig.now, rig.now))
    created = rig.take(ac.CreateKey).record
    assert created.term == 17
    rig.tell(ev.KeyCreated(ev.Outcome.APPLIED, rig.now))
    start = rig.now
    while rig.now < start + 8.9:
        rig.lock(LockView(4, None, created))
        assert not rig.has(ac.Take)
        rig.run(0.25)
    rig.run(0.5)
    take = rig.take(ac.Take)
    assert (take.kind, take.record.term) == (ac.TakeKind.FREE, 18)


def test_a_larger_guard_time_of_any_member_is_waited_for_when_the_locks_value_is_lost() -> None:
    """Whoever holds it may be that member, with its longer lease; its own value of the lock would say so."""
    rig = Rig()
    rig.registered()
    member = ev.SeenMember(MemberRecord("c", "host-c", "life-c", guard_time=15.0), None, 3)
    rig.tell(ev.FleetSeen((member,), FleetConfig(), rig.now, rig.now, rig.now))
    start = rig.now
    while rig.now < start + 14.9:
        rig.lock(LockView(4, "s9", None))
        assert not rig.has(ac.Take)
        rig.run(0.25)
    rig.run(0.5)
    assert rig.take(ac.Take).kind is ac.TakeKind.STEAL


def test_a_larger_guard_time_of_any_member_holds_for_a_new_key_and_for_the_trust_in_a_marker_as_well() -> None:
    rig = Rig()
    rig.registered()
    member = ev.SeenMember(MemberRecord("c", "host-c", "life-c", guard_time=15.0), None, 3)
    rig.state = replace(rig.state, watch=Watch(LockView(1, "s0"), rig.now, rig.now, since=rig.now - 12))
    rig.tell(ev.FleetSeen((member,), FleetConfig(), rig.now, rig.now, rig.now))
    rig.lock(LockView(7, None, RELEASED))
    assert not rig.has(ac.Take)
    assert NEW_WATCH in [reason.code for reason in ineligible(rig.state, rig.now)]
    rig.lock(LockView(0))
    rig.tell(ev.FleetSeen((member,), FleetConfig(), rig.now, rig.now, rig.now))
    assert rig.take(ac.CreateKey).record.guard_time == 15.0


def test_a_missing_key_is_written_anew_only_with_what_the_history_says_since_it_is_missing() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(0))
    assert not rig.has(ac.CreateKey)
    rig.take(ac.ReadFleet)
    rig.tell(ev.FleetSeen((), FleetConfig(), rig.now, rig.now, rig.now, newest_term=11))
    assert rig.take(ac.CreateKey).record.term == 11


def test_a_term_that_another_node_has_had_is_not_taken_before_an_operator_has_looked() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.REFUSED, take.record, take.claim, rig.now, rig.now, term_taken=True))
    rig.run(0.3)
    rig.lock(LockView(7, None, RELEASED))
    assert not rig.has(ac.Take)
    newest = take.record.term + 2
    rig.tell(ev.FleetSeen((), FleetConfig(), rig.now, rig.now, rig.now, newest_term=newest))
    rig.lock(LockView(7, None, RELEASED))
    assert not rig.has(ac.Take)
    word = FleetConfig(confirmed_term=RELEASED.term, confirmed_seen=newest, confirmed_record=RELEASED.digest)
    rig.tell(ev.FleetSeen((), word, rig.now, rig.now, rig.now, newest_term=newest))
    assert rig.take(ac.Take).record.term == newest + 1


def test_the_chain_must_have_passed_the_previous_holders_last_height() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, replace(RELEASED, last_height=100)))
    assert not rig.has(ac.Take)
    assert "has not passed height 100" in rig.why
    rig.status(101)
    assert rig.has(ac.Take)


def test_after_a_refused_take_the_lock_is_read_again_first() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.REFUSED, take.record, take.claim, rig.now, rig.now))
    rig.step(0.3)
    assert not rig.has(ac.Take)
    rig.take(ac.ReadLock)
    rig.status(102, step=False)
    rig.lock(LockView(7, None, RELEASED))
    assert rig.has(ac.Take)


def test_a_takeover_that_answered_too_late_is_handed_back() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.UNKNOWN, take.record, take.claim, rig.now, rig.now))
    rig.lock(LockView(8, "s1", take.record))
    release = rig.take(ac.Release)
    assert release.record.released
    assert not rig.has(ac.PlaceKey)


# --- promotion ---


def test_the_guard_gets_its_deadline_with_the_key() -> None:
    rig = Rig()
    sent = rig.now
    rig.holder()
    place = rig.take(ac.PlaceKey)
    assert place.fence_at == sent + 7.0
    assert place.plan.record.released
    assert rig.name is State.VALIDATING
    assert phase(rig.state) is Phase.PROMOTING


def test_the_key_waits_for_a_fresh_proof() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.GuardAnswered(1, rig.now), step=False)
    rig.now += 3.0
    rig.status(step=False)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now - 3.0, rig.now))
    rig.chain_moves_on()
    assert not rig.has(ac.PlaceKey)
    assert "fresh proof" in rig.why
    rig.beat()
    assert rig.has(ac.PlaceKey)


def test_a_lost_sighup_is_sent_again_and_at_last_the_restart_is_taken() -> None:
    rig = Rig()
    rig.holder()
    place = rig.take(ac.PlaceKey)
    rig.tell(ev.KeyPlaced(place.serial, rig.now))
    rig.run(2.25)
    rig.tell(ev.KeyPlaced(rig.take(ac.PlaceKey).serial, rig.now))
    rig.run(8.0)
    stop = rig.take(ac.StopChild)
    assert stop.grace == 0.0
    rig.died()
    rig.take(ac.InspectHome)
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    if rig.has(ac.Heartbeat):
        rig.beat()
    start = rig.take(ac.StartChild)
    assert (start.role, start.plan is not None) == (Role.VALIDATOR, True)
    assert start.fence_at is not None


def test_promotion_by_restart_proves_the_lease_again_after_the_voter_has_ended() -> None:
    rig = Rig(Policy(promotion="restart"))
    rig.holder()
    rig.take(ac.StopChild)
    rig.now += 1.5
    rig.died("exit code 0")
    rig.take(ac.InspectHome)
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    assert not rig.has(ac.StartChild)
    rig.beat()
    assert rig.take(ac.StartChild).role is Role.VALIDATOR


# --- fence ---


def test_without_a_proof_the_key_holder_is_killed_at_the_deadline_and_not_before() -> None:
    rig = Rig()
    rig.validating()
    proof = rig.state.lease.proof if rig.state.lease else 0.0
    rig.run(proof + 6.99 - rig.now - 0.25, heartbeats=False)
    assert not rig.has(ac.KillChild)
    rig.now = proof + 7.0
    rig.step()
    assert "no proof" in rig.take(ac.KillChild).why
    assert phase(rig.state) is Phase.FENCING


def test_a_renewed_session_and_reads_extend_nothing() -> None:
    rig = Rig()
    rig.validating()
    proof = rig.state.lease.proof if rig.state.lease else 0.0
    for _unused in range(28):
        rig.now += 0.25
        rig.tell(ev.SessionRenewed("s1", rig.now), step=False)
        rig.lock(LockView(8, "s1", HELD), step=False)
    rig.now = proof + 7.0
    rig.step()
    assert rig.has(ac.KillChild)


def test_an_unanswered_heartbeat_extends_nothing_and_an_answered_one_counts_from_its_sending() -> None:
    rig = Rig()
    rig.validating()
    rig.step(1.0)
    sent = rig.now
    rig.now += 0.9
    rig.take(ac.Heartbeat)
    rig.tell(ev.HeartbeatAnswered("s1", ev.Outcome.APPLIED, sent))
    assert rig.state.lease is not None
    assert rig.state.lease.proof == sent
    rig.step(1.0)
    rig.beat(ev.Outcome.UNKNOWN)
    assert rig.state.lease.proof == sent


@pytest.mark.parametrize("how", ["heartbeat", "session"])
def test_a_lost_lock_is_fenced_at_once_without_a_polite_stop(how: str) -> None:
    rig = Rig()
    rig.validating()
    rig.step(1.0)
    if how == "heartbeat":
        rig.beat(ev.Outcome.REFUSED)
    else:
        rig.tell(ev.SessionGone("s1"))
    assert rig.has(ac.KillChild)
    assert not rig.has(ac.StopChild)


def test_a_lock_lost_during_a_polite_stop_is_fenced() -> None:
    rig = Rig()
    rig.validating()
    rig.tell(ev.StopRequested("SIGTERM", rig.now))
    rig.unloaded()
    assert rig.has(ac.StopChild)
    rig.tell(ev.SessionGone("s1"))
    assert rig.has(ac.KillChild)


def test_nothing_is_released_before_the_proof_of_death() -> None:
    rig = Rig()
    rig.validating()
    rig.tell(ev.StopRequested("SIGTERM", rig.now))
    rig.run(20.0)
    assert not rig.has(ac.Release)
    rig.died("exit code 0")
    release = rig.take(ac.Release)
    assert (release.session, release.record.released, release.record.fault) == ("s1", True, False)
    assert release.record.last_height >= 101


def test_a_neard_that_does_not_die_is_reported_and_its_lock_neither_kept_nor_released() -> None:
    rig = Rig()
    rig.validating()
    rig.run(6.0, answers=False)
    child = rig.state.child
    assert child is not None
    rig.take(ac.PollStatus)
    rig.tell(ev.StatusFailed(child.serial, "timed out", rig.now - 5.0, rig.now))
    rig.take(ac.KillChild)
    rig.run(1.25)
    rig.actions.clear()
    rig.run(20.0)
    assert "cannot fence" in rig.why
    assert not rig.has(ac.Heartbeat)
    assert not rig.has(ac.Release)
    assert rig.name is State.VALIDATING


def test_a_key_that_nobody_placed_is_fenced() -> None:
    rig = Rig()
    rig.registered()
    rig.status(validator_key=KEY)
    assert "does not hold the lock" in rig.take(ac.KillChild).why


def test_a_guard_that_does_not_answer_costs_its_neard() -> None:
    rig = Rig()
    rig.validating()
    rig.take(ac.ExtendGuard)
    for _unused in range(14):
        rig.step(0.25)
        rig.status(200, step=False, validator_key=KEY)
        if rig.has(ac.Heartbeat):
            rig.beat()
    assert "guard" in rig.take(ac.KillChild).why


# --- failures of a holder ---


def test_a_crash_releases_the_lock_and_the_node_lets_others_go_first() -> None:
    rig = Rig()
    rig.validating()
    rig.died("killed by SIGABRT")
    release = rig.take(ac.Release)
    assert release.record.fault
    rig.tell(ev.ReleaseAnswered("s1", ev.Outcome.APPLIED))
    rig.step(1.0)
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    start = rig.take(ac.StartChild)
    assert start.role is Role.VOTER
    rig.tell(ev.ChildStarted(start.serial, 78, rig.now))
    rig.status(102)
    rig.renewed_session()
    rig.lock(LockView(9, None, release.record))
    for _unused in range(3):
        rig.run(3.0)
        rig.lock(LockView(9, None, release.record))
        assert not rig.has(ac.Take)
    rig.run(1.5)
    assert rig.has(ac.Take), rig.why


def test_a_crash_right_after_a_takeover_from_a_crash_is_retried_here() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, replace(RELEASED, fault=True)))
    take = rig.take(ac.Take)
    assert take.claim.fault
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, rig.now, rig.now))
    rig.chain_moves_on()
    rig.tell(ev.KeyPlaced(rig.take(ac.PlaceKey).serial, rig.now))
    rig.died("killed by SIGABRT")
    assert not rig.has(ac.Release)
    assert rig.name is State.VALIDATING
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    assert rig.take(ac.StartChild).role is Role.VOTER


def test_a_hanging_neard_is_killed_and_its_lock_handed_on() -> None:
    rig = Rig()
    rig.validating()
    child = rig.state.child
    assert child is not None
    sent = rig.now
    rig.now += 5.0
    rig.tell(ev.GuardAnswered(child.serial, rig.now), step=False)
    rig.tell(ev.StatusFailed(child.serial, "timed out", sent, rig.now))
    assert "hangs" in rig.take(ac.KillChild).why
    rig.died("killed by SIGKILL")
    assert rig.take(ac.Release).record.fault


def _peer(height: int, now: float) -> Peer:
    return Peer(MemberRecord("b", "host-b", "life-b", height=height, eligible=True), "s2", 5, now)


def test_a_frozen_head_is_handed_over_only_to_a_standby_that_is_ahead() -> None:
    rig = Rig()
    rig.validating()
    rig.run(16.0, height=None)
    assert not rig.has(ac.StopChild)
    assert "no standby is better off" in rig.why
    rig.state = replace(rig.state, peers=(_peer(150, rig.now),))
    rig.step()
    stop = rig.take(ac.StopChild)
    assert "the head stands at" in stop.why
    assert stop.giveup is not None
    assert stop.giveup.successor == _peer(150, rig.now).record.node_id


# --- shutdown and leftovers ---


def test_shutdown_hands_everything_back_in_order() -> None:
    rig = Rig()
    rig.validating()
    rig.tell(ev.StopRequested("SIGTERM", rig.now))
    assert not rig.has(ac.StopChild)
    rig.unloaded(height=123)
    rig.take(ac.StopChild)
    rig.died("exit code 0")
    assert not rig.has(ac.DestroySession)
    record = rig.take(ac.Release).record
    assert (record.final, record.last_height) == (True, 123)
    rig.tell(ev.ReleaseAnswered("s1", ev.Outcome.APPLIED))
    rig.take(ac.DestroySession)
    assert not rig.has(ac.Exit)
    rig.tell(ev.SessionGone("s1"))
    assert rig.has(ac.Exit)
    assert rig.name is State.SHUTDOWN


def test_a_neard_that_ends_while_the_supervisor_is_asked_to_stop_is_no_failure() -> None:
    rig = Rig()
    rig.validating()
    rig.tell(ev.StopRequested("SIGTERM", rig.now), step=False)
    rig.died("exit code 0")
    assert not rig.take(ac.Release).record.fault


def test_shutdown_does_not_wait_for_ever_for_consul() -> None:
    rig = Rig()
    rig.validating()
    rig.tell(ev.StopRequested("SIGTERM", rig.now))
    rig.died("exit code 0")
    for _unused in range(11):
        rig.step(1.0)
        if rig.has(ac.Release):
            rig.take(ac.Release)
            rig.tell(ev.ReleaseAnswered("s1", ev.Outcome.UNKNOWN, "no leader"))
    assert rig.has(ac.Exit)


def test_a_lock_left_over_from_an_earlier_life_is_released_once_the_home_is_clear() -> None:
    rig = Rig()
    ghost = Ghost("old", 4, Giveup("left over", fault=False), leftover=True)
    rig.state = replace(rig.state, ghost=ghost)
    rig.step()
    rig.take(ac.InspectHome)
    rig.step(0.5)
    assert not rig.has(ac.ReadLock)
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    rig.take(ac.ReadLock)
    assert not rig.has(ac.Release)
    rig.tell(ev.LockSeen(LockView(7, "old", HELD), rig.now, rig.now))
    release = rig.take(ac.Release)
    assert (release.session, release.record.term, release.record.last_height) == ("old", 4, 90)


def test_a_leftover_session_that_no_longer_holds_the_lock_is_forgotten() -> None:
    rig = Rig()
    rig.state = replace(rig.state, ghost=Ghost("old", 4, Giveup("left over", fault=False), leftover=True))
    rig.step()
    rig.tell(ev.HomeInspected(Home.CLEAR, ""))
    rig.take(ac.ReadLock)
    rig.tell(ev.LockSeen(LockView(7, "other", HELD), rig.now, rig.now))
    assert rig.state.ghost is None
    assert not rig.has(ac.Release)


def test_a_second_process_with_this_node_id_keeps_it_from_voting() -> None:
    rig = Rig()
    rig.started()
    rig.status()
    rig.take(ac.CreateSession)
    rig.tell(ev.SessionCreated("s1", rig.now))
    rig.take(ac.Publish)
    rig.tell(ev.MemberRefused("node id a is used by host-z and by host-a", duplicate=True))
    assert rig.name is State.REGISTERING
    assert "host-z" in rig.why
    rig.step(1.0)
    assert rig.has(ac.Publish)
