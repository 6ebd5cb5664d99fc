# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping the neard of this node."""

from __future__ import annotations

from . import actions as ac
from . import records
from .handover import Move, restart
from .holder import check_key, promote, unload_and_stop
from .lease import fence_at
from .model import Child, Giveup, Home, Promotion, Role, Slot
from .plan import Plan
from .polling import poll
from .promotion import promotion_of
from .protocol import Step
from .readiness import fresh_proof, unblessed
from .recovery import backoff
from .standby import contend

HOME_RETRY = 1.0
"""Seconds between two looks at a busy home."""
LONGEST_BACKOFF = 60.0
"""Seconds; the longest pause before a neard that keeps failing is started again."""
RELEASE_PATIENCE = 10.0
"""Seconds a supervisor that ends tries to hand lock and session back."""


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
    polled = poll(plan, child)
    if plan.state.lease is None:
        return _restart(plan, child) or polled or contend(plan)
    if child.keyed:
        return check_key(plan, child)
    return polled or promote(plan, child)


def _restart(plan: Plan, child: Child) -> str | None:
    """An operator asks for a restart of this standby's neard."""
    found = restart(plan.state, plan.now)
    if found is None:
        return None
    if found.move is Move.END:
        plan.note(found.step, found.outcome, found.why)
        return found.why
    plan.note(Step.PLANNED)
    plan.note(found.step)
    if found.move is Move.WAIT:
        return None  # until then it stands by like any other
    plan.do(ac.StopChild(child.serial, plan.state.policy.stop_grace, found.why, request=found.request))
    return found.why


# --- start ---


def _start(plan: Plan) -> str:
    state, now = plan.state, plan.now
    at = state.child_died + backoff(state.start_failures, LONGEST_BACKOFF)
    if state.lease is not None:
        at = state.faults.next_start
    if not plan.after(at):
        times = max(state.start_failures, state.faults.retries)
        return f"neard failed {times} times in a row, pausing before the next start: {state.home_why}"
    if state.home is not Home.CLEAR:
        if state.home is Home.BUSY and state.lease is not None:
            plan.do(ac.GiveUp(Giveup(state.home_why, fault=True)))
        if plan.due(Slot.HOME, HOME_RETRY if state.home is Home.BUSY else 0.0):
            plan.do(ac.InspectHome())
        return f"not starting neard: {state.home_why}" if state.home is Home.BUSY else "looking whether the home is free"
    early = state.lease is None or not state.lease.settled or unblessed(state)
    if early or state.lease is None or promotion_of(state)[0] is Promotion.HOT_SWAP:
        plan.do(ac.StartChild(state.serial + 1, Role.VOTER))
        return "starting neard as voter"
    if not fresh_proof(state, now):
        return "holding the lock; a fresh proof is needed before neard gets the key"
    plan.do(
        ac.StartChild(
            state.serial + 1, Role.VALIDATOR, fence_at(state.lease, state.policy.law), records.release_plan(state)
        )
    )
    return f"starting neard as validator: {promotion_of(state)[1]}"


def _ask_guard(plan: Plan, child: Child) -> None:
    lease, law = plan.state.lease, plan.state.policy.law
    if child.pid is None or Slot.CHILD in plan.state.inflight:
        return
    fence = fence_at(lease, law) if lease is not None and child.keyed else None
    newer = fence is not None and fence > child.guard_fence
    if newer or plan.after((child.guard_asked or 0.0) + law.heartbeat_interval):
        plan.do(ac.ExtendGuard(child.serial, fence, records.release_plan(plan.state) if child.keyed else None))


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


# --- shutdown ---


def _shut_down(plan: Plan, why: str) -> str:
    state, child = plan.state, plan.state.child
    if child is not None:
        _ask_guard(plan, child)
        silent = _guard_silent(plan, child)
        if child.stopping is None and child.pid is not None:
            if state.lease is not None and child.keyed:
                return silent or unload_and_stop(plan, child, state.giveup or Giveup(f"stopped: {why}", fault=False))
            plan.do(ac.StopChild(child.serial, state.policy.stop_grace, why))
        return silent or f"shutting down ({why}): waiting for neard pid {child.pid} to end"
    if state.lease is not None:
        plan.do(ac.GiveUp(Giveup(f"stopped: {why}", fault=False)))
        return f"shutting down ({why}): letting the lock go"
    out_of_time = plan.after(max(state.child_died, state.stop_since) + RELEASE_PATIENCE)
    if (state.ghost is not None or state.session is not None) and not out_of_time:
        return f"shutting down ({why}): handing lock and session back"
    plan.do(ac.Exit())
    return f"shut down: {why}"
