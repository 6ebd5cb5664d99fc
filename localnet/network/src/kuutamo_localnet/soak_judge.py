# SPDX-License-Identifier: Apache-2.0
"""One soak from the first fault to the last process: inject a wave, heal, wait for a signature; at the end stop, judge."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import requests

from kuutamod.core.model import Policy
from neard_standin.procfs import boottime
from neard_standin.verdict import Verdict

from .bench_arena import is_standby
from .fleet_node import FleetNode
from .soak_bounds import BUSY, bounds
from .soak_causes import Takeover, figures, read_logs, takeovers, tracebacks
from .soak_faults import Injection, Injector
from .soak_ground import Ground
from .soak_memory import INTERVAL as MEMORY_INTERVAL
from .soak_memory import MemoryWatch
from .soak_orders import tidy
from .soak_plan import Wave
from .soak_report import Report, conclusions, count_faults, recoveries
from .soak_service import Manager, processes_of
from .soak_stuck import StuckTerms
from .soak_watch import Operator, Watch
from .takeovers import Judge

PAUSE = 0.2  # seconds between two looks


class SoakJudge:
    """Runs a soak on `ground` and collects what is found: `failures` are sentences, `begun` is in CLOCK_BOOTTIME."""

    def __init__(self, ground: Ground, policy: Policy, manager: Manager, say: Callable[[str], None]) -> None:
        self.failures: list[str] = []
        self.injections: tuple[Injection, ...] = ()
        self.history: tuple[Takeover, ...] = ()
        self.begun = boottime()
        self._ground = ground
        self._policy = policy
        self._bounds = bounds(policy)
        self._manager = manager
        self._say = say
        self._fleet = ground.arena.fleet
        self._judge = Judge(self._fleet.referee, ground.account)
        self._watch = Watch(ground, policy.law)
        self._stuck = StuckTerms(self._bounds)
        self._operator = Operator(ground, say)
        self._memory = MemoryWatch()
        self._sampled = 0.0
        self._waves = 0
        self._recovered: list[float] = []
        self._standbys = 0
        self._left: list[str] = []
        self._crashes: list[str] = []

    def run(self, plan: Sequence[Wave]) -> None:
        """Inject each wave of the plan, heal it and wait for a healthy holder; in the end stop everything.

        What fails is noted, not raised, and ends the soak. A wave does not begin before there is a healthy holder, so it
        may come later than planned.
        """
        self.begun = boottime()
        self._say(f"Nodes are cut off by: {self._ground.arena.cut_by}. Seconds count from now.")
        with self._watch:
            if all(self._endures(wave) for wave in plan):
                self._await_standbys()
        self._stop()
        self._conclude()
        self.history = self._takeovers(self._judge.verdict())

    def _endures(self, wave: Wave) -> bool:
        """Inject a wave, heal, wait for a signature of a healthy holder; whether there was one and nothing has failed."""
        self._waves += 1
        late = max(0.0, boottime() - self.begun - wave[0].at)
        injector = Injector(self._ground, wave, self.begun, late)
        before, told = self.injections, 0
        with injector:
            while self._goes_on(injector) and not injector.done():
                told = self._tell(injector, told)
                time.sleep(PAUSE)
        self._tell(injector, told)
        self.injections = (*before, *injector.injections())
        return self._goes_on(injector) and self._recovers(injector)

    def _goes_on(self, injector: Injector) -> bool:
        """One look at everything; False when it has to end at once."""
        signer = self._ground.arena.holding() is not None
        self._stuck.look(self._watch.look(injector, signer=signer))
        self._operator.look(self._watch.nodes(), signer=signer)
        if boottime() - self._sampled >= MEMORY_INTERVAL:
            self._sampled = boottime()
            self._memory.sample(self._fleet.nodes, self._sampled)
        self.failures += [each for each in self._ground.orders.surprises if each not in self.failures]
        for broken in (injector.failure, self._manager.failure):
            if broken is not None and not self.failures:
                self.failures.append(f"the harness itself failed: {type(broken).__name__}: {broken}")
        return self._judge.verdict().safe and not self.failures

    def _tell(self, injector: Injector, told: int) -> int:
        """Say what is over, but for the first `told`; returns how many there are now."""
        over = [each for each in injector.injections() if each.skipped or each.undone is not None]
        for each in sorted(over, key=lambda each: each.undone or each.struck)[told:]:
            self._say(each.text())
        return len(over)

    def _recovers(self, injector: Injector) -> bool:
        healed = boottime()
        while (signed := self._signed_since(healed)) is None:
            if boottime() > healed + self._bounds.healed:
                self.failures.append(f"nobody healthy has signed within {self._bounds.healed:.0f} s after the last fault")
            if not self._goes_on(injector):
                return False
            tidy(self._ground)
            time.sleep(PAUSE)
        self._recovered.append(signed - healed)
        self._say(f"{signed - self.begun:7.1f} s  healed, and a healthy holder signs after {signed - healed:.1f} s")
        return True

    # --- the end ---

    def _await_standbys(self) -> None:
        end = boottime() + self._bounds.healed
        while waiting := self._not_ready():
            if boottime() > end:
                self.failures.append(f"not ready to take over: {', '.join(node.name for node in waiting)}")
                return
            time.sleep(PAUSE)

    def _signed_since(self, healed: float) -> float | None:
        """When the one holder, if it is healthy, signed first after everything was healed."""
        running = [each for each in self._judge.intervals() if each.ended_at is None]
        if len(running) != 1:
            return None
        with contextlib.suppress(requests.RequestException, ValueError):
            if self._ground.arena.node_of(running[0]).state() != "Validating":
                return None
            signed = self._fleet.referee.signatures(self._ground.account)
            own = (record.boottime for record in signed if record.process == running[0].process)
            return next((at for at in own if at > healed), None)
        return None

    def _not_ready(self) -> list[FleetNode]:
        """The nodes that neither validate nor could take over at once, but for those that wait for an operator.

        With a living holder there is nothing that an operator could confirm.
        """
        found = []
        self._standbys = 0
        for node in self._fleet.nodes:
            try:
                validates = node.state() == "Validating"
                ready = not validates and is_standby(node)
            except (requests.RequestException, ValueError, KeyError):
                validates = ready = False
            self._standbys += ready
            if not validates and not ready and not self._watch.waits_for_operator(node.name):
                found.append(node)
        return found

    def _stop(self) -> None:
        services = list(self._ground.services.values())
        for service in services:
            service.stop_for_good()
        end = time.monotonic() + self._policy.stop_grace + 4 * BUSY
        while not all(service.ended() for service in services) and time.monotonic() < end:
            time.sleep(PAUSE)
        for service in services:
            self._left += [f"{service.node.name}: {', '.join(each.processes)}" for each in service.leftovers]
            if not service.ended():
                self.failures.append(f"{service.node.name} did not stop: {service.stage.value}")
        self._left += processes_of(self._fleet.directory)

    def _conclude(self) -> None:
        verdict = self._judge.verdict(fresh=True)
        for service in self._ground.services.values():
            name, log = service.node.name, service.node.log_text()
            self._crashes += [f"{name}: kuutamod ended with exit code {code}" for code in service.crashes]
            self._crashes += [f"{name}: {error}" for error in tracebacks(log)]
        found = conclusions(verdict, self._stuck.found, self._left, self._crashes, self._memory.growths(), self.begun)
        self.failures = [*found, *self.failures]

    # --- telling ---

    def report(self, seed: int, expected: float, clocks: str, lasted: float) -> Report:
        """Everything that was found in a run of `expected` seconds that took `lasted`, with start and end."""
        verdict = self._judge.verdict(fresh=True)
        services = self._ground.services.values()
        return Report(
            seed=seed,
            expected=expected,
            lasted=round(lasted, 1),
            cut_by=self._ground.arena.cut_by,
            clocks=clocks,
            faults=count_faults(self.injections),
            takeovers=figures(self.history),
            key_intervals=len(verdict.intervals),
            double_signatures=len(verdict.heights_signed_twice),
            overlaps=len(verdict.overlaps),
            stuck_terms=len(self._stuck.found),
            left_behind=len(self._left),
            crashes=len(self._crashes),
            recoveries=recoveries(self._waves, self._recovered, self._bounds.healed),
            standbys=self._standbys,
            duties=verdict.expected_duties,
            duties_missed=verdict.missed_duties,
            supervisor_starts=sum(service.starts for service in services),
            watchdog_kills=sum(service.watchdog_kills for service in services),
            orders=self._ground.orders.counts(),
            confirms=len(self._operator.confirmed),
            false_alarms=self._operator.false_alarms,
            memory=self._memory.growths(),
            failures=tuple(self.failures),
        )

    def evidence(self) -> str:
        """What was done when, who held the key when, and the referee's story."""
        held = [
            f"{each.at - self.begun:7.1f} s  {each.node} holds the key, term {each.term}: {each.cause.value}"
            for each in self.history
        ]
        faults = [each.text() for each in self.injections]
        return "\n".join(["Faults:", *faults, "Key holders:", *held, "Referee:", self._judge.verdict().story()])

    def _takeovers(self, verdict: Verdict) -> tuple[Takeover, ...]:
        nodes = self._fleet.nodes
        story = read_logs((node.name, node.log_text()) for node in nodes)
        signed = [record.boottime for record in self._fleet.referee.signatures(self._ground.account)]
        names = {node.plan.home: node.name for node in nodes}
        wall = time.time() - boottime()
        return takeovers(verdict.intervals, signed, names, story, wall, self._operator.confirmed)
