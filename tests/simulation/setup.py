# SPDX-License-Identifier: Apache-2.0
"""The fleet of one seed: how many nodes, their laws, clocks and ways to promote. Everything is drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kuutamod.core.lease import LeaseLaw
from kuutamod.core.model import Policy

from .dice import Dice

KEY = "ed25519:validator"
ACCOUNT = "validator.near"
RHO = 0.01
"""How wrong a host's clock may be; the law's default allows exactly this."""


@dataclass(frozen=True)
class NodeSetup:
    """One node: its settings, its clock, its neard."""

    name: str
    policy: Policy
    rate: float
    offset: float
    routes: int
    start_seconds: float
    sync_seconds: float
    lag: float


@dataclass(frozen=True)
class Setup:
    """The fleet. ``block_time`` in seconds; ``restart_seconds``: how soon a service manager restarts a supervisor."""

    seed: int
    nodes: tuple[NodeSetup, ...]
    block_time: float
    restart_seconds: float
    session_behavior: str = "release"
    lock_delay: float | None = None


def tight_law(dice: Dice) -> LeaseLaw:
    """A law that holds with hardly anything to spare: what the arithmetic gets wrong shows there."""
    heartbeat, request = dice.pick((0.5, 1.0, 2.0)), dice.pick((0.5, 1.0))
    fence = heartbeat + request + 4.0 + dice.pick((0.0, 0.5, 2.0))
    kill, slack = dice.pick((0.5, 1.0, 2.0)), dice.pick((0.2, 0.5))
    guard = (fence + kill + slack) * (1 + RHO) / (1 - RHO) + 1e-6
    law = LeaseLaw(
        heartbeat_interval=heartbeat,
        request_deadline=request,
        fence_deadline=fence,
        kill_budget=kill,
        scheduling_slack=slack,
        guard_time=guard,
        session_ttl=dice.pick((10.0, 15.0)),
        session_renewal=3.0,
        clock_rate_error=RHO,
    )
    assert not law.violations(), law.violations()
    return law


def _law(dice: Dice) -> LeaseLaw:
    return tight_law(dice) if dice.chance(0.7) else LeaseLaw()


def _larger(law: LeaseLaw) -> LeaseLaw:
    """The same law with a longer lease, as while a fleet's settings are being changed node by node."""
    fence = law.fence_deadline * 2
    guard = (fence + law.kill_budget + law.scheduling_slack) * (1 + RHO) / (1 - RHO) + 1e-6
    return replace(law, fence_deadline=fence, guard_time=guard)


def draw(seed: int, nodes: int | None = None) -> Setup:
    """The fleet of this seed, or of this seed with a given number of nodes."""
    dice = Dice(seed, "setup")
    count = dice.weighted(((2, 3.0), (3, 8.0), (4, 1.5), (5, 1.0), (6, 0.5), (7, 0.5)))
    law = _law(dice)
    mixed = dice.chance(0.25)
    promotion = dice.weighted((("hot-swap", 7.0), ("restart", 2.0), ("auto", 1.0)))
    policy = Policy(
        law=law,
        promotion=promotion,
        shadow_tracking=dice.chance(0.5),
        hang_timeout=dice.pick((3.0, 5.0)),
        freeze_timeout=15.0,
        start_timeout=60.0,
        stop_grace=dice.pick((5.0, 30.0)),
        hot_swap_timeout=10.0,
        hold_off=dice.pick((60.0, 120.0, 600.0)),
        status_interval=dice.pick((0.5, 1.0, 1.0)),
    )
    block_time = dice.pick((0.6, 1.0, 1.3))
    ranks = Dice(seed, "ranks")
    policy = replace(policy, pre_promote=ranks.chance(0.15))
    made = []
    for number in range(nodes or count):
        own = replace(policy, law=_larger(law)) if mixed and dice.chance(0.5) else policy
        own = replace(own, priority=ranks.pick((0, 0, 5)))
        made.append(
            NodeSetup(
                name="abcdefg"[number],
                policy=own,
                rate=dice.pick((1 - RHO, 1 + RHO, 1.0, dice.between(1 - RHO, 1 + RHO))),
                offset=dice.between(100.0, 5000.0),
                routes=dice.pick((1, 1, 2)),
                start_seconds=dice.between(0.3, 4.0),
                sync_seconds=dice.between(0.0, 3.0),
                lag=dice.between(0.02, 0.9) * block_time,
            )
        )
    return Setup(seed, tuple(made), block_time, restart_seconds=dice.between(0.2, 2.0))
