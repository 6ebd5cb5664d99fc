# SPDX-License-Identifier: Apache-2.0
"""How Consul's answers change what a node knows; a part of ``observe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import events as ev
from .change import replace
from .desk import received
from .lease import Lease, lose, prove
from .model import Ghost, Giveup, LockView, NodeState, Peer, Session, Slot, Status
from .readiness import lease_confirmed
from .takeover import watch_lock


def done(state: NodeState, slot: Slot) -> NodeState:
    """The state once the slot's action has been answered."""
    return replace(state, inflight=state.inflight - {slot})


# --- session, members, fleet ---


def _session_created(state: NodeState, event: ev.SessionCreated) -> NodeState:
    return replace(done(state, Slot.SESSION), session=Session(event.session, renewed=event.sent), session_fault=None)


def _session_renewed(state: NodeState, event: ev.SessionRenewed) -> NodeState:
    state = done(state, Slot.SESSION)
    if state.session is None or state.session.id != event.session:
        return state
    return replace(state, session=replace(state.session, renewed=event.sent), session_fault=None)


def _session_gone(state: NodeState, event: ev.SessionGone) -> NodeState:
    state = done(state, Slot.SESSION)
    if state.lease is not None and state.lease.session == event.session:
        state = replace(state, lease=lose(state.lease, "Consul has ended this node's session"))
    if state.ghost is not None and state.ghost.session == event.session:
        state = replace(state, ghost=None)
    if state.session is not None and state.session.id == event.session:
        state = replace(state, session=None, member_said=None, member_published=None)
    return state


def _session_failed(state: NodeState, event: ev.SessionFailed) -> NodeState:
    return replace(done(state, Slot.SESSION), session_fault=event.why)


def _member_published(state: NodeState, event: ev.MemberPublished) -> NodeState:
    state = replace(done(state, Slot.MEMBER), member_fault=None)
    if state.session is None or state.session.id != event.session:
        return state
    session = replace(state.session, member=True)
    return replace(state, session=session, member_said=event.record, member_published=event.at)


def _member_refused(state: NodeState, event: ev.MemberRefused) -> NodeState:
    state = replace(done(state, Slot.MEMBER), member_fault=event.why)
    if event.duplicate and state.session is not None:
        state = replace(state, session=replace(state.session, member=False))
    return state


def _fleet_seen(state: NodeState, event: ev.FleetSeen) -> NodeState:
    known = {peer.record.node_id: peer for peer in state.peers}
    peers: list[Peer] = []
    for member in event.members:
        old = known.get(member.record.node_id)
        seen = old.seen if old is not None and old.index == member.index else event.at
        peers.append(Peer(member.record, member.session, member.index, seen))
    wall = event.wall - event.at
    newest = max(state.newest_term, event.newest_term)
    state = replace(done(state, Slot.FLEET), peers=tuple(peers), fleet=event.config)
    return replace(state, fleet_sent=event.sent, fleet_read=event.at, wall=wall, newest_term=newest)


def _fleet_is_old(state: NodeState) -> NodeState:
    """The fleet has to be read again, at once, before this node takes anything."""
    return replace(state, fleet_read=None, tried={slot: at for slot, at in state.tried.items() if slot is not Slot.FLEET})


def _fleet_failed(state: NodeState, _event: ev.FleetFailed) -> NodeState:
    return done(state, Slot.FLEET)


# --- the lock ---


def _lock_seen(state: NodeState, event: ev.LockSeen) -> NodeState:
    if not event.watched:
        state = done(state, Slot.READ)
    view = event.view
    watch = watch_lock(state.watch, view, event.at, state.policy.law)
    state = replace(state, watch=watch)
    if state.fleet_read is not None and event.sent >= state.fleet_read:
        # A take writes lock and history in one step: a lock that is older than the history went backwards.
        state = replace(state, term_seen=max(state.term_seen, state.newest_term))
    if view.missing and watch.first_seen == event.at:
        # Before the key is written anew: its terms may have gone on while this node did not look.
        state = _fleet_is_old(state)
    if view.record is not None and view.record.term > state.term_seen:
        state = replace(state, term_seen=view.record.term)
    if state.ghost is not None and state.ghost.leftover:
        # Only read while the home is clear: no process of that life exists, so what is booked on it can go.
        return replace(state, ghost=_left_behind(state.ghost, view))
    ours = state.session is not None and view.session == state.session.id
    idle = state.lease is None and state.ghost is None and Slot.LOCK not in state.inflight
    if ours and idle and state.session is not None:
        # A take that we gave up waiting for was applied after all: nothing here holds the key, so hand it back.
        term, height = (view.record.term, view.record.last_height) if view.record else (state.term_seen, 0)
        giveup = Giveup("a takeover answered too late", fault=False)
        return replace(state, ghost=Ghost(state.session.id, term, giveup, height))
    return state


def _left_behind(ghost: Ghost, view: LockView) -> Ghost | None:
    if view.session != ghost.session or view.record is None:
        return None
    return replace(ghost, leftover=False, term=view.record.term, height=view.record.last_height)


def _lock_read_failed(state: NodeState, _event: ev.LockReadFailed) -> NodeState:
    return done(state, Slot.READ)


def _heartbeat_answered(state: NodeState, event: ev.HeartbeatAnswered) -> NodeState:
    state = done(state, Slot.HEARTBEAT)
    lease = state.lease
    if lease is None or lease.session != event.session:
        return state
    if event.outcome is ev.Outcome.APPLIED:
        return replace(state, lease=replace(prove(lease, event.sent), doubt=""))
    if event.outcome is ev.Outcome.REFUSED:
        return replace(state, lease=lose(lease, f"Consul says the lock is not ours: {event.why}"))
    return replace(state, lease=replace(lease, doubt=event.why))


def _take_answered(state: NodeState, event: ev.TakeAnswered) -> NodeState:
    state = done(state, Slot.LOCK)
    record = event.record
    if event.outcome is not ev.Outcome.APPLIED:
        return replace(_fleet_is_old(state) if event.term_taken else state, take_refused=event.at)
    state = replace(state, term_seen=max(state.term_seen, record.term), take_refused=None)
    if state.session is None or state.session.id != event.session or state.stop_requested:
        giveup = Giveup("taken while this node was letting go", fault=False)
        return replace(state, ghost=Ghost(event.session, record.term, giveup, height=record.last_height))
    lease = Lease(
        session=event.session,
        term=record.term,
        proof=event.sent,
        since=event.at,
        floor=record.last_height,
        claim=event.claim,
    )
    # A holder does not watch: what it knew of the lock is old when it contends again.
    watch = replace(state.watch, last_seen=float("-inf")) if state.watch is not None else None
    state = replace(state, lease=lease, watch=watch, giveup=None, promotion_failed=False, height_seen=0)
    status = state.child.status if state.child is not None else None
    return state if status is None else replace(state, lease=settle(state, status, sent=float("-inf")))


def _key_created(state: NodeState, event: ev.KeyCreated) -> NodeState:
    return replace(done(state, Slot.LOCK), take_refused=event.at)


def _release_answered(state: NodeState, event: ev.ReleaseAnswered) -> NodeState:
    state = done(state, Slot.LOCK)
    ghost = state.ghost
    if event.outcome is ev.Outcome.UNKNOWN or ghost is None or ghost.session != event.session:
        return state
    request = ghost.giveup.request if event.outcome is ev.Outcome.APPLIED else ""
    return replace(state, ghost=None, released_for=request or state.released_for)


# --- the operator ---


def _request_seen(state: NodeState, event: ev.RequestSeen) -> NodeState:
    return replace(state, desk=received(state.desk, event.request, event.index, event.at))


def _request_answered(state: NodeState, event: ev.RequestAnswered) -> NodeState:
    state = done(state, Slot.REQUEST)
    desk, request = state.desk, event.request
    if event.outcome is not ev.Outcome.APPLIED:
        return replace(state, request_refused=event.index)
    if desk.request is None or desk.request.id != request.id or event.index <= desk.index:
        return state  # what was seen since is newer than this answer, which was slow
    return replace(state, desk=replace(desk, request=request, index=event.index), request_refused=None)


def _windows_seen(state: NodeState, event: ev.WindowsSeen) -> NodeState:
    return replace(done(state, Slot.WINDOWS), desk=replace(state.desk, windows=event.windows))


# --- height ---


def settle(state: NodeState, status: Status, sent: float) -> Lease | None:
    """Has the chain moved past what the previous holder can have signed? Only a head asked for since the take counts."""
    lease = state.lease
    if lease is None or lease.settled or status.syncing:
        return lease
    chain = lease.chain.after(status.height) if sent >= lease.since else lease.chain
    moved = (chain.moved_on or lease.claim.final) and status.height > lease.floor
    return replace(lease, chain=chain, settled=moved or lease_confirmed(state, lease))


ANSWERS: dict[type[Any], Callable[[NodeState, Any], NodeState]] = {
    ev.SessionCreated: _session_created,
    ev.SessionRenewed: _session_renewed,
    ev.SessionGone: _session_gone,
    ev.SessionFailed: _session_failed,
    ev.MemberPublished: _member_published,
    ev.MemberRefused: _member_refused,
    ev.FleetSeen: _fleet_seen,
    ev.FleetFailed: _fleet_failed,
    ev.LockSeen: _lock_seen,
    ev.LockReadFailed: _lock_read_failed,
    ev.HeartbeatAnswered: _heartbeat_answered,
    ev.TakeAnswered: _take_answered,
    ev.KeyCreated: _key_created,
    ev.ReleaseAnswered: _release_answered,
    ev.RequestSeen: _request_seen,
    ev.RequestAnswered: _request_answered,
    ev.WindowsSeen: _windows_seen,
}
"""The rule for each kind of answer from Consul."""
