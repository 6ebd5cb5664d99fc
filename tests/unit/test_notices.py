# SPDX-License-Identifier: Apache-2.0
"""What the operator's hooks are told of."""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.decide import decide
from kuutamod.core.model import Giveup, NodeState
from kuutamod.core.protocol import FleetConfig, Pause
from kuutamod.hooks.call import HookCall, HookEvent
from kuutamod.notices import notices
from unit.core.rig import KEY, Rig


def told(rig: Rig, before: NodeState, *actions: ac.Action) -> list[HookCall]:
    return list(notices(before, rig.state, actions, rig.now))


def test_a_promotion_is_told_once_the_key_is_shown_and_not_again() -> None:
    rig = Rig()
    rig.holder()
    before = rig.state
    rig.tell(ev.KeyPlaced(rig.take(ac.PlaceKey).serial, rig.now))
    assert told(rig, before) == []
    before = rig.state
    rig.status(101, validator_key=KEY, validator_account="acct")
    (call,) = told(rig, before)
    assert (call.event, call.node, call.term, call.account) == (HookEvent.PROMOTE, "a", 5, "acct")
    assert call.reason.startswith("b released it")
    before = rig.state
    rig.status(102, validator_key=KEY, validator_account="acct")
    assert told(rig, before) == []


def test_the_end_of_a_neard_with_the_key_is_a_demotion_with_its_reason_and_term() -> None:
    rig = Rig()
    rig.validating()
    before = rig.state
    rig.died("killed by SIGSEGV")
    (call,) = told(rig, before)
    assert (call.event, call.term, call.reason) == (HookEvent.DEMOTE, 5, "killed by SIGSEGV")


def test_the_end_of_a_standbys_neard_is_none() -> None:
    rig = Rig()
    rig.registered()
    before = rig.state
    rig.died()
    assert told(rig, before) == []


def test_a_fence_is_told_with_the_decision_that_begins_it() -> None:
    rig = Rig()
    rig.validating()
    before = rig.state
    rig.tell(ev.SessionGone("s1"), step=False)
    decision = decide(rig.state, rig.now)
    (call,) = told(rig, before, *decision.actions)
    assert call.event is HookEvent.FENCE
    assert "session" in call.reason


def test_a_handover_is_told_and_a_clean_stop_is_not() -> None:
    rig = Rig()
    rig.validating()
    (call,) = told(rig, rig.state, ac.UnloadKey(1, Giveup("asked for by eve", False, successor="b", request="r1")))
    assert (call.event, call.reason) == (HookEvent.HANDOVER, "asked for by eve")
    assert told(rig, rig.state, ac.UnloadKey(1, Giveup("stopped: SIGTERM", False))) == []


def test_a_holder_of_no_use_that_hands_over_by_itself_tells_that_too() -> None:
    rig = Rig()
    rig.validating()
    giveup = Giveup("the head stands at 100 while b is better off", True, successor="b")
    (call,) = told(rig, rig.state, ac.StopChild(1, 1.0, giveup.reason, giveup))
    assert (call.event, call.reason) == (HookEvent.HANDOVER, giveup.reason)
    begun = replace(rig.state, giveup=giveup)
    assert told(rig, begun, ac.StopChild(1, 1.0, giveup.reason, giveup)) == [], "it is told once"


def test_a_key_where_none_should_be_is_told_as_a_fence() -> None:
    rig = Rig()
    rig.registered()
    rig.status(101, step=False, validator_key="ed25519:stranger")
    decision = decide(rig.state, rig.now)
    (call,) = told(rig, rig.state, *decision.actions)
    assert call.event is HookEvent.FENCE
    assert "shows validator key ed25519:stranger" in call.reason


def test_a_pause_is_told_when_it_begins() -> None:
    rig = Rig()
    rig.registered()
    before = rig.state
    rig.tell(ev.FleetSeen((), FleetConfig(pauses=(Pause(rig.now + 60, reason="disks"),)), rig.now, rig.now, rig.now))
    (call,) = told(rig, before)
    assert (call.event, call.reason) == (HookEvent.PAUSE, "disks")
    assert told(rig, rig.state) == []
