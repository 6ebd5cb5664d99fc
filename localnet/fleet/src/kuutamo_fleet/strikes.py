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

from kuutamo_localnet.soak_bounds import promote, vacant
from kuutamod.core.model import Policy
from neard_standin.procfs import boottime

from .errors import FleetError
from .faults import fill_disk, free_disk, heal, partition
from .fleet import settle
from .hosts import State
from .operate import Operator, holder_of, standbys_of
from .verdict import find

UNIT = "kuutamod.service"
FROZEN_SECONDS = 4.0  # proof and freeze together stay below the fence's deadline of 7 s
FULL_SECONDS = 20.0  # long enough for several heartbeats, snapshots of the raft log and a term's file
WELL_DEADLINE = 240.0  # seconds until all validators are well again, on a busy machine
POLL = 0.5

Act = Callable[[Operator, str], None]


@dataclass(frozen=True)
class Strike:
    """One fault. `hit` and `undo` get the struck host; `moves`: another host has to take over before `undo`."""

    name: str
    what: str
    hit: Act
    undo: Act = lambda _operator, _host: None
    moves: bool = False


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
    Strike("kill-neard", "SIGKILL to its neard", _on_host("pkill", "-KILL", "-x", "neard")),
    Strike("kill-supervisor", "SIGKILL to its kuutamod", _signal("KILL")),
    Strike("stop-supervisor", "SIGSTOP to its kuutamod", _signal("STOP")),
    Strike("freeze-host", f"the host frozen for {FROZEN_SECONDS:g} s", _freeze),
    Strike(
        "partition",
        "the host cut off from all others",
        lambda operator, host: partition(operator.hosts, host),
        lambda operator, host: heal(operator.hosts, host),
        moves=True,
    ),
    Strike(
        "stop-host", "the host shut down in order", lambda operator, host: operator.hosts.stop(host), _start, moves=True
    ),
    Strike("kill-host", "the host's power cut", lambda operator, host: operator.hosts.kill(host), _start, moves=True),
    Strike("fill-disk", "the host's disk full", _fill, lambda operator, host: free_disk(operator.hosts, host)),
    Strike("restart-agent", "its Consul agent restarted", _on_host("systemctl", "restart", "consul.service")),
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
    host, since = _signer(operator), boottime()
    if host is None:
        raise FleetError(f"nobody signs on the chain of {operator.hosts.plan.name}, so nobody can be struck")
    try:
        chosen.hit(operator, host)
        operator.wait(
            f"{chosen.name} on {host}: somebody signs again",
            lambda: _signer(operator) not in ((None, host) if chosen.moves else (None,)),
            bound,
        )
    finally:
        chosen.undo(operator, host)
    operator.wait(f"{chosen.name} on {host}: all validators are well again", lambda: is_well(operator), WELL_DEADLINE)
    finding = find(chain, since, bound)
    if not finding.good:
        raise FleetError(f"{chosen.name} on {host}: this must never happen\n{finding.story()}")
    gap = sum(gap.seconds for gap in finding.gaps)
    unsigned = f"{gap:.2f} s without a signer" if gap else "no moment without a signer"
    return f"{chosen.name} ({chosen.what}, {host}): {_signer(operator)} signs, {unsigned}"


def is_well(operator: Operator) -> bool:
    """Whether one validator validates, the referee sees it sign, and all others could take over."""
    status = operator.status()
    holder = holder_of(status)
    others = {host.name for host in operator.hosts.plan.hosts if host.validator} - {holder}
    return holder is not None and others <= set(standbys_of(status)) and _signer(operator) == holder


def _signer(operator: Operator) -> str | None:
    """The host whose neard has the key loaded now, as the referee sees it; None when there is not exactly one."""
    running = [item.host for item in find(operator.hosts.site.chain).verdict.intervals if item.ended_at is None]
    return running[0] if len(running) == 1 else None
