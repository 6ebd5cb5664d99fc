# SPDX-License-Identifier: Apache-2.0
"""The maintenance lock: one operator's run has the fleet to itself. The nodes don't look at it.

A session holds the key; when it ends, so does the lock. All public functions but ``read_maintenance`` return or raise
ConsulError within their own deadline (seconds).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
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
    """
    return ask_once(settings, deadline, lambda client: _acquire(client, account_id, record, ttl))


def _acquire(client: Any, account_id: str, record: MaintenanceRecord, ttl: int) -> tuple[Maintenance, bool]:
    if (found := read_maintenance(client, account_id)) is not None:
        return found, False
    key = maintenance_key(account_id)
    session = sessions.create(client, f"maintenance of {account_id}", ttl, 0)
    try:
        index = transact(client, transactions.publish(key, session, record.to_json()))
    except Exception as error:
        # It may hold the lock all the same, if only the answer was lost: then this ends it.
        with contextlib.suppress(Exception):
            client.session.destroy(session)
        if classify(error).fault is Fault.CONFLICT and (found := read_maintenance(client, account_id)) is not None:
            return found, False
        raise
    return Maintenance(session, index, record), True


def renew(settings: ConsulSettings, account_id: str, session: str, deadline: float) -> tuple[Maintenance | None, bool]:
    """The lock as it is, and whether this session holds it; if so, its time begins anew."""

    def ask(client: Any) -> tuple[Maintenance | None, bool]:
        found = read_maintenance(client, account_id)
        if found is None or found.session != session:
            return found, False
        sessions.renew(client, session)
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
