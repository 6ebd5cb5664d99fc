# SPDX-License-Identifier: Apache-2.0
"""Everything that can happen next on one side of the world: its host, and its requests at Consul.

Free, in any order and at any moment: a supervisor looks at the clock (once a tick at least), hears an event or all that
wait at once; Consul applies a request that is on its way; a guard or a killed neard does what it has to; a watch shows the
lock; a renewal shows that the session has ended; whatever was stopped goes on; a supervisor is started again.

The rest are faults (see ``Kind``). That a request is given up while Consul has no leader costs nothing; that it stays on
its way, and may arrive at any later time, does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import NamedTuple

from exhaustive.bench import Around, Bench, Done
from exhaustive.world import CURRENT, NOW, Consul, Message, Mode, Scale, Side
from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.change import replace
from kuutamod.core.events import Outcome
from kuutamod.core.model import LockView, NodeState


class Kind(enum.Enum):
    """What can happen, in the words of a story; from ``INVALIDATE`` on these are the faults."""

    TICK = "a second passes"
    THINK = "{who} looks at the clock"
    HEAR = "{who} hears of its {what}"
    HEAR_ALL = "{who} hears all answers at once"
    GIVE_UP = "{who} gives its {what} up"
    WATCH = "{who} sees the lock change"
    SESSION_END = "{who} learns that its session has ended"
    LOOK = "{who}'s guard looks at the clock and kills neard"
    DIE = "{who}'s neard is dead, its exit status collected"
    GO_ON = "{who} goes on"
    START = "{who}'s supervisor is started"
    APPLY = "Consul gets {who}'s {what}"
    LEADER = "Consul has a leader again"
    INVALIDATE = "Consul or an operator ends the session {what}"
    PAUSE = "{who}'s supervisor is paused"
    FREEZE = "{who}'s host is frozen"
    CRASH = "{who}'s neard crashes"
    ORPHAN = "{who}'s supervisor is killed"
    LOSE = "{who}'s supervisor, guard and neard are killed together"
    STOP = "{who} is asked to stop"
    NO_LEADER = "Consul loses its leader"
    LOSE_ANSWER = "the answer to {who}'s {what} is lost"
    LOSE_REQUEST = "{who}'s {what} is lost"
    DELAY = "{who}'s {what} gets no answer while it is still on its way"
    DELETE = "an operator deletes the lock's key"


FAULTS = frozenset(list(Kind)[list(Kind).index(Kind.INVALIDATE) :])


class Step(NamedTuple):
    """One step. ``then``: a fault that cuts the step between decision and actions."""

    kind: Kind
    host: int | None = None
    what: Message | str | None = None
    then: Kind | None = None

    @property
    def faults(self) -> tuple[Kind, ...]:
        """The faults that it is."""
        own = (self.kind,) if self.kind in FAULTS else ()
        return own if self.then is None else (*own, self.then)


class Option(NamedTuple):
    """A step on one side: the side after it, the sessions it made and ended at Consul, and for stories what was said."""

    step: Step
    side: Side
    created: str = ""
    destroyed: str = ""
    why: tuple[str, ...] = ()


class Request(NamedTuple):
    """A request that Consul may carry out now: the side after that, by outcome."""

    step: Step
    message: Message
    applied: Side
    refused: Side


class Here:
    """One side, and what its host can notice of Consul. ``kinds``: the faults that may still happen."""

    def __init__(self, side: Side, around: Around, scale: Scale, kinds: frozenset[Kind]) -> None:
        self.side = side
        self.host = side.host
        self.number = side.host.number
        self.around = around
        self.scale = scale
        self.kinds = kinds

    def options(self) -> Iterator[Option]:
        """All that can happen on this side now, but for what Consul does."""
        host, net = self.host, self.side.net
        if host.stopped:
            yield self._step(Step(Kind.GO_ON, self.number), Bench.go_on)
        elif host.node is not None:
            yield from self._supervisor()
        elif host.neard is None and not any(hands_back(m) for m in net):
            yield from self._hearing(Step(Kind.START, self.number), ())
        yield from self._processes()
        if not self.kinds:
            return
        yield from self._host_faults()
        for message in net:
            if hands_back(message) and Kind.DELAY in self.kinds:
                yield Option(Step(Kind.DELAY, self.number, message), Side(host, (*net, _late(message))))

    def requests(self) -> Iterator[Request]:
        """What Consul can carry out, while it has a leader."""
        host, net = self.host, self.side.net
        for message in net:
            if message.outcome is not None or (hands_back(message) and host.frozen):
                continue
            rest = tuple(m for m in net if m is not message)
            after = {}
            for outcome in (Outcome.APPLIED, Outcome.REFUSED):
                heard = not message.late and not hands_back(message)
                answer = (replace(message, outcome=outcome),) if heard else ()
                after[outcome] = Side(host, rest + answer)
            step = Step(Kind.APPLY, self.number, message)
            yield Request(step, message, after[Outcome.APPLIED], after[Outcome.REFUSED])

    def overdue(self) -> bool:
        """Is there something that can't wait for the next tick?

        Every running supervisor and guard looks at its clock, neards killed S ticks ago are dead, and requests that are a
        tick (h) old are answered or given up. A guard's release is tried again and again, so it only waits for Consul.
        """
        host, neard = self.host, self.host.neard
        if host.stopped_for >= self.scale.longest_pause or (host.awake and (host.due or host.inbox)):
            return True
        if neard is not None and not host.frozen:
            if neard.killed is not None and neard.killed + 1 >= self.scale.kill_budget:
                return True
            if neard.killed is None and self._work(Bench.look).host != host:
                return True
        for message in self.side.net:
            if message.age and not message.late:
                guards = hands_back(message)
                if (guards and self.around.up and not host.frozen) or (not guards and host.awake):
                    return True
        return False

    def ticked(self) -> Side:
        """The side a tick later. A look at the clock that leads to nothing outside is taken at once.

        It commutes with everything else: a supervisor stopped before that look is one that was stopped a tick earlier.
        """
        aged = self._work(Bench.grow_older).host
        net = []
        for message in self.side.net:
            if message.late or (hands_back(message) and self.host.frozen):
                net.append(message)
            elif not hands_back(message) or message.age + 1 < self.scale.guard_tries:
                net.append(replace(message, age=message.age + 1))
        after = Side(aged, tuple(net))
        if not aged.due:
            return after
        thought = Here(after, self.around, self.scale, self.kinds)._work(Bench.think)
        return after if thought.acted else replace(after, host=thought.host)

    def _work(self, work: Callable[[Bench], None], hold: bool = False) -> Done:
        """What comes of work on the host."""
        bench = Bench(self.host, self.around, self.scale, hold)
        work(bench)
        return bench.done()

    def _step(self, step: Step, work: Callable[[Bench], None], net: tuple[Message, ...] | None = None) -> Option:
        return self._option(step, self._work(work), self.side.net if net is None else net)

    def _option(self, step: Step, done: Done, net: tuple[Message, ...]) -> Option:
        """The side after a step on the host: what that sends is on its way then."""
        if done.host.node is None and self.host.node is not None:
            net = tuple(_late(m) if not hands_back(m) else m for m in net if hands_back(m) or m.outcome is None)
        net += tuple(Message(request) for request in done.sends)
        return Option(step, Side(done.host, net), done.created, done.destroyed, done.why)

    # --- the supervisor ---

    def _supervisor(self) -> Iterator[Option]:
        """What a supervisor that runs can do."""
        node, view = self.host.node, self.around.view
        assert node is not None
        if self.host.due:
            yield from self._hearing(Step(Kind.THINK, self.number), ())
        yield from self._waiting()
        if node.lease is None and node.session is not None and view is not None and _news(node, view):
            yield from self._hearing(Step(Kind.WATCH, self.number), (ev.LockSeen(view, NOW, NOW, watched=True),))
        if node.session is not None and not self.around.alive and self.around.up:
            yield from self._hearing(Step(Kind.SESSION_END, self.number), (ev.SessionGone(node.session.id),))

    def _waiting(self) -> Iterator[Option]:
        """Events that wait for it, and requests that it gives up."""
        inbox = self.host.inbox
        answered = tuple(m for m in self.side.net if not m.late and m.outcome is not None)
        if inbox:
            yield from self._hearing(Step(Kind.HEAR, self.number), inbox[:1], inbox=1)
        for message in answered:
            yield from self._hearing(Step(Kind.HEAR, self.number, message), (_answer(message),), gone=(message,))
        if len(answered) + len(inbox) > 1:
            events = (*inbox, *(_answer(message) for message in answered))
            yield from self._hearing(Step(Kind.HEAR_ALL, self.number), events, gone=answered, inbox=len(inbox))
        for message in self.side.net:
            if message.age and not message.late and not hands_back(message):
                yield from self._given_up(message)

    def _given_up(self, message: Message) -> Iterator[Option]:
        unknown, up = (_answer(replace(message, outcome=Outcome.UNKNOWN)),), self.around.up
        if message.outcome is not None:
            free = not up or message.age > 1
            step = Step(Kind.GIVE_UP if free else Kind.LOSE_ANSWER, self.number, message)
            yield from self._hearing(step, unknown, gone=(message,))
            return
        step = Step(Kind.LOSE_REQUEST if up else Kind.GIVE_UP, self.number, message)
        yield from self._hearing(step, unknown, gone=(message,))
        step = Step(Kind.DELAY, self.number, message)
        yield from self._hearing(step, unknown, gone=(message,), late=(_late(message),))

    def _hearing(
        self,
        step: Step,
        events: tuple[ev.Event, ...],
        gone: tuple[Message, ...] = (),
        inbox: int = 0,
        late: tuple[Message, ...] = (),
    ) -> Iterator[Option]:
        """The supervisor takes events in and decides; a fault may stop it before it acts."""

        def work(bench: Bench) -> None:
            if step.kind is Kind.START:
                bench.start()
            bench.change(inbox=bench.host.inbox[inbox:])
            for event in events:
                bench.tell(event)
            bench.think()

        net = tuple(m for m in self.side.net if m not in gone) + late
        if step.kind in FAULTS - self.kinds:
            return
        done = self._work(work)
        yield self._option(step, done, net)
        cuts = [(f, mode) for f, mode in ((Kind.PAUSE, Mode.PAUSED), (Kind.FREEZE, Mode.FROZEN)) if f in self.kinds]
        if not cuts or not done.acted or done.host.node is None:
            return
        held = self._work(work, hold=True)
        if held.host.outbox:
            for fault, mode in cuts:
                stopped = replace(held, host=replace(held.host, mode=mode))
                yield self._option(step._replace(then=fault), stopped, net)

    # --- guard and neard ---

    def _processes(self) -> Iterator[Option]:
        """What guard and neard do."""
        neard = self.host.neard
        if neard is None or self.host.frozen:
            return
        if neard.killed is None:
            looked = self._step(Step(Kind.LOOK, self.number), Bench.look)
            if looked.side != self.side:
                yield looked
        if neard.killed is not None or neard.terminated:
            yield self._step(Step(Kind.DIE, self.number), Bench.die)

    def _host_faults(self) -> Iterator[Option]:
        """Faults of the host."""
        host, neard = self.host, self.host.neard
        if host.awake:
            yield from self._fault(Kind.PAUSE, lambda bench: bench.change(mode=Mode.PAUSED))
            yield from self._fault(Kind.FREEZE, lambda bench: bench.change(mode=Mode.FROZEN))
            if host.node is not None and host.node.stop_requested is None:
                yield from self._hearing(Step(Kind.STOP, self.number), (ev.StopRequested("SIGTERM", NOW),))
        if host.frozen:
            return
        if host.node is not None:
            yield from self._fault(Kind.ORPHAN, Bench.orphan)
        if host.node is not None or neard is not None:
            yield from self._fault(Kind.LOSE, Bench.lose)
        if neard is not None and neard.killed is None and host.guard is not None:
            yield from self._fault(Kind.CRASH, Bench.die)

    def _fault(self, kind: Kind, work: Callable[[Bench], None]) -> Iterator[Option]:
        if kind in self.kinds:
            guardless = tuple(m for m in self.side.net if not hands_back(m))
            yield self._step(Step(kind, self.number), work, guardless if kind is Kind.LOSE else None)


def possible(side: Side, consul: Consul) -> Side:
    """Without late requests that can't do anything any more: Consul's indexes only grow, sessions that ended stay so."""
    net = tuple(m for m in side.net if not m.late or _can_apply(m, consul))
    return side if len(net) == len(side.net) else replace(side, net=net)


def _news(node: NodeState, view: LockView) -> bool:
    """Does the watch show something new? For a node that was blind for longer than D everything is."""
    watch = node.watch
    return watch is None or watch.view != view or watch.last_seen < NOW - node.policy.law.fence_deadline


def hands_back(message: Message) -> bool:
    """Is it of a guard that still tries?"""
    return isinstance(message.request, ac.ReleasePlan) and not message.late


def _late(message: Message) -> Message:
    return replace(message, late=True, age=0)


def sent_at(message: Message) -> float:
    """When it was sent, as its sender counts."""
    return NOW - message.age


def _can_apply(message: Message, consul: Consul) -> bool:
    request = message.request
    if isinstance(request, ac.CreateKey):
        return True
    if request.session not in consul.sessions:
        return False
    return not isinstance(request, ac.Take) or request.view.index == CURRENT


def _answer(message: Message) -> ev.Event:
    """The event that the supervisor gets."""
    request, sent = message.request, sent_at(message)
    outcome = message.outcome
    assert outcome is not None
    why = "" if outcome is Outcome.APPLIED else "no answer" if outcome is Outcome.UNKNOWN else "refused"
    match request:
        case ac.Heartbeat():
            return ev.HeartbeatAnswered(request.session, outcome, sent, why)
        case ac.Take():
            # Each take counts as confirmed by an operator, which puts the height rule to rest.
            claim = replace(request.claim, confirmed=True)
            return ev.TakeAnswered(request.session, outcome, request.record, claim, sent, NOW, why)
        case ac.CreateKey():
            return ev.KeyCreated(outcome, NOW, why)
    assert isinstance(request, ac.Release)
    return ev.ReleaseAnswered(request.session, outcome, why)
