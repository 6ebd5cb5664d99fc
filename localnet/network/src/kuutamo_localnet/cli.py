# SPDX-License-Identifier: Apache-2.0
"""The command line `kuutamo-localnet`."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .bench import NAMES, BenchOptions, bench
from .commands import ALL, HOLDER, PARTS, CommandError, Request, Verb
from .consul_binary import ConsulNotFoundError
from .control import ask
from .fleet_node import Part
from .fleet_plan import FleetSpec
from .localnet import DEFAULT_DIRECTORY, HOLD_OFF, UpOptions, up
from .real_neard import NeardError
from .soak import SoakOptions, fresh_seed, soak
from .soak_plan import FEWEST_SECONDS
from .workspace import WorkspaceError

MOST_NODES = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code: 2 for a wrong command line, 1 for what went wrong later."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "up":
                if options.neard is not None and options.block_time_ms is not None:
                    parser.error(f"--block-time-ms {options.block_time_ms}: --neard sets its own; leave one of them out")
                return up(_up_options(options), sys.stdout)
            case "bench":
                return bench(BenchOptions(options.runs, options.cases, options.out, options.dir), sys.stdout)
            case "soak":
                seed = fresh_seed() if options.seed is None else options.seed
                return soak(SoakOptions(options.minutes, seed, options.out, options.dir), sys.stdout)
            case _:
                request = Request(Verb(options.command), getattr(options, "node", ALL), getattr(options, "part", PARTS[0]))
                sys.stdout.write(ask(options.dir, request) + "\n")
                return 0
    except (WorkspaceError, CommandError, ConsulNotFoundError, NeardError, AssertionError, OSError) as error:
        sys.stderr.write(f"kuutamo-localnet: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kuutamo-localnet",
        description="A one-machine network: real Consul, real kuutamods, a simulated chain or a real neard.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="run a network until Ctrl-C", allow_abbrev=False))
    _add_bench(commands.add_parser("bench", help="measure the takeovers", allow_abbrev=False))
    _add_soak(commands.add_parser("soak", help="random faults, judged by the referee", allow_abbrev=False))
    for verb, text in _VERBS.items():
        command = commands.add_parser(verb.value, help=text, description=text, allow_abbrev=False)
        _add_directory(command)
        if verb in (Verb.THAW, Verb.START):
            command.add_argument("node", metavar="NODE", nargs="?", default=ALL, help=f"default: {ALL} that need it")
        elif verb is not Verb.STATUS:
            command.add_argument("node", metavar="NODE", help=f"a node's name, or `{HOLDER}`")
        if verb in (Verb.KILL, Verb.FREEZE):
            which = "which process; `host` is all of the node's (default: %(default)s)"
            command.add_argument("--part", choices=PARTS, default=Part.NEARD.value, help=which)
    return parser


_VERBS = {
    Verb.KILL: "SIGKILL to a process of a node",
    Verb.FREEZE: "SIGSTOP to a process of a node",
    Verb.THAW: "SIGCONT to all processes of a node",
    Verb.STOP: "SIGTERM to a node's supervisor: a graceful stop",
    Verb.START: "start a node that was stopped or killed",
    Verb.STATUS: "print the table once",
}


def _add_directory(parser: argparse.ArgumentParser) -> None:
    text = "the localnet's directory (default: %(default)s)"
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR", help=text)


def _add_up(parser: argparse.ArgumentParser) -> None:
    defaults = FleetSpec()
    _add_directory(parser)
    parser.add_argument("--neard", type=_program, metavar="PATH", help="a neard program, which makes its own chain")
    text = f"how many kuutamods, 1 to {MOST_NODES} (default: %(default)s)"
    parser.add_argument("--nodes", type=_nodes, default=defaults.nodes, metavar="N", help=text)
    text = f"milliseconds, of the simulated chain alone (default: {defaults.block_time_ms})"
    parser.add_argument("--block-time-ms", type=_positive, metavar="MS", help=text)
    ways = ("auto", "hot-swap", "restart")
    text = "how the key gets into neard (default: %(default)s)"
    parser.add_argument("--promotion", choices=ways, default=defaults.promotion, help=text)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    text = "runs of each case (default: %(default)s)"
    parser.add_argument("--runs", type=_positive, default=20, metavar="N", help=text)
    text = f"comma-separated (default: {','.join(NAMES)})"
    parser.add_argument("--cases", type=_cases, default=NAMES, metavar="CASE,...", help=text)
    text = "where the figures go; those at idle go beside it as *-idle.json (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), metavar="FILE", help=text)
    text = "where the networks run, cleared at each start (default: %(default)s)"
    parser.add_argument("--dir", type=Path, default=Path("build/bench"), metavar="DIR", help=text)


def _add_soak(parser: argparse.ArgumentParser) -> None:
    text = "for how long faults are injected (default: %(default)g)"
    parser.add_argument("--minutes", type=_minutes, default=5.0, metavar="N", help=text)
    text = "a whole number that settles faults and times (default: a fresh one, which is printed)"
    parser.add_argument("--seed", type=_seed, metavar="S", help=text)
    text = "where the report goes (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("build/soak.json"), metavar="FILE", help=text)
    text = "where the network runs, cleared at each start (default: %(default)s)"
    parser.add_argument("--dir", type=Path, default=Path("build/soak"), metavar="DIR", help=text)


def _up_options(options: argparse.Namespace) -> UpOptions:
    spec = FleetSpec(nodes=options.nodes, promotion=options.promotion, environment={"KUUTAMO_HOLD_OFF": f"{HOLD_OFF:g}"})
    if options.block_time_ms is not None:
        spec = replace(spec, block_time_ms=options.block_time_ms)
    if options.neard is not None:
        spec = replace(spec, neard=options.neard)
    return UpOptions(spec, real=options.neard is not None, directory=options.dir)


def _program(text: str) -> Path:
    found = shutil.which(os.path.expanduser(text))  # noqa: PTH111 - a bare name stays one, for the search on PATH
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: no such program, or it is not executable")
    return Path(found).absolute()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or above")
    return int(text)


def _minutes(text: str) -> float:
    fewest = FEWEST_SECONDS / 60
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not fewest <= minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected minutes, at least {fewest:.2g}")
    return minutes


def _nodes(text: str) -> int:
    number = _positive(text)
    if number > MOST_NODES:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to {MOST_NODES}")
    return number


def _cases(text: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if unknown := [name for name in chosen if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: unknown; there are {', '.join(NAMES)}")
    return chosen or NAMES
