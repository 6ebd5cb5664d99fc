# SPDX-License-Identifier: Apache-2.0
"""Fleets whose way to Consul a test can break: behind proxies, on hosts of their own, beside the Consul servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.scenario import BUSY, LAW, SHORT_HOLD_OFF, Stage, boottime, fence_bound, judged, ready
from kuutamo_localnet.consul import ConsulCluster, ConsulServer, Placement
from kuutamo_localnet.consul_agent import ConsulAgent
from kuutamo_localnet.consul_client import ConsulClient
from kuutamo_localnet.fleet import Fleet
from kuutamo_localnet.fleet_node import FleetNode
from kuutamo_localnet.fleet_plan import FleetKeys, FleetSpec, NodeSite, make_node
from kuutamo_localnet.netns import NetworkLab
from kuutamo_localnet.ports import PortPool
from kuutamo_localnet.proxy import RefusingProxy
from kuutamo_localnet.wait import eventually
from kuutamod.core.protocol import LockRecord, lock_key
from kuutamod.core.upkeep import RETRY
from neard_standin.verdict import KeyInterval


def spec(**changes: object) -> FleetSpec:
    """A fleet whose nodes try again soon after a failure of their own."""
    return FleetSpec(environment=SHORT_HOLD_OFF, **changes)  # type: ignore[arg-type]


def retire(client: ConsulClient, account: str) -> None:
    """Leave the lock as an earlier fleet that was shut down leaves it, so that the first holder need not wait for G."""
    record = LockRecord("earlier-host", "earlier", term=1, guard_time=LAW.guard_time, released=True, reason="stopped")
    client.kv_put(lock_key(account), record.to_json())


@dataclass
class ProxiedStage(Stage):
    """A stage with a proxy in front of Consul for each node."""

    proxies: dict[str, RefusingProxy]

    def proxy(self, node: FleetNode) -> RefusingProxy:
        """What stands between the node and Consul."""
        return self.proxies[node.name]

    def heal(self) -> None:
        """Deliver everything again."""
        for proxy in self.proxies.values():
            proxy.pass_through()


@contextmanager
def proxied(directory: Path, plan: FleetSpec, *, direct_too: bool = False) -> Iterator[ProxiedStage]:
    """A fleet on one Consul server, a proxy before it for each node; ``direct_too``: the server's own URL comes second."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ConsulServer(directory / "consul"))
        retire(server.client(), plan.account)
        spot = server.agent.spec
        proxies = [stack.enter_context(RefusingProxy(spot.address, spot.ports.http)) for _unused in range(plan.nodes)]
        more = [server.url] if direct_too else []
        fleet = stack.enter_context(Fleet(directory / "fleet", [NodeSite([p.url, *more]) for p in proxies], plan))
        by_node = {node.name: proxy for node, proxy in zip(fleet.nodes, proxies, strict=True)}
        stage = ProxiedStage(fleet, server, by_node)
        stack.enter_context(judged(stage))
        yield stage


@contextmanager
def on_one_server(directory: Path, plan: FleetSpec) -> Iterator[Stage]:
    """A fleet on one Consul server."""
    with ConsulServer(directory / "consul") as server:
        retire(server.client(), plan.account)
        with Fleet(directory / "fleet", NodeSite([server.url]), plan) as fleet, judged(Stage(fleet, server)) as stage:
            yield stage


@contextmanager
def beside_servers(directory: Path, plan: FleetSpec) -> Iterator[Stage]:
    """Three hosts, each with a Consul server and a node that asks that server: host loss takes both."""
    with ConsulCluster(directory / "consul", n_servers=3, n_clients=0) as cluster:
        retire(cluster.client(), plan.account)
        sites = [NodeSite([server.url], agent=server) for server in cluster.servers]
        with Fleet(directory / "fleet", sites, plan) as fleet, judged(Stage(fleet, cluster)) as stage:
            yield stage


@contextmanager
def with_agents(directory: Path, plan: FleetSpec) -> Iterator[Stage]:
    """Three Consul servers, and a client agent of its own for each node."""
    with ConsulCluster(directory / "consul", n_servers=3, n_clients=plan.nodes) as cluster:
        retire(cluster.client(), plan.account)
        sites = [NodeSite([agent.url], agent=agent) for agent in cluster.agents]
        with Fleet(directory / "fleet", sites, plan) as fleet, judged(Stage(fleet, cluster)) as stage:
            yield stage


@contextmanager
def on_lab_hosts(directory: Path, plan: FleetSpec) -> Iterator[Stage]:
    """Network namespaces for three Consul servers and for each node with its client agent."""
    with NetworkLab() as lab:
        hosts = [lab.host(f"consul{number}") for number in range(3)] + [lab.host(f"node{n}") for n in range(plan.nodes)]
        placements = [Placement(host.address, host.popen_prefix(), host.expose) for host in hosts]
        with ConsulCluster(directory / "consul", n_servers=3, n_clients=plan.nodes, placements=placements) as cluster:
            retire(cluster.client(), plan.account)
            sites = [
                NodeSite([agent.inside_url], agent=agent, host=host)
                for agent, host in zip(cluster.agents, hosts[3:], strict=True)
            ]
            with Fleet(directory / "fleet", sites, plan) as fleet, judged(Stage(fleet, cluster)) as stage:
                yield stage


@contextmanager
def another_node(stage: Stage, name: str, directory: str, keys: FleetKeys | None = None) -> Iterator[FleetNode]:
    """One more node, started, on the first node's way to Consul; it may have the name of another, and keys of its own."""
    fleet, pool = stage.fleet, PortPool()
    site = NodeSite(fleet.node(0).plan.site.consul_urls)
    plan = make_node(name, fleet.directory / directory, fleet.spec, site, ledger=fleet.ledger, pool=pool)
    node = FleetNode(plan, fleet.spec, keys or fleet.keys)
    try:
        node.start()
        yield node
    finally:
        node.close()
        pool.close()


def cluster_of(stage: Stage) -> ConsulCluster:
    """The stage's Consul, where it is a cluster."""
    assert isinstance(stage.consul, ConsulCluster)
    return stage.consul


def agent_of(node: FleetNode) -> ConsulAgent:
    """The Consul agent on the node's host."""
    agent = node.plan.site.agent
    assert agent is not None
    return agent


def move_to(stage: Stage, node: FleetNode) -> None:
    """Make ``node`` the holder by stopping the others, and start those again."""
    others = stage.fleet.standbys(node)
    for other in others:
        other.stop()
    node.wait_state("Validating", BUSY)
    for other in others:
        other.start()


def undisturbed(stage: Stage, holder: FleetNode, before: KeyInterval, term: int) -> None:
    """The holder has proved itself since and still has the key it had, in the same term."""
    record = stage.lock()[1]
    assert record is not None
    beat = record.heartbeat
    eventually(lambda: _beats(stage) > beat, BUSY, f"{holder.name} sends heartbeats")
    now = stage.fleet.referee.current_holder(stage.account)
    assert now is not None
    assert now.process == before.process
    assert (holder.state(), stage.term()) == ("Validating", term)
    stage.safe()


def _beats(stage: Stage) -> int:
    record = stage.lock()[1]
    return 0 if record is None else record.heartbeat


def fenced(stage: Stage, node: FleetNode, last_proof: float) -> KeyInterval:
    """The node's key is gone within the law's time, counted from when its last proof can have been sent (boottime)."""
    interval = stage.ended(node, fence_bound() + BUSY)
    assert interval.ended_at is not None
    assert interval.ended_at <= last_proof + fence_bound(), f"fenced {interval.ended_at - last_proof:.2f} s after the proof"
    return interval


def notice_bound() -> float:
    """Seconds within which a holder whose lock was taken away has no key any more: its next heartbeat says so."""
    fenced_at_once = LAW.kill_budget + LAW.scheduling_slack
    return (LAW.heartbeat_interval + LAW.request_deadline + fenced_at_once) * (1 + LAW.clock_rate_error)


def booked_on(stage: Stage) -> str:
    """The name of the session that holds the lock, empty when it is free or that session is gone."""
    session = stage.lock()[0]
    found = stage.client().session_info(session) if session else None
    return "" if found is None else str(found["Name"])


def no_ghost(stage: Stage, holder: FleetNode) -> None:
    """The lock is booked on the living session of the node that validates."""
    eventually(lambda: booked_on(stage) == holder.name, BUSY, f"the lock is booked on a session of {holder.name}")


def rejoins(stage: Stage, node: FleetNode, holder: FleetNode, term: int, *, deadline: float = 60.0) -> None:
    """The node becomes a ready standby again and takes nothing back."""
    eventually(lambda: ready(node), deadline, f"{node.name} is a ready standby")
    assert (holder.state(), stage.term()) == ("Validating", term), "the lock moved without need"
    stage.safe()


def bearable(lost_at: float, what: str) -> None:
    """Skip where Consul took so long to come back that a holder may be fenced, and rightly: nothing can be said then."""
    most = LAW.fence_deadline - LAW.heartbeat_interval - LAW.request_deadline
    if boottime() - lost_at > most:
        pytest.skip(f"{what} for longer than {most:g} s here")


def stays(check: Callable[[], bool], seconds: float, what: str) -> None:
    """``check`` is true all the time for so many seconds of boottime."""
    end = boottime() + seconds
    while boottime() < end:
        assert check(), f"no longer: {what}"
        time.sleep(0.05)


RELEASE_RETRY = RETRY
"""Seconds between two tries of an ex-holder to hand its lock back."""
