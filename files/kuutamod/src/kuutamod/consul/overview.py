# SPDX-License-Identifier: Apache-2.0
"""Everything an operator's view of one account's fleet needs, read from Consul at once.

A part that the token may not read, or whose value is not ours, is told apart from one that is not there; it does not spoil
the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core.events import SeenMember
from ..core.model import LockView
from ..core.protocol import (
    FleetConfig,
    MemberRecord,
    Request,
    TermRecord,
    config_key,
    history_key,
    history_prefix,
    lock_key,
    member_key,
    members_prefix,
    request_key,
)
from . import orders
from .answers import Entry, lock_view, read_key, read_names, read_tree
from .faults import ELSEWHERE, ConsulError, Fault, classify
from .health import ConsulHealth, read_health
from .maintenance import Maintenance, read_maintenance
from .once import ask_once
from .settings import ConsulSettings

T = TypeVar("T")

_TERM = re.compile(r"[0-9]{10}")

SINGLY = 8
"""Up to so many records of a longer history are read one by one; more of them, or all, in one request."""


@dataclass(frozen=True)
class Unread:
    """A part that could not be read, and why. ``fault`` CONFLICT: what is there is nothing of ours."""

    why: str
    fault: Fault = Fault.FORBIDDEN


@dataclass(frozen=True)
class Overview:
    """One account's fleet as Consul shows it. ``request`` None: nobody has asked for anything yet. ``maintenance`` None:
    nobody has the fleet to itself.

    ``members`` are sorted by node id, ``history`` has the newest term first.
    """

    account_id: str
    lock: LockView | Unread
    members: tuple[SeenMember, ...] | Unread
    config: FleetConfig | Unread
    request: Request | Unread | None
    history: tuple[TermRecord, ...] | Unread
    consul: ConsulHealth | Unread
    maintenance: Maintenance | Unread | None = None


def read_overview(settings: ConsulSettings, account_id: str, terms: int, deadline: float) -> Overview:
    """The fleet now, with the newest ``terms`` records of its history. ``deadline`` in seconds.

    Raises ConsulError with a text for people when Consul can't be asked at all.
    """
    return ask_once(settings, deadline, lambda client: _overview(client, account_id, terms))


def _overview(client: Any, account_id: str, terms: int) -> Overview:
    return Overview(
        account_id=account_id,
        lock=_part(lambda: lock_view(read_key(client, lock_key(account_id)).entry)),
        members=_part(lambda: _members(client, account_id)),
        config=_part(lambda: _config(client, account_id)),
        request=_part(lambda: _request(client, account_id)),
        history=_part(lambda: _history(client, account_id, terms)),
        consul=_part(lambda: read_health(client)),
        maintenance=_part(lambda: read_maintenance(client, account_id)),
    )


def _part(read: Callable[[], T]) -> T | Unread:
    """What was read, or why this part can't be. A failure that another URL may not have is raised."""
    try:
        return read()
    except Exception as error:
        failure = classify(error)
        if failure.fault in ELSEWHERE:
            raise
        return Unread(failure.why, failure.fault)


def _members(client: Any, account_id: str) -> tuple[SeenMember, ...]:
    prefix = members_prefix(account_id)
    entries = read_tree(client, prefix) or _denied(client, prefix)
    found = [(entry, MemberRecord.from_json(entry.value)) for entry in entries]
    return tuple(
        SeenMember(record, entry.session, entry.index)
        for entry, record in sorted(found, key=lambda each: each[0].key)
        if record is not None and entry.key == member_key(account_id, record.node_id)
    )


def _config(client: Any, account_id: str) -> FleetConfig:
    key = config_key(account_id)
    entry = read_key(client, key).entry
    config = FleetConfig.from_json(entry.value if entry is not None else None)
    if config is None:
        raise ConsulError(Fault.CONFLICT, f"key {key} is not a JSON object; repair or delete it")
    return config


def _request(client: Any, account_id: str) -> Request | None:
    key = request_key(account_id)
    entry = read_key(client, key).entry
    request = Request.from_json(entry.value) if entry is not None else None
    if entry is not None and request is None:
        raise orders.unknown(key)
    return request


def _history(client: Any, account_id: str, count: int) -> tuple[TermRecord, ...]:
    prefix = history_prefix(account_id)
    names = read_names(client, prefix) or _denied(client, prefix)
    # Ten digits, so that the names sort as the terms do; what else lies there is not ours.
    keys = [name for name in names if _TERM.fullmatch(name.removeprefix(prefix))]
    wanted = sorted(keys, reverse=True)[:count]
    entries: list[Entry | None]
    if len(wanted) == len(keys) or len(wanted) > SINGLY:
        entries = [entry for entry in read_tree(client, prefix) if entry.key in wanted]
    else:
        entries = [read_key(client, key).entry for key in wanted]
    found = [(entry.key, TermRecord.from_json(entry.value)) for entry in entries if entry is not None]
    terms = [record for key, record in found if record is not None and key == history_key(account_id, record.term)]
    return tuple(sorted(terms, key=lambda record: record.term, reverse=True))


def _denied(client: Any, prefix: str) -> tuple[()]:
    """Nothing, unless the token may not read below ``prefix``: Consul leaves that out of a list without a word."""
    read_key(client, prefix)
    return ()
