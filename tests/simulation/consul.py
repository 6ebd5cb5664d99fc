# SPDX-License-Identifier: Apache-2.0
"""The state of the model Consul: one key-value store with sessions, as the leader applies writes to it.

Every rule here was measured on Consul 1.8.7 (docs/safety.md has the table). Requests, leaders and what can go wrong with
both are in ``cluster``.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from kuutamod.consul.transactions import Operation
from kuutamod.core.protocol import FleetConfig, LockRecord

from .coverage import Coverage, Seen

LONGEST_DELAY = 60.0
"""Seconds; Consul clamps lock delays when a session ends."""


class Refused(enum.Enum):
    """Why a transaction was rolled back as a whole."""

    NOT_OURS = "the key is not held by this session"
    SESSION_GONE = "Consul does not know this session"
    HELD = "another session holds the key"
    MISSING = "the key does not exist"
    EXISTS = "the key exists"
    MOVED = "the key's index has moved"
    DELAYED = "Consul's lock delay is running"
    DENIED = "permission denied"


LOST = frozenset({Refused.NOT_OURS, Refused.SESSION_GONE, Refused.HELD, Refused.MISSING})
"""Consul's definite word that a session does not hold a key."""


@dataclass(frozen=True)
class Entry:
    """One key; ``index`` is its ModifyIndex."""

    value: str
    session: str | None
    index: int


@dataclass(frozen=True)
class Booking:
    """One session: whose, and how it ends."""

    id: str
    node: str
    ttl: float
    delay: float
    behavior: str


@dataclass
class Data:
    """What raft keeps: the store that a snapshot brings back whole."""

    index: int = 10
    keys: dict[str, Entry] = field(default_factory=dict)
    sessions: dict[str, Booking] = field(default_factory=dict)
    config: FleetConfig = field(default_factory=FleetConfig)

    def copy(self) -> Self:
        """A snapshot."""
        return type(self)(self.index, dict(self.keys), dict(self.sessions), self.config)


class Store:
    """Applies writes; tells ``changed`` the key's name after each."""

    def __init__(self, coverage: Coverage, changed: Callable[[str], None]) -> None:
        self.data = Data()
        self.delays: dict[str, float] = {}
        self._coverage = coverage
        self._changed = changed
        self._decoded: dict[str, LockRecord | None] = {}

    def record(self, entry: Entry | None) -> LockRecord | None:
        """The record in a key's value; decoded once per value."""
        if entry is None:
            return None
        if entry.value not in self._decoded:
            self._decoded = {entry.value: LockRecord.from_json(entry.value)}
        return self._decoded[entry.value]

    def delayed(self, key: str, now: float) -> bool:
        """Does a lock delay run for the key?"""
        return self.delays.get(key, 0.0) > now

    def transact(self, operations: Sequence[Operation]) -> Refused | None:
        """Apply all, or none and say why. The lock delay is not looked at here: the leader did before, in its memory."""
        written: dict[str, Entry | None] = {}
        for operation in operations:
            name = str(operation["KV"]["Key"])
            done = self._apply(operation["KV"], written[name] if name in written else self.data.keys.get(name))
            if isinstance(done, Refused):
                return done
            written[name] = done
        self.data.index += 1
        for name, entry in written.items():
            self._put(name, entry)
        return None

    def _apply(self, fields: dict[str, object], entry: Entry | None) -> Entry | Refused | None:
        verb, session = fields["Verb"], fields.get("Session")
        if verb == "check-not-exists":
            return Refused.EXISTS if entry is not None else None
        if verb == "lock":
            if session not in self.data.sessions:
                return Refused.SESSION_GONE
            if entry is not None and entry.session not in (None, session):
                return Refused.HELD
            return Entry(_value(fields), str(session), 0)
        if verb == "delete":
            return None
        if entry is None:
            return Refused.MISSING if verb != "set" else Entry(_value(fields), None, 0)
        if verb == "check-session":
            return entry if entry.session == session else Refused.NOT_OURS
        if verb == "check-index":
            return entry if entry.index == fields["Index"] else Refused.MOVED
        if verb == "set":
            return Entry(_value(fields), entry.session, 0)
        assert verb == "unlock", verb
        return Entry(_value(fields), None, 0) if entry.session == session else Refused.NOT_OURS

    def put(self, key: str, value: str) -> None:
        """A plain write: the lock stays with whom it is."""
        entry = self.data.keys.get(key)
        self._write(key, Entry(value, entry.session if entry else None, 0))

    def free(self, key: str, value: str | None = None) -> None:
        """An unlock by whoever knows the session; arms no delay."""
        entry = self.data.keys[key]
        self._write(key, Entry(entry.value if value is None else value, None, 0))

    def delete(self, key: str) -> None:
        """A delete arms no lock delay; the session lives on."""
        if key in self.data.keys:
            self._write(key, None)

    def _write(self, key: str, entry: Entry | None) -> None:
        self.data.index += 1
        self._put(key, entry)

    def _put(self, key: str, entry: Entry | None) -> None:
        if entry is None:
            self.data.keys.pop(key, None)
        else:
            self.data.keys[key] = Entry(entry.value, entry.session, self.data.index)
        self._changed(key)

    def end_session(self, session: str, now: float) -> None:
        """The session ends, however it does: what it held is freed (or deleted), and under its lock delay."""
        booking = self.data.sessions.pop(session, None)
        if booking is None:
            return
        for key in [key for key, entry in self.data.keys.items() if entry.session == session]:
            if booking.delay > 0:
                self.delays[key] = now + min(booking.delay, LONGEST_DELAY)
                self._coverage.add(Seen.DELAY_ARMED)
            if booking.behavior == "delete":
                self.delete(key)
            else:
                self.free(key)

    def restore(self, data: Data) -> None:
        """An old snapshot comes back: keys, sessions and indexes of then. Lock delays are in no snapshot."""
        self.data = data.copy()
        self.delays.clear()
        for key in sorted(self.data.keys):
            self._changed(key)


def _value(fields: dict[str, object]) -> str:
    return base64.b64decode(str(fields["Value"])).decode()
