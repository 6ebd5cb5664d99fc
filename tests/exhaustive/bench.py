# SPDX-License-Identifier: Apache-2.0
"""One host: the production rules (core and guard) with what surrounds them on the host, and nothing of other hosts.

Whatever a supervisor does on its own host or about things that can't matter for the lock is answered within the decision:
looking at the home, starting neard, ``/status``, the guard's acknowledgements, the memory file, member record and fleet.
Requests about the lock and the end of neard are not: they leave the bench as messages and come back as events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from exhaustive.names import view_from
from exhaustive.normal import TEXT, aged, plain, plain_claim, tidied_host
from exhaustive.world import (
    NODES,
    NOW,
    PID,
    Command,
    Consul,
    Guard,
    Host,
    Mode,
    Neard,
    Outward,
    Request,
    Scale,
    fresh_session,
    identity,
    status_of,
)
from kuutamod.core import actions as ac
from kuutamod.core import decide as rules
from kuutamod.core import events as ev
from kuutamod.core import observe as observing
from kuutamod.core import plan as planning
from kuutamod.core.change import replace
from kuutamod.core.model import Home, LockView, NodeState, first_state
from kuutamod.core.protocol import FleetConfig, MemberRecord
from kuutamod.guard import rules as guarding
from kuutamod.guard.rules import Cause, GuardView

OUTWARD = get_args(Outward)

SAYS: dict[type[object], str] = {
    ac.Heartbeat: "sends a heartbeat",
    ac.Take: "sends a take",
    ac.CreateKey: "asks to write the missing key",
    ac.Release: "sends a release",
}
"""What is told of a request, for stories."""


@dataclass(frozen=True)
class Around:
    """What a host can notice of Consul: is there a leader, does its session exist, and the lock if it looks."""

    up: bool
    alive: bool = True
    view: LockView | None = None


def around(host: Host, consul: Consul) -> Around:
    """What this host can notice. A holder does not look at the lock."""
    node = host.node
    alive = node is None or node.session is None or node.session.id in consul.sessions
    looks = node is None or node.lease is None or bool(host.outbox)
    return Around(consul.up, alive, view_from(consul, host.number) if looks and consul.up else None)


@dataclass(frozen=True)
class Done:
    """What came of a step on one host. ``why``: the rules' sentences, for stories."""

    host: Host
    sends: tuple[Request | ac.ReleasePlan, ...] = ()
    created: str = ""
    destroyed: str = ""
    why: tuple[str, ...] = ()
    acted: bool = False


@dataclass
class Bench:
    """One host being worked on; ``hold``: the supervisor is stopped between a decision and its actions."""

    host: Host
    around: Around
    scale: Scale
    hold: bool = False
    sends: list[Request | ac.ReleasePlan] = field(default_factory=list)
    created: str = ""
    destroyed: str = ""
    why: list[str] = field(default_factory=list)
    acted: bool = False

    def done(self) -> Done:
        """The host's new form and all that leaves it."""
        host = self.host
        if host.node is not None:
            host = replace(host, disk_term=max(host.disk_term, host.node.term_stored))
        host = tidied_host(host, self.scale)
        return Done(host, tuple(self.sends), self.created, self.destroyed, tuple(self.why), self.acted)

    def change(self, **changes: object) -> None:
        """Change the host."""
        self.host = replace(self.host, **changes)  # type: ignore[arg-type]

    # --- the supervisor ---

    def think(self) -> None:
        """Decide and act until there is nothing left that is answered at once."""
        self.change(due=False)
        while self.host.node is not None:
            decision = rules.decide(self.host.node, NOW)
            if not self.why or self.why[-1] != decision.why:
                self.why.append(decision.why)
            for action in decision.actions:
                self.change(node=planning.begin(self._node, action, NOW))
            held = self.hold and any(isinstance(action, OUTWARD) for action in decision.actions)
            if held:
                self.change(outbox=tuple(plain_action(a) for a in decision.actions if isinstance(a, OUTWARD)))
            answers = [self._act(a) for a in decision.actions if not (held and isinstance(a, OUTWARD))]
            for event in answers:
                if event is not None and self.host.node is not None:
                    self.tell(event)
            again = any(answers) or decision.again
            if held or not again:
                return

    def tell(self, event: ev.Event) -> None:
        """The supervisor learns of an event; it has not decided yet."""
        self.change(node=observing.observe(self._node, event))

    def flush(self) -> None:
        """A supervisor that was stopped between a decision and its actions carries them out now."""
        outbox = self.host.outbox
        self.change(outbox=())
        for action in outbox:
            event = self._act(action)
            if event is not None:
                self.tell(event)

    def start(self) -> None:
        """A new supervisor, with what is on the disk."""
        host = self.host
        policy = self.scale.policy(host.number)
        node = first_state(policy, identity(host.number), NOW, host.disk_term, host.disk_session)
        self.change(node=node, due=True)

    @property
    def _node(self) -> NodeState:
        assert self.host.node is not None
        return self.host.node

    def _act(self, action: ac.Action) -> ev.Event | None:
        match action:
            case ac.Heartbeat() | ac.Take() | ac.CreateKey() | ac.Release():
                self.acted = True
                self.sends.append(_request(action))
                self.why.append(SAYS[type(action)])
            case ac.ReadLock():
                view = self.around.view
                return ev.LockSeen(view, NOW, NOW) if view is not None else ev.LockReadFailed("no cluster leader")
            case ac.UnloadKey():
                # A courtesy that shortens the gap and proves nothing; refused, it leaves what there is without it.
                return ev.KeyUnloaded(action.serial, NOW, "not in this world")
            case ac.StartChild() | ac.PlaceKey() | ac.ExtendGuard() | ac.StopChild() | ac.KillChild():
                before = self.host
                event = self._command(action)
                self.acted = self.acted or self.host != before
                return event
            case ac.Exit():
                self.change(node=None, due=False)
                self.acted = True
            case _:
                return self._answer(action)
        return None

    def _answer(self, action: ac.Action) -> ev.Event | None:
        """What is answered at once."""
        up = self.around.up
        match action:
            case ac.InspectHome():
                return ev.HomeInspected(Home.CLEAR if self.host.neard is None else Home.BUSY, "")
            case ac.PollStatus():
                neard, child = self.host.neard, self._node.child
                if neard is None or child is None or neard.killed is not None:
                    return None
                return ev.StatusAnswered(action.serial, status_of(neard, child.role), NOW, NOW)
            case ac.CreateSession() if up:
                self.created, self.acted = fresh_session(self.host.number), True
                self.change(disk_session=self.created)
                return ev.SessionCreated(self.created, NOW)
            case ac.DestroySession() if up:
                self.destroyed, self.acted = action.session, True
                return ev.SessionGone(action.session)
            case ac.RenewSession() if up:
                return ev.SessionRenewed(action.session, NOW)  # also of a session that has ended: it proves nothing
            case ac.CreateSession() | ac.DestroySession() | ac.RenewSession():
                return ev.SessionFailed("no cluster leader")
            case ac.Publish():
                return ev.MemberPublished(action.session, action.record, NOW)
            case ac.ReadFleet():
                guard_time = self.scale.policy(1 - self.host.number).law.guard_time
                other = ev.SeenMember(MemberRecord("", "", "", guard_time=guard_time), None, 1)
                return ev.FleetSeen((other,), FleetConfig(), NOW, NOW, 0.0)
            case ac.RememberTerm():
                return ev.TermRemembered(action.term)
            case ac.WriteHistory():
                return ev.HistoryWritten(action.record.term, action.live)
            case ac.GiveUp():
                self.acted = True
                return None
        raise AssertionError(f"{NODES[self.host.number]} asked for {action}, which can't come up here")

    def _start_neard(self, action: ac.StartChild) -> ev.Event:
        if action.fence_at is not None and not guarding.may_place(GuardView(), NOW, action.fence_at):
            return ev.ChildStartFailed(action.serial, "the lease's deadline has passed", NOW)
        keyed = action.fence_at is not None
        self.change(neard=Neard(keyed=keyed), guard=Guard())
        if action.fence_at is not None and action.plan is not None:
            self._arm(action.fence_at, action.plan)
        return ev.ChildStarted(action.serial, PID, NOW)

    # --- the guard; the steps of guard.main.Guard around guard.rules ---

    def look(self) -> None:
        """The guard looks at its clock and kills neard if it must. A neard that is killed stays so."""
        guard, neard = self.host.guard, self.host.neard
        if guard is None or neard is None:
            return
        cause = guarding.must_kill(guard.view, NOW)
        if cause is None:
            return
        kept = cause if guard.cause in (None, Cause.ORDERED) else guard.cause
        killed = neard.killed if neard.killed is not None else 0
        self.change(
            guard=replace(guard, cause=kept, view=replace(guard.view, killed=True)), neard=replace(neard, killed=killed)
        )

    def _command(self, command: Command) -> ev.Event | None:
        if isinstance(command, ac.StartChild):
            return self._start_neard(command)
        self.look()
        guard, neard = self.host.guard, self.host.neard
        if guard is None or neard is None:
            return ev.KeyRefused(command.serial, "neard has ended", NOW) if isinstance(command, ac.PlaceKey) else None
        match command:
            case ac.PlaceKey():
                if not guarding.may_place(guard.view, NOW, command.fence_at):
                    return ev.KeyRefused(command.serial, "the lease's deadline has passed", NOW)
                self._arm(command.fence_at, command.plan)
                self.change(neard=replace(neard, keyed=True))
                return ev.KeyPlaced(command.serial, NOW)
            case ac.ExtendGuard():
                if command.fence_at is not None and command.plan is not None and guard.view.fence_at is not None:
                    self._arm(command.fence_at, command.plan)
                return ev.GuardAnswered(command.serial, NOW)
            case ac.StopChild():
                view = replace(guard.view, stop_by=NOW + command.grace)
                self.change(guard=replace(guard, view=view, cause=Cause.ORDERED), neard=replace(neard, terminated=True))
            case ac.KillChild():
                self.change(guard=replace(guard, view=replace(guard.view, kill_ordered=True)))
                self.look()
        return None

    def _arm(self, fence_at: float, plan: ac.ReleasePlan) -> None:
        guard = self.host.guard
        assert guard is not None
        newest = max(fence_at, guard.view.fence_at or fence_at)
        self.change(guard=replace(guard, view=replace(guard.view, fence_at=newest), plan=_plain_plan(plan)))

    def grow_older(self) -> None:
        """A tick passes."""
        self.host = aged(self.host)

    def orphan(self) -> None:
        """The supervisor is gone; the guard sees its pipe close. What it had to say is lost with it."""
        guard = self.host.guard
        if guard is not None:
            guard = replace(guard, view=replace(guard.view, orphaned=True))
        self.change(node=None, due=False, mode=Mode.RUNS, stopped_for=0, outbox=(), inbox=(), guard=guard)

    def lose(self) -> None:
        """The whole service is killed, guard included; the kernel kills neard with its guard."""
        neard = self.host.neard
        self.orphan()
        if neard is not None and neard.killed is None:
            neard = replace(neard, killed=0)
        self.change(guard=None, neard=neard)

    def go_on(self) -> None:
        """A stopped supervisor goes on. On a host that was frozen the guard looks first, and what it kills never runs."""
        host = self.host
        self.change(mode=Mode.RUNS, stopped_for=0, due=True)
        if host.frozen:
            self.look()
            neard = self.host.neard
            if neard is not None and neard.killed is not None:
                self.change(neard=replace(neard, dormant=True))
        self.flush()

    def die(self) -> None:
        """neard is dead; its guard, if there is one, has the exit status and may send the lock's release off."""
        self.look()
        guard = self.host.guard
        if guard is None:
            self.change(neard=None)
            return
        cause = guard.cause or Cause.ITSELF
        inbox = self.host.inbox
        if self.host.node is not None:
            handing_back = cause in (Cause.FENCE, Cause.ORPHANED)
            inbox = (*inbox, ev.ChildExited(1, f"neard ended: {cause.value}", NOW, handing_back))
        else:
            cause = Cause.ORPHANED
        if guard.plan is not None and guarding.releases(cause, armed=True):
            self.sends.append(guard.plan)
        self.change(neard=None, guard=None, inbox=inbox)


def plain_action(action: Outward) -> Outward:
    """A request or command without what nobody reads."""
    match action:
        case ac.PlaceKey():
            return replace(action, serial=1, plan=_plain_plan(action.plan))
        case ac.StartChild() | ac.ExtendGuard():
            return replace(action, serial=1, plan=None if action.plan is None else _plain_plan(action.plan))
        case ac.StopChild() | ac.KillChild():
            return replace(action, serial=1, why=TEXT, giveup=None)
        case ac.ReadLock():
            return action
    return _request(action)


def _request(action: Request) -> Request:
    if isinstance(action, ac.Take):
        view, claim = LockView(action.view.index), plain_claim(action.claim)
        return replace(action, view=view, record=plain(action.record), claim=claim)
    return replace(action, record=plain(action.record))


def _plain_plan(plan: ac.ReleasePlan) -> ac.ReleasePlan:
    return replace(plan, record=plain(plan.record))
