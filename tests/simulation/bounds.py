# SPDX-License-Identifier: Apache-2.0
"""How long it may take until somebody signs, from the configuration."""

from __future__ import annotations

from kuutamod.core.holder import VOTER_GRACE
from kuutamod.core.lease import LEADER_LOSS
from kuutamod.core.lifecycle import LONGEST_BACKOFF
from kuutamod.core.model import Policy
from kuutamod.core.ranking import LAST_RANK
from kuutamod.core.recovery import LONGEST_PAUSE
from kuutamod.guard.release import PATIENCE

from .setup import RHO, NodeSetup, Setup

RATES = (1 + RHO) / (1 - RHO)


def ghost_bound(setup: Setup, node: NodeSetup) -> float:
    """Seconds in which a node that stands by takes a lock that nobody proves.

    The largest G in the fleet on this node's clock, the time until it sees the lock again (a slow read, or the blocking
    query's), the patience of a node in hold-off, and a few requests.
    """
    law = node.policy.law
    guard = max(each.policy.law.guard_time for each in setup.nodes)
    requests = 4 * law.request_deadline + 1.0 + waiting_turn(node.policy)
    return guard * RATES + law.fence_deadline + node.policy.reread_interval + node.policy.patience + requests


def waiting_turn(policy: Policy) -> float:
    """Seconds that a node leaves a lock to a successor that does not take it, and to those that rank higher."""
    return policy.successor_patience + LAST_RANK * policy.rank_step


def signer_bound(setup: Setup) -> float:
    """Seconds in which somebody signs once Consul and one node are healthy, however bad things were before.

    The worst of everything in a row: the former holder's neard is given up (start, hang, guard, stop), its supervisor hands
    the lock back or G passes, lock delays of member record and lock run out, the new holder's neard starts and syncs, its
    hot swap fails and it is restarted as a validator.
    """
    policies = [node.policy for node in setup.nodes]
    guard = max(policy.law.guard_time for policy in policies)
    start = max(node.start_seconds + node.sync_seconds for node in setup.nodes) + 15.0
    policy = policies[0]
    letting_go = policy.hang_timeout + policy.guard_patience + policy.stop_grace + PATIENCE + policy.law.kill_budget
    waiting = 3 * guard * RATES + policy.patience + 2 * LEADER_LOSS + policy.law.fence_deadline
    promoting = 2 * start + policy.hot_swap_timeout + VOTER_GRACE
    return letting_go + waiting + promoting + policy.settle_time + waiting_turn(policy) + 10.0


def quiet_bound(setup: Setup) -> float:
    """Seconds after the last fault in which one node validates and all others stand by: every pause has come to its end."""
    return signer_bound(setup) + LONGEST_BACKOFF + LONGEST_PAUSE
