# SPDX-License-Identifier: Apache-2.0
"""The operator and his command line: handovers, restarts, pauses and drained nodes, in good and in bad moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kuutamod.core import events as ev
from kuutamod.core.desk import Windows
from kuutamod.core.model import Giveup
from kuutamod.core.protocol import Ask, FleetConfig, MemberRecord, Outcome, Pause, Request, Step
from kuutamod.core.ranking import ordered

from .cluster import LOCK
from .consul import Refused
from .coverage import Seen
from .faults import Fault

if TYPE_CHECKING:
    from .host import Host
    from .world import World

WALL_ERROR = 2.0
"""Seconds that a host's wall clock is wrong by at most."""
_ENDS = {
    Outcome.DONE: Seen.REQUEST_DONE,
    Outcome.REFUSED: Seen.REQUEST_REFUSED,
    Outcome.EXPIRED: Seen.REQUEST_EXPIRED,
    Outcome.ROLLED_BACK: Seen.REQUEST_ROLLED_BACK,
}


class Desk:
    """The request's key in Consul, and who is told of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.request: Request | None = None
        self.index = 0
        self._count = 0

    @property
    def settled(self) -> bool:
        """Has the newest request its outcome?"""
        return self.request is None or self.request.outcome is not None

    # --- the key ---

    def write(self, request: Request, index: int, who: str) -> Refused | None:
        """Write it if it is still as it was at ``index``."""
        old = self.request
        if index != self.index:
            return Refused.MOVED
        if old is not None and old.id == request.id and old.outcome is not None:
            self._world.judge.broken("two outcomes", f"{who} changes a request that ended: {old.outcome.value}: {old.why}")
        data = self._world.cluster.store.data
        # A restored snapshot sets the index back, but not this key: it must not come to the very index that it had.
        data.index += 2 if data.index + 1 == self.index else 1
        self.request, self.index = request, data.index
        if request.outcome is not None:
            self._world.cover(_ENDS[request.outcome])
            self._world.note(who, "request {} {}: {}", request.id, request.outcome.value, request.why)
        for host in self._world.hosts:
            self.tell(host)
        return None

    def tell(self, host: Host) -> None:
        """A node's blocking query shows the request a moment later; where it can't be asked, when it can."""
        self._world.timeline.after(self._world.dice.between(0.005, 0.3), self._arrives, host)

    def _arrives(self, host: Host) -> None:
        supervisor, link = host.supervisor, host.link
        if supervisor is None or self.request is None:
            return
        deaf = not supervisor.running or link.cut or link.agent_down or link.hanging or not self._world.cluster.leads
        if deaf or supervisor.state.session is None:
            self._world.timeline.after(0.7, self._arrives, host)
            return
        request, index = self.request, self.index
        supervisor.post(lambda now: ev.RequestSeen(request, index, now))

    def windows(self, host: Host) -> Windows:
        """What neard says of the heights to come."""
        dice, head = self._world.dice, self._world.chain.height(self._world.timeline.now)
        if dice.chance(0.2):
            return Windows((), "no answer")
        start = head + dice.whole(-5, 15)
        return Windows(((start, start + dice.whole(3, 30)),))

    # --- what is asked for ---

    def ask(self, ask: Ask, host: Host, fault: Fault) -> None:
        """The command line: it names who holds the lock, writes the request, and may be killed before it ends."""
        world, dice = self._world, self._world.dice
        entry = world.cluster.lock_entry()
        record = world.cluster.store.record(entry)
        if entry is None or entry.session is None or record is None or not self.settled or not world.cluster.leads:
            return
        wall, timeout = world.wall(), dice.between(3.0, 30.0)
        when = dice.weighted((("now", 6.0), ("window", 2.0), (str(world.chain.height(world.timeline.now) + 8), 1.0)))
        self._count += 1
        request = Request(
            id=f"r{self._count}",
            ask=ask,
            holder=record.node_id,
            term=record.term - (1 if fault.strength < 0.08 else 0),
            issued=wall,
            expires=wall + timeout,
            node=self._candidate(host, fault) if ask is Ask.HANDOVER else host.name,
            when=when,
            min_window=5,
            allow_restart=dice.chance(0.7),
            by="operator",
        )
        world.note("operator", "asks for {} of {} at {} ({})", ask.value, request.node, when, request.id)
        self.write(request, self.index, "operator")
        if dice.chance(0.7):
            world.timeline.after(timeout + 1.0, self._withdraw, request.id)

    def _candidate(self, host: Host, fault: Fault) -> str:
        """The best standby, as the command line names it; or just anyone."""
        keys = self._world.cluster.store.data.keys
        members = (MemberRecord.from_json(entry.value) for key, entry in keys.items() if key != LOCK and entry.session)
        able = ordered([member for member in members if member is not None and member.eligible], 20)
        return able[0].node_id if able and fault.strength < 0.8 else host.name

    def _withdraw(self, request_id: str) -> None:
        request = self.request
        if request is None or request.id != request_id or request.outcome is not None:
            return
        if request.marked(Step.CONFIRMED) is None and self._world.cluster.leads:
            self.write(
                replace(request, outcome=Outcome.EXPIRED, why="withdrawn by the command line"), self.index, "operator"
            )

    # --- the judge's questions ---

    def acts(self, host: Host, giveup: Giveup, term: int) -> None:
        """A holder takes the key from its neard for a request: it must be the one in Consul, and in time."""
        if not giveup.request:
            return
        self._world.cover(Seen.KEY_GIVEN_UP_FOR_REQUEST)
        request = self.request
        fits = request is not None and request.id == giveup.request and request.outcome is None
        # Without this mark in Consul the command line may still withdraw the request.
        sure = request is not None and request.marked(Step.CONFIRMED) is not None
        if request is None or not fits or not sure or (request.holder, request.term) != (host.name, term):
            self._world.judge.broken("stale request", f"{host.name} acts on {giveup.request} in term {term}: {request}")
        elif self._world.wall() > request.expires + 2 * WALL_ERROR + 1.0:
            late = self._world.wall() - request.expires
            self._world.judge.broken("stale request", f"{host.name} acts on {request.id} {late:.1f} s after its end")

    # --- settings ---

    def pause(self, seconds: float, node: str) -> None:
        """No automatic move for so long."""
        self._world.cover(Seen.PAUSED)
        pause = Pause(self._world.wall() + seconds, node, "operator", "maintenance")
        self._change(lambda config: replace(config, pauses=(*config.pauses, pause)))

    def drain(self, name: str) -> Callable[[], None]:
        """This node takes nothing; the call ends that."""
        self._world.cover(Seen.DRAINED)
        self._change(lambda config: replace(config, no_takeover=(*config.no_takeover, name)))

        def undrain() -> None:
            self._change(lambda config: replace(config, no_takeover=tuple(n for n in config.no_takeover if n != name)))

        return undrain

    def _change(self, change: Callable[[FleetConfig], FleetConfig]) -> None:
        data = self._world.cluster.store.data
        data.config = change(data.config)
        data.index += 1
