# SPDX-License-Identifier: Apache-2.0
"""What to do next: one function of what is known and the time, with one sentence of why.

The order is the order of importance: fence first, then keep the lease, then everything else. It never waits; long
actions run beside it and their results come back as events.
"""

from __future__ import annotations

from . import actions as ac
from .lease import fence_at, may_sign, unproved
from .lifecycle import run_child
from .model import Giveup, NodeState
from .plan import Plan
from .upkeep import keep_answers, keep_lease, keep_registered, keep_watching


def decide(state: NodeState, now: float) -> ac.Decision:
    """The actions to begin now, why, and when to ask again at the latest (boottime seconds)."""
    plan = Plan(state, now)
    fenced = fence(plan)
    keep_lease(plan)
    why = fenced or run_child(plan)
    keep_registered(plan)
    keep_watching(plan)
    keep_answers(plan)
    return plan.finish(why)


def fence(plan: Plan) -> str | None:
    """Kill what holds the key, or shows one, without a proven lease. Nothing else may stand before this."""
    state, now = plan.state, plan.now
    child, lease, law = state.child, state.lease, state.policy.law
    keyed = child is not None and child.keyed
    if lease is not None and not keyed and not may_sign(lease, law, now):
        why = lease.lost or unproved(lease, law)
        plan.do(ac.GiveUp(Giveup(why, fault=False)))
        return f"standby: the lock is gone before the key was placed: {why}"
    if child is None:
        return None
    if child.killed is not None:
        overdue = now - child.killed_at > law.kill_budget
        if overdue:
            return f"cannot fence: neard pid {child.pid} does not die after SIGKILL ({child.killed}); the lock stays held"
        plan.after(child.killed_at + law.kill_budget)
        return f"waiting for proof that neard pid {child.pid} is dead: {child.killed}"
    if keyed and not may_sign(lease, law, now):
        lost = lease.lost if lease is not None else "the lease has ended"
        why = lost or unproved(lease, law)
        plan.do(ac.KillChild(child.serial, why, Giveup(why, fault=False)))
        return f"fence: killing neard pid {child.pid}: {why}"
    if keyed and lease is not None:
        plan.after(fence_at(lease, law))
    return _fence_strange_key(plan)


def _fence_strange_key(plan: Plan) -> str | None:
    """A key in neard's memory that this supervisor did not place, or not this one, is never tolerated."""
    child, identity = plan.state.child, plan.state.identity
    if child is None or child.status is None or not child.identified or child.status.validator_key is None:
        return None
    shown = child.status.validator_key
    if child.keyed and shown == identity.fingerprint:
        return None
    what = f"shows validator key {shown}" + (
        f", not the configured {identity.fingerprint}" if child.keyed else " though this node does not hold the lock"
    )
    giveup = Giveup(f"neard {what}", fault=True) if plan.state.lease is not None else None
    plan.do(ac.KillChild(child.serial, f"neard {what}", giveup))
    return f"fence: killing neard pid {child.pid}: it {what}"
