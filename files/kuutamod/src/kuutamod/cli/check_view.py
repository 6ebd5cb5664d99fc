# SPDX-License-Identifier: Apache-2.0
"""What ``kuutamoctl check`` prints: a line for each finding, with its remedy below. Pure."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable

from ..preflight.finding import Finding, Level, Topic
from ..preflight.inspect import Preflight
from ..redact import redact
from .text import Span, Style, counted, paint, visible

FINE, WARNED, FAULTY = 0, 1, 2
"""Exit codes."""

_STYLES = {Level.OK: Style.GREEN, Level.WARNING: Style.YELLOW, Level.FAULT: Style.ALARM}
_LEVEL_WIDTH = max(len(level.value) for level in Level) + 2
_TOPIC_WIDTH = max(len(topic.value) for topic in Topic) + 2
_LEAST_WIDTH = 40


def exit_code(findings: Iterable[Finding], strict: bool) -> int:
    """By the worst of the findings; warnings count only where one is ``strict``."""
    levels = {finding.level for finding in findings}
    if Level.FAULT in levels:
        return FAULTY
    return WARNED if strict and Level.WARNING in levels else FINE


def render(found: Preflight, width: int | None, colour: bool) -> str:
    """The list, and a line that sums it up. ``width``: columns; None: nothing is broken into lines."""
    lines = [line for finding in found.findings for line in _lines(finding, width, colour)]
    return "\n".join([*lines, _summary(found, colour)])


def _lines(finding: Finding, width: int | None, colour: bool) -> Iterable[str]:
    style = _STYLES[finding.level]
    head = [
        Span(f"{finding.level.value:<{_LEVEL_WIDTH}}", style),
        Span(f"{finding.topic.value:<{_TOPIC_WIDTH}}", Style.DIM),
    ]
    margin = " " * (_LEVEL_WIDTH + _TOPIC_WIDTH)
    start = paint(head, colour)
    for line in _wrapped(finding.text, width):
        yield start + paint([Span(line)], colour)
        start = margin
    if finding.remedy:
        for line in _wrapped(f"remedy: {finding.remedy}", width):
            yield margin + paint([Span(line, Style.CYAN)], colour)


def _wrapped(text: str, width: int | None) -> list[str]:
    """The text in lines; a path or a key stays whole, for copying."""
    clear = _clear(text)
    if width is None:
        return [clear]
    room = max(width, _LEAST_WIDTH) - _LEVEL_WIDTH - _TOPIC_WIDTH
    return textwrap.wrap(clear, room, break_long_words=False, break_on_hyphens=False) or [""]


def _clear(text: str) -> str:
    """On one line, nothing in it that a terminal acts on, and no key material whatever went wrong elsewhere."""
    return visible(redact(" ".join(text.split())))


def _summary(found: Preflight, colour: bool) -> str:
    count = Counter(finding.level for finding in found.findings)
    parts = [f"{count[Level.OK]} ok", counted(count[Level.WARNING], "warning"), counted(count[Level.FAULT], "fault")]
    worst = next((level for level in (Level.FAULT, Level.WARNING) if count[level]), Level.OK)
    return paint([Span(", ".join(parts), _STYLES[worst])], colour)


def as_json(found: Preflight, code: int) -> str:
    """One object: node, account, exit code, and the findings with level, topic, text and remedy (null: none)."""
    findings = [
        {
            "level": finding.level.value,
            "topic": finding.topic.value,
            "text": _clear(finding.text),
            "remedy": _clear(finding.remedy) or None,
        }
        for finding in found.findings
    ]
    about = {"node": found.node_id or None, "account": found.account_id or None, "exit_code": code}
    return json.dumps({**about, "findings": findings}, indent=2)
