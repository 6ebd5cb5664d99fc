# SPDX-License-Identifier: Apache-2.0
"""The supervisor of one host: the production core (``decide``, ``begin``, ``observe``), driven as the shell does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core import observe as observing
from kuutamod.core import plan as planning
from kuutamod.core.decide import decide
from kuutamod.core.model import NodeState, Role, State, label
from kuutamod.neard.process import PLACE_DEADLINE, REAP_DEADLINE

from . import adapter
from .coverage import Seen
from .neard import Neard
from .request import Done, Failed, Reply, Request

if TYPE_CHECKING:
    from .guard import Guard
    from .host import Host

Answered = Callable[[int, float, str], ev.Event]
"""What becomes of the guard's answer: serial, local time, why not."""
Item = ev.Event | Request | Callable[[float], ev.Event | None]
"""What may wait in the queue: an event, an answer from Consul, or something that becomes an event when it is read."""


def _placed(serial: int, now: float, why: str) -> ev.Event:
    return ev.KeyRefused(serial, why, now) if why else ev.KeyPlaced(serial, now)


class Supervisor:
    """One life of it. ``dead`` is final."""

    def __init__(self, host: Host, state: NodeState) -> None:
        self.host = host
        self.state = state
        self.dead = False
        self.paused = 0
        self.published = False
        self.ready_since = float("inf")
        self.why = ""
        self._inbox: list[Item] = []
        self._busy = False
        self._rung = False
        self._wake = 0
        self._proved: set[int] = set()
        self._watching = False
        self._watch_pause = 0.2
        self._ready = False

    @property
    def running(self) -> bool:
        """Is it scheduled?"""
        return not self.dead and not self.paused and self.host.awake

    # --- the loop ---

    def post(self, item: Item) -> None:
        """Something happened: think at once."""
        self._inbox.append(item)
        if self._busy:
            self._ring(0.0)
        else:
            self.step()

    def post_quietly(self, item: Item) -> None:
        """Something happened that can wait for the next thought."""
        self._inbox.append(item)

    def step(self) -> None:
        """Fold in what has happened, decide once, act."""
        if not self.running or self._busy:
            return
        self._busy = True
        host, world = self.host, self.host.world
        now = host.local()
        self._fold(now)
        decision = decide(self.state, now)
        for action in decision.actions:
            self.state = planning.begin(self.state, action, now)
        if decision.why != self.why:
            self.why = decision.why
            host.note("{}: {}", label(self.state).value, decision.why)
        self._judge_ready()
        for action in decision.actions:
            if isinstance(action, ac.Exit):
                self._busy = False
                host.supervisor_gone()
                return
            self._act(action, now)
        self._watch()
        self._busy = False
        if decision.again or self._rung:
            self._ring(0.0)
        else:
            self._wake += 1
            at = host.clock.true(decision.wake_at) + host.lateness() + 1e-6
            world.timeline.at(at, self._woken, self._wake)

    def _fold(self, now: float) -> None:
        inbox, self._inbox = self._inbox, []
        for item in inbox:
            event = self._event(item, now)
            if event is None:
                continue
            before = self.state
            self.state = observing.observe(before, event)
            if before.lease is not self.state.lease or before.faults is not self.state.faults:
                self._note_lease(before, event)

    def _event(self, item: Item, now: float) -> ev.Event | None:
        if isinstance(item, Request):
            if item.closed:
                return None
            item.closed = True
            return item.finish(self._outcome(item))  # type: ignore[no-any-return]
        return item(now) if callable(item) else item

    def _outcome(self, request: Request) -> Reply:
        """The answer, or the end of waiting; where both came while nobody looked, either."""
        if request.reply is None or (request.expired and self.host.dice.chance(0.5)):
            return Failed("no answer within the request deadline")
        return request.reply

    def _note_lease(self, before: NodeState, event: ev.Event) -> None:
        world = self.host.world
        old, new = before.lease, self.state.lease
        if old is not None and new is None:
            self.host.note("lease of term {} ends ({})", old.term, type(event).__name__)
            if self.state.ghost is not None and self.state.ghost.giveup.fault:
                world.cover(Seen.HANDED_OVER_BY_FAULT)
        if self.state.faults.retries > before.faults.retries:
            world.cover(Seen.RETRIED_LOCALLY)

    def _ring(self, delay: float) -> None:
        self._rung = True
        self.host.world.timeline.after(delay, self._rung_up)

    def _rung_up(self) -> None:
        self._rung = False
        self.step()

    def _woken(self, number: int) -> None:
        if number == self._wake:
            self.step()

    def notify(self, request: Request) -> None:
        """An answer from Consul, or the end of waiting for it. Routine can wait for the next thought."""
        if self.dead:
            return
        routine = request.kind in ("renew", "read", "publish") and isinstance(request.reply, Done)
        if routine and self._ready:
            self.post_quietly(request)
        else:
            self.post(request)

    def _judge_ready(self) -> None:
        state = self.state
        child, session = state.child, state.session
        ready = (
            session is not None
            and session.ready
            and child is not None
            and child.synced
            and child.identified
            and child.stopping is None
            and child.killed is None
            and state.lease is None
            and state.ghost is None
            and state.stop_requested is None
            and state.memory_fault is None
        )
        if ready != self._ready:
            self._ready = ready
            self.ready_since = self.host.world.timeline.now if ready else float("inf")

    # --- acting ---

    def _act(self, action: ac.Action, now: float) -> None:
        host, timeline = self.host, self.host.world.timeline
        match action:
            case ac.ExtendGuard() | ac.StopChild() | ac.KillChild() | ac.StartChild() | ac.PlaceKey() | ac.UnloadKey():
                self._command(action)
            case ac.PollStatus():
                self._poll(action, now)
            case ac.InspectHome():
                timeline.after(0.005, self._inspected)
            case ac.RememberTerm():
                timeline.after(0.003, self._remember, action.term)
            case ac.AskWindows():
                timeline.after(0.01, self._tell_windows)
            case ac.AskHook():
                self._ask_hooks(action)
            case ac.GiveUp() | ac.Note() | ac.Exit():
                pass
            case _:
                host.world.cluster.send(adapter.request(self, action, now))

    def _command(
        self, action: ac.ExtendGuard | ac.StopChild | ac.KillChild | ac.StartChild | ac.PlaceKey | ac.UnloadKey
    ) -> None:
        """What goes to the guard."""
        guard = self.host.guard
        ours = guard is not None and guard.neard.serial == action.serial
        match action:
            case ac.ExtendGuard():
                if guard is not None and ours:
                    guard.tell(partial(guard.extend, action.fence_at, action.plan))
            case ac.StopChild():
                if guard is not None and ours:
                    guard.tell(partial(guard.stop, action.grace, action.why))
            case ac.KillChild():
                self._kill(action)
            case ac.StartChild():
                self._start(action)
            case ac.PlaceKey():
                self._place(action)
            case ac.UnloadKey():
                self._unload(action)

    def _inspected(self) -> None:
        if not self.dead:
            home, why = self.host.inspect()
            self.post(ev.HomeInspected(home, why))

    def _remember(self, term: int) -> None:
        if self.dead:
            return
        if self.host.disk_full:
            self.host.world.cover(Seen.DISK_FULL)
            self.post(ev.TermRemembered(term, "no space left on device"))
        else:
            self.host.disk_term = max(self.host.disk_term, term)
            self.post(ev.TermRemembered(term))

    def remember_session(self, session: str) -> None:
        """Keep it on the disk, if that can be done."""
        if not self.host.disk_full:
            self.host.disk_session = session

    def _kill(self, action: ac.KillChild) -> None:
        host = self.host
        guard = host.guard
        if host.world.switches.polite_fence:
            for neard in host.neards:
                host.terminate(neard, 30.0)
            return
        if guard is not None and guard.neard.serial == action.serial:
            host.world.cover(Seen.FENCED_BY_SUPERVISOR)
            guard.tell(partial(guard.kill, action.why))
        victim = self._neard(action.serial)
        if victim is not None:
            host.sigkill(victim)

    # --- neard ---

    def _start(self, action: ac.StartChild) -> None:
        made = self.host.start_neard(self, action)
        if isinstance(made, str):
            why = made
            self._later(0.01, lambda now: ev.ChildStartFailed(action.serial, why, now))
        else:
            pid = made.pid
            if action.role is Role.VALIDATOR:
                self.host.world.cover(Seen.PROMOTED_RESTART)
            self._later(self.host.dice.between(0.02, 0.2), lambda now: self._started(action.serial, pid, now))

    def _started(self, serial: int, pid: int, now: float) -> ev.Event | None:
        guard = self.host.guard
        if serial in self._proved or guard is None or guard.dead:
            return None  # the end was seen first; it is an event of its own
        return ev.ChildStarted(serial, pid, now)

    def _later(self, delay: float, item: Callable[[float], ev.Event | None]) -> None:
        self.host.world.timeline.after(delay, self._arrives, item)

    def _arrives(self, item: Callable[[float], ev.Event | None]) -> None:
        if not self.dead:
            self.post(item)

    def _poll(self, action: ac.PollStatus, now: float) -> None:
        """A healthy neard answers in no time, and a standby has no need to think about it at once."""
        host = self.host
        neard = self._neard(action.serial)
        true_now = host.world.timeline.now
        if neard is None or true_now < neard.rpc_at or neard.stopping:
            self.post_quietly(ev.StatusFailed(action.serial, "connection refused", now, now))
            return
        if host.troubles.hung or neard.paused:
            self._later(host.clock.span(action.deadline), lambda at: ev.StatusFailed(action.serial, "timeout", now, at))
            return
        syncing = true_now < neard.synced_at or bool(host.troubles.syncing)
        if syncing:
            host.world.cover(Seen.NEARD_SYNCING)
        answer = ev.StatusAnswered(action.serial, neard.status(host.height(neard), syncing), now, now)
        child = self.state.child
        if child is not None and child.synced and child.key_live == (self.state.lease is not None):
            self.post_quietly(answer)
        else:
            self._later(0.002, lambda _unused: answer)

    def _neard(self, serial: int) -> Neard | None:
        return next((each for each in self.host.neards if (each.life, each.serial) == (self.host.lives, serial)), None)

    def _place(self, action: ac.PlaceKey) -> None:
        guard = self.host.guard
        serial = action.serial
        if guard is None or guard.neard.serial != serial:
            self._later(0.001, lambda now: ev.KeyRefused(serial, "neard has ended", now))
            return
        self.host.world.cover(Seen.PROMOTED_HOT)
        self._tell_guard(guard, serial, partial(guard.place, action.fence_at, action.plan), _placed)

    def _unload(self, action: ac.UnloadKey) -> None:
        guard, serial = self.host.guard, action.serial
        assert self.state.lease is not None
        self.host.world.desk.acts(self.host, action.giveup, self.state.lease.term)
        if guard is None or guard.neard.serial != serial:
            self._later(0.001, lambda now: ev.KeyUnloaded(serial, now, "neard has ended"))
            return
        self._tell_guard(guard, serial, guard.unload, ev.KeyUnloaded)

    def _tell_guard(self, guard: Guard, serial: int, tell: Callable[[], None], answered: Answered) -> None:
        self._asked = (serial, answered)
        guard.tell(tell)
        if self._asked is not None:
            self._later(self.host.clock.span(PLACE_DEADLINE), partial(self._guard_late, serial))

    _asked: tuple[int, Answered] | None = None

    def key_answer(self, serial: int, refused: str) -> None:
        """The guard has placed the key or taken it away, or says why not."""
        if self._asked is None or self._asked[0] != serial or self.dead:
            return
        answered, self._asked = self._asked[1], None
        self._later(0.0, lambda now: answered(serial, now, refused))

    def _guard_late(self, serial: int, now: float) -> ev.Event | None:
        if self._asked is None or self._asked[0] != serial:
            return None
        answered, self._asked = self._asked[1], None
        return answered(serial, now, "the guard did not answer")

    def _ask_hooks(self, action: ac.AskHook) -> None:
        veto = "it is maintained" if self.host.troubles.veto else ""
        if veto:
            self.host.world.cover(Seen.HOOK_VETOED)
        self._later(self.host.dice.between(0.05, 2.0), lambda now: ev.HookAnswered(action.term, now, veto))

    def _tell_windows(self) -> None:
        if not self.dead:
            self.post(ev.WindowsSeen(self.host.world.desk.windows(self.host), self.host.local()))

    def guard_answers(self, serial: int) -> None:
        """A sign of life."""
        if not self.dead:
            self.post_quietly(lambda now: ev.GuardAnswered(serial, now))

    def child_ended(self, serial: int, why: str, at: float, handing_back: bool) -> None:
        """The proof of death, from the guard."""
        self._prove(serial, why, at, handing_back)

    def _prove(self, serial: int, why: str, at: float, handing_back: bool = False) -> None:
        if not self.dead and serial not in self._proved:
            self._proved.add(serial)
            self.post(ev.ChildExited(serial, why, at, handing_back))

    def neard_ended(self, neard: Neard) -> None:
        """The kernel says so; the guard has a moment to say it too."""
        if neard.serial in self._proved:
            return
        guard = self.host.guard
        if guard is None or guard.neard is not neard:
            self.guard_ended(neard)
        else:
            self.host.world.timeline.after(self.host.clock.span(REAP_DEADLINE), self._hurry, neard)

    def _hurry(self, neard: Neard) -> None:
        guard = self.host.guard
        if self.dead or neard.serial in self._proved or guard is None or guard.neard is not neard:
            return
        if not self.running:
            self.host.world.timeline.after(0.2, self._hurry, neard)
            return
        self.host.world.cover(Seen.GUARD_HURRIED)
        guard.end()

    def guard_ended(self, neard: Neard) -> None:
        """The guard died first, or was ended: be sure that neard is dead, then say so."""
        if self.dead or neard.serial in self._proved or not neard.dead:
            return
        self.host.key_link = False
        self.host.world.cover(Seen.PROVED_WITHOUT_GUARD)
        self._prove(neard.serial, f"neard pid {neard.pid} was killed because its guard died", self.host.local())

    # --- the blocking query ---

    def _wants_watch(self) -> bool:
        return self.state.lease is None and self.state.session is not None

    def _watch(self) -> None:
        if not self._watching and self._wants_watch():
            self._watching = True
            self.host.world.timeline.after(self.host.dice.between(0.0, 0.2), self._ask, 0)

    def _ask(self, index: int) -> None:
        if self.dead:
            return
        if not self._wants_watch() or not self.host.awake or self.paused:
            self._watching = False
            return
        self.host.world.cluster.send(adapter.watch(self, index, self._watched))

    def _watched(self, request: Request, index: int) -> None:
        """An answer of the query: what the key has become, unless nobody wants to know any more."""
        if self.dead or request.closed:
            return
        request.closed = True
        reply = self._outcome(request)
        if not isinstance(reply, adapter.Done):
            self._watch_pause = min(2 * self._watch_pause, 2.0)
            self._again(self.host.dice.between(0.5, 1.0) * self._watch_pause, 0)
            return
        self._watch_pause = 0.2
        (entry,) = reply.value
        new = entry.index if entry is not None else 1
        if self._wants_watch() and (entry is None or new != index):
            self.post(partial(adapter.seen, self, entry, request.deadline))
        if entry is None:
            self._again(1.0, 1)
        else:
            self._ask(0 if new < index else new)

    def _again(self, pause: float, index: int) -> None:
        self.host.world.timeline.after(pause, self._ask, index)

    @property
    def standing_by(self) -> bool:
        """Is all quiet here: a standby, or a validator that shows its key?"""
        state = self.state
        child = state.child
        if child is None or state.ghost is not None or state.giveup is not None or state.desk.pending is not None:
            return False
        if state.lease is not None:
            return child.key_live and state.lease.lost is None and not state.lease.doubt
        return label(state) is State.VOTING

    def settle(self) -> bool:
        """Read what was left for later; True when nothing is under way now."""
        if self._inbox:
            self.step()
        return not self._inbox and not self.state.inflight
