# SPDX-License-Identifier: Apache-2.0
"""One node's rules on a bench: time by hand, every action seen, answers given as the test likes."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.decide import decide
from kuutamod.core.model import Home, Identity, LockView, NodeState, Policy, State, Status, Watch, label
from kuutamod.core.observe import observe
from kuutamod.core.plan import begin
from kuutamod.core.protocol import FleetConfig, LockRecord

KEY = "ed25519:validator"
A = TypeVar("A", bound=ac.Action)

IDENTITY = Identity(
    account_id="acct",
    node_id="a",
    hostname="host-a",
    life="life-a",
    home="/home/a",
    fingerprint=KEY,
    validator_account="acct",
    voter_node_key="ed25519:voter",
    validator_node_key="ed25519:validatornode",
)
RELEASED = LockRecord("host-b", "b", 4, guard_time=9, released=True, last_height=90)


class Rig:
    """Drives decide, begin and observe; ``taken`` are the actions since the last look."""

    def __init__(self, policy: Policy | None = None, now: float = 1000.0) -> None:
        self.now = now
        self.state = NodeState(replace(policy or Policy(promotion="hot-swap"), settle_time=0.0), IDENTITY, now)
        self.actions: list[ac.Action] = []
        self.why = ""
        self.wake_at = now

    def step(self, seconds: float = 0.0) -> str:
        """Let time pass, decide once."""
        self.now += seconds
        decision = decide(self.state, self.now)
        for action in decision.actions:
            self.state = begin(self.state, action, self.now)
        self.actions.extend(decision.actions)
        self.why, self.wake_at = decision.why, decision.wake_at
        return self.why

    def tell(self, event: ev.Event, step: bool = True) -> None:
        """An event happens."""
        self.state = observe(self.state, event)
        if step:
            self.step()

    def take(self, kind: type[A]) -> A:
        """The newest action of a kind; it is removed from the list. Fails when there is none."""
        found = [action for action in self.actions if isinstance(action, kind)]
        assert found, f"no {kind.__name__} in {self.actions}; why: {self.why}"
        self.actions = [action for action in self.actions if action is not found[-1]]
        return found[-1]

    def has(self, kind: type[ac.Action]) -> bool:
        """Was such an action asked for since the last look?"""
        return any(isinstance(action, kind) for action in self.actions)

    @property
    def name(self) -> State:
        return label(self.state)

    # --- the way up, in steps ---

    def started(self, pid: int = 77) -> None:
        """neard runs as whatever it was started as."""
        self.step()
        if self.state.home is not Home.CLEAR:
            self.take(ac.InspectHome)
            self.tell(ev.HomeInspected(Home.CLEAR, ""))
        start = self.take(ac.StartChild)
        self.tell(ev.ChildStarted(start.serial, pid, self.now))

    def status(self, height: int = 100, step: bool = True, **changes: object) -> None:
        """neard answers, whether or not it was asked just now."""
        child = self.state.child
        assert child is not None
        node_key = IDENTITY.validator_node_key if child.role.value == "validator" else IDENTITY.voter_node_key
        status = Status(height, False, node_key, None, None, "2.11.0", child.pid)
        status = replace(status, **changes)  # type: ignore[arg-type]
        self.tell(ev.StatusAnswered(child.serial, status, self.now, self.now), step)

    def registered(self, session: str = "s1") -> None:
        """A voter with a session and a member record."""
        self.started()
        self.status()
        self.take(ac.CreateSession)
        self.tell(ev.SessionCreated(session, self.now))
        record = self.take(ac.Publish).record
        self.take(ac.ReadFleet)
        self.tell(ev.MemberPublished(session, record, self.now), step=False)
        self.tell(ev.FleetSeen((), FleetConfig(), self.now, self.now, self.now))

    def renewed_session(self, old: str = "s1", new: str = "s2") -> None:
        """The session of the last lease is ended and the node registers with another; neard has answered."""
        assert self.take(ac.DestroySession).session == old
        self.tell(ev.SessionGone(old))
        self.take(ac.CreateSession)
        self.tell(ev.SessionCreated(new, self.now))
        self.tell(ev.MemberPublished(new, self.take(ac.Publish).record, self.now))

    def lock(self, view: LockView, step: bool = True) -> None:
        """A consistent read shows this; the node has watched for long."""
        if self.state.watch is None:
            long = Watch(LockView(1, "s0"), first_seen=self.now, last_seen=self.now, since=self.now - 100)
            self.state = replace(self.state, watch=long)
        self.tell(ev.LockSeen(view, self.now, self.now, watched=True), step)

    def holder(self) -> ac.Take:
        """Took the released lock of term 4; the key is not placed yet."""
        self.registered()
        self.lock(LockView(7, None, RELEASED))
        take = self.take(ac.Take)
        self.tell(ev.TakeAnswered("s1", ev.Outcome.APPLIED, take.record, take.claim, self.now, self.now))
        self.chain_moves_on()
        return take

    def chain_moves_on(self) -> None:
        """Far enough for a new holder to get the key."""
        for height in (98, 99, 100):
            self.status(height)

    def validating(self) -> None:
        """Promoted by hot swap; neard shows the key."""
        self.holder()
        place = self.take(ac.PlaceKey)
        self.tell(ev.KeyPlaced(place.serial, self.now))
        self.status(101, validator_key=KEY, validator_account="acct")
        assert self.state.child is not None
        assert self.state.child.key_live

    def beat(self, outcome: ev.Outcome = ev.Outcome.APPLIED) -> None:
        """The heartbeat that was asked for is answered now."""
        self.take(ac.Heartbeat)
        self.tell(ev.HeartbeatAnswered("s1", outcome, self.now, "because"))

    def run(self, seconds: float, heartbeats: bool = True, answers: bool = True, height: int | None = 0) -> None:
        """Time passes in quarter seconds; guard, status and heartbeats answer as told. ``height`` None: it stands."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.step(0.25)
            child = self.state.child
            if child is not None and self.has(ac.ExtendGuard):
                self.take(ac.ExtendGuard)
                self.tell(ev.GuardAnswered(child.serial, self.now), step=False)
            if child is not None and child.status is not None and self.has(ac.PollStatus) and answers:
                self.take(ac.PollStatus)
                grown = child.status.height + 1 if height is not None else child.status.height
                self.status(grown, step=False, validator_key=child.status.validator_key, peers=child.status.peers)
            if heartbeats and self.has(ac.Heartbeat):
                self.take(ac.Heartbeat)
                self.tell(ev.HeartbeatAnswered("s1", ev.Outcome.APPLIED, self.now), step=False)
            if self.has(ac.RenewSession):
                self.take(ac.RenewSession)
                self.tell(ev.SessionRenewed("s1", self.now), step=False)
            if self.has(ac.Publish):
                self.tell(ev.MemberPublished("s1", self.take(ac.Publish).record, self.now), step=False)
            if self.has(ac.ReadFleet):
                self.take(ac.ReadFleet)
                self.tell(ev.FleetFailed("not now"), step=False)

    def unloaded(self, height: int = 120) -> None:
        """neard drops the key that it is told to drop, and answers twice without it."""
        unload = self.take(ac.UnloadKey)
        self.tell(ev.KeyUnloaded(unload.serial, self.now))
        for _unused in range(2):
            self.now += 0.05
            self.status(height)

    def died(self, why: str = "exit code 1") -> None:
        """The proof of neard's death arrives."""
        assert self.state.child is not None
        self.tell(ev.ChildExited(self.state.child.serial, why, self.now))
