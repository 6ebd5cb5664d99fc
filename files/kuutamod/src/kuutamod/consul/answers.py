# SPDX-License-Identifier: Apache-2.0
"""Reading and writing keys through the library's client, with every answer checked for being the one asked for.

All functions block; they run in a ``Link``'s thread and raise ConsulError or what the library raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.model import LockView
from ..core.protocol import LockRecord
from .faults import ConsulError, Fault
from .transactions import Operation


@dataclass(frozen=True)
class Entry:
    """One key. ``index`` is its ModifyIndex, ``session`` who holds it."""

    key: str
    value: bytes
    session: str | None
    index: int


@dataclass(frozen=True)
class Reading:
    """A read of one key; ``entry`` is None when there is none, ``index`` is for the next blocking query."""

    entry: Entry | None
    index: int


def read_key(client: Any, key: str, index: int = 0, wait: float = 0.0) -> Reading:
    """One consistent read. With ``index`` it waits up to ``wait`` seconds (Consul adds 1/16) for another index."""
    options: dict[str, object] = {"index": index, "wait": f"{wait:g}s"} if index else {}
    answered, item = client.kv.get(key, consistency="consistent", **options)
    # A 404 that is not Consul's own has no index: it must not pass for a missing key.
    if answered is None:
        raise ConsulError(Fault.UNUSABLE, f"the answer for key {key} has no index")
    entry = None if item is None else _entry(item)
    if entry is not None and entry.key != key:
        raise ConsulError(Fault.UNUSABLE, f"asked for key {key}, answered with {entry.key}")
    return Reading(entry, int(answered))


def read_tree(client: Any, prefix: str) -> tuple[Entry, ...]:
    """One consistent read of all keys below ``prefix``. Consul leaves out, without a word, what the token may not read."""
    answered, items = client.kv.get(prefix, recurse=True, consistency="consistent")
    if answered is None:
        raise ConsulError(Fault.UNUSABLE, f"the answer for prefix {prefix} has no index")
    entries = tuple(_entry(item) for item in items or ())
    for entry in entries:
        if not entry.key.startswith(prefix):
            raise ConsulError(Fault.UNUSABLE, f"asked for keys below {prefix}, answered with {entry.key}")
    return entries


def read_names(client: Any, prefix: str) -> tuple[str, ...]:
    """One consistent read of the names of all keys below ``prefix``."""
    answered, names = client.kv.get(prefix, keys=True, consistency="consistent")
    if answered is None:
        raise ConsulError(Fault.UNUSABLE, f"the answer for the names below {prefix} has no index")
    return tuple(str(name) for name in names or ())


def transact(client: Any, operations: Sequence[Operation]) -> int:
    """Apply a transaction that writes one key last, and see in the answer that it did; its ModifyIndex (0: deleted)."""
    last = operations[-1]["KV"]
    answer = client.txn.put(list(operations))
    try:
        results = answer["Results"]
        done = last["Verb"] == "delete" or _does(results[-1]["KV"], last["Key"], _holder_after(operations))
        complete = answer["Errors"] is None and done
    except (TypeError, KeyError, IndexError):
        complete = False
    if not complete:
        raise ConsulError(Fault.UNUSABLE, f"the answer to a transaction on {last['Key']} does not show its result")
    return int(results[-1]["KV"]["ModifyIndex"]) if last["Verb"] != "delete" else 0


def _holder_after(operations: Sequence[Operation]) -> object:
    """The session that the written key must be booked on afterwards: what it was locked with, or was checked to have."""
    first, last = operations[0]["KV"], operations[-1]["KV"]
    if last["Verb"] == "lock":
        return last["Session"]
    return first.get("Session") if last["Verb"] == "set" else None


def _does(result: dict[str, object], key: object, session: object) -> bool:
    return result["Key"] == key and (result.get("Session") or None) == session


def lock_view(entry: Entry | None) -> LockView:
    """The lock's key as the rules see it."""
    if entry is None:
        return LockView(0)
    return LockView(entry.index, entry.session, LockRecord.from_json(entry.value))


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(
        key=str(item["Key"]),
        value=bytes(item["Value"] or b""),
        session=item.get("Session") or None,
        index=int(item["ModifyIndex"]),
    )
