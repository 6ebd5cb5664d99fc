# SPDX-License-Identifier: Apache-2.0
"""Is the fleet well? Who holds the lock, who could take it, and the exit code that says so. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..consul.overview import Overview, Unread
from ..core.events import SeenMember
from ..core.model import Phase
from ..core.protocol import MemberRecord


class Health(enum.Enum):
    """How well a fleet is; the value is the word for programs."""

    WELL = "well"
    NO_STANDBY = "no-standby"
    HOLDER_UNWELL = "holder-unwell"
    NO_HOLDER = "no-holder"
    UNKNOWN = "unknown"

    @property
    def code(self) -> int:
        """The exit code of ``kuutamoctl status``."""
        return _CODES[self]


_CODES = {Health.WELL: 0, Health.NO_STANDBY: 1, Health.HOLDER_UNWELL: 1, Health.NO_HOLDER: 2, Health.UNKNOWN: 3}

SOFT = frozenset({"new-watch", "hold-off", "settling", "frozen", "few-peers", "old-head", "lag"})
"""The reasons with which a node still takes an open lock, but only after the others had their chance."""

_UNWELL = {
    "no-answer": "its neard has stopped answering",
    "frozen": "its neard's head does not move",
    "few-peers": "its neard has too few peers",
}
"""What a holder says of itself that keeps it from validating well, by its code."""


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


def unseen(overview: Overview) -> str:
    """Why nothing can be said of the fleet: a part that decides can't be read. Empty when all of them can."""
    for part, what in ((overview.lock, "the lock"), (overview.members, "the nodes' records")):
        if isinstance(part, Unread):
            return f"{what} can't be read: {part.why}"
    return ""


def verdict(overview: Overview) -> Verdict:
    """How well the fleet is. A holder counts only while its member record is live."""
    if why := unseen(overview):
        return Verdict(Health.UNKNOWN, why)
    found, ready, can = holder(overview), _ready(overview), _successors(overview)
    if found is None:
        return Verdict(Health.NO_HOLDER, f"nobody holds the lock; {can}")
    if not found.live:
        return Verdict(Health.NO_HOLDER, f"{found.name} holds the lock, but has no live member record; {can}")
    records = [member.record for member in members(overview) if holds(overview, member)]
    if wrong := _unwell(records[0]):
        return Verdict(Health.HOLDER_UNWELL, f"{found.name} holds the lock, but {wrong}; {can}")
    return Verdict(Health.WELL if ready else Health.NO_STANDBY, f"{found.name} holds the lock; {can}")


def _ready(overview: Overview) -> list[str]:
    return [member.record.node_id for member in members(overview) if eligible(overview, member)]


def _successors(overview: Overview) -> str:
    """Who would take the lock if it became free now, at once or later."""
    if ready := _ready(overview):
        return f"{', '.join(ready)} can take over"
    late = [member.record for member in members(overview) if _late(overview, member)]
    if not late:
        return "no eligible standby"
    names = ", ".join(f"{record.node_id} ({', '.join(record.ineligible)})" for record in late)
    return f"no eligible standby, but {names} would take the lock after its patience"


def _late(overview: Overview, member: SeenMember) -> bool:
    """Would this node take an open lock, but only after a while?"""
    codes = set(member.record.ineligible)
    free = member.session is not None and not holds(overview, member) and not drained(overview, member.record.node_id)
    return free and bool(codes) and codes <= SOFT


def _unwell(record: MemberRecord) -> str:
    """What is wrong with a live holder; empty when it validates well."""
    if record.phase != Phase.ACTIVE.value:
        return f"does not validate: it is {record.phase or 'in no phase'}"
    return " and ".join(text for code, text in _UNWELL.items() if code in record.ineligible)
