# SPDX-License-Identifier: Apache-2.0
"""The small world that is explored: two hosts, one lock in Consul, and the requests on their way. Immutable.

Time is whole ticks, one tick is one second. There is no absolute time in a world: now is always ``NOW``, and a tick makes
everything that carries a time one second older (see ``normal``). Within a tick everything may happen in any order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from kuutamod.core import actions as ac
from kuutamod.core import events as ev
from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Identity, NodeState, Policy, Role, Status
from kuutamod.core.protocol import LockRecord
from kuutamod.guard.rules import Cause, GuardView

NOW = 1000.0
"""Boottime seconds of every host, in every world."""
NEVER = 1e6
"""Seconds; longer than anything explored lasts."""
LONG_AGO = NOW - NEVER / 2
NODES = ("a", "b")
CURRENT = 30
"""The index of the lock's key; see ``names``."""
UNSEEN = -1
"""The index in the place of what a node that was blind for too long had seen."""
ANCHOR = 20
"""The highest term in use; see ``names``."""
NEWEST = 20
"""The number of a host's newest session; see ``names``."""
KEY = "ed25519:validator"
NODE_KEYS = {Role.VOTER: "ed25519:voter", Role.VALIDATOR: "ed25519:validatornode"}
PID = 7

Request = ac.Heartbeat | ac.Take | ac.CreateKey | ac.Release
"""What a supervisor asks Consul, in a transaction on the lock."""
Command = ac.StartChild | ac.PlaceKey | ac.ExtendGuard | ac.StopChild | ac.KillChild
"""What a supervisor tells its guard."""
Outward = Request | Command | ac.ReadLock
"""What a supervisor may be stopped before."""


@dataclass(frozen=True)
class Scale:
    """The numbers of one exploration, in ticks. The default law holds with nothing to spare: D + S = G.

    ``longer``: node a's D and G are longer than node b's by this, as while a fleet's settings are being changed.
    """

    promotion: str = "hot-swap"
    longer: int = 0
    fence_deadline: int = 3
    kill_budget: int = 1
    guard_time: int = 4
    hold_off: int = 5
    patience: int = 1
    stop_grace: int = 1
    settled: int = 1
    """A neard that has lived this long counts as one that runs well (60 s in production)."""

    @property
    def longest_pause(self) -> int:
        """A paused process or host goes on at the latest after this: long enough for others to have taken over."""
        return self.guard_time + self.longer + 2

    @property
    def guard_tries(self) -> int:
        """How long a guard tries to hand the lock back."""
        return self.guard_time + 2

    def policy(self, host: int) -> Policy:
        """A node's settings for the production rules. What is NEVER can't happen in the explored world."""
        longer = self.longer if host == 0 else 0
        law = LeaseLaw(
            heartbeat_interval=1,
            request_deadline=1,
            fence_deadline=self.fence_deadline + longer,
            kill_budget=self.kill_budget,
            scheduling_slack=0,
            guard_time=self.guard_time + longer,
            session_renewal=NEVER,
            clock_rate_error=0,
        )
        return Policy(
            law=law,
            promotion=self.promotion,
            hang_timeout=NEVER,
            freeze_timeout=NEVER,
            start_timeout=NEVER,
            hot_swap_timeout=NEVER,
            syncing_patience=NEVER,
            settle_time=0.0,
            stop_grace=self.stop_grace,
            hold_off=self.hold_off,
            patience=self.patience,
            member_interval=1,
        )


class Mode(enum.Enum):
    """Does the supervisor run? A frozen host stands still as a whole, with guard and neard."""

    RUNS = "runs"
    PAUSED = "paused"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Neard:
    """A process. ``killed``: ticks since SIGKILL. ``dormant``: resumed from a frozen host, but killed at the first look."""

    keyed: bool = False
    terminated: bool = False
    killed: int | None = None
    dormant: bool = False


@dataclass(frozen=True)
class Guard:
    """What ``guard.main.Guard`` knows."""

    view: GuardView = field(default_factory=GuardView)
    plan: ac.ReleasePlan | None = None
    cause: Cause | None = None


@dataclass(frozen=True)
class Host:
    """One host. ``node`` None: no supervisor. ``due``: it has not looked at the clock in this tick.

    ``outbox``: what it decided but had not carried out when it was paused; ``inbox``: what happened to its neard and it has
    not heard yet. ``disk_term`` and ``disk_session`` are its memory file.
    """

    number: int
    node: NodeState | None
    mode: Mode = Mode.RUNS
    stopped_for: int = 0
    due: bool = False
    outbox: tuple[Outward, ...] = ()
    inbox: tuple[ev.Event, ...] = ()
    guard: Guard | None = None
    neard: Neard | None = None
    disk_term: int = ANCHOR
    disk_session: str = ""

    @property
    def awake(self) -> bool:
        """Is there a supervisor, and does it run?"""
        return self.node is not None and self.mode is Mode.RUNS

    @property
    def stopped(self) -> bool:
        """Does its supervisor stand still?"""
        return self.mode is not Mode.RUNS

    @property
    def frozen(self) -> bool:
        """Does everything on it stand still?"""
        return self.mode is Mode.FROZEN

    @property
    def could_sign(self) -> bool:
        """May a process of this host sign now, or at any moment before something else happens?"""
        neard = self.neard
        return neard is not None and neard.keyed and not neard.dormant and not self.frozen


@dataclass(frozen=True)
class Register:
    """The lock's key. Its index is ``CURRENT``."""

    session: str | None
    record: LockRecord


@dataclass(frozen=True)
class Consul:
    """One linearizable register and the sessions that exist. ``used``: ``ANCHOR`` was in use since the key was deleted."""

    register: Register | None
    sessions: frozenset[str] = frozenset()
    up: bool = True
    used: bool = True


@dataclass(frozen=True)
class Message:
    """A request on its way; a ReleasePlan is the guard's own release.

    ``late``: nobody waits for it any more. ``outcome``: Consul has applied or refused it.
    """

    request: Request | ac.ReleasePlan
    age: int = 0
    late: bool = False
    outcome: ev.Outcome | None = None


@dataclass(frozen=True)
class Side:
    """One host with its requests that are on their way."""

    host: Host
    net: tuple[Message, ...] = ()


class World(NamedTuple):
    """Everything, as the numbers of its parts in the pools of a ``machine.Machine``.

    ``budget``: the faults that may still happen.
    """

    a: int
    b: int
    consul: int
    budget: int


def session_name(host: int, number: int) -> str:
    """The id of a session; Consul's are random, only their equality is ever looked at."""
    return f"{NODES[host]}{number}"


def fresh_session(host: int) -> str:
    """The id that a session made now gets, until it has its place among the others."""
    return session_name(host, NEWEST + 1)


def forgotten(host: int) -> str:
    """The id of any session of a host that does not matter to who mentions it."""
    return session_name(host, 0)


def identity(host: int) -> Identity:
    """Who a node is."""
    return Identity(
        account_id="acct",
        node_id=NODES[host],
        hostname="",
        life="",
        home="",
        fingerprint=KEY,
        validator_account="acct",
        voter_node_key=NODE_KEYS[Role.VOTER],
        validator_node_key=NODE_KEYS[Role.VALIDATOR],
    )


def status_of(neard: Neard, role: Role) -> Status:
    """What neard's ``/status`` says: it runs, is synced, and shows a key at once when it gets one."""
    key = KEY if neard.keyed else None
    return Status(0, False, NODE_KEYS[role], "acct" if neard.keyed else None, key, "2.11.0", PID)
