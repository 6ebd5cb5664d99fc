# SPDX-License-Identifier: Apache-2.0
"""One seed from beginning to end, and what came of it."""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, field

from . import faults as planning
from . import setup as fleets
from .faults import Fault
from .judge import Violation
from .mutants import Mutant
from .setup import Setup
from .switches import NONE
from .world import World


@dataclass(frozen=True)
class Outcome:
    """``broken``: the judge's rule that was broken, or ``crash``; empty when all was well. Times in seconds."""

    seed: int
    broken: str = ""
    text: str = ""
    coverage: dict[str, int] = field(default_factory=dict)
    simulated: float = 0.0
    skipped: float = 0.0
    processor: float = 0.0
    nodes: int = 0
    takeovers: int = 0


def fleet_of(seed: int, mutant: Mutant | None = None) -> Setup:
    """The fleet of a seed, as a mutant has it."""
    drawn = fleets.draw(seed)
    return mutant.change(drawn) if mutant is not None else drawn


def script_of(seed: int) -> tuple[Fault, ...]:
    """The schedule of a seed."""
    return planning.draw(fleets.draw(seed))


def world_of(
    seed: int,
    script: tuple[Fault, ...] | None = None,
    mutant: Mutant | None = None,
    keep: int | None = 400,
    rule: str = "",
) -> World:
    """The world of a seed, with its own schedule or another.

    ``keep``: lines of the story, None for all. ``rule``: only when this one is broken the world ends.
    """
    switches = mutant.switches if mutant is not None else NONE
    return World(fleet_of(seed, mutant), script_of(seed) if script is None else script, switches, keep, rule)


def play(world: World, mutant: Mutant | None = None) -> tuple[str, str]:
    """Run it; which rule was broken, and how. Empty when none was."""
    with mutant.applied() if mutant is not None else contextlib.nullcontext():
        try:
            world.run()
        except Violation as violation:
            world.note("judge", "{}: {}", violation.rule, violation.text)
            return violation.rule, violation.text
        except Exception:  # a rule that crashes is a finding like any other
            text = traceback.format_exc()
            world.note("judge", "crash: {}", text.strip().splitlines()[-1])
            return "crash", text
    return "", ""


def run(seed: int, script: tuple[Fault, ...] | None = None, mutant: Mutant | None = None, rule: str = "") -> Outcome:
    """Play a seed and report; arguments as of ``world_of``."""
    begun = time.process_time()
    world = world_of(seed, script, mutant, rule=rule)
    broken, text = play(world, mutant)
    return Outcome(
        seed=seed,
        broken=broken,
        text=text,
        coverage=world.coverage.by_name(),
        simulated=world.timeline.now,
        skipped=world.skipped,
        processor=time.process_time() - begun,
        nodes=len(world.hosts),
        takeovers=world.judge.takeovers,
    )
