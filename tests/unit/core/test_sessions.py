# SPDX-License-Identifier: Apache-2.0
"""A session serves one lease: a release that was stuck on its way must find nothing to free when it arrives."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.model import Faults, LockView, State
from unit.core.rig import RELEASED, Rig


def handed_back(rig: Rig, outcome: ev.Outcome = ev.Outcome.APPLIED) -> None:
    """The release that was asked for is answered, and neard runs again as a voter."""
    release = rig.take(ac.Release)
    rig.tell(ev.ReleaseAnswered(release.session, outcome))


def test_the_session_of_a_lease_ends_with_it_and_the_next_take_needs_a_new_one() -> None:
    rig = Rig()
    rig.validating()
    rig.died()
    assert not rig.has(ac.DestroySession), "the lock is still booked on it"
    handed_back(rig)
    assert rig.has(ac.DestroySession)
    rig.step(700)
    rig.started()
    rig.status(120)
    rig.lock(LockView(9, None, replace(RELEASED, term=5)))
    assert not rig.has(ac.Take), rig.why
    assert rig.name is State.REGISTERING
    rig.renewed_session()
    for _unused in range(40):
        rig.run(0.25)
        rig.lock(LockView(9, None, replace(RELEASED, term=5)))
        if rig.has(ac.Take):
            break
    assert rig.take(ac.Take).session == "s2"


def test_a_release_without_an_answer_keeps_the_session_until_it_is_settled() -> None:
    rig = Rig()
    rig.validating()
    rig.died()
    handed_back(rig, ev.Outcome.UNKNOWN)
    rig.step(1)
    assert not rig.has(ac.DestroySession)
    handed_back(rig, ev.Outcome.REFUSED)
    assert rig.has(ac.DestroySession)


def test_a_lock_taken_too_late_and_handed_back_spends_the_session_too() -> None:
    rig = Rig()
    rig.registered()
    rig.lock(LockView(7, None, RELEASED))
    take = rig.take(ac.Take)
    rig.tell(ev.TakeAnswered("s1", ev.Outcome.UNKNOWN, take.record, take.claim, rig.now, rig.now))
    rig.lock(LockView(8, "s1", take.record))
    handed_back(rig)
    assert rig.take(ac.DestroySession).session == "s1"


def test_a_lost_lease_spends_its_session_because_the_guard_may_hand_back_as_well() -> None:
    rig = Rig()
    rig.validating()
    rig.run(0.75, heartbeats=False)
    rig.step(0.25)
    rig.beat(ev.Outcome.REFUSED)
    rig.died()
    rig.step()
    assert rig.take(ac.DestroySession).session == "s1"


def test_a_guard_that_fenced_by_itself_hands_back_so_the_lease_is_over_even_with_a_newer_proof() -> None:
    rig = Rig()
    rig.validating()
    rig.state = replace(rig.state, faults=Faults(since=rig.now))  # within the hold-off a failed holder would go on
    assert rig.state.child is not None
    rig.tell(ev.ChildExited(rig.state.child.serial, "the lease's deadline passed", rig.now, handing_back=True))
    assert rig.state.lease is None
    assert rig.has(ac.Release)
