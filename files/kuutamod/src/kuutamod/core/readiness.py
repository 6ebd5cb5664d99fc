# SPDX-License-Identifier: Apache-2.0
"""Is this node able to hold the key? Named reasons why not, before a takeover and again before the key is placed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from .heights import MOVES
from .lease import Lease
from .model import Child, NodeState
from .protocol import MemberRecord, Pause
from .takeover import counted, trusts_markers

ANSWER_AGE = 2.0
"""Seconds; neard's last answer must not be older when it counts as ready."""
NEW_WATCH = "new-watch"


@dataclass(frozen=True)
class Reason:
    """One failing condition. ``soft``: the node may still take the lock, but only after the others had their chance."""

    code: str
    text: str
    soft: bool = False


def ineligible(state: NodeState, now: float) -> tuple[Reason, ...]:
    """Every reason why this node may not take the lock now; empty when it may.

    No text has a number that runs on by itself: the log tells a sentence once, as long as it stays the same.
    """
    found: list[Reason] = []
    if state.stop_requested:
        found.append(Reason("stopping", "this supervisor is shutting down"))
    if state.memory_fault:
        found.append(Reason("memory", f"the term can't be kept on disk: {state.memory_fault}"))
    if state.session is None or not state.session.ready:
        found.append(Reason("unregistered", state.member_fault or state.session_fault or "not registered yet"))
    found.extend(_neard_reasons(state.child, state, now))
    found.extend(_chain_reasons(state, now))
    found.extend(_fleet_reasons(state))
    found.extend(_operator_reasons(state, now))
    watch = counted(state) if state.lease is None else None
    if watch is not None and now < trusts_markers(watch, state.policy.law):
        found.append(Reason(NEW_WATCH, "it has not watched the lock for the guard time yet", soft=True))
    if state.faults.since is not None and now - state.faults.since < state.policy.hold_off:
        found.append(Reason("hold-off", "its neard failed while validating; others go first", soft=True))
    return tuple(found)


def _neard_reasons(child: Child | None, state: NodeState, now: float) -> list[Reason]:
    if child is None or child.status is None or child.answered is None:
        return [Reason("no-neard", "neard does not answer yet")]
    if child.stopping or child.killed:
        return [Reason("no-neard", f"neard is being stopped: {child.killed or child.stopping}")]
    found: list[Reason] = []
    if now - child.answered > ANSWER_AGE:
        found.append(Reason("no-answer", "neard has stopped answering"))
    if not child.identified:
        found.append(Reason("stranger", child.stranger))
    if not child.status.key_present:
        found.append(Reason("no-key", "the validator key's file can't be read any more; `kuutamoctl check` says more"))
    if not child.synced:
        found.append(Reason("syncing", "neard is syncing"))
    elif now - child.synced_since < state.policy.settle_time:
        found.append(Reason("settling", f"neard has been synced for less than {state.policy.settle_time:g} s", soft=True))
    if now - child.head_changed > state.policy.freeze_timeout:
        found.append(Reason("frozen", "neard's head does not move", soft=True))
    return found


def _chain_reasons(state: NodeState, now: float) -> list[Reason]:
    """Is neard of use as a validator? Where all nodes are in the same trouble, one of them validates all the same."""
    status, policy = state.child.status if state.child is not None else None, state.policy
    if status is None:
        return []
    found: list[Reason] = []
    if status.peers is not None and status.peers < policy.min_peers:
        found.append(Reason("few-peers", f"neard has {status.peers} peers, fewer than {policy.min_peers}", soft=True))
    if status.head_age is not None and status.head_age > policy.max_head_age:
        found.append(Reason("old-head", f"neard's head block is older than {policy.max_head_age:g} s", soft=True))
    others = _fresh(state, now)
    best = max((record.height for record in others), default=0)
    if best - status.height > policy.max_lag:
        found.append(Reason("lag", f"neard's head is more than {policy.max_lag} blocks behind the fleet's best", soft=True))
    protocol = max((record.protocol for record in others), default=0)
    if 0 < status.latest_protocol < protocol:
        can = f"the chain is at protocol version {protocol}, this neard follows up to {status.latest_protocol}: update it"
        found.append(Reason("old-protocol", can))
    return found


def _fresh(state: NodeState, now: float) -> list[MemberRecord]:
    oldest = now - 3 * state.policy.member_interval
    return [peer.record for peer in state.peers if peer.live and peer.seen >= oldest]


def _operator_reasons(state: NodeState, now: float) -> list[Reason]:
    """What an operator has switched off. A pause ends by itself, and keeps no node from what it is asked for by name."""
    found: list[Reason] = []
    me = state.identity.node_id
    if state.fleet is not None and me in state.fleet.no_takeover:
        found.append(Reason("drained", f"this node is drained; `kuutamoctl undrain {me}` ends that"))
    pause = paused(state, now)
    record = state.watch.view.record if state.lease is None and state.watch is not None else None
    if pause is not None and not (record is not None and me in (record.node_id, record.successor)):
        why = pause.reason or "no reason given"
        found.append(Reason("paused", f"takeovers are paused until {_date(pause.until)}: {why}"))
    return found


def _date(moment: float) -> str:
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"the Unix second {moment:g}"


def paused(state: NodeState, now: float) -> Pause | None:
    """The pause that holds for this node, the one that ends last. Moments are compared by the wall clock, so it ends."""
    pauses = state.fleet.pauses if state.fleet is not None else ()
    mine = [pause for pause in pauses if pause.node in ("", state.identity.node_id) and pause.until > state.wall + now]
    return max(mine, key=lambda pause: pause.until, default=None)


def _fleet_reasons(state: NodeState) -> list[Reason]:
    if state.fleet_read is None or state.watch is None:
        return [Reason("unknown-fleet", "the lock and the fleet's settings have not been read yet")]
    if state.fleet is None:
        return [Reason("bad-config", "the fleet's config key in Consul is not readable JSON: repair or delete it")]
    found: list[Reason] = []
    # A holder does not watch: what it saw before its take is no news of the lock.
    record = state.watch.view.record if state.lease is None else None
    mine = state.identity.fingerprint
    if state.fleet.fingerprint and state.fleet.fingerprint != mine:
        found.append(
            Reason("foreign-key", f"this node's key is {mine}, the fleet's config records {state.fleet.fingerprint}")
        )
    elif not state.fleet.fingerprint and record and record.fingerprint not in ("", mine):
        found.append(Reason("foreign-key", f"this node's key is {mine}, {record.node_id}'s is {record.fingerprint}"))
    if record and record.term < state.term_seen and not confirmed(state):
        text = (
            f"the lock's term {record.term} is lower than {state.term_seen}, which this node has seen (Consul restored "
            "from an old snapshot?): check that nothing signs, then run `kuutamoctl confirm`"
        )
        found.append(Reason("term-regress", text))
    elif record and record.term < state.newest_term and not confirmed(state):
        known = f"the history knows of term {state.newest_term}, the lock was read before that or went backwards"
        found.append(Reason("unknown-fleet", f"{known}: reading it again"))
    return found


def confirmed(state: NodeState) -> bool:
    """Has an operator said, of the lock as it is, that nothing signs, and has this node seen no takeover since?"""
    fleet, record = state.fleet, state.watch.view.record if state.watch is not None else None
    if fleet is None or record is None or fleet.confirmed_term != record.term:
        return False
    return fleet.confirmed_record == record.digest and state.term_seen <= max(fleet.confirmed_seen or 0, record.term)


def lease_confirmed(state: NodeState, lease: Lease) -> bool:
    """Has an operator said that the chain need not move on before this holder signs?"""
    return lease.claim.confirmed or (state.fleet is not None and state.fleet.confirmed_term == lease.term)


def unblessed(state: NodeState) -> bool:
    """Have the operator's hooks still to be asked before this holder's neard gets the key?"""
    return state.policy.pre_promote and state.lease is not None and not state.lease.blessed


def behind(state: NodeState, floor: int) -> bool:
    """Is this node's head no further than ``floor``, the last that the previous holder is known to have had?"""
    child = state.child
    height = child.status.height if child is not None and child.status is not None else 0
    return 0 < floor >= height


def behind_chain(state: NodeState) -> Reason | None:
    """Why the holder may not get the key yet: the chain must have moved past what the previous one can have signed."""
    lease, child = state.lease, state.child
    if lease is None or child is None or child.status is None or lease.settled:
        return None
    if behind(state, lease.floor):
        return Reason("behind", f"the chain has not passed height {lease.floor}, the previous holder's last")
    return Reason("behind", f"the chain has not moved on by {MOVES} blocks since the takeover")


def not_activated(state: NodeState, now: float) -> Reason | None:
    """The check right before the key is placed into a running neard: the first thing that is missing, or None.

    The proof must be younger than every slow step before it; a heartbeat is sent if it isn't.
    """
    child, lease = state.child, state.lease
    if lease is None or child is None or child.status is None or child.answered is None:
        return Reason("no-neard", "neard does not answer")
    if not child.identified:
        return Reason("stranger", child.stranger)
    if now - child.answered > ANSWER_AGE:
        return Reason("no-answer", "neard has stopped answering")
    if not fresh_proof(state, now):
        return Reason("proof", "a fresh proof of holding the lock is needed")
    return None


def fresh_proof(state: NodeState, now: float) -> bool:
    """Is the newest proof younger than the last slow step (the previous neard's end), and than two heartbeats?"""
    lease, law = state.lease, state.policy.law
    if lease is None:
        return False
    return lease.proof >= state.child_died and now - lease.proof <= law.heartbeat_interval + law.request_deadline
