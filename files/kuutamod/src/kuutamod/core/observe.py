# SPDX-License-Identifier: Apache-2.0
"""How an event changes what a node knows. Pure; unknown or outdated events change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import events as ev
from .answers import ANSWERS, done, settle
from .change import replace
from .lease import Lease, may_sign
from .model import Child, Faults, Giveup, Home, NodeState, Role, Slot, Status
from .recovery import after_failure, let_go

SETTLED = 60.0
"""Seconds a promoted neard must live before its host's row of local restarts counts as over."""


def observe(state: NodeState, event: ev.Event) -> NodeState:
    """The node's state after the event."""
    return _RULES[type(event)](state, event)


def _done_for(state: NodeState, slot: Slot, serial: int) -> NodeState:
    """A late answer about an earlier child leaves the slot to the present one."""
    return done(state, slot) if state.child is not None and state.child.serial == serial else state


def _with_child(state: NodeState, serial: int, change: Callable[[Child], Child]) -> NodeState:
    child = state.child
    if child is None or child.serial != serial:
        return state
    return replace(state, child=change(child))


# --- home and child ---


def _home_inspected(state: NodeState, event: ev.HomeInspected) -> NodeState:
    return replace(done(state, Slot.HOME), home=event.home, home_why=event.why)


def _child_started(state: NodeState, event: ev.ChildStarted) -> NodeState:
    state = done(state, Slot.CHILD)
    return _with_child(state, event.serial, lambda c: replace(c, pid=event.pid, started=event.at))


def _child_start_failed(state: NodeState, event: ev.ChildStartFailed) -> NodeState:
    state = done(state, Slot.CHILD)
    if state.child is None or state.child.serial != event.serial:
        return state
    failures = state.start_failures + 1
    state = replace(state, child=None, home=Home.UNKNOWN, home_why=event.why, start_failures=failures)
    return after_failure(replace(state, child_died=event.at), Giveup(event.why, fault=True), event.at)


def _child_exited(state: NodeState, event: ev.ChildExited) -> NodeState:
    child = state.child
    if child is None or child.serial != event.serial:
        return state
    orderly = child.stopping is not None or child.killed is not None
    failures = state.start_failures + 1 if not orderly and child.answered is None else 0
    if not orderly and child.answered is not None and event.at - child.started < SETTLED:
        failures = state.start_failures + 1
    state = replace(
        done(done(state, Slot.STATUS), Slot.CHILD),
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
    return after_failure(state, state.giveup or Giveup(event.why, fault=True), event.at)


def _guard_answered(state: NodeState, event: ev.GuardAnswered) -> NodeState:
    return _with_child(state, event.serial, lambda c: replace(c, guard_silent_since=None))


def _key_placed(state: NodeState, event: ev.KeyPlaced) -> NodeState:
    state = _done_for(state, Slot.CHILD, event.serial)
    return _with_child(state, event.serial, lambda c: replace(c, key_reload=event.at, key_fault=""))


def _key_refused(state: NodeState, event: ev.KeyRefused) -> NodeState:
    state = _done_for(state, Slot.CHILD, event.serial)
    return _with_child(state, event.serial, lambda c: replace(c, key_fault=event.why))


def _key_unloaded(state: NodeState, event: ev.KeyUnloaded) -> NodeState:
    state = _done_for(state, Slot.CHILD, event.serial)
    # Where the key can't be taken away, neard is stopped with it; that is all the unloading is for.
    return _with_child(state, event.serial, lambda c: replace(c, unload_asked=float("-inf")) if event.why else c)


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
    synced = (child.synced and patient) if status.syncing else True
    gone = child.unload_asked is not None and event.sent >= child.unload_asked and status.validator_key is None
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
        synced=synced,
        synced_since=(child.synced_since if child.synced else event.at) if synced else 0.0,
        key_live=live,
        key_live_since=(child.key_live_since if child.key_live else event.at) if live else 0.0,
        lonely_since=(child.lonely_since if child.lonely_since is not None else event.at) if status.peers == 0 else None,
        unloaded=event.at if gone and child.unloaded is None else child.unloaded,
    )
    settled = live and event.at - child.key_live_since > SETTLED
    lease = settle(state, status, event.sent)
    return replace(
        state,
        child=child,
        neard_version=status.version,
        start_failures=0 if event.at - child.started > SETTLED else state.start_failures,
        height_seen=max(state.height_seen, status.height) if child.keyed else state.height_seen,
        lease=_last_height(lease, child, event) if gone else lease,
        faults=replace(state.faults, retries=0) if settled and state.faults.retries else state.faults,
    )


def _last_height(lease: Lease | None, child: Child, event: ev.StatusAnswered) -> Lease | None:
    """A head that was asked for after neard had been seen without the key: it signed for no height above the next."""
    if lease is None or lease.last or child.unloaded is None or event.sent < child.unloaded:
        return lease
    return replace(lease, last=event.status.height, idle_since=child.unloaded)


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


# --- the rest ---


def _term_remembered(state: NodeState, event: ev.TermRemembered) -> NodeState:
    state = replace(done(state, Slot.MEMORY), memory_fault=event.fault)
    return state if event.fault else replace(state, term_stored=max(state.term_stored, event.term))


def _history_written(state: NodeState, event: ev.HistoryWritten) -> NodeState:
    state = replace(done(state, Slot.HISTORY), history_fault=event.fault)
    return state if event.fault else replace(state, history=max(state.history, (event.term, event.live)))


def _hook_answered(state: NodeState, event: ev.HookAnswered) -> NodeState:
    state = done(state, Slot.HOOK)
    lease = state.lease
    if lease is None or lease.term != event.term:
        return state
    if not event.veto:
        return replace(state, lease=replace(lease, blessed=True), faults=replace(state.faults, vetoes=0))
    # Asked before the key is placed, so nothing holds it.
    faults = Faults(since=event.at, vetoes=state.faults.vetoes + 1)
    return let_go(replace(state, faults=faults), Giveup(f"a hook refuses: {event.veto}", fault=True))


def _stop_requested(state: NodeState, event: ev.StopRequested) -> NodeState:
    if state.stop_requested is not None:
        return state
    return replace(state, stop_requested=event.why, stop_since=event.at)


_RULES: dict[type[Any], Callable[[NodeState, Any], NodeState]] = {
    **ANSWERS,
    ev.HomeInspected: _home_inspected,
    ev.ChildStarted: _child_started,
    ev.ChildStartFailed: _child_start_failed,
    ev.ChildExited: _child_exited,
    ev.GuardAnswered: _guard_answered,
    ev.KeyPlaced: _key_placed,
    ev.KeyRefused: _key_refused,
    ev.KeyUnloaded: _key_unloaded,
    ev.StatusAnswered: _status_answered,
    ev.StatusFailed: _status_failed,
    ev.TermRemembered: _term_remembered,
    ev.HistoryWritten: _history_written,
    ev.HookAnswered: _hook_answered,
    ev.StopRequested: _stop_requested,
}
