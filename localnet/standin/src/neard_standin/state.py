# SPDX-License-Identifier: Apache-2.0
"""The state of one running stand-in: written by its main thread only, read by the RPC threads too."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neard_standin.chain import ChainView
from neard_standin.config import Genesis, NodeConfig
from neard_standin.control import Behaviour
from neard_standin.journal import Event, JournalWriter, Record
from neard_standin.keys import KeyFile
from neard_standin.ledger import Ledger
from neard_standin.log import Log
from neard_standin.procfs import ProcessId, boottime

TERM_VARIABLE = "KUUTAMO_TERM"


@dataclass(frozen=True)
class Signer:
    """A loaded validator key; `since` is when the process could first sign with it (CLOCK_BOOTTIME, seconds)."""

    key: KeyFile
    since: float


@dataclass(frozen=True)
class MutableField:
    """One value which a hot-reloadable setting has or had, for near_config_mutable_field."""

    name: str
    value: str
    timestamp: int


@dataclass
class NodeState:
    """Everything the parts of a node share. Times are in seconds of CLOCK_BOOTTIME unless named otherwise."""

    home: Path
    config: NodeConfig
    genesis: Genesis
    node_key: KeyFile
    ledger: Ledger
    chain: ChainView
    journal: JournalWriter
    process: ProcessId
    started_at: float
    log: Log
    behaviour: Behaviour
    host: str | None = None
    term: int | None = None
    signer: Signer | None = None
    stopping: bool = False
    up_since: float | None = None
    frozen_head: int | None = None
    expected_shutdown: int | None = None
    config_correct: bool = True
    config_error: str | None = None
    reloads: int = 1  # the load at start counts
    reload_time: float = 0.0  # wall clock
    blocks_produced: int = 0
    chunks_produced: int = 0
    mutable_fields: list[tuple[MutableField, bool]] = field(default_factory=list)

    def refresh_term(self) -> None:
        """Read the supervisor's term anew, from the file which the control file names or else the environment."""
        text = os.environ.get(TERM_VARIABLE, "")
        if self.behaviour.term_file is not None and Path(self.behaviour.term_file).exists():
            text = Path(self.behaviour.term_file).read_text(encoding="utf-8")
        self.term = int(text) if text.strip().isdecimal() else None

    def syncing(self, now: float) -> bool:
        """What /status tells as sync_info.syncing: an isolated node believes to be in sync."""
        behaviour = self.behaviour
        if behaviour.isolated:
            return False
        waiting = self.up_since is None or now < self.up_since + behaviour.sync_delay
        return behaviour.syncing or behaviour.desync or waiting

    def head(self, now: float) -> int:
        """The height of the newest block this node knows of."""
        frozen = self.frozen_head
        return self.chain.head(now) if frozen is None else frozen

    def head_age(self, now: float) -> float:
        """Seconds since the head's block was produced."""
        return max(0.0, now - self.ledger.start_of(self.head(now)))

    def record(self, event: Event, key: KeyFile | None = None, at: float | None = None, **details: Any) -> None:
        """Append a record of this process to the journal, of the moment `at` (None is now)."""
        self.journal.append(
            Record(
                event=event,
                boottime=boottime() if at is None else at,
                pid=self.process.pid,
                starttime=self.process.starttime,
                host=self.host,
                namespace=self.process.namespace or None,
                home=str(self.home),
                node_key=self.node_key.public_key,
                account=key.account_id if key else None,
                public_key=key.public_key if key else None,
                term=self.term,
                **details,
            )
        )
