# SPDX-License-Identifier: Apache-2.0
"""What ``kuutamoctl status --json`` and ``history --json`` print: objects whose fields stay as they are. Pure.

Moments are Unix seconds, durations seconds; null is "not known" or "does not apply". Later versions may add fields, and
take none away. docs/operations.md lists them.
"""

from __future__ import annotations

import json
import math

from ..consul import orders
from ..consul.health import ConsulHealth
from ..consul.maintenance import Maintenance
from ..consul.overview import Overview, Unread
from ..core.model import LockView
from ..core.protocol import Pause, Request
from .nodes import NodeView, ended_at, newest, nodes, pauses, unread
from .verdict import Verdict, holder, verdict

Json = dict[str, object]


def status(overview: Overview, now_unix: float) -> Json:
    """The fleet as one object."""
    last = newest(overview)
    return {
        "account": overview.account_id,
        "at": now_unix,
        **_health(verdict(overview)),
        "lock": lock(overview),
        "nodes": [node(each) for each in nodes(overview, now_unix)],
        "pauses": [pause(each, now_unix) for each in pauses(overview, now_unix)],
        "request": request(overview.request, now_unix),
        "last_term": None if last is None else last.told(),
        "consul": _consul(overview.consul),
        "maintenance": maintenance(overview.maintenance),
        "unreadable": unread(overview),
    }


def unreachable(account_id: str, now_unix: float, word: Verdict) -> Json:
    """The same object when Consul can't be asked."""
    return {
        "account": account_id,
        "at": now_unix,
        **_health(word),
        "lock": None,
        "nodes": [],
        "pauses": [],
        "request": None,
        "last_term": None,
        "consul": None,
        "maintenance": None,
        "unreadable": {},
    }


def text(value: Json) -> str:
    """The object as JSON; escapes all that is not ASCII, and numbers that JSON does not know become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _health(word: Verdict) -> Json:
    return {"code": word.health.code, "health": word.health.value, "verdict": word.text}


def lock(overview: Overview) -> Json | None:
    """The lock; null when it can't be read."""
    view, found = overview.lock, holder(overview)
    if isinstance(view, Unread):
        return None
    return {
        "holder": None if found is None else found.name,
        "holder_live": found is not None and found.live,
        "session": view.session,
        "index": view.index,
        **_lock_record(view),
    }


def _lock_record(view: LockView) -> Json:
    record = view.record
    if record is None:
        return dict.fromkeys(("node", "term", "phase", "released", "fault", "reason", "last_height", "successor"))
    return {
        "node": record.node_id,
        "term": record.term,
        "phase": record.phase,
        "released": view.released,
        "fault": record.fault,
        "reason": record.reason,
        "last_height": record.last_height,
        "successor": record.successor or None,
    }


def node(node: NodeView) -> Json:
    """One node."""
    record = node.record
    return {
        "node": record.node_id,
        "hostname": record.hostname,
        "role": None if node.role.value == "-" else node.role.value,
        "live": node.live,
        "eligible": node.eligible,
        "flags": list(node.flags),
        "state": record.state,
        "phase": record.phase,
        "term": record.term_seen,
        "height": node.height,
        "lag": node.lag,
        "peers": node.peers,
        "lock_age": node.lock_age,
        "priority": record.priority,
        "neard_version": record.neard_version,
        "protocol": record.protocol or None,
        "latest_protocol": record.latest_protocol or None,
        "kuutamod_version": record.kuutamod_version,
        "address": record.address,
    }


def pause(pause: Pause, now: float) -> Json:
    """A pause, as it is at a moment (Unix seconds)."""
    return {
        "node": pause.node or None,
        "until": pause.until,
        "left": pause.until - now,
        "by": pause.by,
        "reason": pause.reason,
    }


NO_REQUEST: Json = {
    **dict.fromkeys(("id", "ask", "holder", "term", "node", "when", "by", "reason", "issued", "expires")),
    "phases": [],
    **dict.fromkeys(("outcome", "ended", "why", "pending")),
}
"""In place of a request where none was made."""


def request(request: Request | Unread | None, now: float) -> Json | None:
    """What was asked for, and how far it is at a moment (Unix seconds); None when nothing is known.

    ``pending``: it keeps others from being placed. One whose nodes have died never gets an outcome, and stops to be so.
    """
    if request is None or isinstance(request, Unread):
        return None
    return {
        "id": request.id,
        "ask": request.ask.value,
        "holder": request.holder,
        "term": request.term,
        "node": request.node or None,
        "when": request.when,
        "by": request.by,
        "reason": request.reason,
        "issued": request.issued,
        "expires": request.expires,
        "phases": phases(request),
        "outcome": None if request.outcome is None else request.outcome.value,
        "ended": None if request.outcome is None else ended_at(request),
        "why": request.why,
        "pending": bool(orders.obstacle(request, now)),
    }


def phases(request: Request) -> list[Json]:
    """The phases that a request has reached."""
    return [{"phase": mark.step.value, "at": mark.at, "note": mark.note} for mark in request.marks]


def maintenance(held: Maintenance | Unread | None) -> Json | None:
    """Who has the fleet to itself; None when nobody has, or it is not known."""
    if held is None or isinstance(held, Unread):
        return None
    record = held.record
    about = {"by": None, "since": None, "reason": None} if record is None else dict(vars(record))
    return {**about, "session": held.session}


def _consul(health: ConsulHealth | Unread) -> Json | None:
    if isinstance(health, Unread):
        return None
    return {
        "leader": health.leader or None,
        "servers": health.servers,
        "healthy_voters": health.voters,
        "failure_tolerance": health.tolerance,
        "estimated": health.estimated or None,
    }
