# SPDX-License-Identifier: Apache-2.0
"""The values this node writes to Consul, as functions of what it knows."""

from __future__ import annotations

from .actions import ReleasePlan
from .lease import Lease
from .model import Ghost, NodeState, label, phase
from .promotion import promotion_of
from .protocol import Ask, LockRecord, MemberRecord, TermRecord
from .readiness import Reason
from .takeover import counted, guard_time

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


def term_record(state: NodeState, lease: Lease) -> TermRecord:
    """What history keeps of this node's term so far."""
    child, claim = state.child, lease.claim
    live = child.key_live_since if child is not None and child.key_live else 0.0
    request = state.desk.request
    asked = request is not None and request.id == claim.request
    return TermRecord(
        term=lease.term,
        node=state.identity.node_id,
        taken=state.wall + lease.since,
        since=state.wall + live if live else 0.0,
        cause=claim.cause.value,
        began=claim.why,
        gap=max(0.0, child.key_live_since - claim.silent_since)
        if child is not None and live and claim.silent_since
        else -1.0,
        first_height=lease.floor,
        by=request.by if request is not None and asked else "",
    )


def term_before(state: NodeState, lease: Lease) -> TermRecord | None:
    """How the term before this node's ended, as its holder wrote in the lock, or as it looked from here."""
    record = lease.claim.before
    if record is None or not record.node_id or record.phase == MISSING:
        return None
    return TermRecord(
        term=record.term,
        node=record.node_id,
        taken=0.0,
        until=state.wall + lease.claim.silent_since,
        ended=record.reason if record.released else lease.claim.why,
        fault=record.fault,
        last_height=record.last_height,
    )


def guard_release(state: NodeState, lease: Lease) -> LockRecord:
    """What the guard writes after it has killed neard by itself."""
    return LockRecord(
        **_record(state, lease.term, last_height(state, lease)),  # type: ignore[arg-type]
        released=True,
        reason="the guard stopped neard: its supervisor died or lost the proof of holding",
    )


def release_plan(state: NodeState) -> ReleasePlan | None:
    """What the guard needs to hand the lock back without its supervisor; None without a lease."""
    lease = state.lease
    return ReleasePlan(lease.session, guard_release(state, lease)) if lease is not None else None


def ghost_release(state: NodeState, ghost: Ghost) -> LockRecord:
    """What this node writes when it hands the lock back."""
    giveup = ghost.giveup
    return LockRecord(
        **_record(state, ghost.term, ghost.height),  # type: ignore[arg-type]
        released=True,
        fault=giveup.fault,
        reason=giveup.reason,
        final=ghost.final,
        idle=round(max(0.0, state.child_died - ghost.idle_since), 3) if ghost.idle_since is not None else 0.0,
        successor=giveup.successor,
        request=giveup.request,
    )


def member(state: NodeState, reasons: tuple[Reason, ...]) -> MemberRecord:
    """What this node says of itself; ``reasons``: why it may not take the lock."""
    identity, status = state.identity, state.child.status if state.child is not None else None
    name, sub, term_seen, eligible, ineligible, neard_version, ready_for = _news(state, reasons)
    return MemberRecord(
        node_id=identity.node_id,
        hostname=identity.hostname,
        life=identity.life,
        state=name,
        phase=sub,
        term_seen=term_seen,
        height=status.height if status is not None else 0,
        peers=status.peers if status is not None and status.peers is not None else -1,
        priority=state.policy.priority,
        eligible=eligible,
        ineligible=ineligible,
        ready_for=ready_for,
        guard_time=state.policy.law.guard_time,
        fingerprint=identity.fingerprint,
        promotion=promotion_of(state)[0].value,
        neard_version=neard_version,
        protocol=status.protocol if status is not None else 0,
        latest_protocol=status.latest_protocol if status is not None else 0,
        kuutamod_version=identity.kuutamod_version,
        address=identity.address,
        home=identity.home,
    )


def has_news(state: NodeState, reasons: tuple[Reason, ...]) -> bool:
    """Would this node say something else of itself than it did last, the height apart?"""
    said = state.member_said
    return said is None or _news(state, reasons) != (
        said.state,
        said.phase,
        said.term_seen,
        said.eligible,
        said.ineligible,
        said.neard_version,
        said.ready_for,
    )


def _news(state: NodeState, reasons: tuple[Reason, ...]) -> tuple[str, str, int, bool, tuple[str, ...], str, str]:
    """What changes in a node's life: state, phase, term, eligibility, reasons, neard's version, readiness for a request."""
    codes = tuple([reason.code for reason in reasons])
    healthy = all(code == "unregistered" for code in codes)
    eligible = healthy and state.lease is None
    ready_for = _ready_for(state, codes)
    return label(state).value, phase(state).value, state.term_seen, eligible, codes, state.neard_version, ready_for


def _ready_for(state: NodeState, codes: tuple[str, ...]) -> str:
    """The request that names this node as the candidate, if it can take the lock for it at once."""
    request = state.desk.pending
    if request is None or request.ask is not Ask.HANDOVER or request.node != state.identity.node_id:
        return ""
    return request.id if state.lease is None and all(code == "paused" for code in codes) else ""
