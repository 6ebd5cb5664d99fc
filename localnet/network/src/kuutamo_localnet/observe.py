# SPDX-License-Identifier: Apache-2.0
"""What a running fleet looks like from outside: exporters, neards and the lock in Consul, read again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import requests

from kuutamod.core.protocol import LockRecord, lock_key
from neard_standin.procfs import boottime

from .background import Background, repeating
from .consul_client import ConsulAnswerError, ConsulClient
from .exporter import Metrics
from .fleet_node import FleetNode
from .reaper import read_process

INTERVAL = 0.5  # seconds between two looks at one node
STATUS_DEADLINE = 1.0  # seconds for neard's /status and for Consul

STOPPED, FROZEN, SILENT = "stopped", "frozen", "no answer"


@dataclass(frozen=True)
class NodeFacts:
    """One node as last seen. Ages are seconds; None is "unknown" or "does not apply".

    `state` is kuutamod's own word, or one of STOPPED, FROZEN, SILENT. `lag` is how many blocks neard is behind the chain.
    """

    name: str
    state: str = SILENT
    eligible: bool = False
    reasons: tuple[str, ...] = ()
    term: int | None = None
    held: float | None = None
    height: int | None = None
    lag: int | None = None


@dataclass(frozen=True)
class LockFacts:
    """The lock as Consul shows it. `holder` is empty when nobody holds it; `moved` is when its index last moved, in
    seconds of CLOCK_BOOTTIME; `fault` says why it could not be read.
    """

    holder: str = ""
    term: int = 0
    phase: str = ""
    released: bool = False
    reason: str = ""
    index: int = -1
    moved: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class Observation:
    """Everything as last seen."""

    nodes: tuple[NodeFacts, ...]
    lock: LockFacts


def read_lock(client: ConsulClient, account: str, before: LockFacts) -> LockFacts:
    """The lock now; `before` is the last reading, which tells when the index moved."""
    try:
        entry = client.kv_get(lock_key(account))
    except (requests.RequestException, ConsulAnswerError) as error:
        return replace(before, fault=f"Consul does not answer: {type(error).__name__}")
    if entry is None:
        return LockFacts(moved=before.moved if before.index == 0 else boottime(), index=0)
    record = LockRecord.from_json(entry.value)
    if record is None:
        return LockFacts(fault="the lock's value is not kuutamod's", index=entry.modify_index)
    return LockFacts(
        holder=record.node_id if entry.session else "",
        term=record.term,
        phase=record.phase,
        released=record.released,
        reason=record.reason,
        index=entry.modify_index,
        moved=before.moved if entry.modify_index == before.index else boottime(),
    )


def read_height(url: str) -> int | None:
    """The head of the neard at `url`, None when it does not answer as a neard does."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{url}/status", timeout=STATUS_DEADLINE)
        return int(answer.json()["sync_info"]["latest_block_height"])
    except (requests.RequestException, KeyError, TypeError, ValueError):
        return None


def node_facts(name: str, metrics: Metrics, height: int | None, head: int | None) -> NodeFacts:
    """The facts in one scrape and one answer of neard. Raises ValueError when the scrape tells no state."""
    reasons = metrics.by_label("kuutamod_ineligible_reason", "reason")

    def value(metric: str) -> float | None:
        return metrics.samples.get((metric, frozenset()))

    term = value("kuutamod_term")
    return NodeFacts(
        name=name,
        state=metrics.state(),
        eligible=value("kuutamod_eligible") == 1,
        reasons=tuple(sorted(reason for reason, on in reasons.items() if on)),
        term=None if term is None else int(term),
        held=value("kuutamod_lock_held_seconds"),
        height=height,
        lag=None if height is None or head is None else max(0, head - height),
    )


def look_at(node: FleetNode, head: Callable[[], int | None]) -> NodeFacts:
    """One look at a node. `head` is the height of the chain."""
    height = read_height(f"http://{node.plan.address}:{node.plan.rpc_port}")
    # The chain may move between two readings; read after neard's answer it is never behind it by itself.
    chain = head()
    running = read_process(node.process.pid) if node.process.alive() else None
    if running is None:
        return NodeFacts(node.name, STOPPED, height=height)
    if running.state in "Tt":
        return NodeFacts(node.name, FROZEN, height=height)
    try:
        return node_facts(node.name, node.metrics(), height, chain)
    except (requests.RequestException, ValueError):
        return NodeFacts(node.name, SILENT, height=height)


class Observer(Background):
    """Looks at each node and at the lock from threads of their own, so that one that hangs delays no other.

    A context manager. `head` returns the height of the chain, None when unknown. `changed` is set by every change
    worth drawing; whoever waits for it clears it.
    """

    def __init__(self, nodes: Sequence[FleetNode], consul_url: str, account: str, head: Callable[[], int | None]) -> None:
        self.changed = threading.Event()
        self._account = account
        self._consul_url = consul_url
        self._head = head
        self._lock = threading.Lock()
        self._nodes = {node.name: NodeFacts(node.name) for node in nodes}
        self._held = LockFacts()
        looks: list[Callable[[], None]] = [self._look_at_lock, *(self._looker(node) for node in nodes)]
        super().__init__(repeating(look, INTERVAL) for look in looks)

    def observation(self) -> Observation:
        """Everything as last seen."""
        with self._lock:
            return Observation(tuple(self._nodes.values()), self._held)

    def holder(self) -> str | None:
        """The node that holds the lock now, asked anew; None when nobody does or Consul does not answer."""
        return self._read_lock(LockFacts()).holder or None

    def _read_lock(self, before: LockFacts) -> LockFacts:
        # A client of its own for each reading: two threads ask.
        client = ConsulClient(self._consul_url, timeout=STATUS_DEADLINE)
        try:
            return read_lock(client, self._account, before)
        finally:
            client.close()

    def _looker(self, node: FleetNode) -> Callable[[], None]:
        def look() -> None:
            found = look_at(node, self._head)
            with self._lock:
                before, self._nodes[node.name] = self._nodes[node.name], found
            if (before.state, before.term, before.eligible) != (found.state, found.term, found.eligible):
                self.changed.set()

        return look

    def _look_at_lock(self) -> None:
        found = self._read_lock(self._held)
        with self._lock:
            before, self._held = self._held, found
        if (before.holder, before.term, before.fault) != (found.holder, found.term, found.fault):
            self.changed.set()
