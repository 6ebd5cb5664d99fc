# SPDX-License-Identifier: Apache-2.0
"""Drawing a running localnet: the table of the nodes, the lock, the last takeovers, the referee's verdict."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .observe import FROZEN, SILENT, STOPPED, LockFacts, NodeFacts

WIDTH = 80
COLUMNS = ("node", "state", "role", "term", "height", "lag", "lock age")
NUMBERS = ("term", "height", "lag", "lock age")
STYLES = {"Validating": "green", "Voting": "cyan", "Shutdown": "yellow", STOPPED: "red", FROZEN: "red", SILENT: "red"}


@dataclass(frozen=True)
class View:
    """Everything that is drawn. `lock_moved` is the seconds since the lock's index moved, None when it never did.

    `unsigned` is for how many seconds nobody can sign. Without a referee (a real neard) `verdict` says so.
    """

    nodes: Sequence[NodeFacts]
    lock: LockFacts
    lock_moved: float | None
    events: Sequence[str]
    verdict: str
    safe: bool
    unsigned: float | None = None


def row(node: NodeFacts, lock: LockFacts) -> tuple[str, ...]:
    """The cells of one node, in the order of COLUMNS."""
    return (
        node.name,
        node.state,
        role(node, lock),
        _number(node.term),
        _number(node.height),
        _number(node.lag),
        "-" if node.held is None else duration(node.held),
    )


def role(node: NodeFacts, lock: LockFacts) -> str:
    """What the node is in the fleet: who holds the lock is Consul's word, who could take it the node's own."""
    if lock.holder == node.name:
        return "holder"
    return "standby" if node.eligible else "-"


def duration(seconds: float) -> str:
    """A duration in at most seven characters."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def lock_line(view: View) -> str:
    """The lock in one line."""
    lock = view.lock
    if lock.fault:
        return f"lock: {lock.fault}"
    if not lock.term:
        return "lock: nobody has taken it yet"
    moved = "" if view.lock_moved is None else f", last write {view.lock_moved:.1f} s ago"
    if lock.holder:
        return f"lock: held by {lock.holder} in term {lock.term} ({lock.phase or 'no phase'}){moved}"
    how = f"released: {lock.reason}" if lock.released else "not released: the guard time runs"
    return f"lock: free since term {lock.term}, {how}{moved}"


def render(view: View) -> RenderableType:
    """What is drawn on a terminal of at least 80 columns; colours are left to the console, which heeds NO_COLOR."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
    for node in view.nodes:
        cells: list[RenderableType] = list(row(node, view.lock))
        cells[1] = Text(node.state, STYLES.get(node.state, ""))
        table.add_row(*cells)
    parts: list[RenderableType] = [table, _line(lock_line(view))]
    waiting = [node for node in view.nodes if node.reasons and node.name != view.lock.holder]
    parts += [_line(f"{node.name} is not eligible: {', '.join(node.reasons)}") for node in waiting]
    if view.unsigned is not None:
        parts.append(_line(f"nobody can sign for {view.unsigned:.1f} s", "yellow"))
    parts += [_line(event) for event in view.events]
    parts.append(_line(view.verdict, "green" if view.safe else "bold red"))
    return Group(*parts)


def plain(view: View) -> str:
    """The same as text without any escape sequence, at most WIDTH columns wide."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    console.print(render(view))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in str(text).splitlines())


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, overflow="ellipsis", no_wrap=True)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
