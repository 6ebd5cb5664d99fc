# SPDX-License-Identifier: Apache-2.0
"""`kuutamo-localnet soak`: random faults on real processes, judged by the referee.

Real Consul (three servers, an agent beside each node), real supervisors with their guards, stand-in neards. The faults
and their times follow from the seed (`soak_plan`); a service manager restarts what dies (`soak_service`); an operator
confirms when a term went backwards (`soak_watch`). A double signature ends it at once. After each wave of faults
everything is healed, and one healthy holder has to sign within the bound (`soak_bounds`) before the next begins; in the end
everything is stopped, and nothing may be left of it.

What the harness can't have: the *rates* of the hosts' clocks are all the same. Where time namespaces can be made each
host's boot clock starts somewhere else, and anew after the loss of the host (`timens`). Rates are the simulator's.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

from kuutamod.core.model import Policy
from neard_standin.files import write_atomically

from . import timens
from .bench_arena import Arena, Surroundings, on_hosts
from .consul_binary import ConsulBinary
from .fleet_plan import FleetSpec
from .localnet import Ended, ended_by_signals, locate_consul
from .soak_ground import Ground
from .soak_judge import SoakJudge
from .soak_plan import boot_shift, make_plan
from .soak_report import render
from .soak_service import Manager, Service
from .workspace import Workspace

WIDTH = 100
# The defaults, but for what would keep nodes out for minutes after each failure. node2 promotes by restart, the others by
# hot swap; node1's unit has no ExecStopPost, so its next start has to hand back what is left.
POLICY = Policy(hold_off=10.0, patience=3.0, freeze_timeout=8.0)
ENVIRONMENT = {
    "KUUTAMO_HOLD_OFF": f"{POLICY.hold_off:g}",
    "KUUTAMO_PATIENCE": f"{POLICY.patience:g}",
    "KUUTAMO_NEARD_FREEZE_TIMEOUT": f"{POLICY.freeze_timeout:g}",
}
NODES = 3
BY_RESTART, WITHOUT_HAND_BACK = 2, 1
# As docs/operations.md says, so that autopilot does not take a server that is down out of the quorum.
SERVER_EXTRA = {"autopilot": {"min_quorum": 3}}


@dataclass(frozen=True)
class SoakOptions:
    """What `soak` was asked for. `out` gets the report; `directory` is where the network runs."""

    minutes: float
    seed: int
    out: Path
    directory: Path = field(default_factory=lambda: Path("build/soak"))


def fresh_seed() -> int:
    """A seed nobody has chosen."""
    return random.SystemRandom().randrange(1 << 32)


def soak(options: SoakOptions, out: TextIO) -> int:
    """Run it, print and write the report; returns the exit code, 1 when anything failed or it was ended by a signal.

    Raises ValueError for too few minutes, WorkspaceError, ConsulNotFoundError, OSError for a file that cannot be
    written, AssertionError when the network does not come up.
    """
    console = Console(file=out, width=max(WIDTH, Console(file=out).width), highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    begun = time.monotonic()
    plan = make_plan(options.seed, options.minutes * 60, NODES)
    faults = sum(len(wave) for wave in plan)
    say(f"Seed {options.seed}: {faults} faults in {len(plan)} waves, {options.minutes:g} minutes.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # What an earlier soak has found is no answer to whoever looks after this one broke off.
    options.out.unlink(missing_ok=True)
    try:
        with ended_by_signals(), Workspace(options.directory) as workspace:
            binary = locate_consul(say)
            with _ground(workspace.network, binary, options.seed) as (ground, clocks):
                with Manager(list(ground.services.values())) as manager:
                    judge = SoakJudge(ground, POLICY, manager, say)
                    judge.run(plan)
                report = judge.report(options.seed, options.minutes * 60, clocks, time.monotonic() - begun)
    except Ended:
        say("FAILED: it was ended by a signal")
        return 1
    console.print(render(report))
    write_atomically(options.out, json.dumps(report.to_json(judge.injections, judge.history, judge.begun), indent=2) + "\n")
    if not report.passed:
        say(judge.evidence())
        say(f"Logs are in {workspace.network}. Once more: make soak MINUTES={options.minutes:g} SEED={options.seed}")
    say(f"The report is in {options.out}.")
    return 0 if report.passed else 1


@contextlib.contextmanager
def _ground(directory: Path, binary: ConsulBinary, seed: int) -> Iterator[tuple[Ground, str]]:
    """The network, with one healthy holder and everybody else ready; and what there is to say about its clocks."""
    spec = FleetSpec(nodes=NODES, environment=ENVIRONMENT)
    clocks = [timens.HostClock(_shift_of(seed, number)) for number in range(NODES)]
    said = "one for all hosts: no time namespaces here"
    prefixes = {}
    if timens.available():
        said = "days apart, others after a host loss; equal rates"
        neard = timens.neard_on_own_clock(directory / "neard", spec.neard)
        spec = FleetSpec(nodes=NODES, environment=ENVIRONMENT, neard=neard)
        prefixes = {number: clock.prefix for number, clock in enumerate(clocks)}
    surroundings = Surroundings(
        server_extra=SERVER_EXTRA, environments={BY_RESTART: {"KUUTAMO_PROMOTION": "restart"}}, prefixes=prefixes
    )
    with on_hosts(directory, spec, binary, surroundings) as arena:
        arena.wait_ready()
        yield Ground(arena, _services(arena, clocks)), said


def _services(arena: Arena, clocks: list[timens.HostClock]) -> dict[str, Service]:
    return {
        node.name: Service(node, clock.reboot, hand_back=number != WITHOUT_HAND_BACK)
        for number, (node, clock) in enumerate(zip(arena.fleet.nodes, clocks, strict=True))
    }


def _shift_of(seed: int, node: int) -> Callable[[int], int]:
    return lambda boot: boot_shift(seed, node, boot)
