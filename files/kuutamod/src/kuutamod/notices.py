# SPDX-License-Identifier: Apache-2.0
"""What the operator's hooks are told of: the steps of this node that matter outside of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .core import actions as ac
from .core.model import NodeState
from .core.readiness import paused
from .hooks.call import HookCall, HookEvent


def notices(before: NodeState, after: NodeState, actions: Sequence[ac.Action], now: float) -> tuple[HookCall, ...]:
    """What happened from ``before`` to ``after``, with the actions that are begun now (boottime seconds)."""
    found: list[tuple[HookEvent, str]] = []
    for action in actions:
        if isinstance(action, ac.KillChild) and (_keyed(after) or _shows_key(after)):
            found.append((HookEvent.FENCE, action.why))
        giveup = action.giveup if isinstance(action, ac.UnloadKey | ac.StopChild | ac.KillChild) else None
        if giveup is not None and before.giveup is None and (giveup.request or giveup.successor):
            found.append((HookEvent.HANDOVER, giveup.reason))
    if _live(after) and not _live(before):
        found.append((HookEvent.PROMOTE, after.lease.claim.why if after.lease is not None else ""))
    if _keyed(before) and not _keyed(after):
        found.append((HookEvent.DEMOTE, after.ghost.reason if after.ghost is not None else after.home_why))
    pause = paused(after, now)
    if pause is not None and paused(before, now) is None:
        found.append((HookEvent.PAUSE, pause.reason))
    if not found:
        return ()
    me = after.identity
    lease = after.lease or before.lease
    term = lease.term if lease is not None else after.term_seen
    return tuple(HookCall(event, me.node_id, term, me.account_id, why) for event, why in found)


def _keyed(state: NodeState) -> bool:
    return state.child is not None and state.child.keyed


def _shows_key(state: NodeState) -> bool:
    status = state.child.status if state.child is not None else None
    return status is not None and status.validator_key is not None


def _live(state: NodeState) -> bool:
    return state.child is not None and state.child.key_live
