# SPDX-License-Identifier: Apache-2.0
"""Faults, and the schedule of them that a seed stands for."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any

from .dice import Dice
from .setup import Setup

HORIZON = 300.0
"""Seconds of simulated time that a schedule covers."""


class Kind(enum.Enum):
    """What can be done to the fleet. The value is its name in scripts."""

    # processes and hosts
    KILL_SUPERVISOR = "kill supervisor"
    KILL_GUARD = "kill guard"
    KILL_BOTH = "kill supervisor and guard"
    PAUSE_SUPERVISOR = "pause supervisor"
    PAUSE_GUARD = "pause guard"
    PAUSE_NEARD = "pause neard"
    SUSPEND = "suspend host"
    LOSE_HOST = "lose host"
    STOP = "stop by operator"
    SLOW_KILL = "slow kills"
    UNDYING = "undying processes"
    DISK_FULL = "disk full"
    LATE = "late timers"
    # neard
    CRASH = "neard crashes"
    CRASH_LOOP = "neard keeps crashing"
    HANG = "neard hangs"
    ISOLATE = "neard's head stands"
    SYNCING = "neard is syncing"
    LOSE_HUP = "lost SIGHUPs"
    BAD_RELOAD = "reload refused"
    DEAF = "neard ignores SIGTERM"
    SLOW_START = "neard starts slowly"
    # the way to Consul
    CUT = "cut off from Consul"
    LOSE_ANSWERS = "answers lost"
    LOSE_REQUESTS = "requests lost"
    SLOW_NET = "slow network"
    SLOW_ANSWERS = "slow answers"
    AGENT_DOWN = "agent down"
    AGENT_LEAVE = "agent leaves"
    DENY = "ACL denies"
    # Consul
    LEADER_LOSS = "leader lost"
    LEADER_FREEZE = "leader frozen"
    QUORUM_LOSS = "no quorum"
    SERVERS_RESTART = "servers restart"
    INVALIDATE = "session invalidated"
    DELETE_KEY = "lock key deleted"
    OVERWRITE_KEY = "lock value overwritten"
    FOREIGN_RELEASE = "lock released by another"
    RESTORE = "snapshot restored"
    IMPORT = "old lock value imported"
    FOLLOWER_LAGS = "a follower lags"
    # the operator
    HANDOVER = "handover asked for"
    RESTART = "restart asked for"
    PAUSE_FLEET = "takeovers paused"
    PAUSE_NODE = "takeovers of a node paused"
    DRAIN = "node drained"
    VETO = "hooks refuse the key"


ON_CONSUL = frozenset(
    {
        Kind.LEADER_LOSS,
        Kind.LEADER_FREEZE,
        Kind.QUORUM_LOSS,
        Kind.SERVERS_RESTART,
        Kind.DELETE_KEY,
        Kind.OVERWRITE_KEY,
        Kind.FOREIGN_RELEASE,
        Kind.RESTORE,
        Kind.IMPORT,
        Kind.FOLLOWER_LAGS,
        Kind.PAUSE_FLEET,
    }
)
"""Faults of Consul as a whole; the others are of one node."""

HOLDER = -1
"""In place of a node's number: whoever holds the lock when the fault begins."""


@dataclass(frozen=True)
class Fault:
    """``kind`` from ``at`` on for ``seconds``; ``strength`` in [0, 1) is used as the kind likes."""

    at: float
    kind: Kind
    node: int
    seconds: float
    strength: float

    def to_json(self) -> dict[str, Any]:
        """For a script file."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fault:
        """From a script file."""
        return cls(
            float(data["at"]), Kind(data["kind"]), int(data["node"]), float(data["seconds"]), float(data["strength"])
        )

    def __str__(self) -> str:
        who = "" if self.kind in ON_CONSUL else " of the holder" if self.node == HOLDER else f" of {'abcdefg'[self.node]}"
        return f"{self.at:7.2f} s  {self.kind.value}{who}, {self.seconds:.2f} s (strength {self.strength:.2f})"


_SINGLE: tuple[tuple[Kind, float], ...] = tuple(
    (kind, weight)
    for kind, weight in {
        **dict.fromkeys(Kind, 1.0),
        Kind.CUT: 4.0,
        Kind.SUSPEND: 2.0,
        Kind.LOSE_HOST: 2.0,
        Kind.CRASH: 2.0,
        Kind.STOP: 2.0,
        Kind.INVALIDATE: 3.0,
        Kind.LEADER_LOSS: 2.0,
        Kind.LEADER_FREEZE: 2.0,
        Kind.LOSE_ANSWERS: 2.0,
        Kind.SLOW_NET: 2.0,
        Kind.DELETE_KEY: 1.5,
        Kind.SLOW_KILL: 2.0,
        Kind.LATE: 2.0,
        Kind.RESTORE: 0.7,
        Kind.IMPORT: 0.7,
        Kind.QUORUM_LOSS: 0.7,
        Kind.HANDOVER: 5.0,
        Kind.RESTART: 2.0,
    }.items()
)

_TOGETHER: tuple[tuple[Kind, ...], ...] = (
    (Kind.SLOW_KILL, Kind.LATE, Kind.CUT),
    (Kind.SLOW_KILL, Kind.LATE, Kind.LOSE_ANSWERS, Kind.CUT),
    (Kind.SLOW_KILL, Kind.LATE, Kind.SLOW_NET, Kind.CUT),
    (Kind.SLOW_KILL, Kind.LATE, Kind.SLOW_ANSWERS, Kind.CUT),
    (Kind.SLOW_KILL, Kind.LATE, Kind.SLOW_ANSWERS, Kind.PAUSE_SUPERVISOR),
    (Kind.CUT, Kind.INVALIDATE),
    (Kind.CUT, Kind.DELETE_KEY),
    (Kind.CUT, Kind.FOREIGN_RELEASE),
    (Kind.PAUSE_SUPERVISOR, Kind.INVALIDATE),
    (Kind.PAUSE_GUARD, Kind.CUT),
    (Kind.LEADER_FREEZE, Kind.INVALIDATE),
    (Kind.LEADER_LOSS, Kind.CUT),
    (Kind.SERVERS_RESTART, Kind.INVALIDATE, Kind.CUT),
    (Kind.SLOW_NET, Kind.STOP),
    (Kind.SLOW_NET, Kind.CRASH),
    (Kind.SLOW_NET, Kind.LEADER_LOSS, Kind.STOP),
    (Kind.UNDYING, Kind.CUT),
    (Kind.UNDYING, Kind.CRASH, Kind.STOP),
    (Kind.DEAF, Kind.CUT),
    (Kind.DEAF, Kind.STOP, Kind.LOSE_ANSWERS),
    (Kind.SUSPEND, Kind.INVALIDATE),
    (Kind.RESTORE, Kind.CUT),
    (Kind.IMPORT, Kind.CUT),
    (Kind.KILL_SUPERVISOR, Kind.IMPORT),
    (Kind.CRASH, Kind.CRASH_LOOP, Kind.CRASH),
    (Kind.LOSE_HUP, Kind.CRASH),
    (Kind.BAD_RELOAD, Kind.CRASH),
    (Kind.DISK_FULL, Kind.CRASH),
    (Kind.KILL_SUPERVISOR, Kind.SLOW_KILL, Kind.CUT),
    (Kind.AGENT_LEAVE, Kind.CUT),
    (Kind.HANG, Kind.SLOW_START),
    (Kind.HANDOVER, Kind.CUT),
    (Kind.HANDOVER, Kind.CRASH),
    (Kind.HANDOVER, Kind.SLOW_NET),
    (Kind.HANDOVER, Kind.LEADER_LOSS),
    (Kind.HANDOVER, Kind.KILL_SUPERVISOR),
    (Kind.HANDOVER, Kind.LOSE_HUP, Kind.DEAF),
    (Kind.HANDOVER, Kind.PAUSE_FLEET),
    (Kind.HANDOVER, Kind.HANDOVER, Kind.RESTART),
    (Kind.HANDOVER, Kind.DELETE_KEY),
    (Kind.HANDOVER, Kind.STOP),
    (Kind.VETO, Kind.CRASH),
)
"""Faults of one node that are worst at the same time."""

_APART: tuple[tuple[Kind, Kind], ...] = (
    (Kind.CUT, Kind.SLOW_NET),
    (Kind.STOP, Kind.SLOW_NET),
    (Kind.LOSE_HOST, Kind.SLOW_NET),
    (Kind.INVALIDATE, Kind.SLOW_NET),
    (Kind.LEADER_LOSS, Kind.SLOW_NET),
    (Kind.LOSE_HOST, Kind.CUT),
    (Kind.CRASH, Kind.PAUSE_SUPERVISOR),
    (Kind.CRASH, Kind.ISOLATE),
    (Kind.CRASH, Kind.VETO),
    (Kind.HANDOVER, Kind.VETO),
)
"""A fault of one node (or of Consul), and one that all the others have meanwhile."""


def draw(setup: Setup) -> tuple[Fault, ...]:
    """The schedule of this seed: some clusters of overlapping faults, quiet between them."""
    dice = Dice(setup.seed, "faults")
    made: list[Fault] = []
    at = dice.between(1.0, 25.0)
    while at < HORIZON - 30.0:
        made.extend(_cluster(dice, at, len(setup.nodes)))
        at += dice.between(15.0, 90.0)
    return tuple(sorted(made, key=lambda fault: fault.at))


def _cluster(dice: Dice, at: float, nodes: int) -> list[Fault]:
    way = dice.unit()
    if way < 0.15:
        return _apart(dice, at, nodes)
    if way < 0.6:
        kinds: tuple[Kind, ...] = dice.pick(_TOGETHER)
    else:
        kinds = tuple(dice.weighted(_SINGLE) for _unused in range(dice.whole(1, 3)))
    target = HOLDER if dice.chance(0.75) else dice.whole(0, nodes - 1)
    in_step, long = dice.chance(0.4), dice.between(9.0, 20.0)
    found = []
    for kind in kinds:
        node = target if in_step or dice.chance(0.85) else dice.whole(0, nodes - 1)
        offset = dice.between(0.0, 1.0) if in_step or dice.chance(0.7) else dice.between(0.0, 12.0)
        seconds = dice.between(0.5, 6.0) if dice.chance(0.4) else dice.between(6.0, 25.0)
        if in_step:
            seconds = long
        found.append(_fault(dice, at + offset, kind, node, seconds))
    return found


def _apart(dice: Dice, at: float, nodes: int) -> list[Fault]:
    kind, others = dice.pick(_APART)
    seconds = dice.between(5.0, 15.0)
    found = [_fault(dice, at + dice.between(0.0, 1.0), kind, HOLDER, seconds)]
    found += [_fault(dice, at + dice.between(0.0, 1.0), others, node, seconds + 3.0) for node in range(nodes)]
    return found


def _fault(dice: Dice, at: float, kind: Kind, node: int, seconds: float) -> Fault:
    return Fault(round(at, 3), kind, node, round(seconds, 3), int(dice.unit() * 1000) / 1000)
