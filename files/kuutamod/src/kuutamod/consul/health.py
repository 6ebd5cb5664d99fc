# SPDX-License-Identifier: Apache-2.0
"""How well Consul itself is: its leader, its servers, and how many of them it can lose. All functions block."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .faults import ELSEWHERE, ConsulError, Fault, classify

HEALTHY, UNHEALTHY, FORBIDDEN = 200, 429, 403
"""The statuses with which autopilot gives its report, and the one with which it does not."""


@dataclass(frozen=True)
class ConsulHealth:
    """Consul's servers. ``leader``: the raft address of the one that leads, empty when there is none.

    ``voters``: how many servers vote and are healthy, None when that is not known. ``tolerance``: how many servers may fail
    before there is no quorum. ``estimated``: why autopilot's own word could not be had, empty when it could; without it
    ``tolerance`` takes all servers for healthy.
    """

    leader: str
    servers: int
    voters: int | None
    tolerance: int
    estimated: str = ""


def read_health(client: Any) -> ConsulHealth:
    """Consul's health by autopilot's word, which needs operator:read; else as far as the list of raft's peers tells.

    Raises ConsulError, or what the library raises.
    """
    leader = client.status.leader()
    if not isinstance(leader, str):
        raise ConsulError(Fault.UNUSABLE, "the answer does not name Consul's leader")
    try:
        return _by_autopilot(leader, client.http.get(_report, "/v1/operator/autopilot/health"))
    except Exception as error:
        failure = classify(error)
        if failure.fault in ELSEWHERE - {Fault.UNUSABLE, Fault.SERVER}:
            raise
        return _by_peers(leader, client.status.peers(), failure.why)


def _report(response: Any) -> Any:
    """The report in an answer; an unhealthy Consul gives it with the status 429, which is no error here."""
    if response.code == FORBIDDEN:
        raise ConsulError(Fault.FORBIDDEN, "the Consul token may not read it; it needs operator:read")
    try:
        if response.code in (HEALTHY, UNHEALTHY):
            return json.loads(response.body)
    except ValueError:
        pass
    text = " ".join(str(response.body).split())
    raise ConsulError(Fault.UNUSABLE, f"HTTP {response.code}: {text[:200]}")


def _by_autopilot(leader: str, report: Any) -> ConsulHealth:
    try:
        servers = [(bool(server["Voter"]), bool(server["Healthy"])) for server in report["Servers"] or ()]
        tolerance = int(report["FailureTolerance"])
    except (TypeError, KeyError, ValueError):
        raise ConsulError(Fault.UNUSABLE, "autopilot's report is not in the known form") from None
    if not servers:
        raise ConsulError(Fault.UNUSABLE, "autopilot has not judged the servers yet")
    return ConsulHealth(leader, len(servers), sum(voter and healthy for voter, healthy in servers), tolerance)


def _by_peers(leader: str, peers: Any, why: str) -> ConsulHealth:
    if not isinstance(peers, list):
        raise ConsulError(Fault.UNUSABLE, "the answer does not list raft's peers")
    return ConsulHealth(leader, len(peers), None, max(0, (len(peers) - 1) // 2), why)
