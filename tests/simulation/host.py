# SPDX-License-Identifier: Apache-2.0
"""One host: its clock, its disk, its processes, and what its kernel and its service manager do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kuutamod.consul import transactions
from kuutamod.core.actions import ReleasePlan, StartChild
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Home, Identity, NodeState, first_state
from kuutamod.core.protocol import member_key

from .clock import HostClock
from .coverage import Seen
from .desk import WALL_ERROR
from .dice import Dice
from .guard import Guard
from .neard import Neard, Troubles
from .request import Done, Link, Reply, Request
from .setup import ACCOUNT, KEY, NodeSetup
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .world import World


class Host:
    """One node's machine. Faults are counters, so that they may overlap."""

    def __init__(self, world: World, setup: NodeSetup) -> None:
        self.world = world
        self.setup = setup
        self.name: str = setup.name
        self.clock: HostClock = HostClock(setup.rate, setup.offset, world.switches.clock_stops_in_suspend)
        self.dice = Dice(world.setup.seed, f"host {setup.name}")
        self.link: Link = Link(setup.name, setup.routes, Dice(world.setup.seed, f"link {setup.name}"))
        self.troubles: Troubles = Troubles()
        self.disk_term = 0
        self.disk_session = ""
        self.off = 0
        self.suspended = 0
        self.stopped = 0
        self.slow_kills = 0
        self.undying = 0
        self.disk_full = 0
        self.late = 0
        self.key_link = False
        self.supervisor: Supervisor | None = None
        self.guard: Guard | None = None
        self.neards: list[Neard] = []
        self.last_signed = 0
        """What neard's own database keeps it from signing again, on this host."""
        self._stuck_height: int | None = None
        self.lives = 0
        """How often a supervisor was started here."""
        self._pids = 0
        self._wall_error = Dice(world.setup.seed, f"wall {setup.name}").between(-WALL_ERROR, WALL_ERROR)
        self._starting = False

    @property
    def law(self) -> LeaseLaw:
        """Its lease law."""
        return self.setup.policy.law

    @property
    def awake(self) -> bool:
        """Does it run anything?"""
        return not self.off and not self.suspended

    def local(self) -> float:
        """What its clock shows."""
        return self.clock.local(self.world.timeline.now)

    def wall(self) -> float:
        """What its wall clock shows: nearly the same on all hosts."""
        return self.world.wall() + self._wall_error

    def note(self, text: str, *values: Any) -> None:
        """A line of the story."""
        self.world.note(self.name, text, *values)

    def lateness(self) -> float:
        """True seconds that a timer of this host goes off late: the scheduling slack is there to be used."""
        return self.clock.span(self.dice.edge(0.0, self.law.scheduling_slack)) if self.late else 0.0

    # --- the service manager ---

    def boot(self) -> None:
        """Start what is enabled."""
        self.start_soon(0.01)

    def start_soon(self, delay: float) -> None:
        """Start the supervisor unless it runs."""
        if not self._starting:
            self._starting = True
            self.world.timeline.after(delay, self._start)

    def _start(self) -> None:
        self._starting = False
        if self.supervisor is not None or self.stopped or self.off:
            return
        if self.guard is not None or self.disk_full or not self.awake:
            if self.guard is not None:
                self.world.cover(Seen.START_WAITED_FOR_GUARD)
            self.start_soon(0.3)
            return
        if self.lives:
            self.world.cover(Seen.SUPERVISOR_RESTARTED)
        self.lives += 1
        self.supervisor = Supervisor(self, self._first_state())
        self.note("supervisor starts (life {})", self.lives)
        self.world.desk.tell(self)
        self.supervisor.step()

    def _first_state(self) -> NodeState:
        name = self.name
        identity = Identity(
            account_id=ACCOUNT,
            node_id=name,
            hostname=f"host-{name}",
            life=f"{name}-{self.lives}",
            home=f"/home/{name}",
            fingerprint=KEY,
            validator_account=ACCOUNT,
            voter_node_key=f"ed25519:{name}-voternode",
            validator_node_key=f"ed25519:{name}-validatornode",
        )
        return first_state(self.setup.policy, identity, self.local(), self.disk_term, self.disk_session)

    def supervisor_gone(self) -> None:
        """Its process has ended, by whatever; the guard sees its pipe close."""
        supervisor, self.supervisor = self.supervisor, None
        if supervisor is None:
            return
        supervisor.dead = True
        if self.guard is not None:
            self.guard.lose_supervisor()
        self.start_soon(self.world.setup.restart_seconds)

    def guard_gone(self, guard: Guard) -> None:
        """The guard's process has ended; the kernel kills its neard with it."""
        if self.guard is guard:
            self.guard = None
        self.sigkill(guard.neard)
        if not guard.supervisor.dead:
            guard.supervisor.guard_ended(guard.neard)

    # --- neard ---

    def inspect(self) -> tuple[Home, str]:
        """May a neard be started here? Orphans are ended."""
        for neard in self.neards:
            self.sigkill(neard)
        if self.neards:
            return Home.BUSY, f"data/LOCK is held by pid {self.neards[0].pid}"
        self.key_link = False
        return Home.CLEAR, ""

    def start_neard(self, supervisor: Supervisor, action: StartChild) -> Neard | str:
        """A guard and its neard, or why not."""
        now = self.world.timeline.now
        if self.disk_full and self.dice.chance(0.5):
            return "neard can't be started: no space left on device"
        if action.fence_at is not None and self.local() >= action.fence_at:
            return "the lease's deadline has passed before neard could be started"
        self._pids += 1
        slow = self.dice.between(5.0, 15.0) if self.troubles.slow_start else 0.0
        rpc_at = now + self.setup.start_seconds + slow
        synced_at = rpc_at + self.setup.sync_seconds
        neard = Neard(self.name, self.lives, action.serial, self._pids, action.role, rpc_at, synced_at)
        neard.hup_at += self.dice.between(0.0, 5.0) if self.dice.chance(0.3) else 0.0
        guard = Guard(self, supervisor, neard)
        self.neards.append(neard)
        self.guard = guard
        if action.fence_at is not None and action.plan is not None:
            guard.arm(action.fence_at, action.plan)
            self.place_key(neard, action.plan)
            self._reload(neard, key=True)
        if self.troubles.crashing:
            self.world.timeline.after(self.dice.between(0.5, 8.0), self.crash, neard)
        guard.look()
        return neard

    def place_key(self, neard: Neard, plan: ReleasePlan) -> None:
        """The key is in neard's home: from now on it may sign, until it is dead."""
        self.key_link = True
        if not neard.keyed:
            neard.keyed = True
            self.world.judge.armed(self, neard, plan.record.term)

    def hup(self, neard: Neard) -> None:
        """SIGHUP: it reloads a moment later, whole or not at all; or the signal is lost."""
        troubles, dice = self.troubles, self.dice
        if neard.dead:
            return
        if troubles.loses_hup and dice.chance(0.7):
            self.world.cover(Seen.HUP_LOST)
            return
        if troubles.bad_reload:
            self.world.cover(Seen.RELOAD_REFUSED)
            return
        delay = dice.between(0.01, 0.05) if dice.chance(0.8) else dice.between(0.3, 1.0)
        if delay > 0.3:
            self.world.cover(Seen.HUP_LATE)
        # The files are read at once; what was read takes effect a moment later, in the order of the signals.
        neard.reloaded_at = max(self.world.timeline.now + delay, neard.reloaded_at)
        self.world.timeline.at(neard.reloaded_at, self._reload, neard, self.key_link)

    def _reload(self, neard: Neard, key: bool) -> None:
        if neard.dead or neard.loaded == key or neard.stopping:
            return
        if neard.paused or not self.awake:
            self.world.timeline.after(0.5, self._reload, neard, key)
        elif key:
            neard.loaded = True
            self.world.judge.loaded(self, neard)
        else:
            self.world.cover(Seen.KEY_UNLOADED)
            self.world.judge.silenced(neard)
            neard.loaded = False
            neard.first_signed = None

    def height(self, neard: Neard) -> int:
        """Its head."""
        if neard.stuck_height is not None:
            return neard.stuck_height
        return self.world.chain.height(self.world.timeline.now - self.setup.lag)

    def freeze_head(self, neard: Neard) -> None:
        """Its head stands from now on."""
        if neard.stuck_height is None:
            neard.stuck_height = self.height(neard)

    def thaw_head(self, neard: Neard) -> None:
        """Its head moves again, if nothing else holds it."""
        if not neard.paused and not self.troubles.isolated:
            neard.stuck_height = None

    def terminate(self, neard: Neard, grace: float | None = None) -> None:
        """SIGTERM; with ``grace`` somebody follows with SIGKILL."""
        if neard.dead or neard.stopping:
            return
        if self.troubles.deaf:
            self.world.cover(Seen.NEARD_DEAF)
        else:
            self.world.judge.silenced(neard)
            neard.stopping = True
            self.world.timeline.after(self.dice.between(0.05, 1.5), self._ends_by_itself, neard)
        if grace is not None:
            self.world.timeline.after(grace, self.sigkill, neard)

    def _ends_by_itself(self, neard: Neard) -> None:
        if neard.dead or neard.killed_at is not None:
            return
        if neard.paused or not self.awake:
            self.world.timeline.after(0.5, self._ends_by_itself, neard)
        else:
            self._die(neard)

    def crash(self, neard: Neard) -> None:
        """It ends by its own fault."""
        if not neard.dead and neard.killed_at is None and self.awake:
            self.note("neard pid {} crashes", neard.pid)
            self._die(neard)

    def sigkill(self, neard: Neard) -> None:
        """SIGKILL: it is dead a moment later, at most the kill budget; or it hangs in the kernel and can't run any more."""
        if neard.dead or neard.killed_at is not None:
            return
        neard.killed_at = self.world.timeline.now
        budget = self.clock.span(self.law.kill_budget)
        if self.undying:
            self.world.cover(Seen.UNDYING)
            self.world.timeline.after(budget, self._hang, neard)
            return
        delay = self.dice.between(0.005, 0.05)
        if self.slow_kills:
            self.world.cover(Seen.SLOW_KILL)
            delay = self.dice.edge(0.0, budget)
        self.world.timeline.after(delay, self._die, neard)

    def _hang(self, neard: Neard) -> None:
        if not neard.dead:
            self.world.judge.silenced(neard)
            neard.dormant = True
            if not self.undying:
                self._die(neard)

    def end_undying(self) -> None:
        """What hung in the kernel comes out of it, and dies."""
        for neard in list(self.neards):
            if neard.killed_at is not None:
                self._die(neard)

    def _die(self, neard: Neard) -> None:
        if neard.dead:
            return
        if self.suspended:
            self.world.timeline.after(0.5, self._die, neard)
            return
        self.world.judge.silenced(neard)
        neard.dead = True
        self.neards.remove(neard)
        self.world.judge.died(self, neard)
        if self.guard is not None and self.guard.neard is neard:
            self.guard.look()
        supervisor = self.supervisor
        if supervisor is not None and neard.life == self.lives:
            supervisor.neard_ended(neard)

    # --- power ---

    def suspend(self) -> None:
        """Everything stops; the clock goes on."""
        self.suspended += 1
        if self.suspended == 1:
            self.clock.suspend(self.world.timeline.now)
            for neard in self.neards:
                self.world.judge.silenced(neard)
                neard.dormant = True

    def resume(self) -> None:
        """Everything goes on; the guard looks at its clock first."""
        self.suspended -= 1
        if self.suspended or self.off:
            return
        self.clock.resume(self.world.timeline.now)
        guard = self.guard
        if guard is not None:
            if guard.view.fence_at is not None and self.local() >= guard.view.fence_at:
                self.world.cover(Seen.WOKE_AFTER_FENCE)
            guard.resume()
        for neard in list(self.neards):
            if neard.killed_at is None:
                neard.dormant = False
                self.world.judge.woke(self, neard)
        if self.supervisor is not None:
            self.supervisor.step()
        else:
            self.start_soon(0.1)

    def lose(self) -> None:
        """Power is gone."""
        self.off += 1
        if self.off > 1:
            return
        for neard in list(self.neards):
            self.world.judge.silenced(neard)
            neard.dead = True
            self.world.judge.died(self, neard)
        self.neards.clear()
        self.key_link = False
        if self.guard is not None:
            self.guard.dead, self.guard = True, None
        if self.supervisor is not None:
            self.supervisor.dead, self.supervisor = True, None

    def reboot(self) -> None:
        """Power is back."""
        self.off -= 1
        if not self.off:
            self.world.cover(Seen.REBOOTED)
            self.clock.reboot(self.world.timeline.now)
            self.note("the host boots")
            self.start_soon(1.0)

    # --- Consul, for a guard whose supervisor is gone ---

    def end_session_quietly(self, session: str) -> None:
        """One try to end a session; the member record goes first, so that no lock delay is armed for it."""
        world = self.world

        def run() -> Reply:
            world.cluster.store.transact(transactions.withdraw(member_key(ACCOUNT, self.name), session))
            world.cluster.end_session(session)
            return Done()

        def ignore(_request: Request) -> None:
            pass

        deadline = world.timeline.now + self.clock.span(self.law.request_deadline)
        world.cluster.send(Request("destroy", self.link, run, lambda _unused: None, ignore, deadline))
