# SPDX-License-Identifier: Apache-2.0
"""What the holder of the lock does with its neard: give it the key, watch that it is of use, and let go in order."""

from __future__ import annotations

from . import actions as ac
from . import records
from .handover import Move, certain, course, expires, mine
from .lease import fence_at
from .model import Child, Giveup, NodeState, Peer, Promotion, Role, Slot
from .plan import Plan
from .polling import poll
from .promotion import promotion_of
from .protocol import Step
from .readiness import Reason, behind_chain, not_activated, paused, unblessed
from .recovery import within_hold_off

VOTER_GRACE = 10.0
"""Seconds a voter gets to end politely before it is restarted as validator: the lock waits for it."""
RELOAD_RETRY = 2.0
"""Seconds; a SIGHUP can be lost while neard reloads (facts of nearcore: re-send if nothing moved within about 2 s)."""
UNLOAD_PATIENCE = 2.5
"""Seconds neard gets to show that it has dropped the key before it is stopped all the same."""
WINDOWS_INTERVAL = 5.0
"""Seconds between two questions for maintenance windows."""


def promote(plan: Plan, child: Child) -> str:
    """The lock is held and neard runs without the key."""
    state, now = plan.state, plan.now
    lease = state.lease
    assert lease is not None
    way, why = promotion_of(state)
    if (unsettled := behind_chain(state)) is not None:
        return _wait_for_chain(plan, child, unsettled)
    if (refusing := _ask_hooks(plan)) is not None:
        return refusing
    if way is Promotion.RESTART:
        plan.do(ac.StopChild(child.serial, min(state.policy.stop_grace, VOTER_GRACE), "restart as validator"))
        return f"promoting by restart: {why}"
    missing = not_activated(state, now)
    if missing is not None:
        begun = max(lease.since, child.started)
        if child.answered is not None and plan.after(begun + state.policy.hot_swap_timeout):
            fault = Giveup(f"the key could not be placed: {missing.text}", fault=True)
            plan.do(ac.KillChild(child.serial, fault.reason, fault))
        return f"promoting by hot swap, not yet: {missing.text}"
    release = records.release_plan(state)
    assert release is not None
    plan.do(ac.PlaceKey(child.serial, fence_at(lease, state.policy.law), release))
    return f"placing the key: {why}"


def _wait_for_chain(plan: Plan, child: Child, why: Reason) -> str:
    """No key before the chain has moved on; where it stands still everywhere, nobody else would do better."""
    state = plan.state
    height = child.status.height if child.status is not None else 0
    if plan.after(child.head_changed + state.policy.freeze_timeout):
        fresher = fresher_peer(state, height, plan.now)
        if fresher is not None and (pause := paused(state, plan.now)) is not None:
            return f"promoting, not yet: {why.text}; handovers are paused: {pause.reason}"
        if fresher is not None:
            name = fresher.record.node_id
            fault = Giveup(f"{why.text}, while {name} is ahead", fault=True, successor=name)
            plan.do(ac.KillChild(child.serial, fault.reason, fault))
    return f"promoting, not yet: {why.text}"


def check_key(plan: Plan, child: Child) -> str:
    """The key is with neard: wait until it shows it, then watch that it is of use."""
    state, now = plan.state, plan.now
    lease = state.lease
    assert lease is not None
    if state.giveup is not None:
        return unload_and_stop(plan, child, state.giveup)
    poll(plan, child)
    begins, said = answer(plan, child)
    if child.key_live:
        # A request that waits does not keep a holder that is of no use.
        idle = None if begins else _idle(plan, child)
        return (said if begins else idle or said) or f"validating in term {lease.term}"
    if child.role is Role.VALIDATOR:
        # `started` counts a long cold start; from the first answer on, the key must show within the hot swap time.
        late = child.started + state.policy.start_timeout
        if child.key_asked is not None:
            late = child.key_asked + state.policy.hot_swap_timeout
        if plan.after(late):
            fault = Giveup(f"neard runs with the key in place but does not show it: {child.stranger}", fault=True)
            plan.do(ac.KillChild(child.serial, fault.reason, fault))
        return "waiting for neard to show the key"
    asked = child.key_asked if child.key_asked is not None else now
    if plan.after(asked + state.policy.hot_swap_timeout):
        plan.do(ac.StopChild(child.serial, 0.0, "the hot swap did not succeed in time; restarting as validator"))
        return "hot swap failed, restarting neard as validator while the lock is proven"
    if plan.after(child.key_reload + (0.2 if child.key_fault else RELOAD_RETRY)):
        release = records.release_plan(state)
        assert release is not None
        plan.do(ac.PlaceKey(child.serial, fence_at(lease, state.policy.law), release))
    return f"waiting for neard to show the key{': ' + child.key_fault if child.key_fault else ''}"


def unload_and_stop(plan: Plan, child: Child, giveup: Giveup) -> str:
    """The key is taken from neard first, so that the height it can have signed at most is known; then neard is stopped.

    Only a neard that has shown the key can prove by not showing it any more that it has dropped it.
    """
    state, lease = plan.state, plan.state.lease
    if child.unload_asked is None and child.key_live:
        plan.do(ac.UnloadKey(child.serial, giveup))
        return f"giving the lock up: {giveup.reason}: taking the key from neard"
    poll(plan, child)
    unloaded = lease is not None and lease.last > 0
    if child.unload_asked is not None and not unloaded and not plan.after(child.unload_asked + UNLOAD_PATIENCE):
        return f"giving the lock up: {giveup.reason}: waiting until neard shows no key"
    plan.do(ac.StopChild(child.serial, state.policy.stop_grace, giveup.reason, giveup))
    return f"giving the lock up: {giveup.reason}: stopping neard"


def answer(plan: Plan, child: Child) -> tuple[bool, str | None]:
    """Act on an operator's request for this holder: does it begin now, and a sentence about it if there is one."""
    state, request = plan.state, mine(plan.state)
    if request is None:
        return False, None
    if request.when == "window" and plan.due(Slot.WINDOWS, WINDOWS_INTERVAL):
        plan.do(ac.AskWindows(child.serial))
    found = course(state, request, plan.now)
    plan.note(Step.PLANNED if found.outcome is None else found.step, found.outcome, found.why)
    if state.desk.knows(Step.PLANNED):
        plan.note(found.step)
    what = f"{request.ask.value} {request.id}"
    if found.move is Move.END:
        return False, f"{what} {found.step.value if found.outcome is None else found.outcome.value}: {found.why}"
    plan.after(expires(state, request))
    if found.giveup is None or not certain(state):
        return False, f"{what}: {found.why}"
    return plan.do(ac.UnloadKey(child.serial, found.giveup)), f"{what} begins: {found.why}"


def _ask_hooks(plan: Plan) -> str | None:
    lease = plan.state.lease
    if lease is None or not unblessed(plan.state):
        return None
    plan.do(ac.AskHook(lease.term))
    return "waiting for the operator's hooks for pre-promote"


def _idle(plan: Plan, child: Child) -> str | None:
    """A holder that is of no use hands over, if a standby is better off; when all are in the same trouble nobody moves.

    Better off is who is ahead: that a standby's record tells of peers may only mean that it is older than the trouble.
    """
    state, policy, lease = plan.state, plan.state.policy, plan.state.lease
    trouble = _trouble(plan, child)
    if lease is None or child.status is None or trouble is None:
        return None
    better = fresher_peer(state, child.status.height, plan.now)
    if better is None:
        return f"validating in term {lease.term}, but {trouble} and no standby is better off"
    if within_hold_off(state, lease, plan.now):
        return f"validating in term {lease.term}, but {trouble}; held off from another handover"
    pause = paused(state, plan.now)
    if pause is not None:
        return f"validating in term {lease.term}, but {trouble}; handovers are paused: {pause.reason}"
    name = better.record.node_id
    fault = Giveup(f"{trouble} while {name} is better off", fault=True, successor=name)
    plan.do(ac.StopChild(child.serial, policy.law.kill_budget, fault.reason, fault))
    return f"handing over: {fault.reason}"


def _trouble(plan: Plan, child: Child) -> str | None:
    """Why this holder does no good, after the policy's patience."""
    patience = plan.state.policy.freeze_timeout
    if child.status is None or not plan.after(child.key_live_since + patience):
        return None
    if child.lonely_since is not None and plan.after(child.lonely_since + patience):
        return "neard has no peers"
    if plan.after(child.head_changed + patience):
        return f"the head stands at {child.status.height}"
    return None


def fresher_peer(state: NodeState, height: int, now: float) -> Peer | None:
    """A live, eligible standby that is ahead of ``height`` by the policy's number of blocks, as of its last record."""
    fresh = 3 * state.policy.member_interval
    for peer in state.peers:
        ahead = peer.record.height >= height + state.policy.freeze_blocks
        other = peer.record.node_id != state.identity.node_id
        if other and ahead and peer.live and peer.record.eligible and now - peer.seen <= fresh:
            return peer
    return None
