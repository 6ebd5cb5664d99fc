# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May a host go from this neard to that one? Pure.

A version is what ``node_info`` reads from ``neard --version``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kuutamo.near.plugins.plugin_utils._rolling import has

Json = Mapping[str, Any]


def step_faults(fleet: Json, node: Json, target: str, jump: int) -> list[str]:
    """What forbids this host's step to neard ``target``. ``jump``: versions the protocol may be ahead of the network's."""
    running = has(node, "neard")
    if not target or running == target:
        return []
    versions = node["neard"]["versions"]
    new = versions.get(target)
    if new is None:
        return [f"neard {target} is not installed under /opt/neard/releases"]
    if new.get("fault"):
        return [str(new["fault"])]
    return [*_protocol(fleet, new, target, jump), *_database(new, target, versions.get(running), running)]


def _protocol(fleet: Json, new: Json, target: str, jump: int) -> list[str]:
    network = max((node["protocol"] or 0 for node in fleet["nodes"] if node["live"]), default=0)
    if not network:
        return ["the network's protocol version is not known: no neard of the fleet answers"]
    speaks = new["protocol"]
    if speaks is None:
        return [f"neard {target} does not tell its protocol version, so nobody knows whether it fits"]
    if speaks < network:
        return [f"neard {target} speaks protocol {speaks}, the network {network}: it would stop at once"]
    if (least := new.get("min_protocol")) is not None and least > network:
        return [
            f"neard {target} needs protocol {least} at least, the network has {network}: upgrade to a release between first"
        ]
    if speaks - network > jump:
        return [
            f"neard {target} speaks protocol {speaks}, {speaks - network} ahead of the network's {network}, and {jump} are "
            "allowed; upgrade to a release between first, or set upgrade_protocol_jump"
        ]
    return []


def _database(new: Json, target: str, old: Json | None, running: str) -> list[str]:
    before, after = (old or {}).get("db"), new["db"]
    if before is None or after is None or after >= before:
        return []
    return [
        f"neard {target} has database version {after}, the one that runs ({running}) {before}: a database can't go back. "
        "Use a release with the same database version, or a fresh home from epoch sync or a snapshot"
    ]
