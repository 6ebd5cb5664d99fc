# SPDX-License-Identifier: Apache-2.0
"""How long it may take until somebody signs, computed from the configuration: what a soak holds the product to.

All in seconds. Each bound is a sum of waits that the product's rules contain, so it is the longest time that is still
right, not the usual one; the report shows how long it took.
"""

from __future__ import annotations

from dataclasses import dataclass

from kuutamod.core.holder import VOTER_GRACE
from kuutamod.core.lease import LEADER_LOSS
from kuutamod.core.lifecycle import LONGEST_BACKOFF
from kuutamod.core.model import Policy
from kuutamod.core.upkeep import RETRY
from kuutamod.guard.release import PATIENCE as GUARD_PATIENCE

from .consul import SERVER_DEADLINE
from .soak_plan import TRAITS, Kind
from .soak_service import RESTART_PAUSE

BUSY = 20.0  # what a busy machine may add; nothing that safety rests on is measured with it
HEIGHT_RULE = 2.0  # the chain must move on by two blocks of 0.6 s after a take; the first may have just begun
NEARD_START = 5.0  # the stand-in answers after 0.2 s; the rest is for a busy machine


@dataclass(frozen=True)
class Bounds:
    """The bounds of one configuration.

    `vacant`: a term may stay booked on nobody living for so long while an undisturbed node could take it.
    `booked`: as long as that its living holder may need until it signs, or has handed on.
    `healed`: from the end of the last fault until somebody signs.
    """

    vacant: float
    booked: float
    healed: float


def bounds(policy: Policy) -> Bounds:
    """The bounds for nodes with these settings."""
    return Bounds(vacant(policy), booked(policy), healed(policy))


def slowest_start() -> float:
    """The start of a neard to which the slowest start of the plan is done."""
    return NEARD_START + TRAITS[Kind.SLOW_START].lasting[1]


def take(policy: Policy) -> float:
    """From the moment a lock is booked on nobody living until it is taken.

    The guard time on a clock that is slow, counted from the contender's next read; the patience of a node in hold-off or
    with a head that stands still; a few requests for the take itself. Consul's lock delay, the same as the guard time,
    runs beside it.
    """
    law = policy.law
    wait = law.guard_time * (1 + law.clock_rate_error) + policy.reread_interval
    return wait + policy.patience + 4 * law.request_deadline


def promote(policy: Policy) -> float:
    """From the take until the key is live: the height rule, the hot swap's time, and when it fails the way by a restart."""
    return HEIGHT_RULE + policy.hot_swap_timeout + VOTER_GRACE + slowest_start()


def vacant(policy: Policy) -> float:
    """For `Bounds.vacant`: one take, and the fence of a holder that has just lost its proof."""
    return policy.law.stopped_after() + take(policy) + BUSY


def booked(policy: Policy) -> float:
    """For `Bounds.booked`: within the hold-off a holder restarts its neard here, with growing pauses, then hands on.

    A hang is noticed first. The last pause may begin as the hold-off ends, and is as long as the hold-off at most.
    """
    local = policy.hang_timeout + 2 * policy.hold_off + promote(policy)
    return local + take(policy) + promote(policy) + BUSY


def registered(policy: Policy) -> float:
    """From a node's start until it may contend.

    The session of its former life may have to expire (Consul takes twice the TTL, counted anew after a change of its
    leader), and then keeps the member record under its lock delay.
    """
    return 2 * policy.law.session_ttl + policy.law.guard_time + RETRY


def healed(policy: Policy) -> float:
    """For `Bounds.healed`: everything is broken when it heals, and each wait that the rules contain happens in turn.

    Consul's servers start and elect a leader; a guard gives up its last release; the service is restarted; its neard has
    failed so often that its start is put off for the longest pause; it registers, takes the lock, is promoted.
    """
    consul = SERVER_DEADLINE + LEADER_LOSS
    service = GUARD_PATIENCE + RESTART_PAUSE + LONGEST_BACKOFF + slowest_start()
    return consul + service + registered(policy) + take(policy) + promote(policy) + BUSY
