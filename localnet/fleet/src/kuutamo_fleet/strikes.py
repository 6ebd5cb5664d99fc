# SPDX-License-Identifier: Apache-2.0
"""Faults of the host that validates, one after the other, each judged by the referee over all hosts' signatures.

What is demanded of each: never two holders of the key, nothing signed twice, and somebody signs again within the bound
that the protocol's own waits add up to. Frozen hosts stay frozen for less than the fence's deadline: a host that is
resumed much later with neard running is what no lock can fence (docs/safety.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from kuutamo_localnet.soak_bounds import promote, vacant
from kuutamod.core.model import Policy
from neard_standin.procfs import boottime
from neard_standin.referee import KeyInterval

from .errors import FleetError
from .faults import fill_disk, free_disk, heal, partition
from .fleet import settle
from .hosts import State
from .operate import Operator, followers_of, holder_of
from .verdict import find

UNIT = "kuutamod.service"
FROZEN_SECONDS = 4.0  # proof and freeze together stay below the fence's deadline of 7 s
WATCH_SECONDS = 12.0  # longer than a guard time: a takeover would have begun
FULL_SECONDS = 20.0  # long enough for several heartbeats, snapshots of the raft log and a term's file
WELL_DEADLINE = 240.0  # seconds until all validators are well again, on a busy machine
POLL = 0.5

Act = Callable[[Operator, str], None]


class Effect(Enum):
    """What a fault has to bring about before it is undone: the proof that it was one."""

    ANOTHER_HOST = "another host signs"
    ANOTHER_PROCESS = "another neard signs, on whatever host"
    NONE = "the host may go on signing; it is watched for longer than a guard time"


@dataclass(frozen=True)
class Strike:
    """One fault. `hit` and `undo` get the struck host."""

    name: str
    what: str
    effect: Effect
    hit: Act
    undo: Act = lambda _operator, _host: None


def _on_host(*argv: str) -> Act:
    def act(operator: Operator, host: str) -> None:
        operator.hosts.podman.exec(operator.hosts.container(host, State.RUNNING), list(argv))

    return act


def _signal(name: str) -> Act:
    return _on_host("systemctl", "kill", "--kill-whom=main", f"--signal={name}", UNIT)


def _freeze(operator: Operator, host: str) -> None:
    operator.hosts.freeze(host)
    time.sleep(FROZEN_SECONDS)
    operator.hosts.thaw(host)


def _start(operator: Operator, host: str) -> None:
    operator.hosts.start(host)
    settle(operator.hosts)


def _fill(operator: Operator, host: str) -> None:
    fill_disk(operator.hosts, host)
    time.sleep(FULL_SECONDS)


STRIKES = (
    Strike("kill-neard", "SIGKILL to its neard", Effect.ANOTHER_PROCESS, _on_host("pkill", "-KILL", "-x", "neard")),
    Strike("kill-supervisor", "SIGKILL to its kuutamod", Effect.ANOTHER_PROCESS, _signal("KILL")),
    Strike("stop-supervisor", "SIGSTOP to its kuutamod", Effect.ANOTHER_PROCESS, _signal("STOP")),
    Strike("freeze-host", f"the host frozen for {FROZEN_SECONDS:g} s", Effect.NONE, _freeze),
    Strike(
        "partition",
        "the host cut off from all others",
        Effect.ANOTHER_HOST,
        lambda operator, host: partition(operator.hosts, host),
        lambda operator, host: heal(operator.hosts, host),
    ),
    Strike(
        "stop-host",
        "the host shut down in order",
        Effect.ANOTHER_HOST,
        lambda operator, host: operator.hosts.stop(host),
        _start,
    ),
    Strike(
        "kill-host", "the host's power cut", Effect.ANOTHER_HOST, lambda operator, host: operator.hosts.kill(host), _start
    ),
    Strike(
        "fill-disk",
        "the host's disk full",
        Effect.NONE,
        _fill,
        lambda operator, host: free_disk(operator.hosts, host),
    ),
    Strike("restart-agent", "its Consul agent restarted", Effect.NONE, _on_host("systemctl", "restart", "consul.service")),
)


def choose(names: Sequence[str]) -> tuple[Strike, ...]:
    """The strikes of these names, all when there are none. Raises FleetError for an unknown name."""
    known = {strike.name: strike for strike in STRIKES}
    if unknown := [name for name in names if name not in known]:
        raise FleetError(f"strike {', '.join(unknown)}: unknown; there are {', '.join(known)}")
    return tuple(known[name] for name in names) or STRIKES


def longest_gap() -> float:
    """The most seconds without a signer that are accepted after one of these faults, with the default settings.

    Fence, guard time, take and promotion, each at its longest, and what a busy machine may add.
    """
    policy = Policy()
    return vacant(policy) + promote(policy)


def strike(operator: Operator, chosen: Strike) -> str:
    """Strike the host that validates and return in one line what came of it. Raises FleetError when it was not right."""
    operator.wait("all validators are well", lambda: is_well(operator), WELL_DEADLINE)
    chain, bound = operator.hosts.site.chain, longest_gap()
    struck, since = _signer(operator), boottime()
    if struck is None or struck.host is None:
        raise FleetError(f"nobody signs on the chain of {operator.hosts.plan.name}, so nobody can be struck")
    host = struck.host
    try:
        chosen.hit(operator, host)
        if chosen.effect is Effect.NONE:
            time.sleep(WATCH_SECONDS)
        operator.wait(
            f"{chosen.name} on {host}: {chosen.effect.value}", lambda: _has(chosen.effect, struck, _signer(operator)), bound
        )
    finally:
        chosen.undo(operator, host)
    operator.wait(f"{chosen.name} on {host}: all validators are well again", lambda: is_well(operator), WELL_DEADLINE)
    finding, now = find(chain, since, bound), _signer(operator)
    if not finding.good or now is None:
        raise FleetError(f"{chosen.name} on {host}: this must never happen\n{finding.story()}")
    gap = finding.unsigned
    unsigned = f"{gap:.2f} s without a signer" if gap else "no moment without a signer"
    return f"{chosen.name} ({chosen.what}, {host}): {now.host} signs, {unsigned}"


def _has(effect: Effect, before: KeyInterval, now: KeyInterval | None) -> bool:
    match effect:
        case Effect.ANOTHER_HOST:
            return now is not None and now.host != before.host
        case Effect.ANOTHER_PROCESS:
            return now is not None and now.process != before.process
        case Effect.NONE:
            return now is not None


def is_well(operator: Operator) -> bool:
    """Whether one validator validates, the referee sees it sign, and all others follow the chain.

    A node whose neard has failed is in hold-off for ten minutes: it still takes over, when nobody better does.
    """
    status = operator.status()
    holder = holder_of(status)
    others = {host.name for host in operator.hosts.plan.hosts if host.validator} - {holder}
    signer = _signer(operator)
    signs = signer is not None and signer.host == holder
    return holder is not None and signs and others <= set(followers_of(status))


def _signer(operator: Operator) -> KeyInterval | None:
    """Who has the key loaded now, as the referee sees it; None when there is not exactly one."""
    running = [item for item in find(operator.hosts.site.chain).verdict.intervals if item.ended_at is None]
    return running[0] if len(running) == 1 else None
