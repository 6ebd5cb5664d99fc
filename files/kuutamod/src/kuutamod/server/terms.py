# SPDX-License-Identifier: Apache-2.0
"""The terms that this node has seen itself since its supervisor started. Pure.

The fleet's history is in Consul (``kuutamoctl history``); this is what a node can tell when Consul can't be asked.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..core import records
from ..core.change import replace
from ..core.model import NodeState, Watch
from ..core.protocol import LockRecord, TermRecord

KEPT = 100
"""Terms; the oldest go first."""

Terms = tuple[TermRecord, ...]


def shown(state: NodeState) -> Terms:
    """The terms that a state tells of by itself: a holder's own and the one before, or the one that it sees in the lock."""
    lease = state.lease
    if lease is not None:
        before, own = records.term_before(state, lease), records.term_record(state, lease)
        return (own,) if before is None else (before, own)
    record = _record(state.watch)
    if state.watch is None or record is None:
        return ()
    if not state.watch.view.released:
        return (TermRecord(record.term, record.node_id, taken=0.0, last_height=record.last_height),)
    until = state.wall + state.watch.first_seen if state.wall else 0.0
    return (
        TermRecord(
            term=record.term,
            node=record.node_id,
            taken=0.0,
            until=until,
            ended=record.reason,
            fault=record.fault,
            last_height=record.last_height,
        ),
    )


def follow(seen: Terms, before: NodeState, after: NodeState, now: float) -> Terms:
    """``seen`` and what the step from one state to another tells, at ``now`` (boottime seconds)."""
    if _stage(before) == _stage(after):
        return seen
    return merge(seen, (*shown(before), *shown(after), *_ended(before, after, now), *_passed_on(before, after)))


def merge(seen: Terms, found: Terms) -> Terms:
    """One record for each term, the oldest first; what is known anew completes and corrects what was known."""
    known = {record.term: record for record in seen}
    for record in found:
        old = known.get(record.term)
        known[record.term] = record if old is None or old.node != record.node else replace(old, **_said(record))
    return tuple(known[term] for term in sorted(known))[-KEPT:]


def _said(record: TermRecord) -> dict[str, Any]:
    """The fields that this record knows something about."""
    unknown = {each.name: each.default for each in fields(TermRecord)} | {"taken": 0.0}
    return {name: value for name, value in vars(record).items() if value != unknown[name]}


def _record(watch: Watch | None) -> LockRecord | None:
    """What a holder wrote into the lock; a key that was written anew tells of no term."""
    record = watch.view.record if watch is not None else None
    return None if record is None or record.phase == records.MISSING else record


def _stage(state: NodeState) -> tuple[object, ...]:
    lease, child, record = state.lease, state.child, _record(state.watch)
    own = (lease.term, child is not None and child.key_live) if lease is not None else ()
    return own, (record.term, record.node_id, record.released) if record is not None else ()


def _ended(before: NodeState, after: NodeState, now: float) -> Terms:
    """This node's own lease has ended."""
    lease, ghost = before.lease, after.ghost
    if lease is None or (after.lease is not None and after.lease.term == lease.term):
        return ()
    giveup = ghost.giveup if ghost is not None and ghost.term == lease.term else None
    ended = giveup.reason if giveup is not None else lease.lost or "the lease has ended"
    fault = giveup is not None and giveup.fault
    me = before.identity.node_id
    return (TermRecord(lease.term, me, taken=0.0, until=after.wall + now, ended=ended, fault=fault),)


def _passed_on(before: NodeState, after: NodeState) -> Terms:
    """Another node has taken the lock while this one watched without a break."""
    old, new, was, now_is = before.watch, after.watch, _record(before.watch), _record(after.watch)
    if old is None or new is None or was is None or now_is is None or old.since != new.since:
        return ()
    if before.lease is not None or after.lease is not None or was.term >= now_is.term or not after.wall:
        return ()
    at = after.wall + new.first_seen
    taken = TermRecord(now_is.term, now_is.node_id, taken=at)
    if old.view.released:
        return (taken,)
    return TermRecord(was.term, was.node_id, taken=0.0, until=at, ended=f"{now_is.node_id} took the lock"), taken
