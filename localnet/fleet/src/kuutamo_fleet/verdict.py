# SPDX-License-Identifier: Apache-2.0
"""The referee's word on a fleet, from the one journal of all its hosts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neard_standin.procfs import boottime
from neard_standin.referee import Verdict, judge_journal
from neard_standin.verdict import Gap, Miss


@dataclass(frozen=True)
class Finding:
    """A verdict, looked at from the moment `since` (seconds of CLOCK_BOOTTIME) on; safety is always judged whole.

    `longest_gap` is the most seconds without a signer that are accepted, None: any.
    """

    verdict: Verdict
    since: float = 0.0
    longest_gap: float | None = None

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps that ended, or last, after `since`."""
        return tuple(gap for gap in self.verdict.gaps if gap.end > self.since)

    @property
    def misses(self) -> tuple[Miss, ...]:
        """The missed duties of the slots that began after `since`."""
        return tuple(miss for miss in self.verdict.misses if miss.at > self.since)

    @property
    def unsigned(self) -> float:
        """Seconds without a signer in all of these gaps."""
        return sum(gap.seconds for gap in self.gaps)

    @property
    def too_long(self) -> tuple[Gap, ...]:
        """Gaps that are longer than accepted."""
        limit = self.longest_gap
        return () if limit is None else tuple(gap for gap in self.gaps if gap.seconds > limit)

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain about."""
        return self.verdict.safe and not self.too_long

    @property
    def signer(self) -> str | None:
        """The host on which a neard has the key at this moment."""
        return next((item.host for item in reversed(self.verdict.intervals) if item.ended_at is None), None)

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs. `clock` is the moment of the answer, to be given as `--since` later."""
        return {
            **asdict(self.verdict),
            "safe": self.verdict.safe,
            "good": self.good,
            "gaps": [{**asdict(gap), "seconds": gap.seconds} for gap in self.gaps],
            "misses": [asdict(miss) for miss in self.misses],
            "signer": self.signer,
            "clock": boottime(),
        }

    def story(self) -> str:
        """Everything, for people."""
        lines = [self.verdict.story()]
        lines += [
            f"TOO LONG without a signer: {gap.seconds:.3f} s, accepted {self.longest_gap:g} s" for gap in self.too_long
        ]
        counts = f"{len(self.verdict.overlaps)} overlaps, {len(self.verdict.heights_signed_twice)} signed twice"
        return "\n".join([*lines, f"{'safe' if self.verdict.safe else 'NOT SAFE'}: {counts}"])


def find(chain: Path, since: float = 0.0, longest_gap: float | None = None) -> Finding:
    """Judge the chain in the directory `chain` up to this moment, signer or not.

    Raises OSError or ValueError when it can't be read.
    """
    return Finding(judge_journal(chain, until=boottime()), since, longest_gap)
