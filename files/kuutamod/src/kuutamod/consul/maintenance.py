# SPDX-License-Identifier: Apache-2.0
"""The maintenance lock: one operator's run has the fleet to itself. The nodes don't look at it.

A session holds the key; when it ends, so does the lock. All public functions but ``read_maintenance`` return or raise
ConsulError within their own deadline (seconds); ``acquire`` within twice of it.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..core.protocol import MaintenanceRecord, maintenance_key
from . import sessions, transactions
from .answers import read_key, transact
from .faults import ConsulError, Fault, classify
from .once import ask_once
from .settings import ConsulSettings

SHORTEST, LONGEST = 10, 86400
"""Seconds; what Consul takes as a session's time to live."""


@dataclass(frozen=True)
class Maintenance:
    """The lock while a session holds it. ``record`` None: its value is nothing of ours."""

    session: str
    index: int
    record: MaintenanceRecord | None


class MayHold(ConsulError):
    """The lock was asked for and Consul did not answer: ``session`` may hold it, and could not be ended."""

    def __init__(self, error: ConsulError, session: str) -> None:
        super().__init__(error.fault, error.why, error.refusals)
        self.session = session


class _Sessions:
    """The sessions made for one ``acquire``, and which of them may hold the lock. For several threads.

    A call that is not answered in time goes on in a thread of its own, and must not ask for the lock once nobody waits for
    it. The process may end before such a thread does, so it is the waiting one that ends the sessions.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._open = True
        self._may_hold: dict[str, bool] = {}

    def asks(self, session: str) -> None:
        """The lock is about to be asked for with a new one. Raises ConsulError after ``close``."""
        with self._guard:
            if not self._open:
                raise ConsulError(Fault.TIMEOUT, "nobody waits for it any more")
            self._may_hold[session] = True

    def refused(self, session: str) -> None:
        """Consul's answer says that it did not get the lock."""
        with self._guard:
            self._may_hold[session] = False

    def has(self, session: str) -> bool:
        """Is it one of these?"""
        with self._guard:
            return session in self._may_hold

    def close(self) -> dict[str, bool]:
        """No more of them. Whether each may hold the lock."""
        with self._guard:
            self._open = False
            return dict(self._may_hold)


def read_maintenance(client: Any, account_id: str) -> Maintenance | None:
    """The lock; None while nobody holds it. Blocks."""
    entry = read_key(client, maintenance_key(account_id)).entry
    if entry is None or entry.session is None:
        return None
    return Maintenance(entry.session, entry.index, MaintenanceRecord.from_json(entry.value))


def read(settings: ConsulSettings, account_id: str, deadline: float) -> Maintenance | None:
    """The lock; None while nobody holds it."""
    return ask_once(settings, deadline, lambda client: read_maintenance(client, account_id))


def acquire(
    settings: ConsulSettings, account_id: str, record: MaintenanceRecord, ttl: int, deadline: float
) -> tuple[Maintenance, bool]:
    """The lock as it is then, and whether it is ours: somebody else may hold it, or have been quicker.

    ``ttl``: seconds after the last ``renew`` for which Consul keeps it at least; it may take twice as long to end it.

    Raises MayHold when it is not known who holds the lock, and that can't be mended. After any other ConsulError it is not
    held from here.
    """
    made = _Sessions()
    try:
        found, ours = ask_once(settings, deadline, lambda client: _acquire(client, account_id, record, ttl, made))
    except ConsulError as error:
        left = made.close()
        try:
            _end(settings, list(left), deadline)
        except ConsulError:
            # One of them at most; with one URL there is one.
            if holders := [session for session, may_hold in left.items() if may_hold]:
                raise MayHold(error, holders[-1]) from error
        raise
    with contextlib.suppress(ConsulError):  # those that are left over hold nothing, and end by themselves
        _end(settings, [session for session in made.close() if session != found.session], deadline)
    return found, ours


def _end(settings: ConsulSettings, left: list[str], deadline: float) -> None:
    """End these sessions, and with one the lock that it holds; a lock that is still on its way to it is refused then."""
    for session in left:
        ask_once(settings, deadline / len(left), partial(_destroy, session=session))


def _destroy(client: Any, session: str) -> None:
    client.session.destroy(session)


def _acquire(
    client: Any, account_id: str, record: MaintenanceRecord, ttl: int, made: _Sessions
) -> tuple[Maintenance, bool]:
    if (found := read_maintenance(client, account_id)) is not None:
        return found, made.has(found.session)  # ours: through another URL, whose answer was lost
    key = maintenance_key(account_id)
    session = sessions.create(client, f"maintenance of {account_id}", ttl, 0)
    made.asks(session)
    try:
        index = transact(client, transactions.publish(key, session, record.to_json()))
    except Exception as error:
        failure = classify(error)
        if failure.not_applied or failure.fault is Fault.FORBIDDEN:
            made.refused(session)
        if failure.fault is Fault.CONFLICT and (found := read_maintenance(client, account_id)) is not None:
            return found, made.has(found.session)
        raise
    return Maintenance(session, index, record), True


def renew(settings: ConsulSettings, account_id: str, session: str, deadline: float) -> tuple[Maintenance | None, bool]:
    """The lock as it is, and whether this session holds it; if so, its time begins anew."""

    def ask(client: Any) -> tuple[Maintenance | None, bool]:
        found = read_maintenance(client, account_id)
        if found is None or found.session != session:
            return found, False
        try:
            sessions.renew(client, session)
        except Exception as error:
            if classify(error).fault is not Fault.SESSION_GONE:
                raise
            return read_maintenance(client, account_id), False  # it has ended in between
        return found, True

    return ask_once(settings, deadline, ask)


def release(settings: ConsulSettings, account_id: str, session: str, deadline: float) -> tuple[Maintenance | None, bool]:
    """Give the lock up if this session holds it, and end the session. The lock as it was, and whether it was ours."""

    def ask(client: Any) -> tuple[Maintenance | None, bool]:
        found = read_maintenance(client, account_id)
        ours = found is not None and found.session == session
        if ours:
            transact(client, transactions.withdraw(maintenance_key(account_id), session))
        if ours or _is_of(client, session, account_id):
            with contextlib.suppress(Exception):  # it ends by itself
                client.session.destroy(session)
        return found, ours

    return ask_once(settings, deadline, ask)


def take_away(settings: ConsulSettings, account_id: str, held: Maintenance, deadline: float) -> None:
    """Free the lock whoever holds it, if it is still as it was read. Its session ends by itself, and its run is told at
    the next ``renew``.
    """
    key = maintenance_key(account_id)
    ask_once(settings, deadline, lambda client: transact(client, transactions.delete(key, held.index)))


def _is_of(client: Any, session: str, account_id: str) -> bool:
    """Is this a session for this lock? A node's must never be ended from here, whatever is given by mistake."""
    try:
        found = sessions.read(client, session)
    except ConsulError:
        return False
    return found is not None and found.get("Name") == f"maintenance of {account_id}"
