# SPDX-License-Identifier: Apache-2.0
"""What a holder does after its neard failed, and how often the key may wander (hold-off)."""

from __future__ import annotations

from .change import replace
from .lease import Lease, may_sign
from .model import Faults, Ghost, Giveup, NodeState, spend
from .readiness import paused

LONGEST_PAUSE = 30.0
"""Seconds; the longest pause between local restarts."""
MOST_DOUBLED = 5
"""How often the patience of a node is doubled whose hooks refuse one promotion after the other."""


def backoff(times: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 and so on, ``longest`` at most."""
    return min(2.0 ** min(times - 1, 20), longest) if times > 0 else 0.0


def patience_of(state: NodeState) -> float:
    """Seconds that this node leaves an open lock to the others, while something keeps it from being as good as they are."""
    vetoes = state.faults.vetoes
    return state.policy.patience * 2.0 ** min(max(0, vetoes - 1), MOST_DOUBLED)


def within_hold_off(state: NodeState, lease: Lease, at: float) -> bool:
    """Was there a failure of this node, or of the holder before it, within the hold-off time (seconds)?

    Then one more handover would be ping-pong: a poison block or a bad release fails everywhere.
    """
    own = state.faults.since is not None and at - state.faults.since < state.policy.hold_off
    before = lease.claim.fault and at - lease.since < state.policy.hold_off
    return own or before


def after_failure(state: NodeState, giveup: Giveup, at: float) -> NodeState:
    """The holder's neard is dead by its own fault: give the lock up, or within the hold-off time restart it here.

    So too in a pause: nobody else may take the lock then.
    """
    lease = state.lease
    if lease is None:
        return state
    stays = within_hold_off(state, lease, at) or paused(state, at) is not None
    if may_sign(lease, state.policy.law, at) and stays:
        retries = state.faults.retries + 1
        pause = min(backoff(retries, 2 * LONGEST_PAUSE) - 1, LONGEST_PAUSE)
        return replace(state, faults=Faults(_window(state, at), retries, next_start=at + pause), giveup=None)
    return let_go(replace(state, faults=Faults(since=at)), giveup)


def _window(state: NodeState, at: float) -> float:
    """When this node's hold-off began. Later failures don't begin it anew: a host that never gets well hands over again."""
    since = state.faults.since
    return since if since is not None and at - since < state.policy.hold_off else at


def let_go(state: NodeState, giveup: Giveup) -> NodeState:
    """End the lease after proof that no process holds the key; what Consul still books on it becomes a ghost to release."""
    lease = state.lease
    if lease is None:
        return replace(state, giveup=None, promotion_failed=False)
    height = max(lease.floor, lease.last or state.height_seen)
    ghost = None
    if not lease.lost:
        final = lease.last > 0
        ghost = Ghost(lease.session, lease.term, giveup, height, final, idle_since=lease.idle_since if final else None)
    # The guard may be handing the lock back too, and nobody knows when its last try arrives.
    state = spend(state, lease.session)
    return replace(state, lease=None, ghost=ghost or state.ghost, giveup=None, promotion_failed=False)
