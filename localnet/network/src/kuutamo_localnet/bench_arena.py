# SPDX-License-Identifier: Apache-2.0
"""Where the takeovers are measured: a fleet on one Consul server, or on hosts of its own with a cluster around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neard_standin.referee import Referee
from neard_standin.verdict import KeyInterval

from . import netns
from .consul import ConsulCluster, ConsulServer, Placement
from .consul_agent import ConsulAgent
from .consul_binary import ConsulBinary
from .fleet import Fleet
from .fleet_node import FleetNode
from .fleet_plan import FleetSpec, NodeSite
from .proxy import RefusingProxy
from .wait import eventually

SERVERS = 3
READY_DEADLINE = 90.0  # seconds until a fleet has a validator and all others are eligible standbys


@dataclass(frozen=True)
class Surroundings:
    """What is special about a fleet on hosts: configuration of the Consul servers, and what each of its nodes has of its
    own, by the node's number: additions to its environment, and what is put before its argument vector.
    """

    server_extra: Mapping[str, Any] = field(default_factory=dict)
    environments: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    prefixes: Mapping[int, Callable[[], Sequence[str]]] = field(default_factory=dict)

    def site(self, number: int, consul_url: str, agent: ConsulAgent, host: netns.LabHost | None) -> NodeSite:
        """The site of the node with this number."""
        environment = self.environments.get(number, {})
        return NodeSite((consul_url,), agent, host, environment, self.prefixes.get(number, tuple))


@dataclass(frozen=True)
class Arena:
    """A running fleet. `links` are what connects each node with Consul, for those that can be cut; `cut_by` says how.

    `cluster` is Consul where it has servers and agents of its own.
    """

    fleet: Fleet
    links: Mapping[str, netns.LabHost | RefusingProxy]
    cut_by: str = ""
    cluster: ConsulCluster | None = None

    @property
    def referee(self) -> Referee:
        """The fleet's referee."""
        return self.fleet.referee

    def cut(self, node: FleetNode) -> None:
        """Cut a node off Consul: what is sent vanishes, nobody is told."""
        link = self.links[node.name]
        if isinstance(link, RefusingProxy):
            link.blackhole()
        else:
            link.cut()

    def cut_answers(self, node: FleetNode) -> None:
        """Cut one way: what a node sends arrives, what is sent to it vanishes."""
        link = self.links[node.name]
        if isinstance(link, RefusingProxy):
            link.drop_answers()
        else:
            link.cut_incoming()

    def heal(self, node: FleetNode) -> None:
        """Undo `cut` and `cut_answers`."""
        link = self.links[node.name]
        if isinstance(link, RefusingProxy):
            link.pass_through()
        else:
            link.heal()

    def holding(self) -> KeyInterval | None:
        """Whoever holds the key now, by the referee."""
        return self.referee.current_holder(self.fleet.spec.account)

    def node_of(self, interval: KeyInterval) -> FleetNode:
        """The node whose neard holds, or held, the key."""
        return next(node for node in self.fleet.nodes if Path(interval.home) == node.plan.home)

    def wait_ready(self) -> tuple[KeyInterval, FleetNode]:
        """Wait until one node validates and all others are standbys without a fault; returns who holds the key.

        Raises AssertionError with the nodes' last log lines.
        """

        def ready() -> tuple[KeyInterval, FleetNode] | None:
            interval = self.holding()
            if interval is None:
                return None
            holder = self.node_of(interval)
            standbys = all(is_standby(node) for node in self.fleet.nodes if node is not holder)
            return (interval, holder) if standbys and holder.state() == "Validating" else None

        def ended() -> str:
            codes = {node.name: node.process.returncode for node in self.fleet.nodes}
            return ", ".join(
                f"the kuutamod of {name} ended with {code}" for name, code in codes.items() if code is not None
            )

        try:
            found = eventually(
                lambda: ended() or ready(), READY_DEADLINE, "one node validates and all others are eligible standbys"
            )
            assert isinstance(found, tuple), found
        except AssertionError as error:
            for node in self.fleet.nodes:
                error.add_note(f"log of {node.name}:\n{node.log_text()[-3000:]}")
            raise
        return found


def is_standby(node: FleetNode) -> bool:
    """Whether the node would take the lock at once."""
    metrics = node.metrics()
    return metrics.state() == "Voting" and metrics.value("kuutamod_eligible") == 1


@contextlib.contextmanager
def on_one_server(directory: Path, spec: FleetSpec, binary: ConsulBinary) -> Iterator[Arena]:
    """All nodes on loopback with one Consul server, as in `up`."""
    with (
        ConsulServer(directory / "consul", binary=binary) as server,
        Fleet(directory / "fleet", NodeSite(consul_urls=(server.url,)), spec) as fleet,
    ):
        yield Arena(fleet, {})


@contextlib.contextmanager
def on_hosts(
    directory: Path, spec: FleetSpec, binary: ConsulBinary, surroundings: Surroundings | None = None
) -> Iterator[Arena]:
    """Three Consul servers, and a client agent on the host of each node.

    Hosts are network namespaces where these are available; else everything is on loopback, and a cut is a proxy in
    front of a node's agent that delivers nothing.
    """
    build = _in_namespaces if netns.available() else _behind_proxies
    with build(directory, spec, binary, surroundings or Surroundings()) as arena:
        yield arena


@contextlib.contextmanager
def _in_namespaces(directory: Path, spec: FleetSpec, binary: ConsulBinary, surroundings: Surroundings) -> Iterator[Arena]:
    with netns.NetworkLab() as lab:
        servers = [lab.host(f"server{number}") for number in range(SERVERS)]
        hosts = [lab.host(f"node{number}") for number in range(spec.nodes)]
        placements = [Placement(host.address, host.popen_prefix(), host.expose) for host in (*servers, *hosts)]
        with _cluster(directory, spec, binary, surroundings, placements) as cluster:
            sites = [
                surroundings.site(number, agent.inside_url, agent, host)
                for number, (agent, host) in enumerate(zip(cluster.agents, hosts, strict=True))
            ]
            with Fleet(directory / "fleet", sites, spec) as fleet:
                links = {node.name: host for node, host in zip(fleet.nodes, hosts, strict=True)}
                yield Arena(fleet, links, "the network of its host", cluster)


@contextlib.contextmanager
def _behind_proxies(directory: Path, spec: FleetSpec, binary: ConsulBinary, surroundings: Surroundings) -> Iterator[Arena]:
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(_cluster(directory, spec, binary, surroundings, None))
        proxies = [
            stack.enter_context(RefusingProxy(agent.spec.address, agent.spec.ports.http)) for agent in cluster.agents
        ]
        sites = [
            surroundings.site(number, proxy.url, agent, None)
            for number, (agent, proxy) in enumerate(zip(cluster.agents, proxies, strict=True))
        ]
        fleet = stack.enter_context(Fleet(directory / "fleet", sites, spec))
        links = {node.name: proxy for node, proxy in zip(fleet.nodes, proxies, strict=True)}
        yield Arena(fleet, links, "the way to its Consul agent", cluster)


def _cluster(
    directory: Path,
    spec: FleetSpec,
    binary: ConsulBinary,
    surroundings: Surroundings,
    placements: Sequence[Placement] | None,
) -> ConsulCluster:
    return ConsulCluster(
        directory / "consul",
        n_servers=SERVERS,
        n_clients=spec.nodes,
        server_extra=surroundings.server_extra,
        placements=placements,
        binary=binary,
    )
