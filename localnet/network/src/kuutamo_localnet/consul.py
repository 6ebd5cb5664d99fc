# SPDX-License-Identifier: Apache-2.0
"""Real Consul for tests and the localnet: one server, or three servers with client agents, all on loopback."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from .consul_acl import AclAdmin
from .consul_agent import AgentPorts, AgentSpec, ConsulAgent
from .consul_binary import ConsulBinary, find_consul
from .consul_client import ConsulAnswerError, ConsulClient
from .ports import PortPool
from .wait import eventually

SERVER_DEADLINE = 20.0  # seconds to wait for one server; it takes 0.2 (in memory) or 1.6 (on disk) on an idle machine
CLUSTER_DEADLINE = 60.0  # seconds to wait for a cluster; it takes about 5 on an idle machine


def _reserve(pool: PortPool, address: str) -> AgentPorts:
    http, server, serf_lan = pool.reserve(3, address)
    return AgentPorts(http=http, server=server, serf_lan=serf_lan)


class ConsulServer:
    """A single Consul server. In memory by default; `persistent` keeps its data over `restart()`.

    `directory` gets configuration, log and data; without one a temporary directory is made and removed at the end.
    As a context manager it starts and waits until it is ready.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        address: str = "127.0.0.1",
        name: str = "consul",
        http_port: int | None = None,
        persistent: bool = False,
        acl: bool = False,
        session_ttl_min: float | None = None,
        extra: Mapping[str, Any] | None = None,
        binary: ConsulBinary | None = None,
    ) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="kuutamo-consul-")
            directory = Path(self._temporary.name)
        self.directory = directory
        self._pool = PortPool()
        ports = _reserve(self._pool, address)
        self.agent = ConsulAgent(
            binary or find_consul(),
            AgentSpec(
                name=name,
                address=address,
                ports=ports if http_port is None else replace(ports, http=http_port),
                servers=1,
                dev=not persistent,
                token=str(uuid.uuid4()) if acl else None,
                session_ttl_min=session_ttl_min,
                extra=extra or {},
            ),
            self.directory,
        )

    @property
    def url(self) -> str:
        """The base URL of the HTTP API."""
        return self.agent.url

    @property
    def token(self) -> str | None:
        """The management token, when ACLs are on."""
        return self.agent.spec.token

    def start(self) -> Self:
        """Start the server; does not wait."""
        self.agent.start()
        return self

    def wait_ready(self, deadline: float = SERVER_DEADLINE) -> Self:
        """Wait at most `deadline` seconds until it leads and answers. Raises AssertionError."""
        self.agent.wait_ready(deadline)
        name, client = self.agent.name, self.client()
        eventually(lambda: name in client.healthy_nodes(), deadline, f"{name} is registered in its own catalog", 0.02)
        return self

    def client(self, token: str | None = None, timeout: float = 5.0) -> ConsulClient:
        """A client, with the management token unless another is given."""
        return self.agent.client(token, timeout)

    def acl(self) -> AclAdmin:
        """Policies and tokens (needs `acl=True`)."""
        return AclAdmin(self.client())

    def kill(self) -> None:
        """SIGKILL."""
        self.agent.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.agent.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.agent.thaw()

    def terminate(self) -> None:
        """SIGTERM and wait for the end."""
        self.agent.terminate()

    def restart(self) -> None:
        """End it if it still runs and start it again, with its data only if `persistent`."""
        self.agent.restart()

    def snapshot_save(self, path: Path) -> None:
        """`consul snapshot save`."""
        self.agent.consul("snapshot", "save", str(path))

    def snapshot_restore(self, path: Path) -> None:
        """`consul snapshot restore`: what an operator should never do while supervisors run."""
        self.agent.consul("snapshot", "restore", str(path))

    def close(self) -> None:
        """End the server and give everything back."""
        self.agent.close()
        self._pool.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start().wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class Placement:
    """Where one agent of a cluster runs: its address, and for another network namespace how to start it there
    (`prefix`) and how to make its HTTP port reachable from here (`expose`, which returns the URL).
    """

    address: str
    prefix: Sequence[str] = ()
    expose: Callable[[int], str] | None = None


class ConsulCluster:
    """Servers and client agents, each on a loopback address of its own, with raft_multiplier 1 and default gossip.

    Agents are named `server0...` and `client0...`; `client_names` gives the clients other names (node tokens are
    bound to them). `leave_on_terminate` applies to the clients, None leaves Consul's default (leave). `extra` is
    merged into every agent's configuration, `server_extra` and `client_extra` into some. `placements` puts agents
    (servers first) elsewhere than on loopback, such as in network namespaces.
    """

    def __init__(
        self,
        directory: Path,
        *,
        n_servers: int = 3,
        n_clients: int = 3,
        client_names: Sequence[str] | None = None,
        leave_on_terminate: bool | None = None,
        acl: bool = False,
        session_ttl_min: float | None = None,
        extra: Mapping[str, Any] | None = None,
        server_extra: Mapping[str, Any] | None = None,
        client_extra: Mapping[str, Any] | None = None,
        placements: Sequence[Placement] | None = None,
        binary: ConsulBinary | None = None,
    ) -> None:
        binary = binary or find_consul()
        self.token = str(uuid.uuid4()) if acl else None
        self._pool = PortPool()
        names = list(client_names) if client_names is not None else [f"client{i}" for i in range(n_clients)]
        total = n_servers + len(names)
        if placements is None:
            network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
            placements = [Placement(f"{network}.{host}") for host in range(1, total + 1)]
        common = AgentSpec(
            name="",
            address="",
            ports=AgentPorts(0, 0, 0),
            token=self.token,
            session_ttl_min=session_ttl_min,
            extra=extra or {},
        )
        specs = [self._placed(common, placement) for placement in placements[:total]]
        join = [spec.gossip_address for spec in specs[:n_servers]]
        server_extra = {**common.extra, **(server_extra or {})}
        client_extra = {**common.extra, **(client_extra or {})}
        self.servers = [
            ConsulAgent(
                binary,
                replace(spec, name=f"server{number}", servers=n_servers, join=join, extra=server_extra),
                directory / f"server{number}",
            )
            for number, spec in enumerate(specs[:n_servers])
        ]
        self.agents = [
            ConsulAgent(
                binary,
                replace(spec, name=name, join=join, leave_on_terminate=leave_on_terminate, extra=client_extra),
                directory / name,
            )
            for name, spec in zip(names, specs[n_servers:], strict=True)
        ]

    def _placed(self, common: AgentSpec, placement: Placement) -> AgentSpec:
        # An address of another namespace cannot be probed here; its ports only have to be distinct.
        ports = _reserve(self._pool, "127.0.0.1" if placement.prefix else placement.address)
        url = placement.expose(ports.http) if placement.expose is not None else None
        return replace(common, address=placement.address, ports=ports, prefix=placement.prefix, url=url)

    def start(self) -> Self:
        """Start all agents; does not wait."""
        for agent in [*self.servers, *self.agents]:
            agent.start()
        return self

    def wait_ready(self, deadline: float = CLUSTER_DEADLINE) -> Self:
        """Wait at most `deadline` seconds until a leader is elected, all servers vote, all agents are registered
        with passing gossip checks, and a consistent read works through each. Raises AssertionError.
        """
        end = time.monotonic() + deadline
        everyone = [*self.servers, *self.agents]
        for agent in everyone:
            agent.wait_ready(max(0.0, end - time.monotonic()))
        client = self.servers[0].client()
        names = {agent.name for agent in everyone}

        def complete() -> bool:
            voters = {server["Node"] for server in client.raft_servers() if server["Voter"]}
            return voters == {server.name for server in self.servers} and names <= client.healthy_nodes()

        eventually(complete, max(0.0, end - time.monotonic()), f"voters and catalog are complete: {sorted(names)}")
        client.close()
        return self

    def agent(self, number: int) -> ConsulAgent:
        """The client agent with this number."""
        return self.agents[number]

    def leader(self, deadline: float = 20.0) -> ConsulAgent:
        """The server that leads: a majority names it, and it answers and names itself.

        Right after the loss of a leader its followers still name it, so its own answer counts. Waits at most
        `deadline` seconds; raises AssertionError.
        """

        def agreed() -> ConsulAgent | None:
            named = [_named_leader(server) for server in self.servers]
            for server, by_itself in zip(self.servers, named, strict=True):
                address = server.spec.rpc_address
                if by_itself == address and named.count(address) * 2 > len(named):
                    return server
            return None

        found = eventually(agreed, deadline, "a majority of the Consul servers names one leader")
        assert found is not None
        return found

    def client(self, token: str | None = None, timeout: float = 5.0) -> ConsulClient:
        """A client of the leader, with the management token unless another is given."""
        return self.leader().client(token, timeout)

    def acl(self) -> AclAdmin:
        """Policies and tokens (needs `acl=True`)."""
        return AclAdmin(self.client())

    def snapshot_save(self, path: Path) -> None:
        """`consul snapshot save` from the leader."""
        self.leader().consul("snapshot", "save", str(path))

    def snapshot_restore(self, path: Path) -> None:
        """`consul snapshot restore`: what an operator should never do while supervisors run."""
        self.leader().consul("snapshot", "restore", str(path))

    def close(self) -> None:
        """End all agents and give the ports back."""
        for agent in [*self.agents, *self.servers]:
            agent.close()
        self._pool.close()

    def __enter__(self) -> Self:
        try:
            return self.start().wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _named_leader(server: ConsulAgent) -> str:
    client = server.client(timeout=0.5)
    try:
        return client.leader() if server.alive() else ""
    except (requests.RequestException, ConsulAnswerError):
        return ""
    finally:
        client.close()
