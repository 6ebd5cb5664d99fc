# SPDX-License-Identifier: Apache-2.0
"""Starting, promoting, demoting and stopping the neard of this node."""

from __future__ import annotations

from kuutamod.core import actions as ac
from kuutamod.core import records
from kuutamod.core.lease import fence_at
from kuutamod.core.model import Child, Giveup, Home, NodeState, Peer, Promotion, Role, Slot, State, label
from kuutamod.core.plan import Plan
from kuutamod.core.promotion import promotion_of
from kuutamod.core.readiness import NEW_WATCH, Reason, behind, behind_chain, confirmed, fresh_proof, not_activated
from kuutamod.core.recovery import within_hold_off
from kuutamod.core.takeover import counted, opening, watching
from kuutamod.core.upkeep import RETRY

HOME_RETRY = 1.0
"""Seconds between two looks at a busy home."""
LONGEST_BACKOFF = 60.0
"""Seconds; the longest pause before a neard that keeps failing is started again."""
VOTER_GRACE = 10.0
"""Seconds a voter gets to end politely before it is restarted as validator: the lock waits for it."""
RELOAD_RETRY = 2.0
"""Seconds; a SIGHUP can be lost while neard reloads (facts of nearcore: re-send if nothing moved within about 2 s)."""
RELEASE_PATIENCE = 10.0
"""Seconds a supervisor that ends tries to hand lock and session back."""
TAKE_RETRY = 0.1
"""Seconds between two tries to take an open lock (Consul's lock delay may end a moment after our own count)."""


def run_child(plan: Plan) -> str:
    """What neard needs now; returns the sentence of the decision."""
    state = plan.state
    child = state.child
    if state.stop_requested is not None:
        return _shut_down(plan, state.stop_requested)
    if child is None:
        return _start(plan)
    _ask_guard(plan, child)
    if (silent := _guard_silent(plan, child)) is not None:
        return silent
    if child.stopping is not None:
        return f"stopping neard pid {child.pid}: {child.stopping}"
    return _neard_silent(plan, child) or _standby_or_holder(plan, child)


def _standby_or_holder(plan: Plan, child: Child) -> str:
    polled = _poll(plan, child)
    if plan.state.lease is None:
        return polled or _contend(plan)
    if child.keyed:
        return _check_key(plan, child)
    return polled or _promote(plan, child)


# --- start ---


def _start(plan: Plan) -> str:
    state, now = plan.state, plan.now
    pause = min(2.0 ** (state.start_failures - 1), LONGEST_BACKOFF) if state.start_failures else 0.0
    at = state.child_died + pause if state.lease is None else state.faults.next_start
    if not plan.after(at):
        times = max(state.start_failures, state.faults.retries)
        return f"neard failed {times} times in a row, pausing before the next start: {state.home_why}"
    if state.home is not Home.CLEAR:
        if state.home is Home.BUSY and state.lease is not None:
            plan.do(ac.GiveUp(Giveup(state.home_why, fault=True)))
        if plan.due(Slot.HOME, HOME_RETRY if state.home is Home.BUSY else 0.0):
            plan.do(ac.InspectHome())
        return f"not starting neard: {state.home_why}" if state.home is Home.BUSY else "looking whether the home is free"
    if state.lease is None or not state.lease.settled or promotion_of(state)[0] is Promotion.HOT_SWAP:
        plan.do(ac.StartChild(state.serial + 1, Role.VOTER))
        return "starting neard as voter"
    if not fresh_proof(state, now):
        return "holding the lock; a fresh proof is needed before neard gets the key"
    plan.do(ac.StartChild(state.serial + 1, Role.VALIDATOR, fence_at(state.lease, state.policy.law), _plan(state)))
    return f"starting neard as validator: {promotion_of(state)[1]}"


def _plan(state: NodeState) -> ac.ReleasePlan | None:
    lease = state.lease
    if lease is None:
        return None
    return ac.ReleasePlan(lease.session, records.guard_release(state, lease))


def _ask_guard(plan: Plan, child: Child) -> None:
    lease, law = plan.state.lease, plan.state.policy.law
    if child.pid is None or Slot.CHILD in plan.state.inflight:
        return
    fence = fence_at(lease, law) if lease is not None and child.keyed else None
    newer = fence is not None and fence > child.guard_fence
    if newer or plan.after((child.guard_asked or 0.0) + law.heartbeat_interval):
        plan.do(ac.ExtendGuard(child.serial, fence, _plan(plan.state) if child.keyed else None))


def _guard_silent(plan: Plan, child: Child) -> str | None:
    silent = child.guard_silent_since
    if silent is None or not plan.after(silent + plan.state.policy.guard_patience):
        return None
    why = f"the guard of neard pid {child.pid} does not answer"
    plan.do(ac.KillChild(child.serial, why, Giveup(why, fault=True) if plan.state.lease else None))
    return f"killing neard pid {child.pid}: {why}"


def _neard_silent(plan: Plan, child: Child) -> str | None:
    policy = plan.state.policy
    if child.answered is None:
        if not plan.after(child.started + policy.start_timeout):
            return None
        why = f"neard pid {child.pid} did not answer within {policy.start_timeout:g} s of its start"
    elif child.silent_since is not None and plan.after(child.silent_since + policy.hang_timeout):
        why = f"neard pid {child.pid} hangs: no answer for {policy.hang_timeout:g} s"
    else:
        return None
    plan.do(ac.KillChild(child.serial, why, Giveup(why, fault=True) if plan.state.lease else None))
    return f"killing: {why}"


def _poll(plan: Plan, child: Child) -> str | None:
    state = plan.state
    if child.pid is None:
        return f"starting neard as {child.role.value}"
    promoting = state.lease is not None and not child.key_live
    record = state.watch.view.record if state.lease is None and state.watch is not None else None
    waiting = record is not None and record.released and behind(state, record.last_height)
    quick = promoting or waiting or child.answered is None
    if plan.due(Slot.STATUS, 0.1 if quick else state.policy.status_interval):
        plan.do(ac.PollStatus(child.serial, state.policy.hang_timeout))
    if child.answered is None:
        return child.stranger or "waiting for neard to answer"
    return None


# --- standby ---


def _contend(plan: Plan) -> str:
    """Take the lock when it is open and this node is ready. The only place where a Take is decided."""
    state, now, law = plan.state, plan.now, plan.state.policy.law
    if Slot.LOCK in state.inflight and state.ghost is None:
        return "waiting for Consul's answer about the lock"
    if state.ghost is not None:
        return f"handing back the lock of term {state.ghost.term}: {state.ghost.reason}"
    reasons = plan.reasons
    hard = [reason for reason in reasons if not reason.soft]
    name = label(state)
    if hard and name is not State.VOTING:
        return f"{name.value}: {hard[0].text}"
    watch = counted(state)
    if hard or watch is None or state.session is None:
        return f"standby, not eligible: {'; '.join(r.text for r in hard)}"
    chance = opening(watch, law)
    if chance is None:
        return _create_key(plan)
    soft = [reason for reason in reasons if reason.soft and reason.code != NEW_WATCH]  # that one is in `opening`
    at = max(chance.at, chance.others + state.policy.patience) if soft else chance.at
    if not plan.after(at) or not watching(watch, law, now):
        return _waiting(state, soft[0].text if soft else "")
    before, word = watch.view.record, confirmed(state)
    if before is not None and behind(state, before.last_height) and not word:
        return f"standby: the chain has not passed height {before.last_height}, the last of {before.node_id}"
    if state.take_refused is not None:
        reread = watch.last_seen > state.take_refused
        if not reread or not plan.after(state.take_refused + TAKE_RETRY):
            return "standby: taking the lock was refused; looking again"
    record = records.take(state)
    fault = before is not None and before.released and before.fault and before.node_id != state.identity.node_id
    plan.do(ac.Take(state.session.id, watch.view, chance.kind, record, fault_takeover=fault, confirmed=word))
    return f"taking the lock for term {record.term}: {chance.why}"


def _create_key(plan: Plan) -> str:
    state, law = plan.state, plan.state.policy.law
    if state.watch is not None and watching(state.watch, law, plan.now) and plan.due(Slot.LOCK, RETRY):
        plan.do(ac.CreateKey(records.missing(state)))
    return "standby: the lock's key is missing; writing it anew, held by nobody, to count the guard time on it"


def _waiting(state: NodeState, soft: str) -> str:
    watch = state.watch
    suffix = f" (would wait longer: {soft})" if soft else ""
    if watch is None or watch.view.record is None:
        return f"standby: the lock's value is unreadable; waiting the guard time{suffix}"
    if watch.view.record.phase == records.MISSING:
        return f"standby: the lock's key was missing; waiting the guard time{suffix}"
    holder, term = watch.view.record.node_id, watch.view.record.term
    if watch.view.session is not None and holder == state.identity.node_id:
        return f"standby: Consul still books the lock of term {term} on this node's ended lease{suffix}"
    if watch.view.session is not None:
        return f"standby: {holder} holds the lock in term {term}{suffix}"
    if watch.view.released:
        first = "others go first" if soft else "this node has to watch it for the guard time first"
        return f"standby: {holder} released the lock of term {term}; {first}{suffix}"
    return f"standby: {holder} lost the lock of term {term} without proof of death; waiting the guard time{suffix}"


# --- holder ---


def _promote(plan: Plan, child: Child) -> str:
    """The lock is held and neard runs without the key."""
    state, now = plan.state, plan.now
    lease = state.lease
    assert lease is not None
    way, why = promotion_of(state)
    if (unsettled := behind_chain(state)) is not None:
        return _wait_for_chain(plan, child, unsettled)
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
    release = _plan(state)
    assert release is not None
    plan.do(ac.PlaceKey(child.serial, fence_at(lease, state.policy.law), release))
    return f"placing the key: {why}"


def _wait_for_chain(plan: Plan, child: Child, why: Reason) -> str:
    """No key before the chain has moved on; where it stands still everywhere, nobody else would do better."""
    state = plan.state
    height = child.status.height if child.status is not None else 0
    if plan.after(child.head_changed + state.policy.freeze_timeout):
        fresher = fresher_peer(state, height, plan.now)
        if fresher is not None:
            fault = Giveup(f"{why.text}, while {fresher.record.node_id} is ahead", fault=True)
            plan.do(ac.KillChild(child.serial, fault.reason, fault))
    return f"promoting, not yet: {why.text}"


def _check_key(plan: Plan, child: Child) -> str:
    """The key is with neard: wait until it shows it, then watch that it is of use."""
    state, now = plan.state, plan.now
    lease = state.lease
    assert lease is not None
    if state.giveup is not None:
        return f"handing the lock over: {state.giveup.reason}"
    _poll(plan, child)
    if child.key_live:
        return _frozen(plan, child) or f"validating in term {lease.term}"
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
        release = _plan(state)
        assert release is not None
        plan.do(ac.PlaceKey(child.serial, fence_at(lease, state.policy.law), release))
    return f"waiting for neard to show the key{': ' + child.key_fault if child.key_fault else ''}"


def _frozen(plan: Plan, child: Child) -> str | None:
    """A holder whose head stands still hands over, if a standby is ahead; when all stand still nobody moves."""
    state, policy = plan.state, plan.state.policy
    lease = state.lease
    if lease is None or child.status is None:
        return None
    if not plan.after(max(child.head_changed, child.key_live_since) + policy.freeze_timeout):
        return None
    fresher = fresher_peer(state, child.status.height, plan.now)
    if fresher is None:
        return f"validating in term {lease.term}, but the head stands at {child.status.height} and no standby is ahead"
    if within_hold_off(state, lease, plan.now):
        return f"validating in term {lease.term}, but the head stands still; held off from another handover"
    fault = Giveup(f"the head stands at {child.status.height} while {fresher.record.node_id} is ahead", fault=True)
    plan.do(ac.StopChild(child.serial, policy.law.kill_budget, fault.reason, fault))
    return f"handing over: {fault.reason}"


def fresher_peer(state: NodeState, height: int, now: float) -> Peer | None:
    """A live, eligible standby that is ahead of ``height`` by the policy's number of blocks, as of its last record."""
    fresh = 3 * state.policy.member_interval
    for peer in state.peers:
        ahead = peer.record.height >= height + state.policy.freeze_blocks
        other = peer.record.node_id != state.identity.node_id
        if other and ahead and peer.live and peer.record.eligible and now - peer.seen <= fresh:
            return peer
    return None


# --- shutdown ---


def _shut_down(plan: Plan, why: str) -> str:
    state, child = plan.state, plan.state.child
    if child is not None:
        _ask_guard(plan, child)
        silent = _guard_silent(plan, child)
        if child.stopping is None and child.pid is not None:
            giveup = Giveup(f"stopped: {why}", fault=False) if state.lease is not None else None
            plan.do(ac.StopChild(child.serial, state.policy.stop_grace, why, giveup))
        return silent or f"shutting down ({why}): waiting for neard pid {child.pid} to end"
    if state.lease is not None:
        plan.do(ac.GiveUp(Giveup(f"stopped: {why}", fault=False)))
        return f"shutting down ({why}): letting the lock go"
    out_of_time = plan.after(max(state.child_died, state.stop_since) + RELEASE_PATIENCE)
    if (state.ghost is not None or state.session is not None) and not out_of_time:
        return f"shutting down ({why}): handing lock and session back"
    plan.do(ac.Exit())
    return f"shut down: {why}"
