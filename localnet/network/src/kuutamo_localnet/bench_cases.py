# SPDX-License-Identifier: Apache-2.0
"""The faults and the handover whose time without a signer is measured, and one measured run of each."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from neard_standin.procfs import boottime
from neard_standin.referee import Referee
from neard_standin.verdict import KeyInterval

from .bench_arena import Arena, on_hosts, on_one_server
from .consul_binary import ConsulBinary
from .fleet_node import FleetNode, Part
from .fleet_plan import FleetSpec, installed
from .wait import eventually

TAKEOVER_DEADLINE = 60.0  # seconds from a fault to the next signer; the aims are far below
DEATH_DEADLINE = 30.0  # seconds from the next signer to the proven end of the last one, which must come first
HOLD_OFF = 1.0  # seconds; the default would keep a node out of the next runs for minutes

Build = Callable[[Path, FleetSpec, ConsulBinary], AbstractContextManager[Arena]]


@dataclass(frozen=True)
class Aim:
    """What the time without a signer should not exceed, in seconds; None: nothing is aimed at."""

    p50: float
    p99: float | None


@dataclass(frozen=True)
class Case:
    """One fault. `strike` does it to the holder and returns the moment (seconds of CLOCK_BOOTTIME) from which the
    holder could not sign, None when that is the death of its key-holding process. `repair` brings the node back.
    """

    name: str
    what: str
    aim: Aim
    build: Build
    strike: Callable[[Arena, FleetNode], float | None]
    repair: Callable[[Arena, FleetNode], None]


@dataclass(frozen=True)
class Run:
    """One measured takeover: `seconds` without a signer, and how many overlaps of signers the referee found in it."""

    seconds: float
    overlaps: int
    loser: str
    winner: str


def _stop(_arena: Arena, node: FleetNode) -> None:
    node.process.terminate()


def _start_again(_arena: Arena, node: FleetNode) -> None:
    node.process.wait(DEATH_DEADLINE)
    node.start()


def _kill_neard(_arena: Arena, node: FleetNode) -> None:
    node.kill_neard()


def _kill_supervisor(_arena: Arena, node: FleetNode) -> None:
    node.kill_supervisor()


def _hang(_arena: Arena, node: FleetNode) -> float:
    begun = boottime()
    node.behaviour(hang=True)
    return begun


def _start_afresh(_arena: Arena, node: FleetNode) -> None:
    """With a new supervisor: the old one counts its neard's failures and would pause longer after each."""
    node.behaviour(hang=False)
    node.stop()
    node.start()


def _lose_host(_arena: Arena, node: FleetNode) -> float:
    # Counted from here: the freeze that comes before the SIGKILL already keeps it from signing.
    begun = boottime()
    node.lose_host()
    return begun


def _return_host(_arena: Arena, node: FleetNode) -> None:
    node.return_host()


def _cut(arena: Arena, node: FleetNode) -> float:
    begun = boottime()
    arena.cut(node)
    return begun


def _heal(arena: Arena, node: FleetNode) -> None:
    arena.heal(node)


def _hand_over(arena: Arena, node: FleetNode) -> None:
    """The command line ends at once; the fleet does the rest."""
    urls = ",".join(node.plan.site.consul_urls)
    asked = ["handover", "--no-wait", "--expect-holder", node.name, "--account-id", arena.fleet.spec.account]
    argv = [str(installed("kuutamoctl")), *asked, "--consul-url", urls]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


def _nothing(_arena: Arena, _node: FleetNode) -> None:
    """A node that handed over starts its neard again by itself."""


_QUICK, _HUNG, _LOST, _PLANNED = Aim(1.0, 3.0), Aim(6.0, None), Aim(9.5, 11.0), Aim(1.0, 2.0)

CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("handover", "an operator asks for a handover", _PLANNED, on_one_server, _hand_over, _nothing),
        Case("clean_stop", "SIGTERM to the holder's supervisor", _QUICK, on_one_server, _stop, _start_again),
        Case("neard_crash", "SIGKILL of the holder's neard", _QUICK, on_one_server, _kill_neard, _start_afresh),
        Case(
            "supervisor_kill", "SIGKILL of the holder's supervisor", _QUICK, on_one_server, _kill_supervisor, _start_again
        ),
        Case("neard_hang", "the holder's neard hangs", _HUNG, on_one_server, _hang, _start_afresh),
        Case("host_loss", "SIGKILL of all on the holder's host", _LOST, on_hosts, _lose_host, _return_host),
        Case("partition", "the holder's host is cut off", _LOST, on_hosts, _cut, _heal),
    )
}


def next_signer(referee: Referee, account: str, last: KeyInterval) -> KeyInterval | None:
    """The process that got the key after `last`."""
    later = [each for each in referee.intervals(account) if each.loaded_at > last.loaded_at]
    return later[0] if later else None


def without_signer(last: KeyInterval, following: KeyInterval, since: float | None) -> float:
    """Seconds without a signer: from `since`, else from the end of `last`, to the load of the key by `following`.

    Raises ValueError while the end of `last` is not known.
    """
    if last.ended_at is None:
        raise ValueError(f"{last} still holds the key")
    return following.loaded_at - (last.ended_at if since is None else since)


def measure(arena: Arena, case: Case) -> Run:
    """One run, begun and ended with a whole fleet. Raises AssertionError when there is no takeover or no recovery."""
    account, referee = arena.fleet.spec.account, arena.referee
    last, holder = arena.wait_ready()
    overlaps = len(referee.verdict(account).overlaps)
    for part in Part:
        holder.find(part)
    # A fault that always meets the same point between two heartbeats would measure that point only.
    time.sleep(random.uniform(0.0, arena.fleet.spec.law.heartbeat_interval))
    since = case.strike(arena, holder)
    following = eventually(lambda: next_signer(referee, account, last), TAKEOVER_DEADLINE, "another node signs", 0.02)
    assert following is not None

    def ended() -> KeyInterval | None:
        intervals = referee.verdict(account).intervals
        return next((each for each in intervals if each.process == last.process and each.ended_at is not None), None)

    end = eventually(ended, DEATH_DEADLINE, f"the former signer is dead: {last}")
    assert end is not None
    verdict = referee.verdict(account)
    assert not verdict.heights_signed_twice, verdict.story()
    run = Run(
        seconds=without_signer(end, following, since),
        overlaps=len(verdict.overlaps) - overlaps,
        loser=holder.name,
        winner=arena.node_of(following).name,
    )
    case.repair(arena, holder)
    # Within the hold-off after a takeover by fault the next fault would be handled differently.
    eventually(lambda: boottime() > following.loaded_at + HOLD_OFF, 2 * HOLD_OFF + 1, "the hold-off is over")
    arena.wait_ready()
    return run
