# SPDX-License-Identifier: Apache-2.0
"""The chain as a node sees it: the ledger's rules applied to the signatures in the journal."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

from neard_standin.journal import Event, JournalReader, Record
from neard_standin.ledger import Kind, Ledger, Validator
from neard_standin.presence import seen_alive
from neard_standin.procfs import ProcessId, boottime

# A node that joins late needs the recent past only; this is some hours of a small network.
_JOURNAL_WINDOW = 8 << 20
_EPOCHS_KEPT = 5


@dataclass(frozen=True)
class Tally:
    """How many duties of one kind a validator had in an epoch so far, and how many it did."""

    produced: int
    expected: int


@dataclass(frozen=True)
class Load:
    """One load of a key: the raw material of the routing model."""

    process: ProcessId
    node_key: str
    at: float


class ChainView:
    """Follows the journal; safe to use from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.alive = seen_alive(ledger)
        self._reader = JournalReader(ledger.journal_path, window=_JOURNAL_WINDOW)
        self._lock = threading.Lock()
        self._head = 0
        # (epoch, account, kind) -> heights
        self._signed: defaultdict[tuple[int, str, Kind], set[int]] = defaultdict(set)
        self._holders: dict[ProcessId, str] = {}
        self._loads: defaultdict[str, list[Load]] = defaultdict(list)

    def _take(self, record: Record) -> None:
        match record.event:
            case Event.SIGNATURE:
                assert record.height is not None
                assert record.account is not None
                assert record.kind is not None
                self._signed[self.ledger.epoch_of(record.height), record.account, record.kind].add(record.height)
            case Event.KEY_LOADED:
                assert record.account is not None
                assert record.public_key is not None
                self._holders[record.process] = record.public_key
                self._loads[record.account].append(Load(record.process, record.node_key, record.boottime))
            case Event.KEY_UNLOADED | Event.EXIT | Event.REEXEC:
                self._holders.pop(record.process, None)

    def _refresh(self, now: float) -> None:
        for record in self._reader.read_new():
            self._take(record)
        for height in range(self.ledger.height_at(now), self._head, -1):
            if self._has_block(height):
                self._head = height
                break
        oldest = self.ledger.epoch_of(self._head) - _EPOCHS_KEPT
        for key in [key for key in self._signed if key[0] < oldest]:
            del self._signed[key]

    def _has_block(self, height: int) -> bool:
        producer = self.ledger.block_producer(height)
        key = (self.ledger.epoch_of(height), producer.account_id, Kind.BLOCK)
        return height == 0 or producer.virtual or height in self._signed.get(key, ())

    def head(self, now: float | None = None) -> int:
        """The height of the newest block at `now` (seconds of CLOCK_BOOTTIME; None is this moment)."""
        with self._lock:
            self._refresh(boottime() if now is None else now)
            return self._head

    def author(self, height: int) -> Validator | None:
        """Who produced the block of `height`; None when it was skipped or is too old to be known."""
        with self._lock:
            return self.ledger.block_producer(height) if self._has_block(height) else None

    def tally(self, account: str, kind: Kind, epoch: int, head: int) -> Tally:
        """Duties of `account` from the start of `epoch` to its end or to `head`, whichever is earlier."""
        first = max(1, self.ledger.epoch_start(epoch))
        last = min(head, self.ledger.epoch_start(epoch + 1) - 1)
        expected = self.ledger.heights_of(account, kind, first, last + 1)
        seat = self.ledger.validator(account)
        if seat is None or seat.virtual:
            return Tally(len(expected), len(expected))
        with self._lock:
            done = self._signed.get((epoch, account, kind), set())
            return Tally(sum(height in expected for height in done), len(expected))

    def live_holders(self, public_key: str, apart_from: ProcessId) -> tuple[ProcessId, ...]:
        """Other processes that have this key loaded and are alive at this moment, stopped ones included."""
        with self._lock:
            self._refresh(boottime())
            holders = [process for process, key in self._holders.items() if key == public_key]
        return tuple(process for process in holders if process != apart_from and self.alive(process))

    def loads(self, account: str) -> tuple[Load, ...]:
        """Every load of a key of `account` in the order of time."""
        with self._lock:
            return tuple(self._loads.get(account, ()))
