# SPDX-License-Identifier: Apache-2.0
"""`kuutamo-localnet bench`: the takeover table, and what the supervisor costs at idle."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from neard_standin.files import write_atomically

from .bench_arena import Arena
from .bench_cases import CASES, HOLD_OFF, Build, Case, Run, measure
from .bench_idle import Idle, idle, idle_table
from .consul_binary import ConsulBinary
from .fleet_plan import FleetSpec
from .localnet import Ended, ended_by_signals, locate_consul
from .workspace import Workspace

IDLE = "idle"
NAMES = (*CASES, IDLE)
WIDTH = 100


@dataclass(frozen=True)
class BenchOptions:
    """What `bench` was asked for: runs of each case, some of NAMES, the file of figures, the directory to run in."""

    runs: int
    cases: Sequence[str]
    out: Path
    directory: Path


@dataclass(frozen=True)
class Figures:
    """One case's takeovers: percentiles in seconds over `n` runs, and the number of overlaps of signers."""

    case: str
    n: int
    p50: float
    p99: float
    overlap: int


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured, of which no more than `share` lie below.

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def figures(case: str, runs: Sequence[Run]) -> Figures:
    """The figures of a case. Raises ValueError without runs."""
    seconds = [run.seconds for run in runs]
    return Figures(
        case=case,
        n=len(runs),
        p50=round(percentile(seconds, 0.50), 3),
        p99=round(percentile(seconds, 0.99), 3),
        overlap=sum(run.overlaps for run in runs),
    )


def takeover_table(results: Sequence[Figures]) -> Table:
    """The figures beside what they should be."""
    table = Table(title="Time without a signer, in seconds", box=None, padding=(0, 2, 0, 0))
    for column in ("case", "n", "p50", "aim", "p99", "aim", "overlap"):
        table.add_column(column, justify="left" if column == "case" else "right", no_wrap=True)
    for result in results:
        aim = CASES[result.case].aim
        table.add_row(
            result.case,
            str(result.n),
            _against(result.p50, aim.p50),
            _aim(aim.p50),
            _against(result.p99, aim.p99),
            _aim(aim.p99),
            str(result.overlap) if not result.overlap else f"[bold red]{result.overlap}[/]",
        )
    return table


def _aim(aim: float | None) -> str:
    return "-" if aim is None else f"<= {aim:g}"


def _against(value: float, aim: float | None) -> str:
    return f"[red]{value:.2f}[/]" if aim is not None and value > aim else f"{value:.2f}"


def bench(options: BenchOptions, out: TextIO) -> int:
    """Measure, print, write the files; returns the exit code: 1 when a run failed, signers overlapped or it was ended.

    Raises WorkspaceError, ConsulNotFoundError, OSError for a file that cannot be written.
    """
    console = Console(file=out, width=max(WIDTH, Console(file=out).width), highlight=False)
    begun = time.monotonic()
    suite = _Suite(options, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ended_by_signals(), Workspace(options.directory) as workspace:
            binary = locate_consul(lambda text: console.print(text, markup=False, soft_wrap=True))
            console.print(f"Default lease numbers and block time, but KUUTAMO_HOLD_OFF={HOLD_OFF:g} to reuse a fleet.")
            suite.run(workspace.network, binary)
    except Ended:
        suite.failures.append("it was ended by a signal")
    if suite.results:
        console.print(takeover_table(suite.results))
        _write(options.out, [asdict(result) for result in suite.results])
    if suite.idle:
        console.print(idle_table(suite.idle))
        _write(options.out.with_name(f"{options.out.stem}-idle.json"), [asdict(each) for each in suite.idle])
    console.print(f"{time.monotonic() - begun:.0f} s; the figures are in {options.out}", markup=False)
    for failure in suite.failures:
        console.print(f"FAILED: {failure}", style="bold red", markup=False, soft_wrap=True)
    return 1 if suite.failures or any(result.overlap for result in suite.results) else 0


class _Suite:
    """The measurements, whatever of them is there when it ends."""

    def __init__(self, options: BenchOptions, console: Console) -> None:
        self.results: list[Figures] = []
        self.idle: list[Idle] = []
        self.failures: list[str] = []
        self._options = options
        self._console = console

    def run(self, directory: Path, binary: ConsulBinary) -> None:
        """Cases that fit the same surroundings share a fleet: most of the time goes into starting one."""
        chosen = [CASES[name] for name in CASES if name in self._options.cases]
        spec = FleetSpec(environment={"KUUTAMO_HOLD_OFF": f"{HOLD_OFF:g}"})
        builds: dict[Build, list[Case]] = {}
        for case in chosen:
            builds.setdefault(case.build, []).append(case)
        arenas = 0
        for build, cases in builds.items():
            while cases:
                arenas += 1
                with build(directory / f"arena{arenas}", spec, binary) as arena:
                    # A fleet in which a run failed is in no known state: the next case gets a new one.
                    while cases and self._case(arena, cases.pop(0)):
                        pass
        if IDLE in self._options.cases:
            try:
                self.idle = idle(directory / IDLE, binary, lambda text: self._console.print(text, markup=False))
            except (AssertionError, LookupError) as error:
                self.failures.append(f"{IDLE}: {_story(error)}")

    def _case(self, arena: Arena, case: Case) -> bool:
        """All runs of a case; whether each of them worked."""
        what = case.what + (f" ({arena.cut_by})" if arena.cut_by and case.name == "partition" else "")
        self._console.print(f"{case.name}: {what}", markup=False)
        runs: list[Run] = []
        try:
            for number in range(1, self._options.runs + 1):
                run = measure(arena, case)
                runs.append(run)
                overlap = f", {run.overlaps} OVERLAPS" if run.overlaps else ""
                text = f"  {number:2}/{self._options.runs}  {run.seconds:6.2f} s  {run.loser} -> {run.winner}{overlap}"
                self._console.print(text, markup=False)
        except (AssertionError, LookupError, TimeoutError) as error:
            self.failures.append(f"{case.name}, run {len(runs) + 1}: {_story(error)}")
        finally:
            if runs:
                self.results.append(figures(case.name, runs))
        return len(runs) == self._options.runs


def _story(error: Exception) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def _write(path: Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")
