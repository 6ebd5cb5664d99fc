# SPDX-License-Identifier: Apache-2.0
"""One seed's world: hosts, Consul, chain and judge in virtual time, and the schedule of faults that runs over them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from . import inject
from .bounds import ghost_bound, quiet_bound, signer_bound
from .cluster import LOCK, Cluster
from .coverage import Coverage, Seen
from .desk import Desk
from .dice import Dice
from .faults import HOLDER, ON_CONSUL, Fault
from .host import Host
from .inject_consul import Heal, confirm
from .judge import Judge
from .leap import later
from .neard import Chain
from .setup import Setup
from .switches import NONE, Switches
from .timeline import Timeline

EPOCH = 1_800_000_000.0
"""Unix seconds at the beginning of every schedule."""
PULSE = 0.37
"""Seconds between two looks at what must happen in time; out of step with everything that recurs each second."""
SHOWS = 3.0
"""Seconds after which a fault has shown itself, or waits for something else to go wrong."""
MOST_EVENTS = 3000
"""In one pulse; seven hosts in the worst of times make a tenth of it."""
Line = tuple[float, str, str, tuple[Any, ...]]


class World:
    """Deterministic: the same setup, schedule and switches give the same story."""

    def __init__(
        self,
        setup: Setup,
        script: tuple[Fault, ...],
        switches: Switches = NONE,
        keep: int | None = 400,
        rule: str = "",
    ) -> None:
        self.setup = setup
        self.script = script
        self.switches = switches
        self.timeline = Timeline()
        self.coverage = Coverage()
        self.dice = Dice(setup.seed, "world")
        self.chain = Chain(setup.block_time)
        self.cluster: Cluster = Cluster(self.timeline, Dice(setup.seed, "consul"), self.coverage, self._lock_moved)
        self.judge = Judge(self, rule)
        self.desk: Desk = Desk(self)
        self.hosts = [Host(self, node) for node in setup.nodes]
        self.story: deque[Line] = deque(maxlen=keep)
        self.skipped = 0.0
        self.lock_moved_at = 0.0
        self._by_name = {host.name: host for host in self.hosts}
        self._active: dict[str, int] = dict.fromkeys([*self._by_name, "consul"], 0)
        self._ok_since: dict[str, float] = dict.fromkeys([*self._by_name, "consul"], 0.0)
        self._fixed: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._done = False
        self._struck_at = float("-inf")
        self._events = 0
        self._blocked_by_operator = False

    # --- what the parts ask of it ---

    def cover(self, seen: Seen) -> None:
        """A transition of the model was exercised."""
        self.coverage.add(seen)

    def note(self, who: str, text: str, *values: Any) -> None:
        """A line of the story, formatted only if somebody reads it."""
        self.story.append((self.timeline.now, who, text, values))

    def host(self, name: str) -> Host:
        """The host of a node."""
        return self._by_name[name]

    def wall(self) -> float:
        """The true time of day, Unix seconds."""
        return EPOCH + self.timeline.now

    def _lock_moved(self) -> None:
        self.lock_moved_at = self.timeline.now

    # --- running ---

    def run(self) -> None:
        """The whole schedule, until all is healed and quiet with one validator. :raises Violation: a rule is broken."""
        for host in self.hosts:
            host.boot()
        self.timeline.at(PULSE, self._pulse)
        for number, fault in enumerate(self.script):
            heapq.heappush(self._fixed, (fault.at, number, self._begin, (number, fault)))
        while not self._done:
            self._events += 1
            if self._events > MOST_EVENTS:
                self.judge.broken("livelock", f"more than {MOST_EVENTS} events within {PULSE} s: {self._whys()}")
                break
            if not self.timeline.step(self._fixed[0][0] if self._fixed else float("inf")):
                *_order, call, args = heapq.heappop(self._fixed)
                call(*args)

    def _begin(self, number: int, fault: Fault) -> None:
        host = self._target(fault)
        self._struck_at = self.timeline.now
        self.note("fault", "{} on {} for {:.2f} s", fault.kind.value, host.name, fault.seconds)
        area = "consul" if fault.kind in ON_CONSUL else host.name
        self._active[area] += 1
        heal = inject.begin(self, fault, host)
        until = self.timeline.now + fault.seconds
        heapq.heappush(self._fixed, (until, number, self._heal, (fault, host.name, area, heal)))

    def _heal(self, fault: Fault, name: str, area: str, heal: Heal) -> None:
        self.note("healed", "{} on {}", fault.kind.value, name)
        heal()
        self._active[area] -= 1
        self._ok_since[area] = self.timeline.now

    def _target(self, fault: Fault) -> Host:
        if fault.node != HOLDER:
            return self.hosts[fault.node % len(self.hosts)]
        for host in self.hosts:
            if host.supervisor is not None and host.supervisor.state.lease is not None:
                return host
        return self.hosts[int(fault.strength * len(self.hosts))]

    def operator_looks(self, after: float) -> None:
        """An operator comes to look at a restored Consul, and again until all is well."""
        self._blocked_by_operator = True
        self.timeline.after(after, self._operator)

    def _operator(self) -> None:
        record = self.cluster.store.record(self.cluster.lock_entry())
        seen = [host.supervisor.state.term_seen for host in self.hosts if host.supervisor is not None]
        if record is not None and any(term > record.term for term in seen):
            self.cover(Seen.TERM_REGRESS_BLOCKED)
            confirm(self)
            self.timeline.after(5.0, self._operator)
            return
        self._blocked_by_operator = False
        self._ok_since["consul"] = self.timeline.now

    # --- what must happen in time ---

    def _pulse(self) -> None:
        now = self.timeline.now
        self._events = 0
        if not self.judge.signing:
            self._somebody_signs(now)
            self._no_ghost_lock(now)
        calm = now > max(self._struck_at + SHOWS, max(self._ok_since.values()) + 1.0) and self._calm()
        if calm:
            self._done = not self._fixed
            self._leap()
        elif not self._fixed:
            self._all_is_well_in_the_end(now)
        self.timeline.after(PULSE, self._pulse)

    def _calm(self) -> bool:
        if not self.cluster.leads or self._blocked_by_operator or not self.judge.signing or not self.desk.settled:
            return False
        return all(host.supervisor is not None and host.supervisor.standing_by for host in self.hosts)

    def _healthy_since(self) -> float:
        """Since when Consul and at least one node have been without a fault."""
        if self._active["consul"] or not self.cluster.leads or self._blocked_by_operator:
            return float("inf")
        nodes = [self._ok_since[name] for name in self._by_name if not self._active[name]]
        return max(self._ok_since["consul"], min(nodes, default=float("inf")))

    def _somebody_signs(self, now: float) -> None:
        since = max(self.judge.unsigned_since, self._healthy_since())
        bound = signer_bound(self.setup)
        if now - since <= bound or self._retries_locally():
            return
        self.judge.broken("nobody signs", f"for {now - since:.1f} s, the bound is {bound:.1f} s: {self._whys()}")

    def _all_is_well_in_the_end(self, now: float) -> None:
        waited = now - max(self._ok_since.values())
        if waited > quiet_bound(self.setup):
            self.judge.broken("never quiet", f"{waited:.0f} s after the last fault: {self._whys()}")
            self._done = True  # also where only another rule counts

    def _whys(self) -> str:
        return "; ".join(f"{host.name}: {host.supervisor.why if host.supervisor else 'down'}" for host in self.hosts)

    def _retries_locally(self) -> bool:
        states = [host.supervisor.state for host in self.hosts if host.supervisor is not None]
        return any(state.lease is not None and state.faults.retries > 0 for state in states)

    def _no_ghost_lock(self, now: float) -> None:
        """A lock that nobody proves is taken by whoever stands by, within the bound."""
        if self._active["consul"] or not self.cluster.leads or self._blocked_by_operator:
            return
        moved = max(self.lock_moved_at, self._ok_since["consul"], self.cluster.store.delays.get(LOCK, 0.0))
        for host in self.hosts:
            supervisor = host.supervisor
            if supervisor is None or self._active[host.name] or not supervisor.running:
                continue
            waited = now - max(moved, self._ok_since[host.name], supervisor.ready_since)
            bound = ghost_bound(self.setup, host.setup)
            if waited > bound and "has not passed" not in supervisor.why:
                text = f"{host.name} stands by for {waited:.1f} s, the bound is {bound:.1f} s: {supervisor.why}"
                self.judge.broken("ghost lock", text)

    # --- skipping quiet time ---

    def _leap(self) -> None:
        now = self.timeline.now
        until = self._fixed[0][0] if self._fixed else now
        seconds = until - now - self.dice.between(2.2, 4.0)
        supervisors = [host.supervisor for host in self.hosts if host.supervisor is not None]
        if seconds < 1.0 or not all(supervisor.settle() for supervisor in supervisors):
            return
        self.timeline.leap(seconds)
        self.cluster.leap(seconds)
        self.lock_moved_at += seconds
        self.skipped += seconds
        for host in self.hosts:
            local = seconds * host.clock.rate
            height = self.chain.height(self.timeline.now - host.setup.lag)
            blocks = height - self.chain.height(now - host.setup.lag)
            supervisor, guard = host.supervisor, host.guard
            assert supervisor is not None
            supervisor.state = later(supervisor.state, local, blocks)
            if guard is not None and guard.view.fence_at is not None:
                guard.leap(local)
        self.note("time", "{:.1f} quiet seconds later", seconds)
