# SPDX-License-Identifier: Apache-2.0
"""The referee's findings as the localnet tells them: who signed when, how long nobody did, and whether it was safe."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neard_standin.procfs import boottime
from neard_standin.referee import Referee
from neard_standin.verdict import KeyInterval, Verdict

# A verdict looks at the whole journal; judging may take this share of the time, so a day's journal does not eat a core.
JUDGING_SHARE = 0.02
FRESHEST = 1.0  # seconds; a verdict is not made more often


@dataclass(frozen=True)
class Takeover:
    """One loading of the key. `at` is CLOCK_BOOTTIME; `gap` the seconds without a signer before it, None for the first."""

    at: float
    node: str
    before: str | None
    gap: float | None

    def text(self) -> str:
        """One line for people, with the wall clock's time of day."""
        moment = time.strftime("%H:%M:%S", time.localtime(time.time() - (boottime() - self.at)))
        if self.before is None or self.gap is None:
            return f"{moment}  {self.node} is the first to sign"
        if self.before == self.node:
            return f"{moment}  {self.node} signs again after {self.gap:.2f} s without a signer"
        return f"{moment}  {self.node} took over from {self.before} after {self.gap:.2f} s without a signer"


def takeovers(intervals: Sequence[KeyInterval], names: Mapping[Path, str]) -> tuple[Takeover, ...]:
    """The takeovers in `intervals`, which are in the order of loading; `names` are the nodes by their home."""
    found: list[Takeover] = []
    before: KeyInterval | None = None
    for interval in intervals:
        name = names.get(Path(interval.home), interval.home)
        if before is None:
            found.append(Takeover(interval.loaded_at, name, None, None))
        else:
            ended = interval.loaded_at if before.ended_at is None else before.ended_at
            gap = max(0.0, interval.loaded_at - ended)
            found.append(Takeover(interval.loaded_at, name, names.get(Path(before.home), before.home), gap))
        before = interval
    return tuple(found)


def unsigned_for(intervals: Sequence[KeyInterval], now: float) -> float | None:
    """For how many seconds nobody has been able to sign, None while somebody is or before the first."""
    if not intervals or any(interval.ended_at is None for interval in intervals):
        return None
    return now - max(interval.ended_at or 0.0 for interval in intervals)


def verdict_line(verdict: Verdict) -> str:
    """The verdict in one line."""
    word = "safe" if verdict.safe else "NOT SAFE"
    return (
        f"referee: {word}; overlaps {len(verdict.overlaps)}, signed twice {len(verdict.heights_signed_twice)}, "
        f"duties missed {verdict.missed_duties} of {verdict.expected_duties}"
    )


class Judge:
    """The referee's verdict on `account`, made anew as often as is cheap."""

    def __init__(self, referee: Referee, account: str) -> None:
        self._referee = referee
        self._account = account
        self._verdict = referee.verdict(account)
        self._next = 0.0

    def verdict(self, *, fresh: bool = False) -> Verdict:
        """The latest verdict. Raises RuntimeError when the referee has gone blind."""
        begun = time.monotonic()
        if fresh or begun >= self._next:
            self._verdict = self._referee.verdict(self._account)
            taken = time.monotonic() - begun
            self._next = begun + max(FRESHEST, taken / JUDGING_SHARE)
        return self._verdict

    def intervals(self) -> tuple[KeyInterval, ...]:
        """Who has held the key so far."""
        return self._referee.intervals(self._account)
