# SPDX-License-Identifier: Apache-2.0
"""What ``kuutamoctl history`` draws: the terms of the fleet, the newest first. Pure."""

from __future__ import annotations

from ..consul.overview import Overview, Unread
from ..core.model import LockView
from ..core.protocol import LockRecord, TermRecord
from ..fleet import status_json
from ..fleet.moments import date, duration
from ..fleet.nodes import current, newest
from ..fleet.verdict import holder
from .table import NARROWEST, Column, Row, boxed
from .text import Span, Style, flow, paint

COLUMNS = (
    Column("Term", right=True, most=12),
    Column("Node", most=20),
    Column("Since (UTC)", most=19),
    Column("Until (UTC)", most=19, fold=1, lead="until "),
    Column("Duration", right=True, most=9),
    Column("Gap", right=True, most=9, fold=2, lead="gap without a signer "),
    Column("Cause", most=10, fold=3, lead="cause "),
    Column("Heights", most=26, fold=4, lead="heights "),
    Column("By", most=20, fold=4, lead="asked for by "),
    Column("Began", most=200, fold=5, lead="began: "),
    Column("Ended", most=200, fold=6, lead="ended: "),
)


def render(overview: Overview, now_unix: float, width: int, colour: bool) -> str:
    """The whole view as lines of at most ``width`` columns (but not less than 40). ``now_unix`` in Unix seconds."""
    width = max(width, NARROWEST)
    terms = () if isinstance(overview.history, Unread) else overview.history
    lines = flow([Span(f"{overview.account_id}: {_present(overview)}", Style.BOLD)], width)
    if terms:
        lines += boxed(COLUMNS, [_row(record, overview, now_unix) for record in terms], width)
    elif not isinstance(overview.history, Unread):
        lines += flow([Span("no term has been recorded")], width)
    for note in _notes(overview):
        lines += flow([Span(note, Style.YELLOW)], width, indent=2)
    return "\n".join(paint(line, colour) for line in lines)


def to_json(overview: Overview, now_unix: float) -> status_json.Json:
    """The same as one object."""
    terms = () if isinstance(overview.history, Unread) else overview.history
    return {
        "account": overview.account_id,
        "at": now_unix,
        "lock": status_json.lock(overview),
        "terms": [record.told() for record in terms],
    }


def _present(overview: Overview) -> str:
    found, lock = holder(overview), overview.lock
    if isinstance(lock, Unread):
        return f"the lock can't be read: {lock.why}"
    if lock.record is None:
        return "there is no lock yet" if lock.missing else "the lock's value is not a kuutamod's"
    return f"term {lock.record.term}, {'held by ' + found.name if found is not None else 'held by nobody'}"


def _row(record: TermRecord, overview: Overview, now: float) -> Row:
    over = ended_in_lock(overview, record)
    lasting = not record.until and holder(overview) is not None and record is current(overview)
    began, ended = record.since or record.taken, record.until or (now if lasting else 0.0)
    return (
        Span(str(record.term)),
        Span(record.node, Style.GREEN if lasting else Style.PLAIN),
        Span(date(began) if began > 0 else "-"),
        Span(date(record.until) if record.until > 0 else "now" if lasting else "released" if over else "-"),
        Span(duration(ended - began) if ended and began > 0 else "-"),
        Span(duration(record.gap) if record.gap >= 0 else "-"),
        Span(record.cause or "-"),
        Span(_heights(record)),
        Span(record.by or "-"),
        Span(record.began or "-"),
        Span(_end(record, over), Style.YELLOW if record.fault else Style.PLAIN),
    )


def _heights(record: TermRecord) -> str:
    known = record.first_height or record.last_height
    return f"{record.first_height or '?'}-{record.last_height or '?'}" if known else "-"


def _end(record: TermRecord, over: LockRecord | None) -> str:
    if over is not None:
        return f"{over.reason or 'no reason given'} (says the lock)"
    return f"{record.ended or 'no reason known'} (by its own fault)" if record.fault else record.ended or "-"


def ended_in_lock(overview: Overview, record: TermRecord) -> LockRecord | None:
    """The lock's record, where it says that this term is over and history does not say so yet."""
    lock = overview.lock
    if record.until or not isinstance(lock, LockView) or lock.record is None or not lock.released:
        return None
    return lock.record if lock.record.term == record.term else None


def _notes(overview: Overview) -> list[str]:
    """What the table alone would leave out."""
    if isinstance(overview.history, Unread):
        return [f"the history can't be read: {overview.history.why}"]
    last, found = newest(overview), []
    record = overview.lock.record if isinstance(overview.lock, LockView) else None
    if record is not None and (last is None or last.term < record.term):
        found.append(f"term {record.term} of {record.node_id} has no record yet")
    over = ended_in_lock(overview, last) if last is not None else None
    if over is not None:
        where = f" at height {over.last_height}" if over.last_height else ""
        why = over.reason or "no reason given"
        found.append(f"term {over.term} is over: {over.node_id} released the lock{where}: {why}")
    return found
