# SPDX-License-Identifier: Apache-2.0
"""Why the key changed hands: each key interval of the referee, explained by what the supervisors have logged."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from neard_standin.verdict import KeyInterval

from .bench import percentile

CLOCKS_APART = 0.2  # seconds by which a log's wall clock may disagree with the journal's clock


class Cause(StrEnum):
    """How a node came to hold the key."""

    FIRST = "first holder"
    CLEAN = "release, stopped cleanly"
    ORDERED = "release, asked for by an operator"
    FAILED = "release, neard failed"
    FENCED = "release, fenced by the supervisor"
    GUARD = "release by the guard"
    HANDED_BACK = "release by --hand-back or the next start"
    STEAL = "guard time, holder silent"
    FREE = "guard time, session ended"
    MISSING = "guard time, key missing"
    CONFIRMED = "an operator confirmed"
    SAME_TERM = "neard restarted in its term"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Takeover:
    """One loading of the key at `at` (CLOCK_BOOTTIME). `gap` is the seconds in which nobody held the key before it,
    `silent` those from the last signature before to the first after; None where there is none.
    """

    at: float
    node: str
    before: str
    term: int
    cause: Cause
    gap: float | None
    silent: float | None


@dataclass(frozen=True)
class CauseFigures:
    """The takeovers of one cause: how many, and the percentiles of their seconds without a key holder. `most_silent` is the
    longest time without a signature around one of them, None where nothing was signed before or after.
    """

    cause: str
    n: int
    p50: float
    p99: float
    most: float
    most_silent: float | None


@dataclass(frozen=True)
class LogLine:
    """A supervisor's line about the lock; `at` is Unix time. `term` is the term that it is about."""

    at: float
    node: str
    term: int
    text: str


_LINE = re.compile(r'^ts=(\S+) level=\w+ node=(\S+) (?:term=(\d+) )?msg="((?:[^"\\]|\\.)*)"')
_TAKE = re.compile(r"taking the lock for term (\d+): (.*)")
_GIVING = re.compile(r"handing back the lock of term (\d+): (.*)")
_HANDED_BACK = re.compile(r"^kuutamod: lock of term (\d+): release applied")
_RELEASED = "released the lock: "
_WRITTEN_ANEW = "the lock's key was missing; writing it anew, held by nobody: applied"
_GUARD_WORD = re.compile(r"the guard of neard pid \S+ released the lock")
_ORDERED = re.compile(r"(handover|restart) asked for by ")
_TRACEBACK = re.compile(r"^ *Traceback \(most recent call last\):\n(?: +.*\n)*(.*)$", re.MULTILINE)
_WHYS = {
    "its holder has not proved itself": Cause.STEAL,
    "it is free without the marker": Cause.FREE,
}


@dataclass(frozen=True)
class Story:
    """What the logs tell: each node's takes in the order of time, how each term ended, and in which the key was missing."""

    takes: Mapping[str, Sequence[LogLine]]
    endings: Mapping[int, Cause]
    missing: Collection[int] = ()


def read_logs(logs: Iterable[tuple[str, str]]) -> Story:
    """The story in the (name, text) of each node's log."""
    takes: dict[str, list[LogLine]] = {}
    endings: dict[int, Cause] = {}
    meant: dict[int, Cause] = {}
    missing: set[int] = set()
    for name, text in logs:
        takes[name] = []
        for raw in text.splitlines():
            if handed := _HANDED_BACK.match(raw):
                endings[int(handed[1])] = Cause.HANDED_BACK
            if (line := _LINE.match(raw)) is None:
                continue
            at, message = datetime.fromisoformat(line[1]).timestamp(), line[4]
            if taken := _TAKE.match(message):
                takes[name].append(LogLine(at, name, int(taken[1]), taken[2]))
            elif giving := _GIVING.match(message):
                meant[int(giving[1])] = _reason(giving[2])
            elif line[3] is not None and message.startswith(_WRITTEN_ANEW):
                missing.add(int(line[3]))
            elif line[3] is not None and message.startswith(_RELEASED):
                endings[int(line[3])] = _reason(message.removeprefix(_RELEASED))
            elif _GUARD_WORD.match(message):
                endings[_term_before(takes[name])] = Cause.GUARD
    # A release whose answer got lost is not told as done: then what was tried counts.
    return Story(takes, {**meant, **endings}, missing)


def tracebacks(log: str) -> list[str]:
    """The last line of each Python traceback in a log: what a supervisor or a guard has died of, or has survived."""
    return [found[1].strip() for found in _TRACEBACK.finditer(log)]


def _reason(reason: str) -> Cause:
    if reason.startswith("stopped: "):
        return Cause.CLEAN
    if _ORDERED.match(reason):
        return Cause.ORDERED
    if reason.startswith("left over from an earlier life"):
        return Cause.HANDED_BACK
    return Cause.FENCED if reason.startswith("no proof of holding") else Cause.FAILED


def _term_before(takes: Sequence[LogLine]) -> int:
    return takes[-1].term if takes else 0


def takeovers(
    intervals: Sequence[KeyInterval],
    signed: Sequence[float],
    names: Mapping[Path, str],
    story: Story,
    wall: float,
    confirmed: Sequence[float] = (),
) -> tuple[Takeover, ...]:
    """Each key interval with its cause. `intervals` and `signed` (times of all signatures) are in the order of time.

    `confirmed` are the times of an operator's confirmations, without which nobody would have taken the lock. `wall` is
    what has to be added to a time of CLOCK_BOOTTIME to have Unix time. A release with proof that no log tells of is the
    guard's: its supervisor was dead and could not say so.
    """
    found: list[Takeover] = []
    explained: set[tuple[str, float]] = set()
    last: KeyInterval | None = None
    for interval in intervals:
        node = names.get(Path(interval.home), interval.home)
        take = _last_take(story.takes.get(node, ()), interval.loaded_at + wall + CLOCKS_APART)
        cause = _cause(take, story, first=last is None, seen=take is not None and (node, take.at) in explained)
        if take is not None:
            explained.add((node, take.at))
        if last is not None and any((last.ended_at or 0.0) < at < interval.loaded_at for at in confirmed):
            cause = Cause.CONFIRMED
        gap = None
        if last is not None and last.ended_at is not None:
            gap = max(0.0, interval.loaded_at - last.ended_at)
        found.append(
            Takeover(
                at=interval.loaded_at,
                node=node,
                before=names.get(Path(last.home), last.home) if last is not None else "",
                term=take.term if take is not None else 0,
                cause=cause,
                gap=gap,
                silent=_silence(signed, interval.loaded_at),
            )
        )
        last = interval
    return tuple(found)


def _last_take(takes: Sequence[LogLine], until: float) -> LogLine | None:
    return next((take for take in reversed(takes) if take.at <= until), None)


def _cause(take: LogLine | None, story: Story, *, first: bool, seen: bool) -> Cause:
    if first:
        return Cause.FIRST
    if take is None:
        return Cause.UNKNOWN
    if seen:
        return Cause.SAME_TERM
    for words, cause in _WHYS.items():
        if take.text.startswith(words):
            return Cause.MISSING if take.term - 1 in story.missing else cause
    released = max((term for term in story.endings if term < take.term), default=0)
    # The term before has either left word of its release, or died with its supervisor and was released by the guard.
    taken = max((t.term for takes in story.takes.values() for t in takes if t.term < take.term), default=0)
    return story.endings[released] if released and released >= taken else Cause.GUARD


def _silence(signed: Sequence[float], at: float) -> float | None:
    after = bisect.bisect_left(signed, at)
    return signed[after] - signed[after - 1] if 0 < after < len(signed) else None


def figures(found: Iterable[Takeover]) -> tuple[CauseFigures, ...]:
    """The figures of each cause that there was, in the order of Cause, without the first holder."""
    by_cause: dict[Cause, list[Takeover]] = {}
    for takeover in found:
        if takeover.gap is not None:
            by_cause.setdefault(takeover.cause, []).append(takeover)
    rows = []
    for cause in Cause:
        if not (group := by_cause.get(cause)):
            continue
        gaps = [takeover.gap for takeover in group if takeover.gap is not None]
        silent = [takeover.silent for takeover in group if takeover.silent is not None]
        rows.append(
            CauseFigures(
                cause=cause.value,
                n=len(gaps),
                p50=round(percentile(gaps, 0.50), 2),
                p99=round(percentile(gaps, 0.99), 2),
                most=round(max(gaps), 2),
                most_silent=round(max(silent), 2) if silent else None,
            )
        )
    return tuple(rows)
