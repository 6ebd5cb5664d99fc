# SPDX-License-Identifier: Apache-2.0
"""What a node without the lock does: stay ready, and take the lock when it is open and this node's turn has come."""

from __future__ import annotations

from . import actions as ac
from . import records
from .claim import Cause, Claim
from .model import NodeState, Slot, State, Watch, label
from .plan import Plan
from .ranking import turn
from .readiness import NEW_WATCH, Reason, behind, confirmed
from .recovery import patience_of
from .takeover import Opening, counted, opening, watching
from .upkeep import RETRY

TAKE_RETRY = 0.1
"""Seconds between two tries to take an open lock (Consul's lock delay may end a moment after our own count)."""


def contend(plan: Plan) -> str:
    """Take the lock when it is open and this node is ready. The only place where a Take is decided."""
    state, now, law = plan.state, plan.now, plan.state.policy.law
    if Slot.LOCK in state.inflight and state.ghost is None:
        return "waiting for Consul's answer about the lock"
    if state.ghost is not None:
        return f"handing back the lock of term {state.ghost.term}: {state.ghost.reason}"
    reasons = plan.reasons
    hard = [reason for reason in reasons if not reason.soft]
    name = label(state)
    if hard and name is not State.VOTING:
        return f"{name.value}: {hard[0].text}"
    watch = counted(state)
    if hard or watch is None or state.session is None:
        return f"standby, not eligible: {'; '.join(r.text for r in hard)}"
    chance = opening(watch, law)
    if chance is None:
        return _create_key(plan)
    soft = [reason for reason in reasons if reason.soft and reason.code != NEW_WATCH]  # that one is in `opening`
    at, why = _turn(plan, watch, chance, soft) if plan.after(chance.at) else (chance.at, soft[0].text if soft else "")
    if not plan.after(at) or not watching(watch, law, now):
        return _waiting(state, why)
    before, word = watch.view.record, confirmed(state)
    if before is not None and behind(state, before.last_height) and not word:
        return f"standby: the chain has not passed height {before.last_height}, the last of {before.node_id}"
    if state.take_refused is not None:
        reread = watch.last_seen > state.take_refused
        if not reread or not plan.after(state.take_refused + TAKE_RETRY):
            return "standby: taking the lock was refused; looking again"
    record = records.take(state)
    plan.do(ac.Take(state.session.id, watch.view, chance.kind, record, _claim(state, watch, chance, word)))
    return f"taking the lock for term {record.term}: {chance.why}"


def _turn(plan: Plan, watch: Watch, chance: Opening, soft: list[Reason]) -> tuple[float, str]:
    """From when on this node takes a lock that is open: the named successor first, then by rank, the unwell last."""
    state, policy, record = plan.state, plan.state.policy, watch.view.record
    if soft:
        return max(chance.at, chance.others + patience_of(state)), soft[0].text
    if record is None or not record.released or not record.successor:
        return chance.at + turn(state, plan.now), "others rank higher"
    if record.successor == state.identity.node_id:
        return chance.at, ""
    there = any(peer.live and peer.record.node_id == record.successor for peer in state.peers)
    at = max(chance.at, watch.first_seen + policy.successor_patience) if there else chance.at
    return at + turn(state, plan.now), f"it was released for {record.successor}"


def _claim(state: NodeState, watch: Watch, chance: Opening, confirmed: bool) -> Claim:
    before, me = watch.view.record, state.identity.node_id
    released = before is not None and before.released
    if before is None or before.phase == records.MISSING:
        first = before is not None and before.term == 0
        return Claim(Cause.FIRST if first else Cause.MISSING, chance.why, confirmed=confirmed)
    if not released:
        cause = Cause.STEAL if chance.kind is ac.TakeKind.STEAL else Cause.FREE
        return Claim(cause, chance.why, confirmed=confirmed, before=before, silent_since=watch.first_seen)
    handover = bool(before.request or before.successor)
    return Claim(
        cause=Cause.HANDOVER if handover else Cause.FAULT if before.fault else Cause.RELEASE,
        why=f"{before.node_id} released it: {before.reason}",
        fault=before.fault and before.node_id != me,
        confirmed=confirmed,
        # One that was there at the first look may be a marker of the past: then the chain has to move on as ever.
        final=before.final and watch.first_seen > watch.since,
        request=before.request,
        before=before,
        silent_since=watch.first_seen - before.idle,
    )


def _create_key(plan: Plan) -> str:
    state, law = plan.state, plan.state.policy.law
    if state.watch is not None and watching(state.watch, law, plan.now) and plan.due(Slot.LOCK, RETRY):
        plan.do(ac.CreateKey(records.missing(state)))
    return "standby: the lock's key is missing; writing it anew, held by nobody, to count the guard time on it"


def _waiting(state: NodeState, soft: str) -> str:
    watch = state.watch
    suffix = f" (would wait longer: {soft})" if soft else ""
    if watch is None or watch.view.record is None:
        return f"standby: the lock's value is unreadable; waiting the guard time{suffix}"
    if watch.view.record.phase == records.MISSING:
        return f"standby: the lock's key was missing; waiting the guard time{suffix}"
    holder, term = watch.view.record.node_id, watch.view.record.term
    if watch.view.session is not None and holder == state.identity.node_id:
        return f"standby: Consul still books the lock of term {term} on this node's ended lease{suffix}"
    if watch.view.session is not None:
        return f"standby: {holder} holds the lock in term {term}{suffix}"
    if watch.view.released:
        first = "others go first" if soft else "this node has to watch it for the guard time first"
        return f"standby: {holder} released the lock of term {term}; {first}{suffix}"
    return f"standby: {holder} lost the lock of term {term} without proof of death; waiting the guard time{suffix}"
