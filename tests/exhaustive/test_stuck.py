# SPDX-License-Identifier: Apache-2.0
"""No story ends in a dead end: without any more faults time goes on, and somebody can come to sign again."""

from __future__ import annotations

from collections import defaultdict

import pytest

from exhaustive.machine import Budget, Machine
from exhaustive.search import first_world
from exhaustive.side import Kind
from exhaustive.world import Scale, World


class Graph:
    """All worlds of a budget by key, and the steps between them that are no faults, backwards."""

    def __init__(self, machine: Machine, budget: Budget) -> None:
        first = first_world(machine, budget)
        self.worlds: dict[int, World] = {machine.key(first): first}
        self.before: defaultdict[int, list[int]] = defaultdict(list)
        self.ticks: list[int] = []
        left = list(self.worlds)
        while left:
            here = left.pop()
            for taken in machine.after(self.worlds[here]):
                there = machine.key(taken.world)
                if there not in self.worlds:
                    self.worlds[there] = taken.world
                    left.append(there)
                if not taken.step.faults:
                    self.before[there].append(here)
                if taken.step.kind is Kind.TICK:
                    self.ticks.append(here)

    def reaching(self, goals: list[int]) -> set[int]:
        """The worlds from which one of these can be reached."""
        found, left = set(goals), list(goals)
        while left:
            for key in self.before[left.pop()]:
                if key not in found:
                    found.add(key)
                    left.append(key)
        return found


@pytest.mark.parametrize("budget", [(), (Kind.INVALIDATE,), (Kind.ORPHAN,), (Kind.LOSE,), (Kind.DELETE,)], ids=str)
def test_somebody_can_always_come_to_sign(budget: Budget) -> None:
    machine = Machine(Scale())
    graph = Graph(machine, budget)
    signing = [
        key
        for key, world in graph.worlds.items()
        if any(machine.sides.parts[side].host.could_sign for side in (world.a, world.b))
    ]
    assert signing
    assert len(graph.reaching(graph.ticks)) == len(graph.worlds)
    assert len(graph.reaching(signing)) == len(graph.worlds)
