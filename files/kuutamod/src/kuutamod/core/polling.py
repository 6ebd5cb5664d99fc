# SPDX-License-Identifier: Apache-2.0
"""How often neard is asked how it is."""

from __future__ import annotations

from . import actions as ac
from .model import Child, Slot
from .plan import Plan
from .readiness import behind

QUICK = 0.1
"""Seconds between two looks at a neard whose next step the lock waits for."""
UNLOADING = 0.05
"""Seconds between two looks at a neard that drops its key: nobody signs meanwhile."""


def poll(plan: Plan, child: Child) -> str | None:
    """Ask when it is time; a sentence as long as neard does not answer."""
    if child.pid is None:
        return f"starting neard as {child.role.value}"
    if plan.due(Slot.STATUS, _interval(plan, child)):
        plan.do(ac.PollStatus(child.serial, plan.state.policy.hang_timeout))
    if child.answered is None:
        return child.stranger or "waiting for neard to answer"
    return None


def _interval(plan: Plan, child: Child) -> float:
    state = plan.state
    if child.unload_asked is not None:
        return UNLOADING
    promoting = state.lease is not None and not child.key_live
    record = state.watch.view.record if state.lease is None and state.watch is not None else None
    waiting = record is not None and record.released and behind(state, record.last_height)
    return QUICK if promoting or waiting or child.answered is None else state.policy.status_interval
