# SPDX-License-Identifier: Apache-2.0
"""Every interleaving of two nodes, a lock and a few faults: breadth first, so that the first story found is the shortest.

What runs is the production code: ``core.decide``, ``core.plan.begin``, ``core.observe``, ``guard.rules`` and the
transactions of ``consul.transactions``. Around it stand hosts with supervisor, guard and neard (``bench``), one
linearizable register with sessions (``lock``), and requests that are applied, answered, given up or lost at any moment
(``side``). Time goes on in whole seconds, when nothing is due any more; within a second everything happens in every order.
All numbers are small and the law holds with nothing to spare (``world.Scale``): D 3, S 1, G 4.

A search starts with two registered standbys and a released lock, and may spend a *budget*, a handful of faults
(``side.Kind``), at any moment each. There is no horizon: a search whose frontier runs empty has seen everything that can
ever happen within its budget, for as long as one likes. ``explore`` goes through all budgets of one fault, of two...

Worlds that the rules can't tell apart are one world. That this is so is argued beside each step, and sampled by tests:
times are relative to now, and forgotten once every comparison with them is decided (``normal``); indexes, terms and
sessions are ranks (``names``); which host has which place is of no matter (``Machine.key``).

Reductions that lose nothing: what a supervisor asks only its own host is answered at once, since nobody else can see when;
a look at the clock that leads to nothing outside is taken with the tick; late requests that can't be applied any more are
dropped.

What is left out, and is the simulator's part: heights (an operator's word puts the height rule to rest), the times that
neard takes to start and sync, neard that hangs, stands still or does not die within S; clocks with different rates; a guard
that is paused alone; more than two nodes; restored snapshots; renewals and disks that fail; reads that are answered late
(they are answered at once or not at all); member records, but for the G in them; operator requests. A host that is frozen
as a whole counts as unable to sign until its guard has looked at the clock: what no lock can fence, see docs/safety.md.
Consul's own lock delay and TTLs are not modelled: a session may end at any moment, and nothing protects the key then.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field

from exhaustive.bench import Around, Bench
from exhaustive.machine import Budget, Machine, Next
from exhaustive.names import outdated
from exhaustive.side import Kind
from exhaustive.world import ANCHOR, CURRENT, LONG_AGO, NODES, Consul, Host, Register, Side, World, forgotten, fresh_session
from kuutamod.core.change import replace
from kuutamod.core.model import LockView
from kuutamod.core.protocol import LockRecord


@dataclass
class Report:
    """What was explored within a budget.

    ``depth``: every story of so many events was looked at. ``ticks``: the longest story so far, in seconds of its clocks.
    ``complete``: nothing is left to explore. ``wrong``: what is wrong at the end of ``story``.
    """

    budget: Budget
    worlds: int = 0
    transitions: int = 0
    depth: int = 0
    ticks: int = 0
    complete: bool = False
    seconds: float = 0.0
    wrong: str = ""
    story: list[Next] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Worlds per second."""
        return self.worlds / max(self.seconds, 1e-9)


def first_world(machine: Machine, budget: Budget) -> World:
    """Two registered standbys with synced neards that have watched for long, and a lock that was released with proof."""
    law = machine.scale.policy(1).law
    record = LockRecord("", "c", ANCHOR, guard_time=law.guard_time, fence_deadline=law.fence_deadline, released=True)
    sides, sessions = [], []
    for number in (0, 1):
        around = Around(True, view=LockView(CURRENT, forgotten(1 - number), replace(record, released=False)))
        bench = Bench(Host(number, None), around, machine.scale)
        bench.start()
        bench.think()
        bench.around = Around(False)
        for _unused in range(machine.scale.settled):
            bench.grow_older()
            bench.think()
        bench.grow_older()
        node = bench.host.node
        assert node is not None and node.watch is not None
        bench.change(node=replace(node, watch=replace(node.watch, since=LONG_AGO)))
        sides.append(machine.number(outdated(Side(bench.done().host))))
        sessions.append(fresh_session(number))
    consul = Consul(Register(None, record), frozenset(sessions))
    return machine.world(sides[0], sides[1], machine.consuls.number(consul), machine.budgets.number(budget))


def wrong_world(machine: Machine, world: World) -> str:
    """What is wrong with a world, as a sentence; empty if nothing is. (Wrong steps: see ``machine``.)"""
    a, b = machine.sides.parts[world.a].host, machine.sides.parts[world.b].host
    if a.could_sign and b.could_sign:
        return "two signers: both nodes could sign"
    held = machine.consuls.parts[world.consul].register
    if held is not None and held.record.released and held.session is None:
        for host in (a, b):
            if NODES[host.number] == held.record.node_id and host.neard is not None and host.neard.keyed:
                return f"released without proof: {held.record.node_id}'s neard has the key and may live"
    return ""


class Search:
    """One exploration. ``known``: worlds of complete explorations by the same machine; they need not be looked at again."""

    def __init__(self, machine: Machine, budget: Budget, known: set[int]) -> None:
        self.machine = machine
        self.known = known
        self.first = first_world(machine, tuple(sorted(budget, key=list(Kind).index)))
        self.report = Report(budget)
        self._origin: dict[int, int] = {}

    def run(self, seconds: float, depth: int | None = None) -> Report:
        """Explore until everything was seen, something is wrong, or a limit (seconds, events) is reached."""
        report, machine = self.report, self.machine
        begun = time.monotonic()
        self._origin = {machine.key(self.first): -1}
        frontier = [(self.first, 0)]
        gc.disable()  # nothing here refers to itself, and looking for what does would cost a third of the time
        try:
            while frontier and report.depth != depth and self._level(frontier, begun + seconds):
                report.depth += 1
        finally:
            gc.enable()
        report.complete = not frontier and not report.wrong
        report.worlds, report.seconds = len(self._origin), time.monotonic() - begun
        if report.complete:
            self.known.update(self._origin)
        return report

    def _level(self, frontier: list[tuple[World, int]], end: float) -> bool:
        """One event further; ``frontier`` is what was new, and becomes what is new then. False: it ended before."""
        following: list[tuple[World, int]] = []
        for world, ticks in frontier:
            if time.monotonic() > end or not self._expand(world, ticks, following):
                return False
        frontier[:] = following
        return True

    def _expand(self, world: World, ticks: int, following: list[tuple[World, int]]) -> bool:
        report, machine, origin, known = self.report, self.machine, self._origin, self.known
        here, before = machine.key(world), report.transitions
        for taken in machine.after(world):
            report.transitions += 1
            key = machine.key(taken.world)
            if (key in origin or key in known) and not taken.wrong:
                continue
            report.wrong = taken.wrong or wrong_world(machine, taken.world)
            if report.wrong:
                report.story = [*self._story(here), taken]
                return False
            origin[key] = here
            spent = ticks + (taken.step.kind is Kind.TICK)
            report.ticks = max(report.ticks, spent)
            following.append((taken.world, spent))
        if report.transitions == before:
            report.wrong, report.story = "time stands still: nothing can happen any more", self._story(here)
        return not report.wrong

    def _story(self, key: int) -> list[Next]:
        """The steps to the world with this key."""
        keys = [key]
        while (key := self._origin[keys[-1]]) != -1:
            keys.append(key)
        story: list[Next] = []
        world = self.first
        for wanted in reversed(keys[:-1]):
            taken = next(each for each in self.machine.after(world) if self.machine.key(each.world) == wanted)
            story.append(taken)
            world = taken.world
        return story
