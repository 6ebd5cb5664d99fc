# SPDX-License-Identifier: Apache-2.0
"""Faults of a host's surroundings: cut off from its peers, out of disk space. What freezes or kills it is podman's."""

from __future__ import annotations

from collections.abc import Sequence

from .disks import Disks
from .errors import FleetError
from .hosts import Hosts, State

TABLE = "kuutamo_partition"  # an nftables table of our own on the host


def partition_rules(peers: Sequence[str]) -> str:
    """The nftables script that drops all traffic with `peers` (addresses), and leaves the controller its way in."""
    elements = ", ".join(sorted(peers))
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for hook, direction in (("input", "saddr"), ("output", "daddr")):
        lines += [
            f"  chain {hook} {{",
            f"    type filter hook {hook} priority -300; policy accept;",
            f"    ip {direction} {{ {elements} }} drop",
            "  }",
        ]
    return "\n".join([*lines, "}"]) + "\n"


def partition(hosts: Hosts, host: str, peers: Sequence[str] = ()) -> None:
    """Cut `host` off from `peers`, from all others when none are named. A start of the host heals it."""
    container = hosts.container(host, State.RUNNING)
    reach = hosts.reach()
    for peer in peers:
        hosts.plan.host(peer)
    others = [where.address for name, where in reach.items() if name != host and (not peers or name in peers)]
    if not others:
        raise FleetError(f"{host} has no other host to be cut off from")
    hosts.podman.exec(container, ["nft", "-f", "-"], stdin=partition_rules(others))


def heal(hosts: Hosts, host: str) -> None:
    """Undo the partition of `host`, if there is one."""
    script = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
    hosts.podman.exec(hosts.container(host, State.RUNNING), ["nft", "-f", "-"], stdin=script)


def fill_disk(hosts: Hosts, host: str) -> int:
    """Fill the disk of `host`; how many bytes that took."""
    return Disks(hosts.site, hosts.podman.machine).fill(hosts.plan.host(host).name)


def free_disk(hosts: Hosts, host: str) -> None:
    """Take away what filled the disk of `host`."""
    Disks(hosts.site, hosts.podman.machine).free(hosts.plan.host(host).name)
