# SPDX-License-Identifier: Apache-2.0
"""Hosts as containers: started, waited for, stopped, removed."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .chain import MOUNT_POINT
from .disks import Disks
from .errors import FleetError
from .image import name_of
from .inventory import Reach
from .plan import LABEL_FLEET, LABEL_PLACE, FleetPlan, Host
from .podman import Podman
from .site import Site

BOOT_DEADLINE = 90.0  # seconds for systemd to come up, on a busy machine
SHUTDOWN_SECONDS = 60
HOSTS_MARK = "# fleet"  # the lines of /etc/hosts that a fleet owns


class State(StrEnum):
    """What a host is doing."""

    MISSING = "missing"
    STOPPED = "stopped"
    FROZEN = "frozen"
    RUNNING = "running"


_STATES = {"running": State.RUNNING, "paused": State.FROZEN}


@dataclass(frozen=True)
class Hosts:
    """The hosts of one fleet on this machine."""

    podman: Podman
    site: Site
    plan: FleetPlan

    def states(self) -> dict[str, State]:
        """What every host of the plan is doing. Raises FleetError when the name belongs to another directory."""
        found = self.podman.containers(f"{LABEL_FLEET}={self.plan.name}")
        for name, item in found.items():
            place = (item.get("Labels") or {}).get(LABEL_PLACE)
            if place != str(self.site.directory):
                raise FleetError(f"container {name} belongs to the fleet in {place}: choose another --name, or `down` that")
        names = {host.name: self.plan.container(host.name) for host in self.plan.hosts}
        return {
            host: _STATES.get(str(found[name]["State"]), State.STOPPED) if name in found else State.MISSING
            for host, name in names.items()
        }

    def state(self, host: str) -> State:
        """What one host is doing."""
        return self.states()[self.plan.host(host).name]

    def container(self, host: str, *expected: State) -> str:
        """The container of a host which is in one of the `expected` states. Raises FleetError otherwise."""
        state = self.state(host)
        if state not in expected:
            remedies = {
                State.MISSING: "`up` makes it",
                State.STOPPED: f"`start-host {host}` starts it",
                State.FROZEN: f"`thaw {host}` lets it go on",
                State.RUNNING: "it runs already",
            }
            raise FleetError(f"{host} is {state}: {remedies[state]}")
        return self.plan.container(host)

    def ensure_network(self) -> str:
        """The network's subnet (CIDR); the network is made when it is missing."""
        network = self.plan.network
        if self.podman.attempt("network", "exists", network).returncode:
            flags = ["--internal"] if self.plan.internal else []
            self.podman.run("network", "create", *flags, "--label", f"{LABEL_FLEET}={self.plan.name}", network)
        return self.subnet()

    def subnet(self) -> str:
        """The IPv4 subnet of the fleet's network."""
        facts = self.podman.json("network", "inspect", self.plan.network)
        for item in facts[0]["subnets"]:
            if ipaddress.ip_network(item["subnet"]).version == 4:
                return str(item["subnet"])
        raise FleetError(f"podman network {self.plan.network} has no IPv4 subnet: `podman network rm` it and try again")

    def create(self, host: Host, subnet: str) -> None:
        """Make and start the container of a host."""
        disks = Disks(self.site, self.podman.machine).make(host.name) if self.plan.disks else {}
        self.podman.run(*run_arguments(self.podman, self.site, self.plan, host, subnet, disks))

    def start(self, host: str) -> None:
        """Start a stopped host."""
        container = self.container(host, State.STOPPED)
        if self.plan.disks:
            Disks(self.site, self.podman.machine).make(host)
        self.podman.run("start", container)

    def stop(self, host: str) -> None:
        """Shut a running host down in order."""
        self.podman.run("stop", "--time", str(SHUTDOWN_SECONDS), self.container(host, State.RUNNING))

    def kill(self, host: str) -> None:
        """Cut the power of a running host: SIGKILL to everything on it, frozen or not."""
        # Unlike `podman kill` this returns when the network is taken down too, so that a start may follow at once.
        self.podman.run("stop", "--time", "0", self.container(host, State.RUNNING, State.FROZEN))

    def freeze(self, host: str) -> None:
        """Stop a running host in time."""
        self.podman.run("pause", self.container(host, State.RUNNING))

    def thaw(self, host: str) -> None:
        """Let a frozen host go on."""
        self.podman.run("unpause", self.container(host, State.FROZEN))

    def wait_booted(self, host: str) -> str:
        """Wait until systemd has come up; `running` or `degraded`. Raises FleetError after BOOT_DEADLINE."""
        container, end = self.plan.container(host), time.monotonic() + BOOT_DEADLINE
        while time.monotonic() < end:
            done = self.podman.attempt(
                "exec", container, "systemctl", "is-system-running", "--wait", deadline=BOOT_DEADLINE
            )
            state = done.stdout.strip()
            if state in ("running", "degraded"):
                return state
            # Before systemd listens there is no bus to ask.
            time.sleep(0.2)
        raise FleetError(f"{host} did not boot within {BOOT_DEADLINE:g} s; see `podman logs {container}`")

    def ensure_reachable(self, host: str, reach: dict[str, Reach]) -> str:
        """Let the fleet's ssh key in and tell the host its peers' names; returns the host's own public ssh key."""
        key = self.site.key.with_suffix(".pub").read_text().strip()
        peers = "\n".join(f"{where.address} {name} {HOSTS_MARK}" for name, where in reach.items() if name != host)
        script = (
            "set -eu; umask 077; mkdir -p /root/.ssh; printf '%s\\n' \"$1\" > /root/.ssh/authorized_keys; umask 022; "
            # In place: /etc/hosts is a mount and cannot be replaced.
            f"rest=$(grep -v '{HOSTS_MARK}$' /etc/hosts); printf '%s\\n%s\\n' \"$rest\" \"$2\" > /etc/hosts; "
            "cat /etc/ssh/ssh_host_ed25519_key.pub"
        )
        answer = self.podman.exec(self.plan.container(host), ["sh", "-c", script, "sh", key, peers])
        return " ".join(answer.split()[:2])

    def reach(self) -> dict[str, Reach]:
        """How each host of the plan is reached."""
        subnet = self.subnet()
        return {host.name: self._reach(host.name, self.plan.address(host.name, subnet)) for host in self.plan.hosts}

    def _reach(self, host: str, address: str) -> Reach:
        if self.podman.machine.root:
            return Reach(address, address)
        # A rootless network is out of the controller's reach: sshd is published on loopback.
        port = self.podman.run("port", self.plan.container(host), "22/tcp").split()[0].rpartition(":")[2]
        return Reach(address, "127.0.0.1", int(port))

    def remove(self) -> list[str]:
        """Remove everything of this fleet's name that podman has; the names of the containers."""
        found = sorted(self.podman.containers(f"{LABEL_FLEET}={self.plan.name}"))
        if found:
            self.podman.attempt("unpause", *found)
            self.podman.run("rm", "--force", "--time", "0", *found)
        if self.podman.attempt("network", "exists", self.plan.network).returncode == 0:
            self.podman.run("network", "rm", "--force", self.plan.network)
        return found


def run_arguments(
    podman: Podman, site: Site, plan: FleetPlan, host: Host, subnet: str, disks: dict[str, str]
) -> Sequence[str]:
    """The arguments of podman which start a host. `disks` are directories of the controller by their mount point."""
    machine, address = podman.machine, plan.address(host.name, subnet)
    options: list[str] = [
        *("--name", plan.container(host.name), "--hostname", host.name),
        *("--label", f"{LABEL_FLEET}={plan.name}", "--label", f"{LABEL_PLACE}={site.directory}"),
        *("--network", plan.network, "--ip", address, "--mac-address", hardware_address(address)),
        # Without SYS_ADMIN a unit's hardening is skipped silently, without NET_ADMIN the host has no firewall.
        *("--cap-add", "SYS_ADMIN,NET_ADMIN", "--systemd=always", "--security-opt", "label=disable"),
        *("--volume", f"{site.chain}:{MOUNT_POINT}"),
    ]
    if machine.apparmor and machine.root:
        # The default profile forbids mounts, which every hardened unit makes.
        options += ["--security-opt", "apparmor=unconfined"]
    if not machine.root:
        # In a user namespace the kernel allows a fresh /proc only where nothing of the old one is hidden.
        options += ["--security-opt", "unmask=ALL", "--publish", "127.0.0.1::22"]
    for mount_point, directory in disks.items():
        options += ["--volume", f"{directory}:{mount_point}"]
    return ["run", "--detach", "--quiet", *options, name_of(host.suite), "/sbin/init"]


def hardware_address(address: str) -> str:
    """The host's MAC, kept as a real one is: after a start with a new one its neighbours would go on talking to the old.

    `02` marks an address that no manufacturer has given.
    """
    return "02:00:" + ipaddress.IPv4Address(address).packed.hex(":")


def describe(item: dict[str, Any]) -> str:
    """One container of podman's list, for a message."""
    return f"{item['Names'][0]} ({item['State']})"
