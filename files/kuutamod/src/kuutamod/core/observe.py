# SPDX-License-Identifier: Apache-2.0
"""How an event changes what a node knows. Pure; unknown or outdated events change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kuutamod.core import events as ev
from kuutamod.core.change import replace
from kuutamod.core.lease import Lease, lose, may_sign, prove
from kuutamod.core.model import Child, Ghost, Giveup, Home, LockView, NodeState, Peer, Role, Session, Slot, Status
from kuutamod.core.readiness import lease_confirmed
from kuutamod.core.recovery import after_failure, let_go
from kuutamod.core.takeover import watch_lock

SETTLED = 60.0
"""Seconds a promoted neard must live before its host's row of local restarts counts as over."""


def observe(state: NodeState, event: ev.Event) -> NodeState:
    """The node's state after the event."""
    return _RULES[type(event)](state, event)


def _done(state: NodeState, slot: Slot) -> NodeState:
    return replace(state, inflight=state.inflight - {slot})


def _done_for(state: NodeState, slot: Slot, serial: int) -> NodeState:
    """A late answer about an earlier child leaves the slot to the present one."""
    return _done(state, slot) if state.child is not None and state.child.serial == serial else state


def _with_child(state: NodeState, serial: int, change: Callable[[Child], Child]) -> NodeState:
    child = state.child
    if child is None or child.serial != serial:
        return state
    return replace(state, child=change(child))


# --- home and child ---


def _home_inspected(state: NodeState, event: ev.HomeInspected) -> NodeState:
    return replace(_done(state, Slot.HOME), home=event.home, home_why=event.why)


def _child_started(state: NodeState, event: ev.ChildStarted) -> NodeState:
    state = _done(state, Slot.CHILD)
    return _with_child(state, event.serial, lambda c: replace(c, pid=event.pid, started=event.at))


def _child_start_failed(state: NodeState, event: ev.ChildStartFailed) -> NodeState:
    state = _done(state, Slot.CHILD)
    if state.child is None or state.child.serial != event.serial:
        return state
    failures = state.start_failures + 1
    state = replace(state, child=None, home=Home.UNKNOWN, home_why=event.why, start_failures=failures)
    return after_failure(replace(state, child_died=event.at), event.why, event.at)


def _child_exited(state: NodeState, event: ev.ChildExited) -> NodeState:
    child = state.child
    if child is None or child.serial != event.serial:
        return state
    orderly = child.stopping is not None or child.killed is not None
    failures = state.start_failures + 1 if not orderly and child.answered is None else 0
    if not orderly and child.answered is not None and event.at - child.started < SETTLED:
        failures = state.start_failures + 1
    state = replace(
        _done(_done(state, Slot.STATUS), Slot.CHILD),
        child=None,
        home=Home.UNKNOWN,
        home_why=event.why,
        start_failures=failures,
        child_died=event.at,
    )
    return _holder_lost_neard(state, child, event)


def _holder_lost_neard(state: NodeState, child: Child, event: ev.ChildExited) -> NodeState:
    lease = state.lease
    if lease is None:
        return state
    if lease.lost or event.handing_back or not may_sign(lease, state.policy.law, event.at):
        return let_go(state, Giveup(child.killed or event.why, fault=False))
    if state.giveup is not None and not state.giveup.fault:
        return let_go(state, state.giveup)
    if state.stop_requested is not None:
        # A service manager may signal the whole control group: neard's own end is then no failure.
        return let_go(state, Giveup(f"stopped: {state.stop_requested}", fault=False))
    if state.giveup is None and child.stopping:
        return state  # stopped to be restarted as validator: the lease goes on
    return after_failure(state, state.giveup.reason if state.giveup else event.why, event.at)


def _guard_answered(state: NodeState, event: ev.GuardAnswered) -> NodeState:
    return _with_child(state, event.serial, lambda c: replace(c, guard_silent_since=None))


def _key_placed(state: NodeState, event: ev.KeyPlaced) -> NodeState:
    state = _done_for(state, Slot.CHILD, event.serial)
    return _with_child(state, event.serial, lambda c: replace(c, key_reload=event.at, key_fault=""))


def _key_refused(state: NodeState, event: ev.KeyRefused) -> NodeState:
    state = _done_for(state, Slot.CHILD, event.serial)
    return _with_child(state, event.serial, lambda c: replace(c, key_fault=event.why))


# --- neard's answers ---


def _status_answered(state: NodeState, event: ev.StatusAnswered) -> NodeState:
    state = _done_for(state, Slot.STATUS, event.serial)
    child = state.child
    if child is None or child.serial != event.serial:
        return state
    status = event.status
    stranger = _stranger(state, child, status)
    if stranger:
        return replace(state, child=replace(child, identified=False, stranger=stranger))
    grown = child.status is None or status.height > child.status.height
    live = child.keyed and status.validator_key == state.identity.fingerprint
    since = (child.syncing_since if child.syncing_since is not None else event.at) if status.syncing else None
    patient = since is not None and event.at - since < state.policy.syncing_patience
    child = replace(
        child,
        status=status,
        identified=True,
        stranger="",
        answered=event.at,
        silent_since=None,
        head_changed=event.at if grown else child.head_changed,
        key_asked=child.key_asked if child.key_asked is not None or not child.keyed else event.at,
        syncing_since=since,
        synced=(child.synced and patient) if status.syncing else True,
        key_live=live,
        key_live_since=(child.key_live_since if child.key_live else event.at) if live else 0.0,
    )
    settled = live and event.at - child.key_live_since > SETTLED
    return replace(
        state,
        child=child,
        neard_version=status.version,
        start_failures=0 if event.at - child.started > SETTLED else state.start_failures,
        height_seen=max(state.height_seen, status.height) if child.keyed else state.height_seen,
        lease=_settle(state, status, event.sent),
        faults=replace(state.faults, retries=0) if settled and state.faults.retries else state.faults,
    )


def _settle(state: NodeState, status: Status, sent: float) -> Lease | None:
    """Has the chain moved past what the previous holder can have signed? Only a head asked for since the take counts."""
    lease = state.lease
    if lease is None or lease.settled or status.syncing:
        return lease
    chain = lease.chain.after(status.height) if sent >= lease.since else lease.chain
    moved = chain.moved_on and status.height > lease.floor
    return replace(lease, chain=chain, settled=moved or lease_confirmed(state, lease))


def _stranger(state: NodeState, child: Child, status: Status) -> str:
    """Why this answer can't be our child's; empty when it is. What listens on the port proves nothing by itself."""
    ours = state.identity.validator_node_key if child.role is Role.VALIDATOR else state.identity.voter_node_key
    if not status.home_locked:
        return f"the lock file of {state.identity.home} was replaced: another supervisor may use this home"
    if status.node_key != ours:
        return f"another neard answers on this node's RPC port: its node key is {status.node_key}, ours is {ours}"
    if status.lock_pid != child.pid:
        return f"data/LOCK is held by pid {status.lock_pid}, our neard is pid {child.pid}"
    return ""


def _status_failed(state: NodeState, event: ev.StatusFailed) -> NodeState:
    state = _done_for(state, Slot.STATUS, event.serial)

    def silent(child: Child) -> Child:
        if child.answered is None or child.silent_since is not None:
            return child
        return replace(child, silent_since=event.sent)

    return _with_child(state, event.serial, silent)


# --- session, members, fleet ---


def _session_created(state: NodeState, event: ev.SessionCreated) -> NodeState:
    return replace(_done(state, Slot.SESSION), session=Session(event.session, renewed=event.sent), session_fault=None)


def _session_renewed(state: NodeState, event: ev.SessionRenewed) -> NodeState:
    state = _done(state, Slot.SESSION)
    if state.session is None or state.session.id != event.session:
        return state
    return replace(state, session=replace(state.session, renewed=event.sent), session_fault=None)


def _session_gone(state: NodeState, event: ev.SessionGone) -> NodeState:
    state = _done(state, Slot.SESSION)
    if state.lease is not None and state.lease.session == event.session:
        state = replace(state, lease=lose(state.lease, "Consul has ended this node's session"))
    if state.ghost is not None and state.ghost.session == event.session:
        state = replace(state, ghost=None)
    if state.session is not None and state.session.id == event.session:
        state = replace(state, session=None, member_said=None, member_published=None)
    return state


def _session_failed(state: NodeState, event: ev.SessionFailed) -> NodeState:
    return replace(_done(state, Slot.SESSION), session_fault=event.why)


def _member_published(state: NodeState, event: ev.MemberPublished) -> NodeState:
    state = replace(_done(state, Slot.MEMBER), member_fault=None)
    if state.session is None or state.session.id != event.session:
        return state
    session = replace(state.session, member=True)
    return replace(state, session=session, member_said=event.record, member_published=event.at)


def _member_refused(state: NodeState, event: ev.MemberRefused) -> NodeState:
    state = replace(_done(state, Slot.MEMBER), member_fault=event.why)
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
    state = replace(_done(state, Slot.FLEET), peers=tuple(peers), fleet=event.config, fleet_read=event.at)
    return replace(state, newest_term=max(state.newest_term, event.newest_term))


def _fleet_is_old(state: NodeState) -> NodeState:
    """The fleet has to be read again, at once, before this node takes anything."""
    return replace(state, fleet_read=None, tried={slot: at for slot, at in state.tried.items() if slot is not Slot.FLEET})


def _fleet_failed(state: NodeState, _event: ev.FleetFailed) -> NodeState:
    return _done(state, Slot.FLEET)


# --- the lock ---


def _lock_seen(state: NodeState, event: ev.LockSeen) -> NodeState:
    if not event.watched:
        state = _done(state, Slot.READ)
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
        ghost = Ghost(state.session.id, term, "a takeover answered too late", fault=False, height=height)
        return replace(state, ghost=ghost)
    return state


def _left_behind(ghost: Ghost, view: LockView) -> Ghost | None:
    if view.session != ghost.session or view.record is None:
        return None
    return replace(ghost, leftover=False, term=view.record.term, height=view.record.last_height)


def _lock_read_failed(state: NodeState, _event: ev.LockReadFailed) -> NodeState:
    return _done(state, Slot.READ)


def _heartbeat_answered(state: NodeState, event: ev.HeartbeatAnswered) -> NodeState:
    state = _done(state, Slot.HEARTBEAT)
    lease = state.lease
    if lease is None or lease.session != event.session:
        return state
    if event.outcome is ev.Outcome.APPLIED:
        return replace(state, lease=replace(prove(lease, event.sent), doubt=""))
    if event.outcome is ev.Outcome.REFUSED:
        return replace(state, lease=lose(lease, f"Consul says the lock is not ours: {event.why}"))
    return replace(state, lease=replace(lease, doubt=event.why))


def _take_answered(state: NodeState, event: ev.TakeAnswered) -> NodeState:
    state = _done(state, Slot.LOCK)
    record = event.record
    if event.outcome is not ev.Outcome.APPLIED:
        return replace(_fleet_is_old(state) if event.term_taken else state, take_refused=event.at)
    state = replace(state, term_seen=max(state.term_seen, record.term), take_refused=None)
    if state.session is None or state.session.id != event.session or state.stop_requested:
        why = "taken while this node was letting go"
        return replace(state, ghost=Ghost(event.session, record.term, why, fault=False, height=record.last_height))
    lease = Lease(
        session=event.session,
        term=record.term,
        proof=event.sent,
        since=event.at,
        floor=record.last_height,
        confirmed=event.confirmed,
        fault_takeover=event.fault_takeover,
    )
    # A holder does not watch: what it knew of the lock is old when it contends again.
    watch = replace(state.watch, last_seen=float("-inf")) if state.watch is not None else None
    state = replace(state, lease=lease, watch=watch, giveup=None, promotion_failed=False, height_seen=0)
    status = state.child.status if state.child is not None else None
    return state if status is None else replace(state, lease=_settle(state, status, sent=float("-inf")))


def _key_created(state: NodeState, event: ev.KeyCreated) -> NodeState:
    return replace(_done(state, Slot.LOCK), take_refused=event.at)


def _release_answered(state: NodeState, event: ev.ReleaseAnswered) -> NodeState:
    state = _done(state, Slot.LOCK)
    settled = event.outcome is not ev.Outcome.UNKNOWN
    if settled and state.ghost is not None and state.ghost.session == event.session:
        return replace(state, ghost=None)
    return state


# --- the rest ---


def _term_remembered(state: NodeState, event: ev.TermRemembered) -> NodeState:
    state = replace(_done(state, Slot.MEMORY), memory_fault=event.fault)
    return state if event.fault else replace(state, term_stored=max(state.term_stored, event.term))


def _stop_requested(state: NodeState, event: ev.StopRequested) -> NodeState:
    if state.stop_requested is not None:
        return state
    return replace(state, stop_requested=event.why, stop_since=event.at)


_RULES: dict[type[Any], Callable[[NodeState, Any], NodeState]] = {
    ev.HomeInspected: _home_inspected,
    ev.ChildStarted: _child_started,
    ev.ChildStartFailed: _child_start_failed,
    ev.ChildExited: _child_exited,
    ev.GuardAnswered: _guard_answered,
    ev.KeyPlaced: _key_placed,
    ev.KeyRefused: _key_refused,
    ev.StatusAnswered: _status_answered,
    ev.StatusFailed: _status_failed,
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
    ev.TermRemembered: _term_remembered,
    ev.StopRequested: _stop_requested,
}
