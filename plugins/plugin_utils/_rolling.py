# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes to restart, in which order, and what forbids it. Pure.

A fleet is the object of ``kuutamoctl status --json``; a node is what ``node_info`` returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
WELL_ENOUGH = ("well", "no-standby")
"""A healthy holder; whether there are standbys is judged node by node."""


@dataclass(frozen=True)
class Target:
    """The releases that a host shall run; an empty one means: whatever it runs."""

    kuutamod: str = ""
    neard: str = ""


@dataclass(frozen=True)
class Plan:
    """``first``: standbys in their order; ``last``: the holder, if it needs a restart, after a handover."""

    first: tuple[str, ...]
    last: str
    done: tuple[str, ...]
    why: Mapping[str, tuple[str, ...]]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def members(fleet: Json) -> dict[str, Json]:
    """The nodes that Consul knows, by name."""
    return {node["node"]: node for node in fleet["nodes"]}


def holder(fleet: Json) -> str:
    """Who holds the lock with a live session; empty when nobody does."""
    lock = fleet.get("lock") or {}
    return str(lock["holder"]) if lock.get("holder") and lock.get("holder_live") else ""


def has(node: Json, what: str) -> str:
    """The release of kuutamod or neard that a node runs, or would with its next start; empty when it has none."""
    return str((node.get("running") or {}).get(what) or node[what].get("current") or "")


def reasons(node: Json, target: Target) -> tuple[str, ...]:
    """Why kuutamod has to be started, anew or at all; none when it runs what it should."""
    running = node.get("running") or {}
    if not running:
        return ("kuutamod does not run",)
    found = [
        f"{what} {running.get(what)} runs, {wanted} is wanted"
        for what, wanted in (("kuutamod", target.kuutamod), ("neard", target.neard))
        if wanted and running.get(what) != wanted
    ]
    told = {"kuutamod", "neard"} if found else set()
    return (*found, *(f"{field} has changed" for field in node.get("pending") or () if field not in told))


def plan(
    fleet: Json, nodes: Mapping[str, Json], targets: Mapping[str, Target], validators: Iterable[str], ahead: bool = False
) -> Plan:
    """What to restart in which order. Only ``nodes`` are looked at; all ``validators`` have to be well.

    ``ahead``: say what would forbid a change of all nodes, before it is known what has to change.
    """
    found = {name: reasons(node, targets.get(name, Target())) for name, node in nodes.items()}
    why = {name: words for name, words in found.items() if words or ahead}
    lock, known = holder(fleet), members(fleet)
    # Who is out already comes first: it costs nothing, and nobody else may be taken out before it is back.
    standbys = sorted(
        (name for name in why if name != lock), key=lambda name: (bool(known.get(name, {}).get("eligible")), name)
    )
    return Plan(
        first=tuple(standbys),
        last=lock if lock in why else "",
        done=tuple(sorted(name for name in nodes if name not in why)),
        why=why,
        refusals=tuple(_refusals(fleet, why, tuple(validators))) if why else (),
        warnings=tuple(_warnings(fleet, tuple(validators))),
    )


def _refusals(fleet: Json, why: Json, validators: tuple[str, ...]) -> list[str]:
    found = [*_whole(fleet), *membership(fleet, validators, why), *_quorum(fleet)]
    if len(validators) < 2:
        found.append("there is one validator only; without a standby every restart is downtime, add a second host first")
    found += [
        f"{name} is out already ({trouble}) and this run would not mend it; see to it first"
        for name, trouble in _out(fleet).items()
        if name in validators and name not in why
    ]
    # Who has a record and is out may be back in a moment, which is waited for; who has none needs this run, or more.
    silent = sorted(name for name in why if not members(fleet).get(name, {}).get("live"))
    if len(silent) > 1:
        found.append(
            f"{', '.join(silent)} have no live member record, and never more than one may be out; mend one by hand"
        )
    return found


def _whole(fleet: Json) -> list[str]:
    found = []
    if fleet["health"] not in WELL_ENOUGH:
        found.append(f"the validator is not well: {fleet['verdict']}")
    for pause in fleet["pauses"]:
        who = pause["node"] or "the fleet"
        found.append(f"{who} is paused ({pause['reason'] or 'no reason given'}); end it with kuutamoctl resume")
    asked = fleet.get("request")
    if asked and asked["pending"]:
        found.append(f"another request is pending: {asked['ask']} by {asked['by']}; wait until it has ended")
    return found


def membership(fleet: Json, validators: Iterable[str], mended: Iterable[str] = ()) -> list[str]:
    """Where inventory and Consul name different nodes. ``mended``: who is to be restarted, and needs no record before."""
    live = {name for name, node in members(fleet).items() if node["live"]}
    there = set(validators)
    return [
        *(
            f"{name} is in the inventory, but has no live member record in Consul; start it or remove it"
            for name in sorted(there - live - set(mended))
        ),
        *(
            f"{name} is a live member in Consul, but not in the inventory; add it or use remove_node"
            for name in sorted(live - there)
        ),
    ]


def _quorum(fleet: Json) -> list[str]:
    consul = fleet.get("consul")
    if consul is None:
        return ["Consul's health can't be read; give the operator's token the right operator:read"]
    if not consul["leader"]:
        return ["Consul has no leader"]
    if consul.get("estimated"):
        return [f"Consul does not say how many servers may be lost: {consul['estimated']}; mend that, or run again later"]
    servers, tolerance = consul["servers"] or 0, consul["failure_tolerance"]
    if servers >= 3 and tolerance is not None and tolerance < 1:
        return [f"Consul tolerates no loss: {consul['healthy_voters']} of {servers} servers are healthy; mend that first"]
    return []


def _out(fleet: Json) -> dict[str, str]:
    """The live nodes that neither validate nor could take over, and why."""
    lock = holder(fleet)
    return {
        name: ", ".join(node["flags"]) or str(node["state"])
        for name, node in members(fleet).items()
        if node["live"] and name != lock and not node["eligible"]
    }


def _warnings(fleet: Json, validators: tuple[str, ...]) -> list[str]:
    found = []
    if len(validators) == 2:
        found.append("there are two validators: while the standby restarts, nobody could take over")
    if (consul := fleet.get("consul")) and (consul["servers"] or 0) < 3:
        found.append(f"Consul has {consul['servers']} servers: it tolerates no loss")
    return found


def may_restart(fleet: Json, name: str, validators: Iterable[str]) -> list[str]:
    """What forbids to restart this standby right now."""
    found = _whole(fleet)
    if holder(fleet) == name:
        found.append(f"{name} holds the lock by now; it is restarted only after a handover")
    out = {other: why for other, why in _out(fleet).items() if other != name}
    live = {other for other, node in members(fleet).items() if node["live"]}
    out |= {other: "silent" for other in validators if other != name and other not in live}
    return found + [f"{other} is out ({why}), and never more than one node may be" for other, why in out.items()]


def not_ready(fleet: Json, node: Json, name: str, target: Target, lag: int) -> list[str]:
    """What this node still lacks after a restart. ``lag``: blocks that it may be behind the fleet's best."""
    member = members(fleet).get(name)
    if member is None or not member["live"]:
        return ["it has no live member record"]
    found = list(reasons(node, target))
    if holder(fleet) == name:
        return found
    if member["state"] != "Voting":
        found.append(f"its state is {member['state']}")
    if not member["eligible"]:
        found.append(f"it is not eligible: {', '.join(member['flags']) or 'it does not say why'}")
    best = max((other["height"] or 0 for other in fleet["nodes"] if other["live"]), default=0)
    if (member["height"] or 0) < best - lag:
        found.append(f"its head {member['height']} is more than {lag} blocks behind {best}")
    return found


@dataclass(frozen=True)
class Choice:
    """Releases to go back to, by host, and why a host has none."""

    targets: Mapping[str, str]
    faults: tuple[str, ...]


def peers(nodes: Mapping[str, Json], what: str, name: str) -> tuple[str, ...]:
    """The hosts on which the same release has the same name as on this one; kuutamod's depend on the host's Python."""
    if what != "kuutamod":
        return tuple(nodes)
    python = nodes[name]["kuutamod"]["python"]
    return tuple(other for other, node in nodes.items() if node["kuutamod"]["python"] == python)


def choose(nodes: Mapping[str, Json], what: str, wanted: str) -> Choice:
    """An installed release of kuutamod or neard for each host.

    ``wanted``: how its name begins, or ``previous``. The releases of a host are in the order in which they were installed.
    """
    targets, faults = {}, []
    for name, node in nodes.items():
        installed = list(node[what]["releases"])
        if wanted == "previous":
            runs = [has(nodes[peer], what) for peer in peers(nodes, what, name)]
            fits = _before(installed, runs)
        else:
            fits = [release for release in installed if release == wanted] or [
                release for release in installed if release.startswith(wanted)
            ]
        if len(fits) == 1:
            targets[name] = fits[0]
        else:
            words = "no release" if not fits else "more than one release"
            faults.append(f"{name}: {words} of {what} fits {wanted!r}; installed are {', '.join(installed) or 'none'}")
    return Choice(targets, tuple(faults))


def _before(installed: list[str], running: Iterable[str]) -> list[str]:
    """The release before the newest that runs, or was to, anywhere: the same when some hosts have gone back already."""
    places = [installed.index(release) for release in running if release in installed]
    newest = max(places, default=0)
    return [installed[newest - 1]] if newest > 0 else []
