# SPDX-License-Identifier: Apache-2.0
"""What the fault scenarios share: a healthy fleet to begin with, the referee and the protocol's bounds at the end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import requests

from kuutamo_localnet.consul import ConsulCluster, ConsulServer
from kuutamo_localnet.consul_client import ConsulAnswerError, ConsulClient
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import FleetSpec, NodeSite
from kuutamo_localnet.wait import eventually
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Policy
from kuutamod.core.protocol import LockRecord, MemberRecord, lock_key, member_key
from neard_standin.control import ONE_SHOTS, Behaviour
from neard_standin.verdict import KeyInterval

LAW = LeaseLaw()
POLICY = Policy()
BUSY = 20.0
"""Seconds a busy test machine may add where no bound of the protocol is at stake."""
SHORT_HOLD_OFF = {"KUUTAMO_HOLD_OFF": "3", "KUUTAMO_PATIENCE": "2"}


def boottime() -> float:
    """The clock of the journal and of the lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


S = TypeVar("S", bound="Stage")


@dataclass
class Stage:
    """A fleet and its Consul."""

    fleet: Fleet
    consul: ConsulServer | ConsulCluster

    @property
    def account(self) -> str:
        """The fleet's validator."""
        return self.fleet.spec.account

    def client(self) -> ConsulClient:
        """A client of a living Consul server."""
        return self.consul.client()

    def lock(self) -> tuple[str, LockRecord | None]:
        """Session and value of the lock's key; an empty session when it is free or missing."""
        entry = self.client().kv_get(lock_key(self.account))
        return ("", None) if entry is None else (entry.session or "", LockRecord.from_json(entry.value))

    def term(self) -> int:
        """The term in the lock's value."""
        record = self.lock()[1]
        assert record is not None, "the lock has no readable value"
        return record.term

    def holder(self, deadline: float = 60.0) -> FleetNode:
        """The node whose neard has the key, once there is one and it is the one that says Validating."""

        def found() -> FleetNode | None:
            interval = self.fleet.referee.current_holder(self.account)
            if interval is None:
                return None
            node = next(n for n in self.fleet.nodes if str(n.plan.home) == interval.home)
            return node if node.state() == "Validating" else None

        node = eventually(found, deadline, "a node holds the key and says Validating")
        assert node is not None
        return node

    def healthy(self, deadline: float = 90.0) -> FleetNode:
        """Every node runs, one validates, the others vote and are ready to take over; returns the holder."""
        for node in self.fleet.nodes:
            if not node._lives or not node.process.alive():
                node.start()
        holder = self.holder(deadline)
        for node in self.fleet.standbys(holder):
            what = f"{node.name} is a ready standby, and says so"
            eventually(lambda node=node: ready(node) and self.says_ready(node), deadline, what)  # type: ignore[misc]
        return holder

    def says_ready(self, node: FleetNode) -> bool:
        """Does the node's record say so, too? Its metrics know at once, the record is written with its next decision."""
        entry = self.client().kv_get(member_key(self.account, node.name))
        record = MemberRecord.from_json(entry.value) if entry is not None and entry.session else None
        return record is not None and record.eligible

    def taken_over(self, old: FleetNode, within: float, *, back: bool = False) -> tuple[FleetNode, KeyInterval]:
        """The next holder and its key interval; fails with everybody's log when nobody takes over within ``within``.

        ``back``: the old holder has lost its key already, and is a contender like the others.
        """
        home = None if back else str(old.plan.home)

        def found() -> KeyInterval | None:
            interval = self.fleet.referee.current_holder(self.account)
            return interval if interval is not None and interval.home != home else None

        who = "a node" if back else f"another node than {old.name}"
        try:
            interval = eventually(found, within, f"{who} holds the key")
        except AssertionError as error:
            for node in self.fleet.nodes:
                error.add_note(f"--- {node.name}:\n{node.log_text()[-3000:]}")
            raise
        assert interval is not None
        node = next(n for n in self.fleet.nodes if str(n.plan.home) == interval.home)
        return node, interval

    def safe(self) -> None:
        """The referee has seen no two key holders and nothing signed twice, and no secret key has got out."""
        self.fleet.referee.verdict(self.account).assert_safe()
        places = {f"{node.name}'s log": node.log_text() for node in self.fleet.nodes}
        # Where a test has taken Consul down there is nothing to be seen there.
        with contextlib.suppress(requests.RequestException, ConsulAnswerError, AssertionError):
            places |= {entry.key: entry.value.decode(errors="replace") for entry in self.client().kv_list("")}
        leaks = [place for place, text in places.items() if any(secret in text for secret in self._secrets())]
        assert not leaks, f"a secret key is in {', '.join(leaks)}"

    def _secrets(self) -> set[str]:
        """The secret half of every key file of the fleet, in part: it must not get out cut short either."""
        keys = self.fleet.keys
        files = [keys.validator_key, keys.validator_node_key, *(node.plan.voter_node_key for node in self.fleet.nodes)]
        found = set()
        for file in files:
            with contextlib.suppress(OSError, ValueError, KeyError):  # a test has spoilt it
                found.add(json.loads(file.read_text())["secret_key"].removeprefix("ed25519:")[:30])
        return found

    def last_interval(self, node: FleetNode) -> KeyInterval:
        """The newest key interval of a node."""
        found = [i for i in self.fleet.referee.intervals(self.account) if i.home == str(node.plan.home)]
        assert found, f"{node.name} never had the key"
        return found[-1]

    def ended(self, node: FleetNode, deadline: float) -> KeyInterval:
        """The newest key interval of a node, once it has ended."""
        eventually(lambda: self.last_interval(node).ended_at is not None, deadline, f"{node.name} has lost its key")
        return self.last_interval(node)


@contextmanager
def judged(stage: S) -> Iterator[S]:
    """The stage, and the verdict over all that has happened on it, also where a test failed before it asked."""
    try:
        yield stage
    finally:
        stage.safe()


def ready(node: FleetNode) -> bool:
    """Is this node a standby that may take over?"""
    with contextlib.suppress(requests.RequestException, KeyError, ValueError):
        metrics = node.metrics()
        return metrics.state() == "Voting" and metrics.value("kuutamod_eligible") == 1.0
    return False


def fence_bound() -> float:
    """Seconds after the last possible proof within which the key is gone, by the law."""
    return LAW.stopped_after()


def steal_bound() -> float:
    """Seconds after a holder vanished within which a standby has the key: G, one slow read, take, and the promotion."""
    return LAW.guard_time * (1 + LAW.clock_rate_error) + 4 * LAW.request_deadline + POLICY.hot_swap_timeout


def release_bound() -> float:
    """Seconds after a release with the marker within which a standby has the key."""
    return 4 * LAW.request_deadline + POLICY.hot_swap_timeout


def told(node: FleetNode, *words: str, deadline: float = BUSY) -> None:
    """The node's log says so, in one line with all the words."""

    def said() -> bool:
        return any(all(word in line for word in words) for line in node.log_text().splitlines())

    try:
        eventually(said, deadline, f"{node.name}'s log has a line with {words}")
    except AssertionError as error:
        error.add_note(node.log_text()[-4000:])
        raise


@contextmanager
def single(directory: Path, spec: FleetSpec, *, verdict: bool = True) -> Iterator[Stage]:
    """A fleet on one Consul server, judged at its end unless its tests expect an overlap and judge it themselves."""
    with ConsulServer(directory / "consul") as server:
        server.wait_ready(60)
        with Fleet(directory / "fleet", NodeSite([server.url]), spec) as fleet:
            stage = Stage(fleet, server)
            with judged(stage) if verdict else contextlib.nullcontext():
                yield stage


@contextmanager
def clustered(directory: Path, spec: FleetSpec, **options: object) -> Iterator[Stage]:
    """A fleet on three Consul servers, each node with its own client agent."""
    with ConsulCluster(directory / "consul", n_servers=3, n_clients=spec.nodes, **options) as cluster:  # type: ignore[arg-type]
        cluster.wait_ready(90)
        sites = [NodeSite([cluster.agent(i).url], agent=cluster.agent(i)) for i in range(spec.nodes)]
        with Fleet(directory / "fleet", sites, spec) as fleet, judged(Stage(fleet, cluster)) as stage:
            yield stage


def mark(node: FleetNode) -> int:
    """How long the node's log is now; for `told_since`."""
    return len(node.log_text())


def told_since(node: FleetNode, start: int, *words: str, deadline: float = BUSY) -> None:
    """As `told`, but a line written before the mark does not count."""

    def said() -> bool:
        return any(all(word in line for word in words) for line in node.log_text()[start:].splitlines())

    try:
        eventually(said, deadline, f"{node.name}'s log has a new line with {words}")
    except AssertionError as error:
        error.add_note(node.log_text()[start:][-4000:])
        raise


def rested(stage: Stage, hold_off: float = float(SHORT_HOLD_OFF["KUUTAMO_HOLD_OFF"])) -> FleetNode:
    """A healthy fleet whose holder would let the lock go: it is past the hold-off (seconds) of the failure that made it the
    holder, and has heard of the end of every pause, which it may do seconds later than the standbys.
    """
    holder = stage.healthy()
    first = stage.term() == 1  # it succeeds nobody

    def lets_go() -> bool:
        metrics = holder.metrics()
        if {"hold-off", "paused", "drained"} & metrics.reasons():
            return False
        return first or metrics.value("kuutamod_lock_held_seconds") > hold_off

    eventually(lets_go, hold_off + BUSY, f"{holder.name} has nothing that makes it keep the lock")
    return holder


def heal(stage: Stage) -> None:
    """Thaw every process and make every neard well again; a one-shot action that was asked for is not repeated."""
    asked = {*ONE_SHOTS, *ONE_SHOTS.values(), "ledger"}
    well = {item.name: item.default for item in fields(Behaviour) if item.name not in asked}
    for node in stage.fleet.nodes:
        node.thaw_host()
        node.behaviour(**well)


def unmoved(stage: Stage, heartbeats: int) -> None:
    """The lock stays with its holder, in its term, for so many more heartbeats."""
    before = stage.lock()[1]
    assert before is not None, "the lock has no readable value"

    def passed() -> bool:
        record = stage.lock()[1]
        return record is None or record.term != before.term or record.heartbeat >= before.heartbeat + heartbeats

    eventually(passed, heartbeats * LAW.heartbeat_interval + BUSY, f"{before.node_id} has sent {heartbeats} heartbeats")
    after = stage.lock()[1]
    assert after is not None
    assert (after.node_id, after.term) == (before.node_id, before.term)
