# SPDX-License-Identifier: Apache-2.0
"""Worlds as numbers: every part of a world is kept once, and what can happen to a part is worked out once.

The same side comes up in very many worlds. The rules run once for each side and what it can notice of Consul; putting
worlds together afterwards is arithmetic on numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from exhaustive import lock, names
from exhaustive.bench import Around, around
from exhaustive.side import Here, Kind, Option, Request, Step, hands_back, possible
from exhaustive.world import ANCHOR, NODES, Consul, Scale, Side, World
from kuutamod.core import actions as ac
from kuutamod.core.change import replace
from kuutamod.core.events import Outcome

P = TypeVar("P", bound=Hashable)
Budget = tuple[Kind, ...]
"""The faults that may still happen, each as often as it is in here."""


class Next(NamedTuple):
    """A step, the world after it, what was said meanwhile, and what is wrong with the step itself."""

    step: Step
    world: World
    why: tuple[str, ...] = ()
    wrong: str = ""


class Local(NamedTuple):
    """What can happen on a side, worked out: options with the numbers of the sides after them and of what is left then."""

    options: list[tuple[Option, int, int]]
    requests: list[tuple[Request, int, int]]
    overdue: bool
    ticked: int


class Pool(Generic[P]):
    """Parts by number."""

    def __init__(self) -> None:
        self.parts: list[P] = []
        self._numbers: dict[P, int] = {}

    def number(self, part: P) -> int:
        """The part's number; a new one if it has none."""
        known = self._numbers.get(part)
        if known is None:
            known = self._numbers[part] = len(self.parts)
            self.parts.append(part)
        return known


class Machine:
    """The pools, and the successors of worlds."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.budgets: Pool[Budget] = Pool()
        self.sides: Pool[Side] = Pool()
        self.consuls: Pool[Consul] = Pool()
        self._locals: dict[tuple[int, Around, int], Local] = {}
        self._noticed: dict[tuple[int, int, int], Local] = {}
        self._applied: dict[tuple[int, lock.Transaction], tuple[int, Outcome, int, str]] = {}
        self._met: dict[tuple[int, int], tuple[int, int]] = {}
        self._outdated: dict[tuple[int, int], int] = {}
        self._sessions: dict[tuple[int, str, str], tuple[int, bool]] = {}
        self._disturbed: dict[tuple[int, int], list[tuple[Step, int, bool, int]]] = {}
        self._mirrored: dict[int, int] = {}
        self._consul_mirrored: dict[int, int] = {}

    def number(self, side: Side) -> int:
        """The number of a side; the order in which its requests were sent tells nothing."""
        if len(side.net) > 1:
            side = replace(side, net=tuple(sorted(side.net, key=repr)))
        return self.sides.number(side)

    def world(self, a: int, b: int, consul: int, budget: int, moved: bool = False, terms: int = 0) -> World:
        """The world of these parts, with its names as they have to be.

        ``moved``: the lock's key was just written, so that what the sides know of it is older now. ``terms``: by how much
        all terms are to be shifted, because another one is the highest in use.
        """
        if moved:
            a, b = self._older(a, terms), self._older(b, terms)
        a, consul = self._met.get((a, consul)) or self._meet(a, consul)
        b, consul = self._met.get((b, consul)) or self._meet(b, consul)
        return World(a, b, consul, budget)

    def key(self, world: World) -> int:
        """One number for the world, and for the same with the hosts in each other's place where both have the same law."""
        a, b, consul, budget = world
        straight = a | b << 24 | consul << 48 | budget << 72
        if self.scale.longer:
            return straight
        mirrored, consuls = self._mirrored, self._consul_mirrored
        if a not in mirrored or b not in mirrored or consul not in consuls:
            for side in (a, b):
                other = self.number(names.mirrored(self.sides.parts[side]))
                mirrored[side], mirrored[other] = other, side
            other = self.consuls.number(names.mirrored(self.consuls.parts[consul]))
            consuls[consul], consuls[other] = other, consul
        return min(straight, mirrored[b] | mirrored[a] << 24 | consuls[consul] << 48 | budget << 72)

    def _older(self, number: int, shift: int) -> int:
        known = self._outdated.get((number, shift))
        if known is None:
            side = names.shifted_terms(names.outdated(self.sides.parts[number]), shift)
            known = self._outdated[number, shift] = self.number(side)
        return known

    def _meet(self, number: int, consul: int) -> tuple[int, int]:
        side, lock_ = self.sides.parts[number], self.consuls.parts[consul]
        side, lock_ = names.met(possible(side, lock_), lock_)
        known = self._met[number, consul] = self.number(side), self.consuls.number(lock_)
        return known

    def after(self, world: World) -> Iterator[Next]:
        """Every step that can be taken, and the world it leads to."""
        here, there = (self._notice(side, world.consul, world.budget) for side in (world.a, world.b))
        up = self.consuls.parts[world.consul].up
        for mine, first in ((here, True), (there, False)):
            for option, number, left in mine.options:
                yield self._option(world, first, option, number, left)
            if up:
                for request, applied, refused in mine.requests:
                    yield self._request(world, first, request, applied, refused)
        for step, number, moved, left in self._disturb(world.consul, world.budget):
            yield Next(step, self.world(world.a, world.b, number, left, moved))
        if not here.overdue and not there.overdue:
            yield Next(Step(Kind.TICK), self.world(here.ticked, there.ticked, world.consul, world.budget))

    def _left(self, budget: int, step: Step) -> int | None:
        """The number of what is left of a budget after a step, None if the budget does not have its faults."""
        left = list(self.budgets.parts[budget])
        for fault in step.faults:
            if fault not in left:
                return None
            left.remove(fault)
        return self.budgets.number(tuple(left))

    def _notice(self, number: int, consul: int, budget: int) -> Local:
        """What can happen on a side that meets this Consul."""
        known = self._noticed.get((number, consul, budget))
        if known is None:
            side = self.sides.parts[number]
            noticed = around(side.host, self.consuls.parts[consul])
            known = self._locals.get((number, noticed, budget))
            if known is None:
                known = self._locals[number, noticed, budget] = self._local(side, noticed, budget)
            self._noticed[number, consul, budget] = known
        return known

    def _local(self, side: Side, noticed: Around, budget: int) -> Local:
        here = Here(side, noticed, self.scale, frozenset(self.budgets.parts[budget]))
        options = []
        for each in here.options():
            left = self._left(budget, each.step)
            if left is not None:
                options.append((each, self.number(each.side), left))
        requests = [(each, self.number(each.applied), self.number(each.refused)) for each in here.requests()]
        overdue = here.overdue()
        return Local(options, requests, overdue, -1 if overdue else self.number(here.ticked()))

    def _option(self, world: World, first: bool, option: Option, number: int, left: int) -> Next:
        consul, moved = world.consul, False
        if option.created or option.destroyed:
            consul, moved = self._with_sessions(consul, option.created, option.destroyed)
        a, b = (number, world.b) if first else (world.a, number)
        return Next(option.step, self.world(a, b, consul, left, moved), option.why)

    def _request(self, world: World, first: bool, request: Request, applied: int, refused: int) -> Next:
        """Consul carries a request out."""
        asked, side = request.message.request, world.a if first else world.b
        known = self._applied.get((world.consul, asked))
        if known is None:
            known = self._applied[world.consul, asked] = self._apply(self.consuls.parts[world.consul], asked)
        consul, outcome, terms, wrong = known
        moved = outcome is Outcome.APPLIED
        if moved and isinstance(asked, ac.Take):
            wrong = wrong or self._signing(world, asked.record.node_id)
        if isinstance(asked, ac.ReleasePlan) and hands_back(request.message) and self.sides.parts[side].host.node is None:
            consul, _unused = self._with_sessions(consul, "", asked.session)
        number = applied if moved else refused
        a, b = (number, world.b) if first else (world.a, number)
        after = self.world(a, b, consul, world.budget, moved, terms)
        return Next(request.step, after, (outcome.value,), wrong)

    def _signing(self, world: World, taker: str) -> str:
        for number in (world.a, world.b):
            host = self.sides.parts[number].host
            if host.could_sign:
                return f"taken from the living: {taker} takes the lock while {NODES[host.number]} could still sign"
        return ""

    def _apply(self, consul: Consul, request: lock.Transaction) -> tuple[int, Outcome, int, str]:
        """Consul after a transaction, by how much all terms are shifted then, and what is wrong with it."""
        after, outcome = lock.applied(consul, request)
        terms, wrong, term = 0, "", request.record.term
        if outcome is Outcome.APPLIED and isinstance(request, ac.Take):
            terms = ANCHOR - term
            after = names.shifted_terms(replace(after, used=True), terms)
        if outcome is Outcome.APPLIED and consul.used and term - ANCHOR != isinstance(request, ac.Take):
            wrong = f"stale term: {request.record.node_id} writes term {term} after term {ANCHOR}"
        held = consul.register.session if consul.register is not None else None
        if outcome is Outcome.APPLIED and isinstance(request, ac.Heartbeat) and held != request.session:
            wrong = f"taken without a take: {request.record.node_id}'s heartbeat locks a key that it does not hold"
        return self.consuls.number(after), outcome, terms, wrong

    def _with_sessions(self, consul: int, created: str, destroyed: str) -> tuple[int, bool]:
        """Consul after that, and whether the key was written with it."""
        known = self._sessions.get((consul, created, destroyed))
        if known is None:
            before = after = self.consuls.parts[consul]
            if destroyed:
                after = lock.ended(after, destroyed)
            if created:
                after = replace(after, sessions=after.sessions | {created})
            moved = after.register != before.register
            known = self._sessions[consul, created, destroyed] = self.consuls.number(after), moved
        return known

    def _disturb(self, number: int, budget: int) -> list[tuple[Step, int, bool, int]]:
        """What happens or is done to Consul: Consul after it, whether the key was written, what is left of the budget."""
        known = self._disturbed.get((number, budget))
        if known is None:
            consul = self.consuls.parts[number]
            found = []
            if not consul.up:
                found.append((Step(Kind.LEADER), replace(consul, up=True)))
            for session in sorted(consul.sessions):
                found.append((Step(Kind.INVALIDATE, what=session), lock.ended(consul, session)))
            if consul.up:
                found.append((Step(Kind.NO_LEADER), replace(consul, up=False)))
            if consul.register is not None:
                found.append((Step(Kind.DELETE), replace(consul, register=None, used=False)))
            known = self._disturbed[number, budget] = []
            for step, after in found:
                left = self._left(budget, step)
                if left is not None:
                    known.append((step, self.consuls.number(after), after.register != consul.register, left))
        return known
