# SPDX-License-Identifier: Apache-2.0
"""Which standby goes first: the same order on every node, from what the nodes say of themselves.

Priority (the operator's number), then how far behind the chain, then the newer neard, then the name. Who comes later in
the order waits a moment after the lock is open, so that the best one gets it without another round of votes; whoever
does not take it in its moment has lost its turn.
"""

from __future__ import annotations

from collections.abc import Collection

from .model import NodeState
from .promotion import parse_version
from .protocol import MemberRecord

LAST_RANK = 4
"""Nobody waits longer than this many steps, however many nodes there are."""


def ordered(members: Collection[MemberRecord], max_lag: int) -> list[MemberRecord]:
    """The best first. Heights closer together than ``max_lag`` blocks count as equal: records are seconds old."""
    best = max((member.height for member in members), default=0)

    def place(member: MemberRecord) -> tuple[int, int, tuple[int, ...], str]:
        lag = (best - member.height) // (max_lag + 1)
        version = parse_version(member.neard_version) or (0, 0, 0)
        return -member.priority, lag, tuple(-number for number in version), member.node_id

    return sorted(members, key=place)


def standbys(state: NodeState, now: float) -> list[MemberRecord]:
    """The other nodes that could take the lock, the best first, as of their records, which must not be old."""
    fresh = 3 * state.policy.member_interval
    able = [
        peer.record
        for peer in state.peers
        if peer.live and peer.record.eligible and peer.record.node_id != state.identity.node_id and now - peer.seen <= fresh
    ]
    return ordered(able, state.policy.max_lag)


def rank(state: NodeState, now: float) -> int:
    """How many eligible standbys go before this node."""
    mine = state.member_said
    if mine is None:
        return 0
    return ordered([mine, *standbys(state, now)], state.policy.max_lag).index(mine)


def turn(state: NodeState, now: float) -> float:
    """Seconds this node leaves the lock to those before it."""
    return min(rank(state, now), LAST_RANK) * state.policy.rank_step
