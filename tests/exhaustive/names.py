# SPDX-License-Identifier: Apache-2.0
"""Names for indexes, terms and sessions that do not grow with history. Why each is sound:

* Indexes are compared for equality and order, by a side with its own and with the lock's present one, never with the
  other side's; and Consul gives each write a higher one than any before. So the present index is always ``CURRENT``, and
  the older ones that a side remembers are ranked below it.
* Terms are compared, and grow by one: the highest in use is always ``ANCHOR``, all differences stay.
* Session ids are compared for equality only, and only a node's own ones matter to it. A host's newest is ``NEWEST``, the
  older ones that its side remembers are ranked below it. The other host's are one and the same to it: two views of the lock
  with the same index are the same anyway. Sessions that exist, but are not mentioned any more, are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from exhaustive.world import CURRENT, NEWEST, NODES, UNSEEN, Consul, Side, forgotten, session_name
from kuutamod.core.change import replace
from kuutamod.core.model import LockView

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Where a class keeps names; ``nested``: the fields that hold more of it."""

    indexes: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


LAYOUTS: dict[str, Layout] = {
    "Side": Layout(nested=("host", "net")),
    "Host": Layout(terms=("disk_term",), sessions=("disk_session",), nested=("node", "outbox", "guard")),
    "NodeState": Layout(terms=("term_seen", "term_stored", "newest_term"), nested=("session", "lease", "ghost", "watch")),
    "Session": Layout(sessions=("id",)),
    "Lease": Layout(terms=("term",), sessions=("session",)),
    "Ghost": Layout(terms=("term",), sessions=("session",)),
    "Watch": Layout(nested=("view",)),
    "LockView": Layout(indexes=("index",), sessions=("session",), nested=("record",)),
    "LockRecord": Layout(terms=("term",)),
    "Guard": Layout(nested=("plan",)),
    "ReleasePlan": Layout(sessions=("session",), nested=("record",)),
    "StartChild": Layout(nested=("plan",)),
    "PlaceKey": Layout(nested=("plan",)),
    "ExtendGuard": Layout(nested=("plan",)),
    "Heartbeat": Layout(sessions=("session",), nested=("record",)),
    "Take": Layout(sessions=("session",), nested=("view", "record")),
    "CreateKey": Layout(nested=("record",)),
    "Release": Layout(sessions=("session",), nested=("record",)),
    "Message": Layout(nested=("request",)),
    "Consul": Layout(nested=("register",)),
    "Register": Layout(sessions=("session",), nested=("record",)),
}
"""Every field that holds a name; ``test_normal`` holds the list against the dataclasses."""

_NONE = Layout()


@dataclass
class Mentioned:
    """The names in a part of the world."""

    indexes: set[int] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)

    def look(self, value: object) -> Mentioned:
        """Add those of ``value``."""
        if isinstance(value, tuple):
            for part in value:
                self.look(part)
            return self
        layout = LAYOUTS.get(type(value).__name__, _NONE)
        self.indexes.update(getattr(value, name) for name in layout.indexes)
        self.sessions.update(getattr(value, name) or "" for name in layout.sessions)
        for name in layout.nested:
            self.look(getattr(value, name))
        return self


Index = Callable[[int], int]
Named = Callable[[str], str]


def _same(session: str) -> str:
    return session


def renamed(value: T, index: Index, term: int = 0, session: Named = _same) -> T:
    """A part of the world under other names; every term is ``term`` higher."""
    if isinstance(value, tuple):
        return tuple(renamed(part, index, term, session) for part in value)  # type: ignore[return-value]
    layout = LAYOUTS.get(type(value).__name__, _NONE)
    if layout is _NONE:
        return value
    changes: dict[str, object] = {}
    for name in layout.indexes:
        changes[name] = index(getattr(value, name))
    for name in layout.terms:
        changes[name] = getattr(value, name) + term
    for name in layout.sessions:
        old = getattr(value, name)
        changes[name] = session(old) if old else old
    for name in layout.nested:
        changes[name] = renamed(getattr(value, name), index, term, session)
    return replace(value, **changes)  # type: ignore[type-var]


def outdated(side: Side) -> Side:
    """The side after the lock's index has moved on: what was the present one is older now."""
    return renamed(side, lambda index: index - 1 if index > 0 else index)


def shifted_terms(value: T, by: int) -> T:
    """The same with all terms higher by a number."""
    return renamed(value, lambda index: index, by)


def met(side: Side, consul: Consul) -> tuple[Side, Consul]:
    """Both with the names as they have to be."""
    number, host = side.host.number, side.host
    mine = NODES[number]
    found = Mentioned().look(side)
    older = sorted((index for index in found.indexes if 0 < index < CURRENT), reverse=True)
    index = {old: CURRENT - rank for rank, old in enumerate(older, 1)} | {UNSEEN: UNSEEN, 0: 0, CURRENT: CURRENT}
    own = sorted((s for s in found.sessions if s[:1] == mine and s != forgotten(number)), key=_age)
    session = {old: session_name(number, NEWEST - rank) for rank, old in enumerate(own)}
    assert not own or own[0] == host.disk_session, "the newest session is the one on the disk"
    if index == {old: old for old in index} and all(old == new for old, new in session.items()):
        new = side
    else:
        new = renamed(side, index.__getitem__, 0, lambda old: session.get(old, old))
    return new, _consul_met(consul, number, session)


def _age(session: str) -> int:
    return -int(session[1:])


def _consul_met(consul: Consul, number: int, session: dict[str, str]) -> Consul:
    held = consul.register
    others = {s for s in consul.sessions if s[0] != NODES[number]}
    mine = {s: session.get(s, forgotten(number)) for s in consul.sessions - others}
    kept = {new for old, new in mine.items() if new != forgotten(number) or (held is not None and held.session == old)}
    if held is not None and held.session is not None and held.session[0] == NODES[number]:
        held = replace(held, session=mine[held.session])
    return replace(consul, register=held, sessions=frozenset(others | kept))


def view_from(consul: Consul, number: int) -> LockView:
    """The lock as one host sees it."""
    held = consul.register
    if held is None:
        return LockView(0)
    session = held.session
    if session is not None and session[0] != NODES[number]:
        session = forgotten(1 - number)
    return LockView(CURRENT, session, held.record)


def mirrored(value: T) -> T:
    """The same with the two hosts in each other's place."""
    if isinstance(value, tuple):
        return tuple(mirrored(part) for part in value)  # type: ignore[return-value]
    if isinstance(value, Consul):
        sessions = frozenset(_other_session(session) for session in value.sessions)
        return replace(value, register=mirrored(value.register), sessions=sessions)
    name = type(value).__name__
    layout = LAYOUTS.get(name, _NONE)
    if layout is _NONE:
        return value
    changes: dict[str, object] = {each: mirrored(getattr(value, each)) for each in layout.nested}
    for each in layout.sessions:
        old = getattr(value, each)
        changes[each] = _other_session(old) if old else old
    if name == "LockRecord":
        changes["node_id"] = _other_node(value.node_id)  # type: ignore[attr-defined]
    if name == "Host":
        changes["number"] = 1 - value.number  # type: ignore[attr-defined]
    if name == "NodeState":
        changes["identity"] = replace(value.identity, node_id=_other_node(value.identity.node_id))  # type: ignore[attr-defined]
    return replace(value, **changes)  # type: ignore[type-var]


def _other_session(session: str) -> str:
    return _other_node(session[0]) + session[1:]


def _other_node(node_id: str) -> str:
    return NODES[1 - NODES.index(node_id)] if node_id in NODES else node_id
