# SPDX-License-Identifier: Apache-2.0
"""The fleet's records: writing this node's own, and reading everybody's. All functions block; see ``answers``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..core.events import SeenMember
from ..core.protocol import (
    FleetConfig,
    MemberRecord,
    config_key,
    history_prefix,
    member_key,
    members_prefix,
    newest_term,
)
from . import transactions
from .answers import Entry, read_key, read_names, read_tree, transact
from .faults import ConsulError, Fault, Refusal, classify


@dataclass(frozen=True)
class Myself:
    """What tells this process's records from another's."""

    account_id: str
    node_id: str
    life: str
    hostname: str
    home: str

    @property
    def key(self) -> str:
        """The key of this node's record."""
        return member_key(self.account_id, self.node_id)


def publish(client: Any, me: Myself, session: str, record: MemberRecord, first: bool) -> None:
    """Write the record, bound to the session; takes it over from a dead life of this node.

    ``first``: this process has not published before. Only then can a record with our hostname and home be of a dead life:
    we hold the home's lock file, and the dead do not come back. Raises ConsulError, with the fault
    DUPLICATE when another living process publishes under this node id.
    """
    value = record.to_json()
    try:
        transact(client, transactions.publish(me.key, session, value))
    except Exception as error:
        if not _held(error):
            raise
    else:
        return
    entry = read_key(client, me.key).entry
    if entry is None or entry.session is None:
        raise ConsulError(Fault.CONFLICT, f"{me.key} changed while it was being written", (Refusal.MOVED,))
    _refuse_duplicate(me, entry, first)
    transact(client, transactions.displace(me.key, session, entry.index, value))


def _held(error: Exception) -> bool:
    return Refusal.HELD in classify(error).refusals


def _refuse_duplicate(me: Myself, entry: Entry, first: bool) -> None:
    other = MemberRecord.from_json(entry.value)
    if other is not None and other.life == me.life:
        return
    if other is not None and first and (other.hostname, other.home) == (me.hostname, me.home):
        return
    whose = f"a process on host {other.hostname} with home {other.home}" if other else "a record that cannot be read"
    raise ConsulError(
        Fault.DUPLICATE,
        f"node id {me.node_id} is already used for account {me.account_id}: key {me.key} is held by {whose} "
        f"(Consul session {entry.session}), this process runs on host {me.hostname} with home {me.home}. "
        "Give each node a node id of its own; if the other one is gone for good, its session ends by itself",
    )


@dataclass(frozen=True)
class Fleet:
    """Members and settings as one read showed them; ``config`` None: unreadable."""

    members: tuple[SeenMember, ...]
    config: FleetConfig | None
    newest_term: int


def read_fleet(client: Any, account_id: str) -> Fleet:
    """Members and fleet-wide settings. Records that are not ours are passed over."""
    settings = read_key(client, config_key(account_id)).entry
    return Fleet(
        members=tuple(_members(account_id, read_tree(client, members_prefix(account_id)))),
        newest_term=newest_term(account_id, read_names(client, history_prefix(account_id))),
        config=FleetConfig() if settings is None else FleetConfig.from_json(settings.value),
    )


def _members(account_id: str, entries: Iterable[Entry]) -> list[SeenMember]:
    found: list[SeenMember] = []
    for entry in entries:
        record = MemberRecord.from_json(entry.value)
        if record is not None and entry.key == member_key(account_id, record.node_id):
            found.append(SeenMember(record, entry.session, entry.index))
    return found
