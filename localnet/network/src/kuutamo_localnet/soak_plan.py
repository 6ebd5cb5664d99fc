# SPDX-License-Identifier: Apache-2.0
"""Which faults a soak injects, and when: a pure function of the seed. What may not overlap is said here too.

Only *when* something happens by the plan is the same in every run with a seed; what the processes make of it is real, and
so is whom a fault "to the holder" meets.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, StrEnum

LONGEST_LASTING = 16.0  # seconds; a fault that lasts longer tells no more than one that outlasts lease and guard time
FEWEST_SECONDS = 10.0  # a shorter soak could not inject anything


class Kind(StrEnum):
    """The faults."""

    KILL_NEARD = "kill neard"
    KILL_GUARD = "kill guard"
    KILL_SUPERVISOR = "kill supervisor"
    KILL_BOTH = "kill guard and supervisor"
    RESTART = "restart the service"
    LOSE_HOST = "lose the host"
    FREEZE_NEARD = "freeze neard"
    SLOW_NEARD = "slow disk of neard"
    FREEZE_GUARD = "freeze guard"
    FREEZE_SUPERVISOR = "freeze supervisor"
    FREEZE_BOTH = "freeze guard and supervisor"
    FREEZE_HOST = "freeze the host"
    CRASH = "neard crashes"
    CRASH_LOOP = "neard crashes at each start"
    HANG = "neard hangs"
    STALE_HEAD = "neard's head stands still"
    LOSE_HUP = "neard loses a SIGHUP"
    SLOW_START = "neard starts slowly"
    CUT = "partition"
    CUT_ANSWERS = "partition, one way"
    FREEZE_AGENT = "freeze the agent"
    RESTART_AGENT = "restart the agent"
    LEAVE_AGENT = "the agent leaves"
    KILL_LEADER = "kill Consul's leader"
    KILL_SERVER = "kill a Consul server"
    FREEZE_LEADER = "freeze Consul's leader"
    FREEZE_SERVER = "freeze a Consul server"
    SLOW_LEADER = "slow disk of Consul's leader"
    DELETE_KEY = "delete the lock's key"
    DESTROY_SESSION = "destroy the session"
    OVERWRITE_VALUE = "overwrite the lock's value"
    RESTORE_VALUE = "restore an old lock value"
    HAND_OVER = "kuutamoctl handover"
    ORDER_RESTART = "kuutamoctl restart"
    PAUSE = "kuutamoctl pause"
    DRAIN = "kuutamoctl drain"


class Subject(Enum):
    """Whom a fault is done to."""

    NODE = "node"
    SERVERS = "servers"
    LOCK = "lock"
    FLEET = "fleet"


@dataclass(frozen=True)
class Traits:
    """How a kind is planned: its subject, from how long to how long it lasts (seconds; 0: it is over at once), and how
    often it is drawn in one round of all kinds.
    """

    subject: Subject
    lasting: tuple[float, float] = (0.0, 0.0)
    weight: int = 1


TRAITS: dict[Kind, Traits] = {
    Kind.KILL_NEARD: Traits(Subject.NODE, weight=2),
    Kind.KILL_GUARD: Traits(Subject.NODE),
    Kind.KILL_SUPERVISOR: Traits(Subject.NODE, weight=2),
    Kind.KILL_BOTH: Traits(Subject.NODE, weight=2),
    Kind.RESTART: Traits(Subject.NODE, weight=2),
    Kind.LOSE_HOST: Traits(Subject.NODE, (1.0, 12.0), weight=2),
    Kind.FREEZE_NEARD: Traits(Subject.NODE, (0.5, 12.0)),
    Kind.SLOW_NEARD: Traits(Subject.NODE, (2.0, LONGEST_LASTING)),
    Kind.FREEZE_GUARD: Traits(Subject.NODE, (0.5, 8.0)),
    Kind.FREEZE_SUPERVISOR: Traits(Subject.NODE, (0.5, LONGEST_LASTING), weight=2),
    # Longer than systemd's watchdog allows, so that it has to act, in some runs.
    Kind.FREEZE_BOTH: Traits(Subject.NODE, (1.0, 9.0)),
    Kind.FREEZE_HOST: Traits(Subject.NODE, (0.5, 4.0)),
    Kind.CRASH: Traits(Subject.NODE),
    Kind.CRASH_LOOP: Traits(Subject.NODE, (2.0, 10.0)),
    Kind.HANG: Traits(Subject.NODE, (1.0, 12.0)),
    Kind.STALE_HEAD: Traits(Subject.NODE, (4.0, LONGEST_LASTING)),
    Kind.LOSE_HUP: Traits(Subject.NODE, (2.0, 12.0)),
    Kind.SLOW_START: Traits(Subject.NODE, (2.0, 8.0)),
    Kind.CUT: Traits(Subject.NODE, (1.0, LONGEST_LASTING), weight=2),
    Kind.CUT_ANSWERS: Traits(Subject.NODE, (1.0, LONGEST_LASTING)),
    Kind.FREEZE_AGENT: Traits(Subject.NODE, (1.0, LONGEST_LASTING)),
    Kind.RESTART_AGENT: Traits(Subject.NODE, (0.2, 4.0)),
    Kind.LEAVE_AGENT: Traits(Subject.NODE, (0.2, 4.0)),
    Kind.KILL_LEADER: Traits(Subject.SERVERS, (0.5, 10.0)),
    Kind.KILL_SERVER: Traits(Subject.SERVERS, (0.5, 10.0)),
    Kind.FREEZE_LEADER: Traits(Subject.SERVERS, (0.5, 12.0)),
    Kind.FREEZE_SERVER: Traits(Subject.SERVERS, (0.5, 12.0)),
    Kind.SLOW_LEADER: Traits(Subject.SERVERS, (2.0, LONGEST_LASTING)),
    Kind.DELETE_KEY: Traits(Subject.LOCK),
    Kind.DESTROY_SESSION: Traits(Subject.LOCK),
    Kind.OVERWRITE_VALUE: Traits(Subject.LOCK),
    Kind.RESTORE_VALUE: Traits(Subject.LOCK),
    Kind.HAND_OVER: Traits(Subject.FLEET, (0.5, LONGEST_LASTING), weight=2),
    Kind.ORDER_RESTART: Traits(Subject.FLEET, (0.5, LONGEST_LASTING)),
    Kind.PAUSE: Traits(Subject.FLEET, (2.0, LONGEST_LASTING)),
    Kind.DRAIN: Traits(Subject.FLEET, (2.0, LONGEST_LASTING)),
}


@dataclass(frozen=True)
class Fault:
    """One planned fault. `at` and `lasting` are seconds, the first from the start of the soak.

    `node` is the number of the node it is done to; with `holder` it goes to whoever holds the key at that moment, and to
    `node` only when nobody does. Both mean nothing to kinds that are not done to nodes. `pick` in [0, 1) settles whatever
    else has to be chosen, such as how neard crashes or which old value is restored.
    """

    at: float
    kind: Kind
    node: int
    holder: bool
    lasting: float
    pick: float

    @property
    def until(self) -> float:
        """When it is undone, in seconds from the start."""
        return self.at + self.lasting

    def text(self) -> str:
        """One line for people."""
        whom = ""
        if TRAITS[self.kind].subject is Subject.NODE:
            whom = " of the holder" if self.holder else f" of node{self.node}"
        lasting = f" for {self.lasting:.1f} s" if self.lasting else ""
        return f"{self.at:7.1f} s  {self.kind.value}{whom}{lasting}"


Wave = tuple[Fault, ...]
"""Faults that follow each other closely, in the order of time. After a wave somebody has to sign."""


def make_plan(seed: int, seconds: float, nodes: int) -> tuple[Wave, ...]:
    """The faults of a soak of so many seconds, in the order of time; each is undone before the end.

    They come in bursts of one to four that overlap. About three bursts are a wave; between two waves there is quiet for
    long enough that, as a rule, somebody takes over and signs. Every kind is drawn once before any is drawn again (more
    often by its weight). Raises ValueError for a soak that is too short.
    """
    if not seconds >= FEWEST_SECONDS:
        raise ValueError(f"{seconds:g} s is too short for a soak, the least is {FEWEST_SECONDS:g} s")
    rng = random.Random(seed)
    bag: list[Kind] = []
    waves: list[list[Fault]] = [[]]
    at = 0.0
    while at < seconds - 1:
        burst: list[Fault] = []
        for _unused in range(rng.choice((1, 1, 2, 2, 3, 4))):
            if not bag:
                bag = [kind for kind, traits in TRAITS.items() for _unused in range(traits.weight)]
                rng.shuffle(bag)
            burst.append(_draw(rng, bag.pop(), at + rng.uniform(0.0, 6.0) * bool(burst), seconds, nodes))
        waves[-1] += [fault for fault in burst if fault.at < seconds - 1]
        if rng.random() < 1 / 3:
            at = max((fault.until for fault in waves[-1]), default=at) + rng.uniform(12.0, 22.0)
            waves.append([])
        else:
            at = max(fault.at for fault in burst) + rng.uniform(1.0, 9.0)
    return tuple(tuple(sorted(wave, key=lambda fault: fault.at)) for wave in waves if wave)


def _draw(rng: random.Random, kind: Kind, at: float, seconds: float, nodes: int) -> Fault:
    # Always the same number of draws, so that one kind's traits don't shift everything that follows.
    at = round(at, 1)
    holder, node = rng.random() < 0.65, rng.randrange(nodes)
    lasting, pick = rng.uniform(*TRAITS[kind].lasting), rng.random()
    return Fault(
        at=at,
        kind=kind,
        node=node,
        holder=holder,
        lasting=round(max(0.0, min(lasting, seconds - at)), 1),
        pick=int(pick * 1000) / 1000,
    )


def boot_shift(seed: int, node: int, boot: int) -> int:
    """By how many seconds the boot clock of a node's host is ahead after so many reboots: up to forty days."""
    return random.Random(f"{seed} {node} {boot}").randrange(40 * 86400)


_HOST_GONE = frozenset({Kind.LOSE_HOST, Kind.FREEZE_HOST, Kind.FREEZE_BOTH})
_AGENT = frozenset({Kind.FREEZE_AGENT, Kind.RESTART_AGENT, Kind.LEAVE_AGENT})
_NETWORK = frozenset({Kind.CUT, Kind.CUT_ANSWERS})
_CRASHES = frozenset({Kind.CRASH, Kind.CRASH_LOOP})
_STOPS = frozenset({Kind.FREEZE_NEARD, Kind.SLOW_NEARD})
_ALONE_ON_NODE = (_AGENT, _NETWORK, _CRASHES, _STOPS)
# Both lines of defence of one host out at the same time: the limit that docs/safety.md names.
_GUARD_AND_SUPERVISOR = (frozenset({Kind.FREEZE_GUARD}), frozenset({Kind.FREEZE_SUPERVISOR, Kind.KILL_SUPERVISOR}))

NEED_FRESH_PROOF = frozenset({Kind.FREEZE_BOTH, Kind.FREEZE_HOST})
"""While these last nobody can fence, so the holder's proof must be new when they begin (docs/safety.md, limits)."""


def forbidden(kind: Kind, present: Collection[Kind]) -> str:
    """Why a fault may not be done to a node on which `present` last; empty when it may.

    What is refused are the documented limits of the product (docs/safety.md), and what would make no sense.
    """
    if kind in present:
        return "it lasts already"
    if gone := sorted(_HOST_GONE & set(present)):
        return f"nothing else is done during: {gone[0].value}"
    if kind in _HOST_GONE - {Kind.LOSE_HOST} and present:
        return "the host must be well before"
    for group in _ALONE_ON_NODE:
        if kind in group and (other := sorted(group & set(present))):
            return f"not together with: {other[0].value}"
    for one, two in (_GUARD_AND_SUPERVISOR, _GUARD_AND_SUPERVISOR[::-1]):
        if kind in one and (other := sorted(two & set(present))):
            return f"a documented limit together with: {other[0].value}"
    return ""
