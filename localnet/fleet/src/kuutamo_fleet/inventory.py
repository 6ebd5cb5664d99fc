# SPDX-License-Identifier: Apache-2.0
"""The inventory of a fleet: what Ansible has to know of its hosts, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .plan import FleetPlan

GROUPS = ("consul_servers", "validators")
HEADER = "# Made by kuutamo-fleet; `kuutamo-fleet up` writes it anew.\n"


@dataclass(frozen=True)
class Reach:
    """How a host is reached: its address among its peers, and where the controller finds its sshd."""

    address: str
    ssh_host: str
    ssh_port: int = 22


def ssh_arguments(known_hosts: Path) -> list[str]:
    """Options of ssh that keep a fleet's host keys apart from the user's own."""
    return [
        "-o",
        f"UserKnownHostsFile={known_hosts}",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "ConnectTimeout=10",
    ]


def hosts_file(plan: FleetPlan, reach: Mapping[str, Reach], key: Path, known_hosts: Path) -> dict[str, Any]:
    """The content of hosts.yml. `fleet_address` is where the hosts reach each other."""
    variables: dict[str, dict[str, Any]] = {}
    for host in plan.hosts:
        where = reach[host.name]
        variables[host.name] = {"ansible_host": where.ssh_host, "fleet_address": where.address}
        if where.ssh_port != 22:
            variables[host.name]["ansible_port"] = where.ssh_port
    groups: dict[str, Any] = {
        group: {"hosts": {host.name: {} for host in plan.hosts if group in host.groups}}
        for group in GROUPS
        if any(group in host.groups for host in plan.hosts)
    }
    common = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": " ".join(ssh_arguments(known_hosts)),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {"all": {"hosts": variables, "vars": common, "children": groups}}


def to_yaml(content: Mapping[str, Any]) -> str:
    """`content` as a file for people."""
    return HEADER + "---\n" + yaml.safe_dump(dict(content), sort_keys=False, width=120)
