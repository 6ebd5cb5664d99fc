# SPDX-License-Identifier: Apache-2.0
"""What ``kuutamoctl status`` draws: the table of the fleet and what an operator must know besides. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..consul import orders
from ..consul.health import ConsulHealth
from ..consul.maintenance import Maintenance
from ..consul.overview import Overview, Unread
from ..core.model import LockView, State
from ..core.protocol import Mark, Outcome, Pause, Request, TermRecord
from ..fleet.moments import clock, duration
from ..fleet.nodes import NodeView, Role, ended_at, newest, nodes, pauses, unread
from ..fleet.verdict import Health, holder, verdict
from .table import NARROWEST, Column, Row, boxed
from .text import Span, Style, counted, flow, paint

RECENT = 600.0
"""Seconds for which the outcome of a request is shown."""

COLUMNS = (
    Column("Node", most=20),
    Column("Role", most=9),
    Column("State", most=24),
    Column("Term", right=True, most=12, fold=2, lead="term "),
    Column("Height", right=True, most=12),
    Column("Lag", right=True, most=10),
    Column("Peers", right=True, most=8, fold=2, lead="peers "),
    Column("Lock age", right=True, most=10, fold=3, lead="lock age "),
    Column("neard", most=16, fold=4, lead="neard "),
    Column("Protocol", most=12, fold=4, lead="protocol "),
    Column("Priority", right=True, most=10, fold=4, lead="priority "),
    Column("Flags", most=160, fold=5),
)

_STATES = {State.VALIDATING.value: Style.GREEN, State.VOTING.value: Style.CYAN, State.SHUTDOWN.value: Style.YELLOW}
_HEALTH = {
    Health.WELL: Style.GREEN,
    Health.NO_STANDBY: Style.YELLOW,
    Health.HOLDER_UNWELL: Style.YELLOW,
    Health.NO_HOLDER: Style.ALARM,
    Health.UNKNOWN: Style.ALARM,
}
_PARTS = {
    "lock": "the lock",
    "nodes": "the nodes' records",
    "config": "the fleet's settings, with pauses and drained nodes,",
    "request": "the request",
    "history": "the history",
    "consul": "Consul's health",
    "maintenance": "the maintenance lock",
}
_OUTCOMES = {Outcome.DONE: Style.GREEN}


def render(overview: Overview, now_unix: float, width: int, colour: bool) -> str:
    """The whole view as lines of at most ``width`` columns (but not less than 40). ``now_unix`` in Unix seconds."""
    width = max(width, NARROWEST)
    rows = [_row(node) for node in nodes(overview, now_unix)]
    lines = flow([_title(overview)], width)
    if rows:
        lines += boxed(COLUMNS, rows, width)
    elif not isinstance(overview.members, Unread):
        lines += flow([Span("no node has published a record", Style.YELLOW)], width)
    for text in _below(overview, now_unix):
        lines += flow([text], width, indent=2)
    return "\n".join(paint(line, colour) for line in lines)


def _title(overview: Overview) -> Span:
    return Span(f"{overview.account_id}: {_lock(overview)}", Style.BOLD)


def _lock(overview: Overview) -> str:
    lock, found = overview.lock, holder(overview)
    if isinstance(lock, Unread):
        return "the lock can't be read"
    record = lock.record
    term = f"term {record.term}" if record is not None else "term unknown, the lock's value is not a kuutamod's"
    if found is not None:
        return f"held by {found.name}, {term}"
    return f"held by nobody, {_free(lock)}"


def _free(lock: LockView) -> str:
    record = lock.record
    if lock.missing:
        return "there is no lock yet"
    if record is None:
        return "the lock's value is not a kuutamod's"
    if record.released:
        whom = f" for {record.successor}" if record.successor else ""
        return f"{record.node_id} released it{whom} in term {record.term}: {record.reason or 'no reason given'}"
    return f"free without a release since term {record.term} of {record.node_id}: the guard time runs"


def _row(node: NodeView) -> Row:
    record = node.record
    state = f"{record.state}/{record.phase}" if record.phase else record.state
    version = f"{record.protocol}/{record.latest_protocol}" if record.latest_protocol else str(record.protocol or "-")
    return (
        Span(record.node_id, Style.BOLD if node.role is Role.VALIDATOR else Style.PLAIN),
        Span(node.role.value, Style.GREEN if node.role is Role.VALIDATOR else Style.PLAIN),
        Span(state or "-", _STATES.get(record.state, Style.PLAIN) if node.live else Style.DIM),
        Span(str(record.term_seen or "-")),
        Span(_number(node.height)),
        Span(_number(node.lag), Style.YELLOW if node.lag is not None and node.lag > 1 else Style.PLAIN),
        Span(_number(node.peers), Style.RED if node.peers == 0 else Style.PLAIN),
        Span("-" if node.lock_age is None else duration(node.lock_age)),
        Span(record.neard_version or "-"),
        Span(version),
        Span(str(record.priority)),
        Span(", ".join(node.flags) or "-", Style.PLAIN if not node.flags else Style.YELLOW if node.live else Style.RED),
    )


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _below(overview: Overview, now: float) -> list[Span]:
    """Everything under the table, a line each."""
    word = verdict(overview)
    found = [Span(word.text, _HEALTH[word.health])]
    found += [Span(_pause(pause, now), Style.ALARM) for pause in pauses(overview, now)]
    found += _maintenance(overview.maintenance, now)
    last = newest(overview)
    if last is not None:
        found.append(Span(f"last event: {event(last, now)}"))
    found += _request(overview.request, now)
    if not isinstance(overview.consul, Unread):
        found.append(_consul(overview.consul))
    missing = unread(overview).items()
    # The verdict has told of these.
    told = ("lock", "nodes") if word.health is Health.UNKNOWN else ()
    return found + [Span(f"{_PARTS[part]} can't be read: {why}", Style.YELLOW) for part, why in missing if part not in told]


def _pause(pause: Pause, now: float) -> str:
    whom = f"{pause.node} is PAUSED" if pause.node else "PAUSED: no automatic takeover or handover"
    left, by = duration(pause.until - now), f" by {pause.by}" if pause.by else ""
    return f"{whom} for {left} more, until {clock(pause.until)} UTC{by}: {pause.reason or 'no reason given'}"


def _maintenance(held: Maintenance | Unread | None, now: float) -> Sequence[Span]:
    if held is None or isinstance(held, Unread):
        return ()
    if held.record is None:
        return (Span(f"maintenance lock held by session {held.session}, with a value that is not ours", Style.CYAN),)
    record = held.record
    since = f"{duration(now - record.since)}, since {clock(record.since)} UTC"
    return (
        Span(f"maintenance by {record.by or 'somebody'} for {since}: {record.reason or 'no reason given'}", Style.CYAN),
    )


def event(record: TermRecord, now: float) -> str:
    """The newest thing that a term's record tells, as a sentence."""
    if record.until:
        how = "ended by its own fault" if record.fault else "ended"
        why = record.ended or "no reason known"
        return f"{_when(record.until, now)}{record.node}'s term {record.term} {how}: {why}"
    cause = f" ({record.cause})" if record.cause else ""
    gap = f"; {duration(record.gap)} without a signer" if record.gap >= 0 else ""
    by = f"; asked for by {record.by}" if record.by else ""
    began = record.began or "no reason known"
    return f"{_when(record.taken, now)}{record.node} took the lock for term {record.term}{cause}: {began}{gap}{by}"


def _when(moment: float, now: float) -> str:
    return f"{duration(now - moment)} ago, {clock(moment)} UTC, " if moment > 0 else ""


def _request(request: Request | Unread | None, now: float) -> Sequence[Span]:
    if request is None or isinstance(request, Unread):
        return ()
    what = wish(request)
    last = max(request.marks, key=lambda mark: mark.at, default=None)
    if request.outcome is None:
        return (Span(_pending(request, what, last, now), Style.CYAN),)
    ended = ended_at(request)
    if now - ended > RECENT:
        return ()
    why = f": {request.why}" if request.why else ""
    text = f"last request: {what}: {request.outcome.value} {duration(now - ended)} ago{why}"
    return (Span(text, _OUTCOMES.get(request.outcome, Style.YELLOW)),)


def _pending(request: Request, what: str, last: Mark | None, now: float) -> str:
    progress = "no node has answered yet"
    if last is not None:
        note = f" ({last.note})" if last.note else ""
        progress = f"{last.step.value}{note} since {duration(now - last.at)}"
    left = request.expires - now
    end = f"expires in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago"
    kind = "pending request" if orders.obstacle(request, now) else "request that nobody ended"
    return f"{kind}: {what}, asked for {duration(now - request.issued)} ago, {end}: {progress}"


def wish(request: Request) -> str:
    """What a request asks for, in words."""
    at = "" if request.when == "now" else f" at {'a window' if request.when == 'window' else f'height {request.when}'}"
    by = f" by {request.by}" if request.by else ""
    reason = f" ({request.reason})" if request.reason else ""
    if request.ask.value == "handover":
        return f"handover from {request.holder} to {request.node or 'the best standby'}{at}{by}{reason}"
    return f"{request.ask.value} of {request.node}{at}{by}{reason}"


def _consul(health: ConsulHealth) -> Span:
    if not health.leader:
        return Span(f"Consul: no leader, {counted(health.servers, 'server')}", Style.ALARM)
    text = f"Consul: leader {health.leader}, {counted(health.servers, 'server')}"
    if health.voters is not None:
        text += f", {health.voters} healthy and voting"
    text += f", can lose {health.tolerance}"
    if health.estimated:
        text += f" if all are healthy (autopilot's word: {health.estimated})"
    return Span(text, Style.YELLOW if health.tolerance == 0 else Style.PLAIN)
