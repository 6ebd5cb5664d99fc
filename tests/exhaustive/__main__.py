# SPDX-License-Identifier: Apache-2.0
"""``python -m exhaustive explore``: what was explored, as a table; the shortest story of what is wrong, if anything is."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import replace

from exhaustive.explore import explore
from exhaustive.machine import Budget
from exhaustive.mutants import MUTANTS
from exhaustive.search import Report
from exhaustive.side import FAULTS, Kind
from exhaustive.story import told
from exhaustive.world import Scale

ROW = "{:<28} {:>10} {:>12} {:>7} {:>7} {:>9} {:>7}  {}"


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when nothing is wrong, else 1."""
    parser = argparse.ArgumentParser(prog="python -m exhaustive", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser("explore", help="search every interleaving")
    command.add_argument("--minutes", type=float, default=10.0)
    command.add_argument("--faults", type=int, default=2, help="budgets of up to so many faults")
    command.add_argument("--only", metavar="KIND,...", help=f"faults of these kinds only: {', '.join(_names())}")
    command.add_argument("--promotion", choices=("hot-swap", "restart"), help="how the key gets into neard")
    command.add_argument("--longer", type=int, metavar="SECONDS", help="node a's D and G are longer than node b's by this")
    command.add_argument("--mutant", choices=[mutant.name for mutant in MUTANTS])
    chosen = parser.parse_args(arguments)
    return _explore(chosen, _kinds(command, chosen.only))


def _names() -> list[str]:
    return [_name(kind) for kind in Kind if kind in FAULTS]


def _name(kind: Kind) -> str:
    return kind.name.lower().replace("_", "-")


def _kinds(command: argparse.ArgumentParser, only: str | None) -> frozenset[Kind]:
    wanted = _names() if only is None else only.split(",")
    unknown = set(wanted) - set(_names())
    if unknown:
        command.error(f"--only: no fault is called {', '.join(sorted(unknown))}; there are {', '.join(_names())}")
    return frozenset(kind for kind in FAULTS if _name(kind) in wanted)


def _explore(chosen: argparse.Namespace, kinds: frozenset[Kind]) -> int:
    mutant = next((mutant for mutant in MUTANTS if mutant.name == chosen.mutant), None)
    scale = mutant.scale if mutant is not None else Scale()
    given = {name: value for name in ("promotion", "longer") if (value := getattr(chosen, name)) is not None}
    reports = []
    print(ROW.format("faults", "worlds", "transitions", "events", "seconds", "worlds/s", "took s", "end"))
    with mutant.applied() if mutant is not None else contextlib.nullcontext():
        for report in explore(replace(scale, **given), chosen.faults, chosen.minutes * 60, kinds):
            reports.append(report)
            print(_row(report), flush=True)
            if report.wrong:
                print(f"\n{told(report)}")
    print(_sum(reports))
    return 1 if any(report.wrong for report in reports) else 0


def _row(report: Report) -> str:
    end = "complete" if report.complete else "wrong" if report.wrong else "stopped"
    figures = (f"{report.speed:.0f}", f"{report.seconds:.1f}")
    return ROW.format(_budget(report.budget), report.worlds, report.transitions, report.depth, report.ticks, *figures, end)


def _budget(budget: Budget) -> str:
    return ", ".join(_name(kind) for kind in budget) or "none"


def _sum(reports: list[Report]) -> str:
    """What it comes to, by the number of faults."""
    lines = [""]
    for faults in sorted({len(report.budget) for report in reports}):
        these = [report for report in reports if len(report.budget) == faults]
        stopped = [report for report in these if not report.complete]
        text = f"{faults} faults: {len(these) - len(stopped)} of {len(these)} searches complete"
        if stopped:
            text += f", the others {min(report.depth for report in stopped)} to {max(r.depth for r in stopped)} events deep"
        lines.append(text)
    worlds, seconds = sum(report.worlds for report in reports), sum(report.seconds for report in reports)
    transitions = sum(report.transitions for report in reports)
    speed = worlds / max(seconds, 1e-9)
    lines.append(f"{worlds} worlds, {transitions} transitions in {seconds:.0f} s: {speed:.0f} worlds/s")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
