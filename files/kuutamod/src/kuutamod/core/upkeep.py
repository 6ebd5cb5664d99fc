# SPDX-License-Identifier: Apache-2.0
"""What has to happen again and again: heartbeats, session, member record, reads of lock and fleet."""

from __future__ import annotations

from . import actions as ac
from . import records
from .desk import unsaid
from .handover import CANDIDATE_INTERVAL, progress
from .lease import may_sign
from .model import Home, NodeState, Slot, last_tried
from .plan import Plan
from .protocol import Ask
from .readiness import fresh_proof

RETRY = 1.0
"""Seconds between two tries of anything towards Consul that failed."""
ASKED_INTERVAL = 0.5
"""Seconds between two reads of the fleet while an operator's request is pending: the candidate's word is waited for."""
FIRST_READ = 0.2
"""Seconds between two tries to read the fleet, as long as nothing may be done without it."""


def keep_lease(plan: Plan) -> None:
    """Heartbeats while the lease is good, and the release of a lock under which nothing holds the key any more.

    A neard that does not die after SIGKILL ends the heartbeats: the lock is then free for others after G, but is never
    reported as released.
    """
    state, now, law = plan.state, plan.now, plan.state.policy.law
    lease, child = state.lease, state.child
    if lease is not None and may_sign(lease, law, now):
        undying = child is not None and child.killed is not None and now - child.killed_at > law.kill_budget
        if not undying and plan.free(Slot.HEARTBEAT) and _heartbeat_due(plan):
            plan.do(ac.Heartbeat(lease.session, records.heartbeat(state, lease)))
    ghost = state.ghost
    if ghost is None or ghost.leftover or (child is not None and child.keyed):
        return
    if ghost.tried is None or plan.after(ghost.tried + RETRY):
        plan.do(ac.Release(ghost.session, records.ghost_release(state, ghost)))


def _heartbeat_due(plan: Plan) -> bool:
    state = plan.state
    lease, law = state.lease, state.policy.law
    if lease is None:
        return False
    last = max(last_tried(state, Slot.HEARTBEAT), lease.proof)
    waiting = not (state.child is not None and state.child.keyed) and not fresh_proof(state, plan.now)
    if waiting and last < state.child_died:
        return True  # a promotion waits for the proof that follows the previous neard's end
    return plan.after(last + law.heartbeat_interval)


def keep_registered(plan: Plan) -> None:
    """Session and member record."""
    state = plan.state
    session = state.session
    stopping = state.stop_requested is not None
    if session is None:
        ready = state.lease is not None or (state.child is not None and state.child.synced and state.child.identified)
        if ready and not stopping and plan.due(Slot.SESSION, RETRY):
            plan.do(ac.CreateSession())
        return
    nobody_signs = state.child is None or not state.child.keyed
    leaving = stopping or session.spent
    if leaving and nobody_signs and state.lease is None and state.ghost is None:
        if plan.due(Slot.SESSION, 0.0 if state.session_fault is None else RETRY):
            plan.do(ac.DestroySession(session.id))
        return
    failed = state.session_fault is not None
    at = last_tried(state, Slot.SESSION) + RETRY if failed else session.renewed + state.policy.law.session_renewal
    if plan.after(at):
        plan.do(ac.RenewSession(session.id))
    if not leaving:
        _publish(plan, session.id)


def _publish(plan: Plan, session: str) -> None:
    state = plan.state
    changed = records.has_news(state, plan.reasons)
    request = state.desk.pending
    candidate = request is not None and request.ask is Ask.HANDOVER and request.node == state.identity.node_id
    interval = CANDIDATE_INTERVAL if candidate else state.policy.member_interval
    published = state.member_published if state.member_published is not None else float("-inf")
    retry = RETRY if state.member_fault is not None else 0.0
    if (changed or plan.after(published + interval)) and plan.due(Slot.MEMBER, retry):
        plan.do(ac.Publish(session, records.member(state, plan.reasons)))


def keep_answers(plan: Plan) -> None:
    """What this node has to say to the operator's request, and the history of the term."""
    state = plan.state
    found = progress(state)
    if found is not None:
        plan.note(found.step, found.outcome, found.why)
    said = unsaid(state.desk)
    stuck = state.request_refused == state.desk.index  # one that is refused waits for the request as it is by now
    if said is not None and plan.due(Slot.REQUEST, RETRY if stuck else 0.0):
        plan.do(ac.AnswerRequest(said, state.desk.index))
    lease, child = state.lease, state.child
    if lease is None:
        return
    stage = (lease.term, child is not None and child.key_live)
    if stage > state.history and plan.due(Slot.HISTORY, RETRY if state.history_fault else 0.0):
        plan.do(ac.WriteHistory(records.term_record(state, lease), records.term_before(state, lease), live=stage[1]))


def keep_watching(plan: Plan) -> None:
    """Reads: the lock when the blocking query is silent, the fleet now and then, the highest term onto the disk."""
    state = plan.state
    if state.term_seen > state.term_stored and plan.due(Slot.MEMORY, RETRY if state.memory_fault else 0.0):
        plan.do(ac.RememberTerm(state.term_seen))
    leftover = state.ghost is not None and state.ghost.leftover
    if leftover and (state.home is Home.CLEAR or state.child is not None) and plan.due(Slot.READ, RETRY):
        plan.do(ac.ReadLock())
    if state.session is None or state.stop_requested is not None:
        return
    if plan.due(Slot.FLEET, _fleet_interval(state)):
        plan.do(ac.ReadFleet())
    if state.lease is None and _lock_due(plan):
        plan.do(ac.ReadLock())


def _fleet_interval(state: NodeState) -> float:
    if state.fleet_read is None:
        return FIRST_READ
    return ASKED_INTERVAL if state.desk.pending is not None else state.policy.member_interval


def _lock_due(plan: Plan) -> bool:
    state, watch = plan.state, plan.state.watch
    if watch is None:
        return plan.due(Slot.READ, RETRY)
    if state.take_refused is not None and watch.last_seen <= state.take_refused:
        return plan.due(Slot.READ, 0.1)
    return plan.after(watch.last_seen + state.policy.reread_interval) and plan.due(Slot.READ, RETRY)
