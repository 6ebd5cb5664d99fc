# SPDX-License-Identifier: Apache-2.0
"""The story of a run, for people."""

from __future__ import annotations

from .world import Line, World

LAST = 12
"""Lines of each node in a short story."""


def line(entry: Line) -> str:
    """One event."""
    at, who, text, values = entry
    return f"{at:9.3f}  {who:<9} {text.format(*values)}"


def full(world: World) -> str:
    """Everything that was kept."""
    return "\n".join(line(entry) for entry in world.story)


def short(world: World, last: int = LAST) -> str:
    """The schedule's faults and the last events of each node, in order of time."""
    entries = list(world.story)
    kept: set[int] = set()
    for who in dict.fromkeys(entry[1] for entry in entries):
        mine = [number for number, entry in enumerate(entries) if entry[1] == who]
        kept.update(mine if who in ("fault", "judge") else mine[-last:])
    return "\n".join(line(entries[number]) for number in sorted(kept))
