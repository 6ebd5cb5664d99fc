# SPDX-License-Identifier: Apache-2.0
"""Is the fleet well? Who holds the lock, who could take it, and the exit code that says so. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kuutamod.consul.overview import Overview, Unread
from kuutamod.core.events import SeenMember


class Health(enum.IntEnum):
    """How well a fleet is; the exit code of ``kuutamoctl status``."""

    WELL = 0
    NO_STANDBY = 1
    NO_HOLDER = 2
    UNKNOWN = 3


@dataclass(frozen=True)
class Verdict:
    """A fleet's health and one sentence on it."""

    health: Health
    text: str


@dataclass(frozen=True)
class Holder:
    """Who holds the lock. ``live``: the session that holds it also keeps the node's member record."""

    name: str
    live: bool


def holder(overview: Overview) -> Holder | None:
    """The lock's holder; None when nobody holds it or the lock can't be read.

    The session tells, not the lock's value: that may be an earlier holder's.
    """
    lock = overview.lock
    if isinstance(lock, Unread) or lock.session is None:
        return None
    for member in members(overview):
        if holds(overview, member):
            return Holder(member.record.node_id, live=True)
    return Holder(lock.record.node_id if lock.record is not None else f"session {lock.session}", live=False)


def members(overview: Overview) -> tuple[SeenMember, ...]:
    """The member records; none when they can't be read."""
    return () if isinstance(overview.members, Unread) else overview.members


def holds(overview: Overview, member: SeenMember) -> bool:
    """Is this node's session the one that holds the lock?"""
    lock = overview.lock
    return not isinstance(lock, Unread) and lock.session is not None and lock.session == member.session


def drained(overview: Overview, node: str) -> bool:
    """Has an operator marked this node as one that takes no lock?"""
    return not isinstance(overview.config, Unread) and node in overview.config.no_takeover


def eligible(overview: Overview, member: SeenMember) -> bool:
    """Would this node take the lock if it became free now? By its own word, unless an operator has drained it since."""
    willing = member.session is not None and member.record.eligible
    return willing and not holds(overview, member) and not drained(overview, member.record.node_id)


def verdict(overview: Overview) -> Verdict:
    """How well the fleet is. A holder counts only while its member record is live."""
    for part, what in ((overview.lock, "the lock"), (overview.members, "the nodes' records")):
        if isinstance(part, Unread):
            return Verdict(Health.UNKNOWN, f"{what} can't be read: {part.why}")
    found = holder(overview)
    ready = [member.record.node_id for member in members(overview) if eligible(overview, member)]
    can = f"{', '.join(ready)} can take over" if ready else "no standby can take over"
    if found is None:
        return Verdict(Health.NO_HOLDER, f"nobody holds the lock; {can}")
    if not found.live:
        return Verdict(Health.NO_HOLDER, f"{found.name} holds the lock, but has no live member record; {can}")
    return Verdict(Health.WELL if ready else Health.NO_STANDBY, f"{found.name} holds the lock; {can}")
