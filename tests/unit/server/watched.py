# SPDX-License-Identifier: Apache-2.0
"""A node on the rules' bench whose every state is told to the metrics, as the supervisor does it."""

from __future__ import annotations

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.claim import Claim
from kuutamod.core.model import LockView
from kuutamod.core.protocol import FleetConfig, LockRecord, MemberRecord, Request
from kuutamod.server.metrics import Metrics
from kuutamod.server.view import View
from unit.core.rig import RELEASED, Rig
from unit.server.exposition import scrape_view

WALL = 1_700_000_000.0
"""Unix seconds when the bench's clock was 0."""


class Watched(Rig):
    """See the module."""

    def __init__(self) -> None:
        self.metrics = Metrics(lambda: 0)
        self.index = 100
        super().__init__()
        self.watched()

    def watched(self) -> None:
        """The supervisor tells its state."""
        self.metrics.observed.state(self.state, self.now)

    def step(self, seconds: float = 0.0) -> str:
        """As in the rig, and then the state is told."""
        why = super().step(seconds)
        self.watched()
        return why

    def tell(self, event: ev.Event, step: bool = True) -> None:
        """As in the rig; the state is told after the event, and after the decision."""
        super().tell(event, step=False)
        self.watched()
        if step:
            self.step()

    def fleet(self, *members: MemberRecord) -> None:
        """The fleet is read; the wall clock is known from then on."""
        self.index += 1
        seen = tuple(ev.SeenMember(member, f"s-{member.node_id}", self.index) for member in members)
        self.tell(ev.FleetSeen(seen, FleetConfig(), self.now, self.now, WALL + self.now))

    def takes(self, record: LockRecord = RELEASED) -> None:
        """Takes the lock as ``record`` left it; neard has no key yet."""
        self.registered()
        self.fleet()
        self.lock(LockView(7, None, record))
        if not self.has(ac.Take):
            self.now += 20.0
            self.status()
            self.lock(LockView(7, None, record))
        take = self.take(ac.Take)
        self.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, self.now, self.now))

    def shows_the_key(self) -> None:
        """The holder's neard gets the key, and shows it."""
        self.chain_moves_on()
        place = self.take(ac.PlaceKey)
        self.tell(ev.KeyPlaced(place.serial, self.now))
        self.status(101, validator_key="ed25519:validator", validator_account="acct")

    def claim(self) -> Claim:
        """The grounds on which it holds the lock."""
        assert self.state.lease is not None
        return self.state.lease.claim

    def asked(self, request: Request) -> None:
        """Consul shows this request."""
        self.index += 1
        self.tell(ev.RequestSeen(request, self.index, self.now))

    def answered(self) -> Request:
        """What the node has to say to the request is written, as often as it has more."""
        for _unused in range(9):
            self.step(0.2)
            if self.has(ac.AnswerRequest):
                answer = self.take(ac.AnswerRequest)
                self.index += 1
                self.tell(ev.RequestAnswered(ev.Outcome.APPLIED, answer.request, self.index, self.now))
        assert self.state.desk.request is not None
        return self.state.desk.request

    def scrape(self) -> dict[str, float]:
        """What Prometheus would read now."""
        return scrape_view(self.metrics, View(self.state, self.now, WALL + self.now))
