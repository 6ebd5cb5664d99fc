# SPDX-License-Identifier: Apache-2.0
"""What the referee concludes from the key-holding intervals and the signatures of a network: pure functions."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from neard_standin.journal import Event, Record
from neard_standin.ledger import Kind, Ledger
from neard_standin.procfs import ProcessId

Ending = Literal["running", "died", "unloaded"]


@dataclass(frozen=True)
class KeyInterval:
    """A time in which one process could sign with one key; all times in seconds of CLOCK_BOOTTIME.

    `ended_at` is None while it lasts. When the end was only noticed, not reported by the process itself, the process is
    known to have been alive at `alive_at` and dead at `ended_at`; the true end lies between.
    """

    home: str
    pid: int
    starttime: int
    account: str
    public_key: str
    loaded_at: float
    alive_at: float
    ended_at: float | None = None
    how: Ending = "running"
    others_alive: tuple[ProcessId, ...] = ()
    host: str | None = None
    namespace: int = 0

    @property
    def process(self) -> ProcessId:
        """The process that held the key."""
        return ProcessId(self.pid, self.starttime, self.namespace)

    def __str__(self) -> str:
        end = "still running" if self.ended_at is None else f"{self.how} at {self.ended_at:.3f}"
        return f"{_place(self)} ({self.account}, {self.public_key}) from {self.loaded_at:.3f}, {end}"


@dataclass(frozen=True)
class Overlap:
    """Two processes that could sign with the same key at the same time."""

    first: KeyInterval
    second: KeyInterval
    start: float
    seconds: float


@dataclass(frozen=True)
class DoubleSignature:
    """One thing which several processes signed with the same key."""

    public_key: str
    height: int
    kind: Kind
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Gap:
    """A time without any process that held the account's key, in seconds of CLOCK_BOOTTIME."""

    account: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The length of the gap."""
        return self.end - self.start


@dataclass(frozen=True)
class Miss:
    """A duty that was not done; `at` is the beginning of its slot, in seconds of CLOCK_BOOTTIME.

    `held`: one process is known to have had the key for the whole slot, so it was there to sign. Otherwise the slot
    touches a time in which nobody had it, as far as is known.
    """

    account: str
    height: int
    kind: Kind
    at: float
    held: bool


@dataclass(frozen=True)
class Verdict:
    """The referee's findings up to `at` (seconds of CLOCK_BOOTTIME)."""

    at: float
    intervals: tuple[KeyInterval, ...]
    overlaps: tuple[Overlap, ...]
    heights_signed_twice: tuple[DoubleSignature, ...]
    gaps: tuple[Gap, ...]
    expected_duties: int
    missed_duties: int
    missed: Mapping[str, int] = field(default_factory=dict)
    """The missed duties by kind: blocks, chunks, endorsements."""
    misses: tuple[Miss, ...] = ()
    """Each missed duty, in the order of heights."""

    @property
    def safe(self) -> bool:
        """Whether there never were two key holders and nothing was signed twice."""
        return not self.overlaps and not self.heights_signed_twice

    def story(self) -> str:
        """The findings as text for people, one finding a line."""
        lines = [f"key holders: {len(self.intervals)}"]
        lines += [f"  {interval}" for interval in self.intervals]
        for overlap in self.overlaps:
            lines.append(f"OVERLAP of {overlap.seconds:.3f} s from {overlap.start:.3f}:")
            lines += [f"  {overlap.first}", f"  {overlap.second}"]
        for double in self.heights_signed_twice:
            signers = ", ".join(f"{_place(record)} at {record.boottime:.3f}" for record in double.records)
            lines.append(f"SIGNED TWICE: {double.kind} of height {double.height} with {double.public_key} by {signers}")
        lines += [f"gap of {gap.account}: {gap.seconds:.3f} s from {gap.start:.3f}" for gap in self.gaps]
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.missed.items())
        lines.append(f"duties missed: {self.missed_duties} of {self.expected_duties}" + (f" ({kinds})" if kinds else ""))
        if held := sum(miss.held for miss in self.misses):
            lines.append(f"of them while a process had the key: {held}")
        return "\n".join(lines)

    def assert_safe(self) -> None:
        """Raise AssertionError with the whole story when two processes held a key or signed the same thing."""
        if not self.safe:
            raise AssertionError(f"the network was not safe\n{self.story()}")


def _place(where: KeyInterval | Record) -> str:
    return f"pid {where.pid} in {where.home}" + (f" of {where.host}" if where.host else "")


def _settle(earlier: KeyInterval, others: Sequence[KeyInterval]) -> KeyInterval:
    """Narrow the end of an interval whose process was only noticed to be dead some time after its death.

    Whoever loads the same key notes which other holders are alive at that moment. A successor that did not see this
    process alive proves that it was dead by then.
    """
    if earlier.how != "died" or earlier.ended_at is None or earlier.ended_at == earlier.alive_at:
        return earlier
    proofs = [
        other.loaded_at
        for other in others
        if other.process != earlier.process
        and other.public_key == earlier.public_key
        and earlier.alive_at <= other.loaded_at < earlier.ended_at
        and earlier.process not in other.others_alive
    ]
    return replace(earlier, ended_at=min([earlier.ended_at, *proofs]))


def _overlaps(intervals: Sequence[KeyInterval], now: float) -> tuple[Overlap, ...]:
    found = []
    for first, second in itertools.combinations(intervals, 2):
        if first.public_key != second.public_key or first.process == second.process:
            continue
        start = max(first.loaded_at, second.loaded_at)
        end = min(now if interval.ended_at is None else interval.ended_at for interval in (first, second))
        later, earlier = (second, first) if second.loaded_at >= first.loaded_at else (first, second)
        # The later holder saw the earlier one alive: an overlap however short.
        witnessed = earlier.process in later.others_alive and (
            earlier.ended_at is None or earlier.ended_at >= later.loaded_at
        )
        if end > start or witnessed:
            found.append(Overlap(earlier, later, start, max(0.0, end - start)))
    return tuple(found)


def _signed_twice(signatures: Iterable[Record]) -> tuple[DoubleSignature, ...]:
    by_duty: dict[tuple[str, int, Kind], list[Record]] = defaultdict(list)
    for record in signatures:
        if record.public_key is not None and record.height is not None and record.kind is not None:
            by_duty[record.public_key, record.height, record.kind].append(record)
    return tuple(
        DoubleSignature(*duty, tuple(records))
        for duty, records in sorted(by_duty.items())
        if len({record.process for record in records}) > 1
    )


def _gaps(account: str, intervals: Sequence[KeyInterval], now: float) -> list[Gap]:
    gaps = []
    held_until = intervals[0].loaded_at
    for interval in intervals:
        if interval.loaded_at > held_until:
            gaps.append(Gap(account, held_until, interval.loaded_at))
        held_until = max(held_until, now if interval.ended_at is None else interval.ended_at)
    if now > held_until:
        gaps.append(Gap(account, held_until, now))
    return gaps


def _held_throughout(intervals: Sequence[KeyInterval], public_key: str | None) -> Callable[[float, float], bool]:
    """A function that tells whether one process surely had `public_key` from one moment to another.

    Of a process that was only found dead no more is known than when it was last alive. `intervals` are in the order of
    loading.
    """
    own = [interval for interval in intervals if interval.public_key == public_key]
    loads = [interval.loaded_at for interval in own]
    ends = (math.inf if interval.ended_at is None else interval.alive_at for interval in own)
    held_until = list(itertools.accumulate(ends, max))

    def held(start: float, end: float) -> bool:
        loaded = bisect_right(loads, start)
        return loaded > 0 and held_until[loaded - 1] >= end

    return held


def _duties(
    ledger: Ledger, account: str, intervals: Sequence[KeyInterval], signatures: Iterable[Record], now: float
) -> tuple[int, list[Miss]]:
    """Expected duties, and the missed ones, from the first holder's first whole slot to the last finished slot."""
    first = ledger.height_at(intervals[0].loaded_at) + 1
    expected = {(duty.height, duty.kind) for duty in ledger.expected_duties(account, first, ledger.height_at(now))}
    on_chain = ledger.on_chain_key(account)
    done = {
        (record.height, record.kind) for record in signatures if record.account == account and record.public_key == on_chain
    }
    held = _held_throughout(intervals, on_chain)
    misses = []
    for height, kind in sorted(expected - done):
        start, end = ledger.start_of(height), ledger.start_of(height + 1)
        misses.append(Miss(account, height, kind, start, held(start, end)))
    return len(expected), misses


def judge(
    ledger: Ledger,
    intervals: Iterable[KeyInterval],
    records: Iterable[Record],
    now: float,
    account: str | None = None,
    read_at: float | None = None,
) -> Verdict:
    """The verdict at `now` (seconds of CLOCK_BOOTTIME) on one account, or on all that ever loaded a key.

    `intervals` and `records` are of the whole network; overlaps and double signatures of a key are found even when the
    two processes name different accounts. `read_at` is when the reading of `records` began, None: at `now`; signatures of
    a slot that ended later may have been written after it, so its duties are not judged yet.
    """
    every = sorted(intervals, key=lambda interval: interval.loaded_at)
    settled = [_settle(interval, every) for interval in every]
    signatures = [record for record in records if record.event is Event.SIGNATURE]
    accounts = sorted({interval.account for interval in settled}) if account is None else [account]
    chosen = [interval for interval in settled if interval.account in accounts]
    keys = {interval.public_key for interval in chosen}
    gaps: list[Gap] = []
    finished = now if read_at is None else min(now, read_at)
    expected, misses = 0, list[Miss]()
    for name in accounts:
        if own := [interval for interval in chosen if interval.account == name]:
            gaps += _gaps(name, own, now)
            due, undone = _duties(ledger, name, own, signatures, finished)
            expected, misses = expected + due, misses + undone
    missed = Counter(miss.kind for miss in misses)
    return Verdict(
        at=now,
        intervals=tuple(chosen),
        overlaps=_overlaps([interval for interval in settled if interval.public_key in keys], now),
        heights_signed_twice=tuple(
            double
            for double in _signed_twice(signatures)
            if account is None or account in {record.account for record in double.records}
        ),
        gaps=tuple(gaps),
        expected_duties=expected,
        missed_duties=len(misses),
        missed={kind.value: missed[kind] for kind in Kind},
        misses=tuple(sorted(misses, key=lambda miss: miss.height)),
    )
