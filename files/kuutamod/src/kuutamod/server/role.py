# SPDX-License-Identifier: Apache-2.0
"""Does this node validate, or could it? What ``/active``, ``/standby`` and ``/ready`` say, with a sentence of why. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..core.lease import may_sign, unproved
from ..core.model import NodeState, Phase, phase
from ..core.readiness import ineligible


class Role(enum.Enum):
    """What a node is in the fleet: it holds the lock, or is registered, or neither."""

    VALIDATOR = "validator"
    STANDBY = "standby"
    NONE = ""


@dataclass(frozen=True)
class Verdict:
    """Yes or no, and why."""

    yes: bool
    why: str


def role(state: NodeState) -> Role:
    """The node's place in the fleet; it is a validator from the take on, before it has the key."""
    if phase(state) is not Phase.NONE:
        return Role.VALIDATOR
    return Role.STANDBY if state.session is not None and state.session.ready else Role.NONE


def active(state: NodeState, now: float) -> Verdict:
    """Does this node validate: is the lease proven, and does neard show the key? ``now`` in boottime seconds."""
    lease, child, law = state.lease, state.child, state.policy.law
    if lease is None:
        if child is not None and child.keyed:
            return Verdict(False, f"its lease has ended and neard pid {child.pid} is being stopped: {_end(state)}")
        return Verdict(False, f"it does not hold the lock{_elsewhere(state)}")
    if not may_sign(lease, law, now):
        return Verdict(False, lease.lost or unproved(lease, law))
    sub = phase(state)
    if sub is Phase.FENCING or sub is Phase.DEMOTING:
        return Verdict(False, f"it gives the lock of term {lease.term} up: {_end(state)}")
    if sub is not Phase.ACTIVE:
        return Verdict(False, f"it holds the lock in term {lease.term}, but its neard does not show the key yet")
    return Verdict(True, f"it validates in term {lease.term}, proven {max(now - lease.proof, 0.0):.1f} s ago")


def standby(state: NodeState, now: float) -> Verdict:
    """Could this node take the lock now? ``now`` in boottime seconds."""
    if phase(state) is not Phase.NONE:
        held = f"it holds the lock in term {state.lease.term}" if state.lease is not None else "its neard still has the key"
        return Verdict(False, held)
    found = ineligible(state, now)
    if found:
        return Verdict(False, f"it is not eligible: {'; '.join(reason.text for reason in found)}")
    return Verdict(True, f"it is eligible{_elsewhere(state)}")


def ready(state: NodeState, now: float) -> Verdict:
    """Either of the two; the sentence is that of what the node is nearer to. ``now`` in boottime seconds."""
    return (standby if phase(state) is Phase.NONE else active)(state, now)


def _end(state: NodeState) -> str:
    child = state.child
    if child is not None and child.killed is not None:
        return child.killed
    if state.giveup is not None:
        return state.giveup.reason
    return (child.stopping if child is not None else None) or "no reason known"


def _elsewhere(state: NodeState) -> str:
    view = state.watch.view if state.watch is not None else None
    if view is None or view.record is None:
        return ""
    how = "holds the lock in" if view.session is not None else "is the last that held it, in"
    return f"; {view.record.node_id} {how} term {view.record.term}"
