# SPDX-License-Identifier: Apache-2.0
"""What an operator has switched off on this node, as the pages and the metrics show it. Pure."""

from __future__ import annotations

from ..core.model import NodeState
from ..core.readiness import paused


def drained(state: NodeState) -> bool:
    """Has an operator drained this node, so that it takes no lock?"""
    return state.fleet is not None and state.identity.node_id in state.fleet.no_takeover


def pause_left(state: NodeState, now: float) -> float:
    """Seconds until this node's pause ends; 0 without one. ``now`` in boottime seconds."""
    pause = paused(state, now)
    return 0.0 if pause is None else max(pause.until - state.wall - now, 0.0)
