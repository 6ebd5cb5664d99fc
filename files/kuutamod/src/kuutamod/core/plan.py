# SPDX-License-Identifier: Apache-2.0
"""The sheet on which the rules note what to do: actions, when to think again, and the bookkeeping of both."""

from __future__ import annotations

from . import actions as ac
from .change import replace
from .desk import noted
from .model import Child, NodeState, Role, Slot, last_tried, spend
from .protocol import Mark, Outcome, Step
from .readiness import Reason, ineligible
from .recovery import let_go

IDLE_WAKE = 1.0
"""Seconds; the rules look at the clock at least this often."""


class Plan:
    """Collects the actions of one decision; a slot that is busy, or already used in this decision, is left alone."""

    def __init__(self, state: NodeState, now: float) -> None:
        self.state = state
        self.now = now
        self.actions: list[ac.Action] = []
        self.wake_at = now + IDLE_WAKE
        self._taken: set[Slot] = set()
        self._reasons: tuple[Reason, ...] | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why this node may not take the lock; looked at once per decision."""
        if self._reasons is None:
            self._reasons = ineligible(self.state, self.now)
        return self._reasons

    def free(self, slot: Slot) -> bool:
        """May an action be begun in this slot?"""
        return slot not in self.state.inflight and slot not in self._taken

    def do(self, action: ac.Action) -> bool:
        """Note the action unless its slot is busy; tells whether it was noted."""
        slot = action.slot
        if slot is not None:
            if not self.free(slot):
                return False
            self._taken.add(slot)
        self.actions.append(action)
        return True

    def due(self, slot: Slot, interval: float) -> bool:
        """Is it ``interval`` seconds since the slot was last used? If not, wake up when it is."""
        return self.after(last_tried(self.state, slot) + interval)

    def after(self, at: float) -> bool:
        """Is it ``at`` (boottime seconds) yet? If not, wake up then."""
        if self.now >= at:
            return True
        self.wake_at = min(self.wake_at, at)
        return False

    def note(self, step: Step, outcome: Outcome | None = None, why: str = "") -> None:
        """Tell a phase of the operator's request, unless it is told already; ``why`` explains the outcome."""
        if outcome is not None or not self.state.desk.knows(step):
            self.do(ac.Note(Mark(step, self.state.wall + self.now), outcome, why if outcome is not None else ""))

    def finish(self, why: str) -> ac.Decision:
        """The decision."""
        return ac.Decision(tuple(self.actions), why, self.wake_at)


def begin(state: NodeState, action: ac.Action, now: float) -> NodeState:
    """The state once ``action`` is under way; the shell applies this before it starts the action."""
    slot = action.slot
    if slot is not None:
        state = replace(state, inflight=state.inflight | {slot}, tried={**state.tried, slot: now})
    match action:
        case ac.StartChild():
            child = Child(action.serial, action.role, keyed=action.role is Role.VALIDATOR, started=now)
            if action.fence_at is not None:
                child = replace(child, guard_fence=action.fence_at)
            return replace(state, child=child, serial=action.serial, starts=state.starts + 1)
        case ac.Heartbeat() if state.lease is not None:
            return replace(state, lease=replace(state.lease, counter=action.record.heartbeat))
        case ac.Release() if state.ghost is not None:
            return spend(replace(state, ghost=replace(state.ghost, tried=now)), action.session)
        case ac.GiveUp():
            return let_go(state, action.giveup)
        case ac.Note():
            return replace(state, desk=noted(state.desk, action.mark, action.outcome, action.why))
        case ac.PlaceKey() | ac.UnloadKey() | ac.ExtendGuard() | ac.StopChild() | ac.KillChild():
            return _begin_with_child(state, action, now)
        case _:
            return state


def _begin_with_child(
    state: NodeState, action: ac.PlaceKey | ac.UnloadKey | ac.ExtendGuard | ac.StopChild | ac.KillChild, now: float
) -> NodeState:
    child = state.child
    if child is None:
        return state
    match action:
        case ac.PlaceKey():
            asked = child.key_asked if child.key_asked is not None else now
            child = replace(child, keyed=True, key_asked=asked, key_reload=now, guard_fence=action.fence_at)
        case ac.UnloadKey():
            child = replace(child, unload_asked=now)
        case ac.ExtendGuard():
            silent = child.guard_silent_since if child.guard_silent_since is not None else now
            fence = action.fence_at if action.fence_at is not None else child.guard_fence
            child = replace(child, guard_asked=now, guard_silent_since=silent, guard_fence=fence)
        case ac.StopChild():
            child = replace(child, stopping=action.why)
            state = replace(state, stopped_for=action.request or state.stopped_for)
            if child.key_asked is not None and action.giveup is None:
                state = replace(state, promotion_failed=True)
        case ac.KillChild():
            child = replace(child, killed=action.why, killed_at=now)
    giveup = action.giveup if isinstance(action, ac.StopChild | ac.KillChild | ac.UnloadKey) else None
    request = giveup.request if giveup is not None and state.giveup is None else ""
    return replace(state, child=child, giveup=state.giveup or giveup, stopped_for=request or state.stopped_for)
