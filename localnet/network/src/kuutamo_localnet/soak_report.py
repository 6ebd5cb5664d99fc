# SPDX-License-Identifier: Apache-2.0
"""What a soak has found, as tables and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neard_standin.verdict import DoubleSignature, Verdict

from .bench import percentile
from .soak_causes import CauseFigures, Takeover
from .soak_faults import Injection
from .soak_memory import Growth
from .soak_plan import Kind
from .soak_stuck import Stuck

MOST_GROWTH = 10.0  # MB of PSS; no supervisor or guard may grow by more in one life


@dataclass(frozen=True)
class FaultCount:
    """How often a kind of fault was done, and how often it was planned and not done."""

    kind: str
    done: int
    skipped: int


@dataclass(frozen=True)
class Recoveries:
    """After how many of so many waves of faults a healthy holder has signed, and how long that took from the end of the
    last fault: percentiles and `bound` in seconds, None where nobody has.
    """

    waves: int
    signed: int
    p50: float | None
    p99: float | None
    most: float | None
    bound: float


@dataclass(frozen=True)
class Report:
    """The findings of one soak; times in seconds, memory in MB.

    `expected` seconds were asked for, `lasted` is what it took with start and end. `cut_by` says how nodes were cut off,
    `clocks` whether the hosts' boot clocks differed. `orders` counts how the operator's commands ended. `standbys` is how
    many others were ready to take over in the end.
    """

    seed: int
    expected: float
    lasted: float
    cut_by: str
    clocks: str
    faults: tuple[FaultCount, ...]
    takeovers: tuple[CauseFigures, ...]
    key_intervals: int
    double_signatures: int
    overlaps: int
    stuck_terms: int
    left_behind: int
    crashes: int
    recoveries: Recoveries
    standbys: int
    duties: int
    duties_missed: int
    supervisor_starts: int
    watchdog_kills: int
    orders: Mapping[str, int]
    confirms: int
    false_alarms: int
    memory: tuple[Growth, ...]
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def to_json(self, injections: Iterable[Injection], history: Iterable[Takeover], begun: float) -> dict[str, Any]:
        """Everything, with each fault and each takeover and when it was; `begun` is the start in CLOCK_BOOTTIME."""
        return {
            "passed": self.passed,
            **asdict(self),
            "history": [{**asdict(each), "at": round(each.at - begun, 2)} for each in history],
            "injections": [
                {
                    "kind": each.fault.kind.value,
                    "node": each.node,
                    "at": round(each.struck, 2),
                    "until": None if each.undone is None else round(each.undone, 2),
                    "skipped": each.skipped,
                }
                for each in injections
            ],
        }


def count_faults(injections: Iterable[Injection]) -> tuple[FaultCount, ...]:
    """How often each kind was done, in the order of Kind; kinds that were not planned are left out."""
    done: Counter[Kind] = Counter()
    skipped: Counter[Kind] = Counter()
    for each in injections:
        (skipped if each.skipped else done)[each.fault.kind] += 1
    return tuple(FaultCount(kind.value, done[kind], skipped[kind]) for kind in Kind if done[kind] + skipped[kind])


def recoveries(waves: int, recovered: Sequence[float], bound: float) -> Recoveries:
    """The figures of the seconds that recoveries took."""

    def rank(share: float) -> float | None:
        return round(percentile(recovered, share), 2) if recovered else None

    return Recoveries(waves, len(recovered), rank(0.50), rank(0.99), rank(1.0), round(bound, 1))


def conclusions(
    verdict: Verdict,
    stuck: Iterable[Stuck],
    left: Iterable[str],
    crashes: Iterable[str],
    memory: Iterable[Growth],
    begun: float,
) -> tuple[str, ...]:
    """A sentence for everything that must not be, the worst first; `begun` is the start in CLOCK_BOOTTIME."""
    found = [
        f"signed twice: {double.kind} of height {double.height}, by {_signers(double)}"
        for double in verdict.heights_signed_twice
    ]
    found += [
        f"two could sign for {overlap.seconds:.2f} s, from {overlap.start - begun:.1f} s on: "
        f"pid {overlap.first.pid} in {overlap.first.home}, pid {overlap.second.pid} in {overlap.second.home}"
        for overlap in verdict.overlaps
    ]
    found += [
        f"term {each.term} was stuck for {each.seconds:.1f} s (bound {each.bound:.0f} s), up to {each.at - begun:.1f} s: "
        f"{each.why}"
        for each in stuck
    ]
    found += [f"left behind: {text}" for text in left]
    found += [f"crashed {times} times: {text}" for text, times in Counter(crashes).items()]
    found += [
        f"a {each.part} grew by {each.most:.1f} MB, more than {MOST_GROWTH:g} MB"
        for each in memory
        if each.most > MOST_GROWTH
    ]
    return tuple(found)


def _signers(double: DoubleSignature) -> str:
    return " and ".join(f"pid {record.pid} in {record.home}" for record in double.records)


def render(report: Report) -> RenderableType:
    """The tables."""
    parts = [_faults(report), _orders(report), _takeovers(report), _memory(report), _findings(report)]
    parts += [Text(f"FAILED: {failure}", "bold red") for failure in report.failures]
    if report.passed:
        parts.append(Text(f"passed (seed {report.seed})", "green"))
    return Group(*parts)


def _titled(title: str, table: Table) -> RenderableType:
    # A title of the table's own would be broken at the table's width.
    return Group(Text(title, "bold"), table, Text())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _faults(report: Report) -> RenderableType:
    done, skipped = sum(count.done for count in report.faults), sum(count.skipped for count in report.faults)
    table = _table("fault", "done", "not done")
    for count in report.faults:
        table.add_row(count.kind, str(count.done), str(count.skipped or "-"))
    return _titled(f"Faults: {done} done, {skipped} planned and not done", table)


def _orders(report: Report) -> RenderableType:
    table = _table("command", "times")
    for how, times in report.orders.items():
        table.add_row(how, str(times))
    return _titled("How the operator's commands ended", table)


def _takeovers(report: Report) -> RenderableType:
    table = _table("how the key came to its holder", "n", "p50", "p99", "max", "max unsigned")
    for each in report.takeovers:
        row = (each.p50, each.p99, each.most, each.most_silent)
        table.add_row(each.cause, str(each.n), *("-" if value is None else f"{value:.2f}" for value in row))
    return _titled("Seconds without a key holder, by cause (unsigned: from the last signature to the next)", table)


def _memory(report: Report) -> RenderableType:
    table = _table("process", "lives", "hours", "PSS first", "PSS last", "RSS first", "RSS last", "PSS/hour", "most")
    for each in report.memory:
        values = (each.pss_first, each.pss_last, each.rss_first, each.rss_last)
        numbers = [f"{value:.1f}" for value in values] + [f"{each.pss_per_hour:+.2f}", f"{each.most:+.2f}"]
        table.add_row(each.part, str(each.lives), f"{each.hours:.2f}", *numbers)
    return _titled("Memory in MB after the warm-up of each process, and growth", table)


def _findings(report: Report) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    healed = report.recoveries
    took = ""
    if healed.signed:
        took = f": p50 {healed.p50:.2f} s, p99 {healed.p99:.2f} s, max {healed.most:.2f} s (bound {healed.bound:.0f} s)"
    rows = (
        ("double signatures", report.double_signatures),
        ("overlapping key intervals", report.overlaps),
        ("stuck terms", report.stuck_terms),
        ("processes left behind", report.left_behind),
        ("crashes of supervisors and guards", report.crashes),
        ("signed after a wave of faults", f"{healed.signed} of {healed.waves}{took}"),
        ("standbys ready in the end", report.standbys),
        ("key intervals", report.key_intervals),
        ("duties missed", f"{report.duties_missed} of {report.duties}"),
        ("starts of supervisors", report.supervisor_starts),
        ("kills by the watchdog", report.watchdog_kills),
        ("operator's confirmations", f"{report.confirms} ({report.false_alarms} asked for in error)"),
        ("nodes are cut off by", report.cut_by),
        ("boot clocks", report.clocks),
        ("it took", f"{report.lasted:.0f} s"),
    )
    for what, value in rows:
        table.add_row(what, str(value))
    return _titled(f"Findings of {report.expected / 60:g} minutes with seed {report.seed}", table)
