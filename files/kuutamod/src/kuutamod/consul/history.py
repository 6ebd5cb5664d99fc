# SPDX-License-Identifier: Apache-2.0
"""What is known of a term beyond that it was taken (``transactions.in_term``). All functions block; see ``answers``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.protocol import TermRecord, history_key
from . import transactions
from .answers import read_key, transact


def write(client: Any, account_id: str, record: TermRecord, before: TermRecord | None) -> None:
    """Complete the record of a term, and of the one before it unless its end is recorded already. Raises ConsulError.

    A holder does not know how its own term ended; where the next one has said so already, that stays.
    """
    if before is not None:
        _complete(client, account_id, before)
    key = history_key(account_id, record.term)
    entry = read_key(client, key).entry
    known = TermRecord.from_json(entry.value) if entry is not None else None
    if known is not None and known.until and not record.until:
        record = _ended(record, known)
    transact(client, transactions.swap(key, entry.index if entry is not None else 0, record.to_json()))


def _complete(client: Any, account_id: str, end: TermRecord) -> None:
    key = history_key(account_id, end.term)
    entry = read_key(client, key).entry
    known = TermRecord.from_json(entry.value) if entry is not None else None
    if known is not None and known.until:
        return
    ended = end if known is None else _ended(known, end)
    transact(client, transactions.swap(key, entry.index if entry is not None else 0, ended.to_json()))


def _ended(record: TermRecord, end: TermRecord) -> TermRecord:
    """The record with what another one tells of the term's end."""
    return replace(record, until=end.until, ended=end.ended, fault=end.fault, last_height=end.last_height)
