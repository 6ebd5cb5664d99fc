# SPDX-License-Identifier: Apache-2.0
"""Skipping quiet time. While nothing is wrong a fleet repeats the same second over and over: heartbeat, status, renewal.

The rules know only differences of times. So a quiet stretch is skipped by moving everything that recurs (the last
heartbeat, answer, renewal, read; every pending call) by the same time, and leaving alone what only grows older (when the
lease, the process, the hold-off began). The state after the leap is one that the rules would have reached by themselves,
up to counters that they never read.
"""

from __future__ import annotations

from dataclasses import replace

from kuutamod.core.model import NodeState, Watch


def later(state: NodeState, seconds: float, blocks: int) -> NodeState:
    """The state of a quiet node after ``seconds`` (of its own clock) and ``blocks`` in which all went on as before."""
    child, lease, session, watch = state.child, state.lease, state.session, state.watch
    if child is not None:
        child = replace(
            child,
            guard_asked=_plus(child.guard_asked, seconds),
            guard_silent_since=_plus(child.guard_silent_since, seconds),
            guard_fence=child.guard_fence + seconds if child.keyed else child.guard_fence,
            answered=_plus(child.answered, seconds),
            silent_since=_plus(child.silent_since, seconds),
            head_changed=child.head_changed + seconds,
            status=replace(child.status, height=child.status.height + blocks) if child.status is not None else None,
        )
    return replace(
        state,
        child=child,
        height_seen=state.height_seen + blocks if state.height_seen else 0,
        lease=replace(lease, proof=lease.proof + seconds) if lease is not None else None,
        session=replace(session, renewed=session.renewed + seconds) if session is not None else None,
        watch=_watched(watch, seconds) if watch is not None else None,
        peers=tuple(replace(peer, seen=peer.seen + seconds) for peer in state.peers),
        fleet_sent=state.fleet_sent + seconds,
        fleet_read=_plus(state.fleet_read, seconds),
        member_published=_plus(state.member_published, seconds),
        tried={slot: at + seconds for slot, at in state.tried.items()},
    )


def _watched(watch: Watch, seconds: float) -> Watch:
    return replace(watch, first_seen=watch.first_seen + seconds, last_seen=watch.last_seen + seconds)


def _plus(at: float | None, seconds: float) -> float | None:
    return at + seconds if at is not None else None
