# SPDX-License-Identifier: Apache-2.0
"""The values this node writes to Consul, as functions of what it knows."""

from __future__ import annotations

from kuutamod.core.lease import Lease
from kuutamod.core.model import Ghost, NodeState, label, phase
from kuutamod.core.protocol import LockRecord, MemberRecord
from kuutamod.core.readiness import Reason
from kuutamod.core.takeover import counted, guard_time

MISSING = "missing"
"""The phase of a value that no holder wrote."""


def _record(state: NodeState, term: int, height: int) -> dict[str, object]:
    law, identity = state.policy.law, state.identity
    return {
        "hostname": identity.hostname,
        "node_id": identity.node_id,
        "term": term,
        "guard_time": law.guard_time,
        "fence_deadline": law.fence_deadline,
        "fingerprint": identity.fingerprint,
        "last_height": height,
    }


def next_term(state: NodeState) -> int:
    """One more than any term this node knows of: on its disk, in the lock, of the other nodes, in the history."""
    seen = [state.term_seen, state.term_stored, state.newest_term, *(peer.record.term_seen for peer in state.peers)]
    if state.watch is not None and state.watch.view.record is not None:
        seen.append(state.watch.view.record.term)
    return max(seen) + 1


def missing(state: NodeState) -> LockRecord:
    """The value of a key that was missing: held by nobody, without the marker, with what this node knows of the past."""
    guard = guard_time(counted(state), state.policy.law)
    record = {**_record(state, next_term(state) - 1, 0), "guard_time": guard}
    return LockRecord(**record, phase=MISSING, reason="the key was missing")  # type: ignore[arg-type]


def take(state: NodeState) -> LockRecord:
    """The value with which this node takes the lock; it carries the previous holder's last height on."""
    before = state.watch.view.record if state.watch is not None else None
    floor = before.last_height if before is not None else 0
    return LockRecord(**_record(state, next_term(state), floor), phase="promoting")  # type: ignore[arg-type]


def last_height(state: NodeState, lease: Lease) -> int:
    """The highest height at which this node may have signed in this term, as far as it knows."""
    return max(lease.floor, state.height_seen)


def heartbeat(state: NodeState, lease: Lease) -> LockRecord:
    """The value of the next heartbeat; the counter makes it differ from the last one, so that the index moves."""
    return LockRecord(
        **_record(state, lease.term, last_height(state, lease)),  # type: ignore[arg-type]
        heartbeat=lease.counter + 1,
        phase=phase(state).value,
    )


def guard_release(state: NodeState, lease: Lease) -> LockRecord:
    """What the guard writes after it has killed neard by itself."""
    return LockRecord(
        **_record(state, lease.term, last_height(state, lease)),  # type: ignore[arg-type]
        released=True,
        reason="the guard stopped neard: its supervisor died or lost the proof of holding",
    )


def ghost_release(state: NodeState, ghost: Ghost) -> LockRecord:
    """What this node writes when it hands the lock back."""
    return LockRecord(
        **_record(state, ghost.term, ghost.height),  # type: ignore[arg-type]
        released=True,
        fault=ghost.fault,
        reason=ghost.reason,
    )


def member(state: NodeState, reasons: tuple[Reason, ...]) -> MemberRecord:
    """What this node says of itself; ``reasons``: why it may not take the lock."""
    identity, child = state.identity, state.child
    name, term_seen, eligible, ineligible, neard_version = _news(state, reasons)
    return MemberRecord(
        node_id=identity.node_id,
        hostname=identity.hostname,
        life=identity.life,
        state=name,
        term_seen=term_seen,
        height=child.status.height if child is not None and child.status is not None else 0,
        eligible=eligible,
        ineligible=ineligible,
        guard_time=state.policy.law.guard_time,
        fingerprint=identity.fingerprint,
        neard_version=neard_version,
        kuutamod_version=identity.kuutamod_version,
        address=identity.address,
        home=identity.home,
    )


def has_news(state: NodeState, reasons: tuple[Reason, ...]) -> bool:
    """Would this node say something else of itself than it did last, the height apart?"""
    said = state.member_said
    return said is None or _news(state, reasons) != (
        said.state,
        said.term_seen,
        said.eligible,
        said.ineligible,
        said.neard_version,
    )


def _news(state: NodeState, reasons: tuple[Reason, ...]) -> tuple[str, int, bool, tuple[str, ...], str]:
    """What changes in a node's life: its state, term, eligibility with reasons, and version of neard."""
    codes = tuple([reason.code for reason in reasons])
    healthy = all(code == "unregistered" for code in codes)
    return label(state).value, state.term_seen, healthy and state.lease is None, codes, state.neard_version
