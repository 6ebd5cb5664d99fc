# SPDX-License-Identifier: Apache-2.0
"""Watching a soak from outside: what nodes and lock show, whether a term is stuck, and the operator who has to confirm."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import requests

from kuutamod.core.lease import LeaseLaw
from kuutamod.core.protocol import LockRecord, lock_key
from neard_standin.procfs import boottime

from .background import Background, repeating
from .consul_client import KvEntry
from .fleet_node import FleetNode
from .fleet_plan import installed
from .observe import SILENT, LockFacts, NodeFacts, node_facts
from .soak_faults import Injector
from .soak_ground import Ground, Skip
from .soak_stuck import Look, could_take

INTERVAL = 0.5  # seconds between two looks
SURE = 2.0  # seconds in which an operator sees that nothing signs before he says so
PATIENCE = 12.0  # seconds after a confirmation: nodes read it every five seconds
CONFIRM_DEADLINE = 30.0  # seconds for `kuutamoctl confirm` on a busy machine
REGRESS = "term-regress"


class Watch(Background):
    """Reads each node's exporter and the lock from threads of their own; a context manager.

    It keeps the lock's values of each term as a backup would have them (`Ground.lock_values`).
    """

    def __init__(self, ground: Ground, law: LeaseLaw) -> None:
        self._ground = ground
        self._law = law
        self._guard = threading.Lock()
        self._facts: dict[str, NodeFacts] = {}
        self._able: dict[str, float] = {}
        self._lock = LockFacts(fault="not read yet")
        looks: list[Callable[[], None]] = [self._look_at_lock, *map(self._looker, ground.arena.fleet.nodes)]
        super().__init__(repeating(look, INTERVAL) for look in looks)

    def nodes(self) -> dict[str, NodeFacts]:
        """Each node as last seen."""
        with self._guard:
            return dict(self._facts)

    def waits_for_operator(self, name: str) -> bool:
        """Whether the node rightly refuses to go on without an operator: the lock's term is lower than one it has seen."""
        with self._guard:
            facts, lock = self._facts[name], self._lock
        return REGRESS in facts.reasons and not lock.fault and lock.term < (facts.term or 0)

    def look(self, injector: Injector, *, signer: bool) -> Look:
        """How things stand now. `signer`: whether the referee knows a process with the key."""
        with self._guard:
            lock, able = self._lock, dict(self._able)
        now = boottime()
        proved = bool(lock.holder) and now - lock.moved <= self._law.fence_deadline
        since = [max(at, calm) for name, at in able.items() if (calm := injector.undisturbed_since(name)) is not None]
        return Look(
            now=now,
            signer=signer,
            term=lock.term,
            proved=proved,
            holder_calm=injector.undisturbed_since(lock.holder) if proved and not lock.fault else None,
            able=min(since, default=None) if not lock.fault else None,
        )

    def _looker(self, node: FleetNode) -> Callable[[], None]:
        def look() -> None:
            try:
                facts = node_facts(node.name, node.metrics(), None, None)
            except (requests.RequestException, ValueError):
                facts = NodeFacts(node.name, SILENT)
            with self._guard:
                self._facts[node.name] = facts
                if could_take(facts):
                    self._able.setdefault(node.name, boottime())
                else:
                    self._able.pop(node.name, None)

        return look

    def _look_at_lock(self) -> None:
        try:
            entry = self._ground.lock_entry()
        except Skip as reason:
            with self._guard:
                self._lock = replace(self._lock, fault=str(reason))
            return
        record = LockRecord.from_json(entry.value) if entry is not None else None
        if entry is not None and record is not None:
            self._ground.lock_values.setdefault((record.term, record.released), entry.value)
        with self._guard:
            self._lock = _facts(entry, record, self._lock)


def _facts(entry: KvEntry | None, record: LockRecord | None, before: LockFacts) -> LockFacts:
    index = 0 if entry is None else entry.modify_index
    moved = before.moved if index == before.index else boottime()
    if entry is None or record is None:
        return LockFacts(index=index, moved=moved)
    return LockFacts(record.node_id if entry.session else "", record.term, index=index, moved=moved)


class Operator:
    """Runs `kuutamoctl confirm` when a node waits for it and nothing has signed for a while.

    `confirmed` has when (CLOCK_BOOTTIME); `false_alarms` counts how often the nodes' word was wrong.
    """

    def __init__(self, ground: Ground, say: Callable[[str], None]) -> None:
        self.confirmed: list[float] = []
        self.false_alarms = 0
        self._ground = ground
        self._say = say
        self._since: float | None = None
        self._next = 0.0

    def look(self, nodes: dict[str, NodeFacts], *, signer: bool) -> None:
        """See whether it is time to confirm, and do so."""
        # A node that has just taken the lock itself still knows its last reading of it: of the term before.
        waiting = [facts for facts in nodes.values() if facts.state == "Voting" and REGRESS in facts.reasons]
        if signer or not waiting:
            self._since = None
            return
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < SURE or now < self._next:
            return
        self._since = None
        # No old value is restored between the look, the confirmation and the note of it.
        with self._ground.values_guard:
            if self._true(waiting):
                self._confirm([facts.name for facts in waiting])

    def _true(self, waiting: Sequence[NodeFacts]) -> bool:
        """Whether the lock's term is lower than the nodes' indeed: theirs may be an old view, while Consul is away."""
        try:
            entry = self._ground.lock_entry()
        except Skip:
            return False
        record = LockRecord.from_json(entry.value) if entry is not None else None
        if record is not None and any(record.term < (facts.term or 0) for facts in waiting):
            return True
        self.false_alarms += 1
        self._next = time.monotonic() + PATIENCE
        said = ", ".join(f"{facts.name} (term {facts.term})" for facts in waiting)
        self._say(f"operator: false alarm, the lock's term is no lower than those of {said}")
        return False

    def _confirm(self, waiting: list[str]) -> None:
        account, urls = self._ground.account, ",".join(server.url for server in self._ground.cluster.servers)
        argv = [str(installed("kuutamoctl")), "confirm", "--yes", "--account-id", account, "--consul-url", urls]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=CONFIRM_DEADLINE, check=False)
        except subprocess.TimeoutExpired:
            self._say(f"operator: kuutamoctl confirm took longer than {CONFIRM_DEADLINE:g} s")
            return
        if done.returncode != 0:
            self._say(f"operator: kuutamoctl confirm ended with {done.returncode}: {done.stderr.strip()}")
            return
        self.confirmed.append(boottime())
        self._next = time.monotonic() + PATIENCE
        self._say(f"operator: confirmed {lock_key(account)} for {', '.join(waiting)}")
