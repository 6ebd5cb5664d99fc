# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status report: one object for programs, and the same as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from . import _rolling

Json = Mapping[str, Any]
SOON = 30 * 86400
"""Seconds before its end from which an expiry needs attention."""

CLOCK = 5
"""Seconds that a host's clock may differ from the others'."""


def report(
    fleet: Json | None,
    maintenance: Json | None,
    nodes: Mapping[str, Json],
    validators: Iterable[str],
    servers: Iterable[str],
    refused: Mapping[str, Json],
) -> dict[str, Any]:
    """Everything in one object. ``nodes``: what ``node_info`` says, for each host that was reached.

    ``refused``: what ``validator_info`` said where it failed.
    """
    order = tuple(dict.fromkeys((*validators, *servers)))
    member = {} if fleet is None else _rolling.members(fleet)
    hosts = [_host(name, nodes.get(name), member.get(name), fleet) for name in order]
    seen = fleet or {}
    found: dict[str, Any] = {
        "account": seen.get("account"),
        "health": seen.get("health", "unknown"),
        "verdict": seen.get("verdict", "Consul could not be asked through any host"),
        "refused": {name: answer["msg"] for name, answer in refused.items()},
        "holder": (seen.get("lock") or {}).get("holder"),
        "term": (seen.get("lock") or {}).get("term"),
        "hosts": hosts,
        "candidates": [name for name, node in member.items() if node["eligible"]],
        "pending_restarts": {host["name"]: host["pending"] for host in hosts if host["pending"]},
        "consul": seen.get("consul"),
        "maintenance": maintenance,
        "request": _open_request(seen.get("request")),
        "pauses": seen.get("pauses", []),
        "drift": [] if fleet is None else drift(fleet, nodes, tuple(validators)),
        "fleet": fleet,
    }
    found["attention"] = attention(found, nodes)
    return found


def _open_request(request: Json | None) -> Json | None:
    return request if request and request["pending"] else None


def _host(name: str, node: Json | None, member: Json | None, fleet: Json | None) -> dict[str, Any]:
    info, known = node or {}, member or {}
    running = info.get("running") or {}
    role = "validator" if fleet is not None and _rolling.holder(fleet) == name else known.get("role")
    neard = info.get("neard") or {}
    return {
        "name": name,
        "reached": node is not None,
        "role": role,
        "state": known.get("state"),
        "eligible": known.get("eligible"),
        "reasons": known.get("flags", []),
        "height": known.get("height"),
        "kuutamod": {
            "runs": running.get("kuutamod"),
            "activated": (info.get("kuutamod") or {}).get("current"),
            "version": known.get("kuutamod_version"),
        },
        "neard": {
            "runs": running.get("neard"),
            "activated": neard.get("current"),
            "version": known.get("neard_version"),
            "protocol": known.get("latest_protocol"),
        },
        "pending": info.get("pending", []),
        "consul_pending": info.get("consul_pending", []),
        "units": {unit: _unit(state) for unit, state in info.get("units", {}).items()},
        "certificates": info.get("certificates", []),
        "tokens": info.get("tokens", []),
    }


def _unit(state: Json) -> str:
    return f"{state['active']}/{state['sub']}" if state["active"] else "unknown"


def drift(fleet: Json, nodes: Mapping[str, Json], validators: tuple[str, ...]) -> list[str]:
    """Where inventory, Consul and the hosts say different things."""
    found = list(_rolling.membership(fleet, validators))
    for what in ("kuutamod", "neard"):
        runs = {name: node["running"].get(what) for name, node in nodes.items() if node.get("running")}
        peers = {_rolling.peers(nodes, what, name) for name in runs}
        if any(len({runs[name] for name in names if name in runs}) > 1 for names in peers):
            found.append(
                f"the hosts run different {what}: "
                + ", ".join(f"{name} {release}" for name, release in sorted(runs.items()))
            )
    return found


def attention(found: Json, nodes: Mapping[str, Json]) -> list[str]:
    """What an operator has to see to, most urgent first."""
    words = [] if found["health"] == "well" else [str(found["verdict"])]
    consul = found["consul"]
    if consul and (consul["servers"] or 0) >= 3 and (consul["failure_tolerance"] or 0) < 1:
        words.append(f"Consul tolerates no loss: {consul['healthy_voters']} of {consul['servers']} servers are healthy")
    if consul and consul.get("estimated"):
        words.append(f"Consul does not say how many servers may be lost: {consul['estimated']}")
    for host in found["hosts"]:
        words += _host_attention(host, nodes.get(host["name"]))
    words += [
        f"{name}: restart pending ({', '.join(fields)} changed)" for name, fields in found["pending_restarts"].items()
    ]
    clocks = [node["clock_offset"] for node in nodes.values() if node.get("clock_offset") is not None]
    if clocks and max(clocks) - min(clocks) > CLOCK:
        words.append(f"the hosts' clocks differ by {max(clocks) - min(clocks):.0f} s; see to NTP")
    words += [
        f"{pause['node'] or 'the fleet'} is paused: {pause['reason'] or 'no reason given'}" for pause in found["pauses"]
    ]
    words += [f"{name}: Consul can't be asked from there: {why}" for name, why in found["refused"].items()]
    return [*words, *found["drift"]]


def _host_attention(host: Json, node: Json | None) -> list[str]:
    if node is None:
        return [f"{host['name']}: not reached"]
    words = [
        f"{host['name']}: {unit} is {state}"
        for unit, state in host["units"].items()
        if state != "active/running" and not (unit == "kuutamod.service" and node.get("wanted") is None)
    ]
    if host["consul_pending"]:
        words.append(
            f"{host['name']}: Consul's agent waits for a restart ({', '.join(host['consul_pending'])} changed); "
            "use restart_consul"
        )
    now = node["at"]
    for kind, key in (("certificate", "certificates"), ("token", "tokens")):
        for item in host[key]:
            if item["fault"]:
                words.append(f"{host['name']}: {kind} {item['path']}: {item['fault']}")
            elif item["expires"] is not None and item["expires"] < now + SOON:
                words.append(f"{host['name']}: {kind} {item['path']} {_ends(item['expires'], now)}")
    return words


def _ends(moment: float, now: float) -> str:
    day = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"expired on {day}" if moment <= now else f"expires on {day}, in {int((moment - now) // 86400)} days"


def text(found: Json) -> str:
    """The report for people."""
    lines = [
        f"{found['account'] or 'unknown account'}: {found['verdict']} (term {found['term']})",
        "",
        *_table(found["hosts"]),
        "",
        _consul_line(found["consul"]),
        _maintenance_line(found["maintenance"]),
        *_expiry_lines(found["hosts"]),
    ]
    if request := found["request"]:
        lines.append(f"pending request: {request['ask']} to {request['node'] or 'the best standby'} by {request['by']}")
    lines += ["", "needs attention:" if found["attention"] else "nothing needs attention"]
    lines += [f"  - {word}" for word in found["attention"]]
    return "\n".join(lines)


def _table(hosts: Iterable[Json]) -> list[str]:
    rows = [("HOST", "ROLE", "STATE", "CAN TAKE OVER", "HEIGHT", "KUUTAMOD", "NEARD", "CONSUL", "RESTART PENDING")]
    for host in hosts:
        can = "yes" if host["eligible"] else ", ".join(host["reasons"]) or "-"
        rows.append(
            (
                host["name"],
                host["role"] or "-",
                host["state"] or "-",
                "-" if host["role"] == "validator" else can,
                str(host["height"] or "-"),
                _release(host["kuutamod"]),
                _release(host["neard"]),
                host["units"].get("consul.service", "-"),
                ", ".join(host["pending"]) or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _release(what: Json) -> str:
    runs, activated = what["runs"] or what["version"] or "-", what["activated"]
    return runs if activated in (None, runs) or not what["runs"] else f"{runs} (installed {activated})"


def _consul_line(consul: Json | None) -> str:
    if consul is None:
        return "consul: its health is not known"
    return (
        f"consul: leader {consul['leader'] or 'none'}, {consul['healthy_voters']} of {consul['servers']} servers healthy, "
        f"may lose {consul['failure_tolerance']}"
    )


def _maintenance_line(lock: Json | None) -> str:
    if not lock:
        return "maintenance: nobody has the lock"
    return f"maintenance: locked by {lock.get('by') or 'somebody'}: {lock.get('reason') or 'no reason given'}"


def _expiry_lines(hosts: Iterable[Json]) -> list[str]:
    lines = []
    for key in ("certificates", "tokens"):
        items = [item for host in hosts for item in host[key]]
        ends = [item["expires"] for item in items if item["expires"] is not None]
        if not items:
            continue
        first = datetime.fromtimestamp(min(ends), UTC).strftime("%Y-%m-%d") if ends else "never"
        lines.append(f"{key}: {len(items)} looked at, the first expires: {first}")
    return lines
