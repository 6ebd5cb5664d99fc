# SPDX-License-Identifier: Apache-2.0
"""How the fence of this node stands: the guard, and a neard that does not die. Pure."""

from __future__ import annotations

import enum

from ..core.model import NodeState


class GuardState(enum.Enum):
    """What the guard of neard does; the label of the metric ``kuutamod_guard_state``."""

    NONE = "none"
    IDLE = "idle"
    ARMED = "armed"
    SILENT = "silent"


def guard_state(state: NodeState, now: float) -> GuardState:
    """NONE without a neard, ARMED with a key to fence, SILENT after a missed answer. ``now`` in boottime seconds."""
    child = state.child
    if child is None or child.pid is None:
        return GuardState.NONE
    asked = child.guard_silent_since
    if asked is not None and now - asked > state.policy.law.heartbeat_interval:
        return GuardState.SILENT
    return GuardState.ARMED if child.keyed else GuardState.IDLE


def cannot_fence(state: NodeState, now: float) -> bool:
    """Does a neard with the key outlive its SIGKILL for longer than the kill budget? ``now``: boottime seconds."""
    child = state.child
    if child is None or not child.keyed or child.killed is None:
        return False
    return now - child.killed_at > state.policy.law.kill_budget
