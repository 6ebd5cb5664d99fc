# SPDX-License-Identifier: Apache-2.0
"""Random walks through the explored worlds, for tests that sample what can't be gone through."""

from __future__ import annotations

import random
from collections.abc import Iterator

from exhaustive.machine import Machine, Next
from exhaustive.search import first_world
from exhaustive.side import FAULTS, Kind
from exhaustive.world import World


def walk(machine: Machine, seed: int, steps: int) -> Iterator[tuple[World, list[Next], Next]]:
    """The worlds of one walk, with all that can happen in each and what did. Three faults of any kinds may be among it."""
    dice = random.Random(seed)
    faults = [kind for kind in Kind if kind in FAULTS]
    budget = tuple(sorted(dice.choices(faults, k=3), key=faults.index))
    world = first_world(machine, budget)
    for _unused in range(steps):
        following = list(machine.after(world))
        taken = dice.choice(following)
        yield world, following, taken
        world = taken.world
