# SPDX-License-Identifier: Apache-2.0
"""A search's finding, for people."""

from __future__ import annotations

from exhaustive.machine import Next
from exhaustive.search import Report
from exhaustive.side import Kind, Step
from exhaustive.world import ANCHOR, NODES, Message
from kuutamod.core import actions as ac

REQUESTS: dict[type[object], str] = {
    ac.Heartbeat: "heartbeat",
    ac.Take: "take",
    ac.CreateKey: "request to write the missing key",
    ac.Release: "release",
    ac.ReleasePlan: "guard's release",
}


def told(report: Report) -> str:
    """The story with its seconds."""
    lines = [
        f"wrong: {report.wrong}",
        f"(term {ANCHOR} is always the highest in use: a take asks for {ANCHOR + 1}, which is {ANCHOR} then)",
    ]
    seconds = 0
    for taken in report.story:
        seconds += taken.step.kind is Kind.TICK
        if taken.step.kind is not Kind.TICK:
            lines.append(f"{seconds:3d} s  {sentence(taken)}")
    return "\n".join(lines)


def sentence(taken: Next) -> str:
    """One step."""
    step = taken.step
    who = "" if step.host is None else NODES[step.host]
    fault = "FAULT " if step.faults else ""
    said = f": {'; '.join(taken.why)}" if taken.why else ""
    cut = "" if step.then is None else f" -- but before it acts, {step.then.value.format(who=who)}"
    return f"{fault}{step.kind.value.format(who=who, what=_what(step))}{said}{cut}"


def _what(step: Step) -> str:
    if isinstance(step.what, Message):
        return ("late " if step.what.late else "") + REQUESTS[type(step.what.request)]
    return step.what or "neard's end"
