# SPDX-License-Identifier: Apache-2.0
"""Fleets as the modules tell of them, and playbooks run against inventories that have no hosts."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unit.plays import Json, Run, ansible_playbook
from unit.plugins.rig import collections

ROOT = Path(__file__).resolve().parents[3]


def rules(name: str, kind: str = "plugin_utils") -> Any:
    """A file of the collection's plugins as Python sees it."""
    if str(collections()) not in sys.path:
        sys.path.insert(0, str(collections()))
    return importlib.import_module(f"ansible_collections.kuutamo.near.plugins.{kind}.{name}")


def member(name: str, **changes: Any) -> Json:
    """A standby that could take over, as ``kuutamoctl status --json`` shows it."""
    plain: Json = {
        "node": name,
        "role": "standby",
        "live": True,
        "eligible": True,
        "flags": [],
        "state": "Voting",
        "phase": "",
        "height": 1000,
        "priority": 0,
        "neard_version": "2.11.0",
        "protocol": 83,
        "latest_protocol": 83,
        "kuutamod_version": "0.1.0",
    }
    return {**plain, **changes}


def fleet(*nodes: Json, holder: str | None = "a", **changes: Any) -> Json:
    """A fleet in which ``holder`` validates."""
    shown = [
        {**node, "role": "validator", "eligible": False, "state": "Validating", "phase": "active"}
        if node["node"] == holder
        else node
        for node in nodes
    ]
    plain: Json = {
        "account": "pool.near",
        "health": "well",
        "verdict": f"{holder} holds the lock",
        "lock": {"holder": holder, "holder_live": holder is not None, "term": 4},
        "nodes": shown,
        "pauses": [],
        "request": None,
        "consul": {"leader": "10.0.0.1:8300", "servers": 3, "healthy_voters": 3, "failure_tolerance": 1},
    }
    return {**plain, **changes}


def three(**changes: Any) -> Json:
    """The fleet a, b, c; a validates."""
    return fleet(member("a"), member("b"), member("c"), **changes)


def node(kuutamod: str = "k1", neard: str = "n1", **changes: Any) -> Json:
    """What ``node_info`` says of a host that runs these releases."""
    running = {"kuutamod": kuutamod, "neard": neard, "environment": "e", "unit": "u"}
    plain: Json = {
        "at": 1_000_000.0,
        "units": {
            "consul.service": {"active": "active", "sub": "running"},
            "kuutamod.service": {"active": "active", "sub": "running"},
        },
        "wanted": running,
        "running": running,
        "pending": [],
        "consul_pending": [],
        "kuutamod": {"current": kuutamod, "python": "3.13", "releases": [kuutamod]},
        "neard": {"current": neard, "releases": [neard], "versions": {}},
        "certificates": [],
        "tokens": [],
    }
    return {**plain, **changes}


def playbook(name: str, inventory: Mapping[str, Any] | None, folder: Path, *arguments: str) -> Run:
    """Run a playbook of the collection on an inventory; nothing is contacted unless the playbook gets that far."""
    given: tuple[str, ...] = ()
    if inventory is not None:
        (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
        given = ("--inventory=hosts.json",)
    return ansible_playbook(folder, f"kuutamo.near.{name}", *given, *arguments)
