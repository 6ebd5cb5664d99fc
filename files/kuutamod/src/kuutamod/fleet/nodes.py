# SPDX-License-Identifier: Apache-2.0
"""The nodes of a fleet as an operator sees them, for the table and for JSON alike. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..consul.overview import Overview, Unread
from ..core.events import SeenMember
from ..core.protocol import MemberRecord, Outcome, Pause, Request, TermRecord
from .verdict import drained, eligible, holds, members

SILENT, DRAINED, PAUSED = "silent", "drained", "paused"


class Role(enum.Enum):
    """What a node is in the fleet."""

    VALIDATOR = "validator"
    STANDBY = "standby"
    NONE = "-"


@dataclass(frozen=True)
class NodeView:
    """One node. None: not known, or it does not apply.

    ``lag``: blocks behind the highest live node. ``lock_age``: seconds since the holder took the lock. ``flags``: by name,
    everything that keeps the node from taking it.
    """

    record: MemberRecord
    role: Role
    live: bool
    eligible: bool
    height: int | None
    lag: int | None
    peers: int | None
    lock_age: float | None
    flags: tuple[str, ...]


def nodes(overview: Overview, now: float) -> tuple[NodeView, ...]:
    """All nodes, sorted by node id; ``now`` in Unix seconds."""
    found = members(overview)
    best = max((member.record.height for member in found if member.session is not None), default=0)
    return tuple(_node(overview, member, best, now) for member in found)


def _node(overview: Overview, member: SeenMember, best: int, now: float) -> NodeView:
    record, live = member.record, member.session is not None
    holding = holds(overview, member)
    return NodeView(
        record=record,
        role=Role.VALIDATOR if holding else Role.STANDBY if live else Role.NONE,
        live=live,
        eligible=eligible(overview, member),
        height=record.height if record.height > 0 else None,
        lag=best - record.height if live and record.height > 0 else None,
        peers=record.peers if live and record.peers >= 0 else None,
        lock_age=_lock_age(overview, now) if holding else None,
        flags=_flags(overview, record, live, now),
    )


def _flags(overview: Overview, record: MemberRecord, live: bool, now: float) -> tuple[str, ...]:
    found = [] if live else [SILENT]
    if drained(overview, record.node_id):
        found.append(DRAINED)
    if any(pause.node == record.node_id for pause in pauses(overview, now)):
        found.append(PAUSED)
    # What a silent node said last is no news.
    if live:
        found += record.ineligible
    return tuple(dict.fromkeys(found))


def _lock_age(overview: Overview, now: float) -> float | None:
    record = current(overview)
    return max(0.0, now - record.taken) if record is not None and record.taken > 0 else None


def current(overview: Overview) -> TermRecord | None:
    """History's record of the lock's present term."""
    if isinstance(overview.lock, Unread) or overview.lock.record is None or isinstance(overview.history, Unread):
        return None
    term = overview.lock.record.term
    return next((record for record in overview.history if record.term == term), None)


def newest(overview: Overview) -> TermRecord | None:
    """History's newest record."""
    return next(iter(overview.history), None) if not isinstance(overview.history, Unread) else None


def pauses(overview: Overview, now: float) -> tuple[Pause, ...]:
    """The pauses that have not ended at ``now``, Unix seconds."""
    found = () if isinstance(overview.config, Unread) else overview.config.pauses
    return tuple(pause for pause in found if pause.until > now)


def ended_at(request: Request) -> float:
    """When a request ended, Unix seconds, as far as its record tells."""
    if request.outcome is Outcome.EXPIRED:
        return request.expires
    return max((mark.at for mark in request.marks), default=request.issued)


def unread(overview: Overview) -> dict[str, str]:
    """Why each part that could not be read was not, by the part's name."""
    parts = {
        "lock": overview.lock,
        "nodes": overview.members,
        "config": overview.config,
        "request": overview.request,
        "history": overview.history,
        "consul": overview.consul,
        "maintenance": overview.maintenance,
    }
    return {name: part.why for name, part in parts.items() if isinstance(part, Unread)}
