# SPDX-License-Identifier: Apache-2.0
"""Do supervisors and guards grow? Their memory over their lives, each process compared with nothing but itself."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bench_idle import megabytes
from .fleet_node import FleetNode, Part
from .reaper import ProcessInfo

INTERVAL = 5.0  # seconds between two samples
WARM_UP = 30.0  # seconds; what a process needs for its first steps is no growth
SHORTEST = 30.0  # seconds after the warm-up; a shorter life tells nothing
_ENDS = 3  # samples at each end, whose median counts


@dataclass(frozen=True)
class Sample:
    """A process's memory in MB (10^6 bytes) at a time (seconds of CLOCK_BOOTTIME); `pss` counts what is shared in part."""

    at: float
    pss: float
    rss: float


@dataclass(frozen=True)
class Growth:
    """How the processes of one part grew: over `lives` that were long enough, watched for `hours` together after their
    warm-up. `pss_first` and `pss_last` (and the same of `rss`) are means over the lives, MB. `pss_per_hour` is all growth
    by all hours, `most` the growth of PSS in the life that grew most.
    """

    part: str
    lives: int
    hours: float
    pss_first: float
    pss_last: float
    rss_first: float
    rss_last: float
    pss_per_hour: float
    most: float


def growth(part: str, lives: Iterable[Sequence[Sample]]) -> Growth:
    """The growth in the samples of each life, which are in the order of time."""
    first: list[Sample] = []
    last: list[Sample] = []
    for samples in lives:
        warm = [sample for sample in samples if sample.at - samples[0].at >= WARM_UP]
        if warm and warm[-1].at - warm[0].at >= SHORTEST:
            first.append(_median(warm[:_ENDS]))
            last.append(_median(warm[-_ENDS:]))
    hours = sum(after.at - before.at for before, after in zip(first, last, strict=True)) / 3600
    grown = [after.pss - before.pss for before, after in zip(first, last, strict=True)]
    return Growth(
        part=part,
        lives=len(first),
        hours=round(hours, 4),
        pss_first=_mean([sample.pss for sample in first]),
        pss_last=_mean([sample.pss for sample in last]),
        rss_first=_mean([sample.rss for sample in first]),
        rss_last=_mean([sample.rss for sample in last]),
        pss_per_hour=round(sum(grown) / hours, 2) if hours else 0.0,
        most=round(max(grown, default=0.0), 2),
    )


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        at=statistics.median(sample.at for sample in samples),
        pss=statistics.median(sample.pss for sample in samples),
        rss=statistics.median(sample.rss for sample in samples),
    )


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 2) if values else 0.0


class MemoryWatch:
    """Samples the supervisors and guards of nodes."""

    def __init__(self) -> None:
        self._lives: dict[Part, dict[tuple[int, int], list[Sample]]] = {Part.SUPERVISOR: {}, Part.GUARD: {}}

    def sample(self, nodes: Iterable[FleetNode], now: float) -> None:
        """Take a sample of every such process that there is at `now` (seconds of CLOCK_BOOTTIME)."""
        for node in nodes:
            for part, process in _parts(node).items():
                with contextlib.suppress(OSError, ValueError):
                    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                    found = Sample(now, megabytes(rollup, "Pss"), megabytes(rollup, "Rss"))
                    self._lives[part].setdefault((process.pid, process.started), []).append(found)

    def growths(self) -> tuple[Growth, ...]:
        """How supervisors and guards have grown so far."""
        return tuple(growth(part.value, lives.values()) for part, lives in self._lives.items())


def _parts(node: FleetNode) -> Mapping[Part, ProcessInfo]:
    """Supervisor and guard, told from the process tree alone: nobody is asked who may be stopped."""
    tree = node.process.tree()
    supervisor = next((info for info in tree if info.pid == node.process.pid), None)
    if supervisor is None:
        return {}
    guard = next((info for info in tree if info.parent == supervisor.pid and info.name != "neard"), None)
    return {Part.SUPERVISOR: supervisor} | ({Part.GUARD: guard} if guard is not None else {})
