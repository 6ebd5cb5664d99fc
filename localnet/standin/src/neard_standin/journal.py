# SPDX-License-Identifier: Apache-2.0
"""The append-only journal: what every process with a key did, in one file for the whole network.

Each record is one line and one write to a descriptor opened with O_APPEND, so records of several processes never mix
and a killed process leaves no half record behind.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from neard_standin.ledger import Kind
from neard_standin.procfs import ProcessId


class Event(StrEnum):
    """What a record tells."""

    START = "start"
    KEY_LOADED = "key_loaded"
    KEY_UNLOADED = "key_unloaded"
    SIGNATURE = "signature"
    REEXEC = "reexec"
    EXIT = "exit"
    DEATH = "death"


@dataclass(frozen=True)
class Record:
    """One line of the journal. `boottime` is in seconds of CLOCK_BOOTTIME.

    `others_alive` (key_loaded only) are the processes that had the same public key loaded and were still alive at this
    very moment: first-hand evidence of an overlap, which no later observer can get as precisely.
    `host` and `namespace` (see ProcessId) tell the hosts of a chain apart that several of them share. A `death` is
    written by an observer in the name of the dead: alive at `alive_at`, found dead at `boottime`.
    """

    event: Event
    boottime: float
    pid: int
    starttime: int
    home: str
    node_key: str
    account: str | None = None
    public_key: str | None = None
    height: int | None = None
    kind: Kind | None = None
    term: int | None = None
    others_alive: tuple[ProcessId, ...] = ()
    host: str | None = None
    namespace: int | None = None
    alive_at: float | None = None

    @property
    def process(self) -> ProcessId:
        """The process that the record is about."""
        return ProcessId(self.pid, self.starttime, self.namespace or 0)

    def to_line(self) -> bytes:
        """The record as one line of JSON; fields that say nothing are left out."""
        fields = {name: value for name, value in asdict(self).items() if value is not None and value != ()}
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """The record in `line`; ValueError when it is none."""
        try:
            fields: dict[str, Any] = json.loads(line)
            fields["event"] = Event(fields["event"])
            if "kind" in fields:
                fields["kind"] = Kind(fields["kind"])
            others = fields.get("others_alive", ())
            fields["others_alive"] = tuple(ProcessId(**other) for other in others)
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a journal record: {line!r}: {error}") from error


class JournalWriter:
    """Appends records to a journal."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def append(self, record: Record) -> None:
        """Append `record` by a single write; OSError when the disk refuses or takes only a part."""
        line = record.to_line()
        if os.write(self._descriptor, line) != len(line):
            raise OSError(f"the journal took only a part of {line!r}")

    def close(self) -> None:
        """Close the journal."""
        os.close(self._descriptor)


class JournalReader:
    """Follows a journal from its start, or from at most `window` bytes before its end."""

    def __init__(self, path: Path, window: int | None = None) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        self._rest = b""
        size = os.fstat(self._descriptor).st_size
        if window is not None and size > window:
            self._offset = size - window
            # Entering in the middle of a line: what is left of it is skipped.
            head = os.pread(self._descriptor, 1 << 16, self._offset)
            self._offset += head.find(b"\n") + 1

    def read_new(self) -> list[Record]:
        """Every complete record appended since the last call."""
        if os.fstat(self._descriptor).st_size <= self._offset:
            return []
        chunks = [self._rest]
        while chunk := os.pread(self._descriptor, 1 << 20, self._offset):
            chunks.append(chunk)
            self._offset += len(chunk)
        *lines, self._rest = b"".join(chunks).split(b"\n")
        return [Record.from_line(line) for line in lines]

    def close(self) -> None:
        """Close the journal."""
        os.close(self._descriptor)


def read_journal(path: Path) -> list[Record]:
    """Every complete record in the journal at `path`."""
    reader = JournalReader(path)
    try:
        return reader.read_new()
    finally:
        reader.close()
