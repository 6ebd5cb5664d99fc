# SPDX-License-Identifier: Apache-2.0
"""One Consul agent as a process: its settings, rendered for old and new versions of Consul, and its life."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from .consul_binary import ConsulBinary
from .consul_client import ConsulAnswerError, ConsulClient
from .process import Process
from .wait import eventually

STOP_DEADLINE = 20.0  # seconds; a graceful leave of a server takes some


@dataclass(frozen=True)
class AgentPorts:
    """The four ports an agent listens on: HTTP, server RPC, LAN gossip (the last on TCP and UDP)."""

    http: int
    server: int
    serf_lan: int


@dataclass(frozen=True)
class AgentSpec:
    """Everything that differs between agents.

    `servers` is the number of servers to wait for before the first election, 0 for a client agent. `dev` keeps all
    state in memory and elects at once. `token` manages everything and switches ACLs (default deny) on. `join` are
    gossip addresses `ip:port`. `extra` is merged over the rendered configuration, mapping by mapping. `prefix` is
    put before the program, such as `ip netns exec NAME`; `url` overrides the address at which tests reach it.
    """

    name: str
    address: str
    ports: AgentPorts
    servers: int = 0
    dev: bool = False
    join: Sequence[str] = ()
    token: str | None = None
    leave_on_terminate: bool | None = None
    session_ttl_min: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    url: str | None = None

    @property
    def gossip_address(self) -> str:
        """Where other agents join this one."""
        return f"{self.address}:{self.ports.serf_lan}"

    @property
    def rpc_address(self) -> str:
        """How raft names this server."""
        return f"{self.address}:{self.ports.server}"


def render(spec: AgentSpec, data_dir: Path, version: tuple[int, int, int]) -> dict[str, Any]:
    """The agent's configuration file. raft_multiplier is 1: with the default 5 an election takes 10 to 20 s."""
    ports = {
        "http": spec.ports.http,
        "https": -1,
        "dns": -1,
        "grpc": -1,
        "serf_lan": spec.ports.serf_lan,
        "serf_wan": -1,
        "server": spec.ports.server,
    }
    if version >= (1, 14, 0):
        ports["grpc_tls"] = -1
    config: dict[str, Any] = {
        "node_name": spec.name,
        "bind_addr": spec.address,
        "client_addr": spec.address,
        "ports": ports,
        "server": spec.servers > 0,
        "performance": {"raft_multiplier": 1},
        "connect": {"enabled": False},
        "disable_update_check": True,
        "log_level": "info",
    }
    if not spec.dev:
        config["data_dir"] = str(data_dir)
        if spec.servers:
            config["bootstrap_expect"] = spec.servers
    if spec.join:
        config |= {"retry_join": list(spec.join), "retry_interval": "250ms"}
    if spec.leave_on_terminate is not None:
        config["leave_on_terminate"] = spec.leave_on_terminate
    if spec.session_ttl_min is not None:
        config["session_ttl_min"] = f"{round(spec.session_ttl_min * 1000)}ms"
    if spec.token is not None:
        config["acl"] = _acl(spec.token, spec.servers > 0, version)
    return _merged(config, spec.extra)


def _acl(token: str, server: bool, version: tuple[int, int, int]) -> dict[str, Any]:
    tokens = {"agent": token}
    if server:
        tokens["initial_management" if version >= (1, 11, 0) else "master"] = token
    return {"enabled": True, "default_policy": "deny", "tokens": tokens}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


class ConsulAgent:
    """A Consul server or client agent that can be killed, frozen and restarted.

    Its files are in `directory`: configuration, log `consul.log`, data (kept over restarts unless `dev`).
    """

    def __init__(self, binary: ConsulBinary, spec: AgentSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory
        self._binary = binary
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "consul.json"
        config.write_text(json.dumps(render(spec, directory / "data", binary.version), indent=2))
        argv: list[str | Path] = [binary.path, "agent", *(["-dev"] if spec.dev else []), "-config-file", config]
        # Consul's own variables, such as CONSUL_HTTP_TOKEN of the user's shell, must not reach it.
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(directory)}
        self.process = Process(
            argv, log=directory / "consul.log", env=env, cwd=directory, name=spec.name, prefix=spec.prefix
        )

    @property
    def name(self) -> str:
        """The node name."""
        return self.spec.name

    @property
    def url(self) -> str:
        """The base URL at which this agent answers the test process."""
        return self.spec.url or self.inside_url

    @property
    def inside_url(self) -> str:
        """The base URL on the agent's own host, which differs from `url` only inside a network namespace."""
        return f"http://{self.spec.address}:{self.spec.ports.http}"

    def client(self, token: str | None = None, timeout: float = 5.0) -> ConsulClient:
        """A client of this agent, with the management token unless another is given."""
        return ConsulClient(self.url, token or self.spec.token, timeout)

    def start(self) -> None:
        """Start the agent; does not wait until it is ready."""
        self.process.start()

    def kill(self) -> None:
        """SIGKILL: the agent is gone, its data stays."""
        self.process.kill()
        self.process.wait(STOP_DEADLINE)

    def terminate(self, deadline: float = STOP_DEADLINE) -> None:
        """SIGTERM and wait at most `deadline` seconds. A client leaves the cluster unless leave_on_terminate is off."""
        self.process.terminate()
        self.process.wait(deadline)

    def freeze(self) -> None:
        """SIGSTOP: the agent accepts connections and answers nothing."""
        self.process.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.thaw()

    def restart(self) -> None:
        """Start again after `kill` or `terminate`, or kill and start; with the same data and addresses."""
        self.close()
        self.start()

    def alive(self) -> bool:
        """Whether the process exists (frozen counts)."""
        return self.process.alive()

    def wait_ready(self, deadline: float) -> None:
        """Wait at most `deadline` seconds until a consistent read through this agent works.

        Raises AssertionError, at once when the agent has ended.
        """
        client = self.client(timeout=1.0)
        what = f"consistent read through {self.name} (log: {self.process.log})"
        eventually(lambda: self.process.returncode is not None or _answers(client), deadline, what, 0.02)
        client.close()
        code = self.process.returncode
        if code is not None:
            raise AssertionError(f"{self.name} ended with {code}; its last lines: {self.process.log_text()[-1000:]}")

    def consul(self, *arguments: str, deadline: float = 30.0) -> str:
        """Run the `consul` command line against this agent; returns its output.

        Raises RuntimeError with that output when it fails, TimeoutError after `deadline` seconds.
        """
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "CONSUL_HTTP_ADDR": self.url}
        if self.spec.token is not None:
            env["CONSUL_HTTP_TOKEN"] = self.spec.token
        log = self.directory / "command.log"
        log.unlink(missing_ok=True)
        with Process([self._binary.path, *arguments], log=log, env=env, name=f"consul {arguments[0]}") as command:
            code = command.wait(deadline)
        if code:
            raise RuntimeError(f"consul {' '.join(arguments)} failed with {code}: {log.read_text()}")
        return log.read_text()

    def close(self) -> None:
        """End the process."""
        self.process.close()


def _answers(client: ConsulClient) -> bool:
    try:
        client.kv_get("kuutamo-localnet/ready")
    except (requests.RequestException, ConsulAnswerError):
        return False
    return True
