# SPDX-License-Identifier: Apache-2.0
"""``python -m simulation``: run seeds, tell a seed's story, shrink a failing one and keep it as a regression test."""

from __future__ import annotations

import argparse
import random
import sys
import time

from . import scripts, story
from .coverage import Coverage, Seen
from .faults import Fault
from .mutants import MUTANTS, Mutant
from .pool import many
from .run import Outcome, play, run, script_of, world_of
from .shrink import shrink

MOST_SHOWN = 5
"""Broken seeds that are shrunk and told; more than these are only counted."""
FRESH = 1 << 40
"""Fresh seeds are below this."""
PROGRESS = 60.0
"""Seconds between two lines about how far it is."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when no rule was broken and every transition was seen, else 1."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="run many seeds")
    command.add_argument("--seeds", type=int, default=None, help="how many (default: 1000, or no end with --minutes)")
    command.add_argument("--minutes", type=float, default=None, help="none is begun after this")
    command.add_argument("--from", dest="first", default="0", metavar="SEED", help="the first one, or 'fresh'")
    command.add_argument("--jobs", type=int, default=None)
    command.set_defaults(act=_run)
    for name, act, what in (("show", _show, "tell the story of a seed"), ("shrink", _shrink, "shorten a broken seed")):
        command = commands.add_parser(name, help=what)
        if act is _show:
            command.add_argument("seed", help="its number, or the name of a kept schedule")
        else:
            command.add_argument("seed", type=int)
        command.add_argument("--mutant", choices=[mutant.name for mutant in MUTANTS])
        command.add_argument("--rule", default="", help="go on until this rule is broken, not any")
        command.set_defaults(act=act)
        if act is _shrink:
            command.add_argument("--save", metavar="NAME", help="keep it as tests/simulation/scripts/NAME.json")
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.act(chosen)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return code


def _mutant(name: str | None) -> Mutant | None:
    return next((mutant for mutant in MUTANTS if mutant.name == name), None)


def _run(chosen: argparse.Namespace) -> int:
    begun = time.monotonic()
    first = random.SystemRandom().randrange(FRESH) if chosen.first == "fresh" else int(chosen.first)
    count = 1000 if chosen.seeds is None and chosen.minutes is None else chosen.seeds
    seconds = chosen.minutes * 60 if chosen.minutes is not None else float("inf")
    coverage, told = Coverage(), begun
    broken: list[Outcome] = []
    done, processor, simulated, skipped, takeovers = 0, 0.0, 0.0, 0.0, 0
    for outcome in many(first, count, chosen.jobs, seconds):
        coverage.merge(outcome.coverage)
        done, processor, takeovers = done + 1, processor + outcome.processor, takeovers + outcome.takeovers
        simulated, skipped = simulated + outcome.simulated, skipped + outcome.skipped
        if time.monotonic() > told + PROGRESS:
            told = time.monotonic()
            print(f"{done} seeds, {len(broken)} broken", file=sys.stderr, flush=True)
        if outcome.broken:
            broken.append(outcome)
            print(f"seed {outcome.seed}: {outcome.broken}: {outcome.text.strip().splitlines()[-1]}", flush=True)
    for outcome in broken[:MOST_SHOWN]:
        _tell(outcome)
    took = time.monotonic() - begun
    print(_table(coverage))
    print(
        f"{done} seeds from {first} in {took:.0f} s: {done / took:.1f} seeds/s, "
        f"{done / max(processor, 0.001):.1f} seeds per processor second; {simulated / 3600:.0f} h simulated, "
        f"{100 * skipped / max(simulated, 1):.0f} % of them skipped as quiet; {takeovers} takeovers; {len(broken)} broken"
    )
    missing = coverage.missing()
    if missing:
        print(f"never seen: {', '.join(seen.value for seen in missing)}")
    # The same seeds exercise the same transitions everywhere; a few fresh ones may miss a rare one by chance.
    return 1 if broken or (missing and done >= 1000 and chosen.first != "fresh") else 0


def _table(coverage: Coverage) -> str:
    width = max(len(seen.value) for seen in Seen)
    return "\n".join(f"{seen.value:<{width}}  {coverage.counts.get(seen, 0):>10}" for seen in Seen)


def _tell(outcome: Outcome) -> None:
    script = _shortest(outcome.seed, outcome.broken, None)
    world = world_of(outcome.seed, script)
    play(world)
    print(f"\nseed {outcome.seed}, shortened from {len(script_of(outcome.seed))} faults to {len(script)}:")
    for fault in script:
        print(f"    {fault}")
    print(story.short(world))
    print(f"keep it: make simulate-save SEED={outcome.seed} NAME=what-went-wrong\n", flush=True)


def _shortest(seed: int, broken: str, mutant: Mutant | None, rule: str = "") -> tuple[Fault, ...]:
    return shrink(script_of(seed), lambda script: run(seed, script, mutant, rule).broken == broken)


def _show(chosen: argparse.Namespace) -> int:
    script, seed, mutant, rule = None, chosen.seed, _mutant(chosen.mutant), chosen.rule
    if not seed.isdecimal():
        kept = scripts.load(scripts.FOLDER / f"{seed}.json")
        script, seed, mutant, rule = kept.faults, kept.seed, mutant or _mutant(kept.mutant), rule or kept.broke
    world = world_of(int(seed), script, mutant, None, rule)
    broken, _unused = play(world, mutant)
    print(story.full(world))
    return 1 if broken else 0


def _shrink(chosen: argparse.Namespace) -> int:
    mutant = _mutant(chosen.mutant)
    first = run(chosen.seed, mutant=mutant, rule=chosen.rule)
    if not first.broken:
        print(f"seed {chosen.seed} breaks no rule", file=sys.stderr)
        return 1
    script = _shortest(chosen.seed, first.broken, mutant, chosen.rule)
    world = world_of(chosen.seed, script, mutant, rule=chosen.rule)
    _unused, text = play(world, mutant)
    for fault in script:
        print(f"    {fault}")
    print(story.short(world))
    if chosen.save:
        name = mutant.name if mutant is not None else ""
        path = scripts.save(scripts.Kept(chosen.save, chosen.seed, first.broken, text, name, script))
        print(f"kept as {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
