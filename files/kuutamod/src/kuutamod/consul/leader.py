# SPDX-License-Identifier: Apache-2.0
"""What kuutamoctl asks Consul: who holds the lock, and an operator's confirmation of the lock's state.

For programs without an event loop; every function returns or raises within its own deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..core.protocol import FleetConfig, LockRecord, config_key, lock_key
from . import sessions, transactions
from .answers import read_key, transact
from .faults import ConsulError, Fault, Refusal, classify
from .members import read_fleet
from .once import ask_once
from .settings import ConsulSettings

TRIES = 3
"""How often a key that changes between two requests is read anew."""


@dataclass(frozen=True)
class LeaderInfo:
    """The holder's session as Consul gives it, or None. ``had_key``: the lock was booked on a session when first read.

    ``session`` None and ``had_key``: that session ended while we looked.
    """

    session: dict[str, Any] | None
    had_key: bool


@dataclass(frozen=True)
class Confirmation:
    """What was confirmed: the lock's record, and the fleet's config as it is now."""

    record: LockRecord
    config: FleetConfig


def active_validator(settings: ConsulSettings, account_id: str, deadline: float) -> LeaderInfo:
    """Who holds the lock of the account. ``deadline`` in seconds; raises ConsulError with a text for people."""
    return ask_once(settings, deadline, lambda client: _holder(client, lock_key(account_id)))


def _holder(client: Any, key: str) -> LeaderInfo:
    had_key = False
    unknown = None
    for _unused in range(TRIES):
        entry = read_key(client, key).entry
        holder = entry.session if entry is not None else None
        if holder is None:
            return LeaderInfo(None, had_key)
        if holder == unknown:
            # Consul clears a key in the step that ends its session, so this session lives; we are not shown it.
            raise ConsulError(
                Fault.FORBIDDEN,
                f"the lock is held by session {holder}, which the Consul token may not read; it needs session:read",
            )
        had_key, session = True, sessions.read(client, holder)
        if session is not None:
            return LeaderInfo(session, had_key)
        unknown = holder
    return LeaderInfo(None, had_key)


def confirm(settings: ConsulSettings, account_id: str, deadline: float) -> Confirmation:
    """Record an operator's word that nothing signs, for the lock exactly as it is now.

    Writes term and digest of the lock's record, and the highest term that any member has seen, into the fleet's config, in
    a transaction that is refused if lock or config has changed meanwhile. ``deadline`` in seconds; raises ConsulError with
    a text for people.
    """
    return ask_once(settings, deadline, lambda client: _confirm(client, account_id))


def _confirm(client: Any, account_id: str) -> Confirmation:
    lock, settings = lock_key(account_id), config_key(account_id)
    for _unused in range(TRIES):
        members = read_fleet(client, account_id).members
        held, old = read_key(client, lock).entry, read_key(client, settings).entry
        record = LockRecord.from_json(held.value) if held is not None else None
        config = FleetConfig() if old is None else FleetConfig.from_json(old.value)
        if held is None or record is None:
            what = "does not exist" if held is None else "holds no record of a kuutamod"
            raise ConsulError(Fault.CONFLICT, f"nothing to confirm: key {lock} {what}, so it has no term to go by")
        if config is None:
            raise ConsulError(Fault.CONFLICT, f"key {settings} is not a JSON object; repair or delete it first")
        seen = max([record.term, *(member.record.term_seen for member in members)])
        word = replace(config, confirmed_term=record.term, confirmed_seen=seen, confirmed_record=record.digest)
        index = old.index if old is not None else 0
        try:
            transact(client, transactions.confirm(lock, held.index, settings, index, word.to_json()))
        except Exception as error:
            if classify(error).fault is not Fault.CONFLICT:
                raise
        else:
            return Confirmation(record, word)
    raise ConsulError(
        Fault.CONFLICT,
        f"keys {lock} and {settings} kept changing: a node is at work on them. See who holds the lock, then try again",
        (Refusal.MOVED,),
    )
