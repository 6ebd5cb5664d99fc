# SPDX-License-Identifier: Apache-2.0
"""What a request to the fleet will do, and to whom it goes, before anything happens. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from ..consul import orders
from ..consul.overview import Overview, Unread
from ..core.events import SeenMember
from ..core.handover import unfit
from ..core.model import Phase
from ..core.protocol import Ask, LockRecord, MemberRecord, Outcome, Request
from ..core.ranking import ordered
from .verdict import drained, holds, members, unseen

MAX_LAG = 20
"""Blocks; heights closer together count as equal, as in the nodes' own ranking."""


class Cause(enum.Enum):
    """Why nothing can be asked for, as a word for programs."""

    UNSEEN = "forbidden"
    NO_HOLDER = "no_holder"
    HOLDER_CHANGED = "holder_changed"
    HOLDS_ALREADY = "holds_already"
    NO_NODE = "no_node"
    NO_CANDIDATE = "no_candidate"


@dataclass(frozen=True)
class Refusal:
    """Why nothing can be asked for: ``why`` is for people."""

    why: str
    cause: Cause


@dataclass(frozen=True)
class Aim:
    """From whom, in which term, to whom, and why to that one."""

    holder: MemberRecord
    term: int
    node: str
    why: str


@dataclass(frozen=True)
class Wish:
    """What the operator said of the candidate. ``to`` and ``expect`` empty: anyone."""

    to: str = ""
    expect: str = ""
    allow_restart: bool = False


def holder_of(overview: Overview, expect: str) -> tuple[SeenMember, LockRecord] | Refusal:
    """The node whose session holds the lock, with its record in the lock; it must be ``expect``, if that is given."""
    if why := unseen(overview):
        return Refusal(why, Cause.UNSEEN)
    lock = overview.lock
    found = next((member for member in members(overview) if holds(overview, member)), None)
    if isinstance(lock, Unread) or found is None or lock.record is None:
        return Refusal("no live node holds the lock", Cause.NO_HOLDER)
    if expect and found.record.node_id != expect:
        return Refusal(f"{found.record.node_id} holds the lock, not {expect}", Cause.HOLDER_CHANGED)
    if lock.record.node_id != found.record.node_id:
        return Refusal(f"{found.record.node_id} has taken the lock just now; look again", Cause.HOLDER_CHANGED)
    return found, lock.record


def aim(overview: Overview, wish: Wish) -> Aim | Refusal:
    """The handover that the operator asks for, or why it can't be."""
    held = holder_of(overview, wish.expect)
    if isinstance(held, Refusal):
        return held
    holder, lock = held
    if wish.to == holder.record.node_id:
        return Refusal(f"{wish.to} holds the lock already", Cause.HOLDS_ALREADY)
    others = [member for member in members(overview) if member is not holder]
    faults = {m.record.node_id: _fault(overview, m, holder.record, wish.allow_restart) for m in others}
    if wish.to:
        if wish.to not in faults:
            known = _names(list(faults)) or "no others"
            return Refusal(f"there is no node {wish.to}; known are {known}", Cause.NO_NODE)
        if faults[wish.to]:
            return Refusal(faults[wish.to], Cause.NO_CANDIDATE)
        return Aim(holder.record, lock.term, wish.to, "as asked for")
    able = [m.record for m in others if not faults[m.record.node_id]]
    # Who is settling, has just come or is paused may be asked by name, but goes behind all who are eligible.
    best = ordered([record for record in able if record.eligible] or able, MAX_LAG)
    if not best:
        why = "; ".join(faults.values()) or "there is none"
        return Refusal(f"no standby can take over: {why}", Cause.NO_CANDIDATE)
    return Aim(holder.record, lock.term, best[0].node_id, _best(best))


def leaving(overview: Overview, now: float) -> str:
    """For which request the holder is about to give the lock up at ``now`` (Unix seconds); empty when for none."""
    held, request = holder_of(overview, ""), overview.request
    if isinstance(held, Refusal) or request is None or isinstance(request, Unread):
        return ""
    name, term = held[0].record.node_id, held[1].term
    if (request.holder, request.term) != (name, term) or (now > request.expires and not orders.begun(request)):
        return ""
    goes = request.node == name if request.ask is Ask.RESTART else request.node != name
    return orders.obstacle(request, now) if goes else ""


def settled(overview: Overview, request: Request) -> tuple[Outcome, str] | None:
    """How a request has ended by what the lock shows, where nobody told it; None when the lock does not show it either."""
    held = holder_of(overview, "")
    if isinstance(held, Refusal) or held[1].term <= request.term or held[0].record.phase != Phase.ACTIVE.value:
        return None
    name, text = held[0].record.node_id, f"{held[0].record.node_id} validates in term {held[1].term}"
    if request.ask is Ask.HANDOVER and name != request.node:
        return Outcome.ROLLED_BACK, f"{request.node} did not take the lock; {text}"
    return (Outcome.DONE, text) if request.ask is Ask.HANDOVER else None


def _fault(overview: Overview, member: SeenMember, holder: MemberRecord, allow_restart: bool) -> str:
    if drained(overview, member.record.node_id):
        return f"{member.record.node_id} is drained"
    live = member.session is not None
    return unfit(member.record, live, holder.fingerprint, holder.protocol, allow_restart)


def _best(able: Sequence[MemberRecord]) -> str:
    first = able[0]
    late = f" (not eligible by itself: {', '.join(first.ineligible)})" if not first.eligible else ""
    if len(able) == 1:
        return f"the only standby that can take over{late}"
    names = _names([record.node_id for record in able])
    return f"the best of {names}: priority {first.priority}, height {first.height}{late}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
